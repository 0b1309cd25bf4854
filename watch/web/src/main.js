// The web watch: puts the parts together, and decides whom to watch with which token.

import { App } from "./app.js";
import { listen } from "./crown.js";
import { DOCUMENTS } from "./documents.js";
import { Link } from "./link.js";
import { Memory } from "./memory.js";
import { Page } from "./page.js";
import { findPlaces, listPlaces } from "./places.js";
import { observe } from "./platform.js";
import { Receipt } from "./receipt.js";

const SCREENS = ["glance", "today", "hours"];
const KINDS = ["home", "community"];
const AGAIN_MS = 10_000;

const base = new URL("../", location.href);
const steady = () => performance.now();
const receipt = new Receipt(steady);
const memory = new Memory(() => localStorage, () => sessionStorage);
const link = new Link(base, DOCUMENTS, (event) => app.tell(event), receipt);
const page = new Page(document, (name) => app.tell({ type: name }));
const app = new App({
  now: () => ({ steady: steady(), wall: Date.now(), chance: Math.random() }),
  link,
  memory,
  receipt,
  show: (view) => page.show(view),
  tap: () => navigator.userActivation?.hasBeenActive && navigator.vibrate?.([40, 80, 40]),
});
const fragment = (url = location) => new URLSearchParams(new URL(url).hash.slice(1));
const kindIn = (said) => KINDS.find((name) => said.get(name));
const platform = observe((event) => app.tell(event), { forced: () => fragment().has("ambient") });
let again = 0;

listen(page.at("watch"), {
  clock: steady,
  wake: () => platform.wake(),
  dim: () => platform.toggle(),
  turn(by) {
    if (!app.state.target) return;
    const at = SCREENS.indexOf(app.state.screen);
    app.tell({ type: "turn", to: at < 0 ? app.state.before : SCREENS[(at + by + SCREENS.length) % SCREENS.length] });
  },
  reveal() {
    app.tell({ type: "turn", to: app.state.screen === "receipt" ? app.state.before : "receipt" });
    if (app.state.screen === "receipt" && app.state.open === "open") link.askBill();
  },
  leave() {
    if (app.state.screen === "receipt") app.tell({ type: "turn", to: app.state.before });
  },
});

/** Take from the address what it says, and the token out of it. */
function readAddress() {
  const said = fragment();
  const kind = kindIn(said);
  const before = memory.asked;
  const target = kind ? { kind, id: said.get(kind) } : before?.target ?? null;
  const token = said.get("token") ?? before?.token ?? null;
  document.documentElement.dataset.shape = said.get("shape") === "square" ? "square" : "round";
  if (kind || said.has("token")) memory.asked = { target, token };
  if (said.has("token")) {
    said.delete("token");
    history.replaceState(null, "", `#${said}`.replace(/=(?=&|$)/g, ""));
  }
  return { target, token };
}

/** Begin anew; `asking`: with the list, whomever it showed last. */
function begin(asking = false) {
  clearTimeout(again);
  app.save();
  if (asking) memory.asked = { ...memory.asked, target: null };
  const { pairing, last } = memory;
  let { target, token } = readAddress();
  if (!target && !token && pairing) target = { kind: "home", id: pairing.home };
  if (!target && !token && !asking && last) target = last.target;
  const paired = !token && pairing !== null && pairing.home === target?.id;
  if (paired) token = pairing.token;
  const kept = target && last?.target?.kind === target.kind && last.target.id === target.id ? last.kept : {};
  const ways = "WebSocket" in window ? ["socket", "stream"] : ["stream"];
  page.pick(false);
  app.tell({ type: "start", target, want: platform.shown(), token, paired, ways, kept });
  if (!navigator.onLine) app.tell({ type: "network", up: false });
  if (!target) find(token);
}

async function find(token) {
  const { places, refused, reason } = await findPlaces(base, DOCUMENTS.Places, token, receipt);
  if (app.state.target || app.state.pairing) return;
  if (refused) return void app.tell({ type: "pair" });
  const homes = places?.filter(({ kind }) => kind === "home") ?? [];
  if (homes.length === 1) return void location.replace(addressOf(homes[0]));
  page.pick(true);
  if (places) listPlaces(page, places, addressOf);
  else page.at("finding").textContent = `The server did not say (${reason}). Trying again.`;
  if (!places?.length) again = setTimeout(() => find(token), AGAIN_MS);
}

/** Return the fragment that shows a place, in the shape and the mode of now. */
function addressOf({ kind, id }) {
  const said = fragment();
  said.set(kind, id);
  return `#${said}`.replace(/=(?=&)/g, "");
}

addEventListener("hashchange", ({ oldURL }) => {
  const { kind, id } = app.state.target ?? {};
  const said = fragment();
  const named = kindIn(said);
  const back = !named && kindIn(fragment(oldURL)); // to the list that it was picked from
  platform.dim();
  if (back || said.has("token") || (named && (named !== kind || said.get(named) !== id))) begin(Boolean(back));
  else readAddress();
});
addEventListener("pagehide", () => {
  app.save();
  app.tell({ type: "stop" });
});
addEventListener("pageshow", (event) => event.persisted && begin());
document.addEventListener("visibilitychange", () => document.hidden && app.save());
begin();
keepShell();

/** Have the shell kept for when there is no network; once a newer one was, begin anew with it. */
function keepShell() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return; // not over plain HTTP: the page just needs the network
  if (serviceWorker.controller) serviceWorker.addEventListener("controllerchange", () => location.reload());
  serviceWorker.register("sw.js").catch(() => {});
}
