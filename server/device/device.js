// The page on which a member looks at a device that waits, approves or denies it, and removes those of before.
// It speaks to /graphql alone, and shows what comes as text, never as markup.

import { adoptToken, heldToken, keepToken } from "/community/token.js";

const OF_CODES = {
  PAIRING_CODE_UNKNOWN:
    "No device waits with this code. Compare it with what the device shows: a code lives for ten minutes and works once.",
  UNAVAILABLE: "The server cannot answer just now. Try again in a moment.",
};
const SIGN_IN_AGAIN = "This token is not accepted: it has ended, was revoked, or is for another server.";

const at = (id) => document.getElementById(id);
const STEPS = ["sign-in", "enter", "confirm", "done", "off"];
let documents = "";
let waiting = null;

/** An answer that is none; `code` says why. */
class Refusal extends Error {
  constructor(message, code = "") {
    super(message);
    this.code = code;
  }
}

/** Execute one of the page's operations and give its data; throws Refusal. */
async function ask(operationName, variables = {}) {
  const token = heldToken();
  const headers = { "content-type": "application/json", accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  let status, answer;
  try {
    documents ||= await (await fetch("/device/device.graphql")).text();
    const body = JSON.stringify({ query: documents.trim(), operationName, variables });
    const response = await fetch("/graphql", { method: "POST", headers, body, signal: AbortSignal.timeout(15_000) });
    status = response.status;
    answer = await response.json();
  } catch {
    throw new Refusal("The server does not answer. Look at your connection, and try again.");
  }
  const error = answer.errors?.[0];
  if (status === 401) throw new Refusal(SIGN_IN_AGAIN, "UNAUTHENTICATED");
  if (!error) return answer.data;
  const code = error.extensions?.code ?? "";
  throw new Refusal(OF_CODES[code] ?? asSentence(error.message), code);
}

const asSentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/** Show one step under a heading, and bring whoever reads or types there. */
function show(step, heading, focus) {
  for (const id of STEPS) at(id).hidden = id !== step;
  at("title").textContent = heading;
  (focus ? at(focus) : at("title")).focus();
}

/** Run what a button or a form is for, once at a time; what goes wrong is said beside it. */
async function run(form, work) {
  const buttons = form.querySelectorAll("button");
  if ([...buttons].some((button) => button.disabled)) return;
  at("problem").textContent = "";
  for (const button of buttons) button.disabled = true;
  at("status").textContent = "One moment.";
  try {
    await work();
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    if (refusal.code === "UNAUTHENTICATED") return signOut(refusal.message);
    if (refusal.code === "PAIRING_CODE_UNKNOWN") show("enter", "Pair a device", "code");
    at("problem").textContent = refusal.message;
  } finally {
    for (const button of buttons) button.disabled = false;
    at("status").textContent = "";
  }
}

function signOut(why = "") {
  keepToken("");
  waiting = null;
  at("token").value = "";
  at("sign-out").hidden = at("paired").hidden = true;
  show("sign-in", "Pair a device", "token");
  at("problem").textContent = why;
}

// --- the steps

async function start() {
  at("problem").textContent = "";
  let data;
  try {
    data = await ask("Homes");
  } catch (refusal) {
    if (refusal.code !== "UNAUTHENTICATED") throw refusal;
    return signOut(heldToken() ? refusal.message : "");
  }
  const token = heldToken();
  at("sign-out").hidden = !token;
  const groups = data.communities.filter((community) => community.homes.length);
  if (!groups.length) {
    show("", "Pair a device");
    throw new Refusal("You see no home here, so there is none to pair a device with.");
  }
  for (const id of ["home", "of-home"]) fillHomes(at(id), groups);
  const code = new URLSearchParams(location.search).get("code") ?? "";
  at("code").value = code;
  show("enter", "Pair a device", "code");
  try {
    await showDevices();
  } catch (refusal) {
    if (refusal.code !== "PAIRING_REFUSED") throw refusal;
    at("paired").hidden = true;
    if (token) throw refusal;
    show("off", "Pair a device");
    return;
  }
  if (code) await look(code);
}

function fillHomes(select, communities) {
  const listed = communities.map((community) => {
    const options = community.homes.map((home) => new Option(home.name, home.id));
    if (communities.length === 1) return options;
    const group = document.createElement("optgroup");
    group.label = community.name;
    group.append(...options);
    return [group];
  });
  select.replaceChildren(...listed.flat());
}

async function look(code) {
  waiting = (await ask("Waiting", { code })).deviceRequest;
  at("shown").textContent = waiting.code;
  at("client").textContent = waiting.client;
  at("asked").textContent = sinceWhen(waiting.requestedAt);
  at("until").textContent = new Date(waiting.expiresAt).toLocaleTimeString([], { timeStyle: "short" });
  at("name").value = "";
  at("name").placeholder = waiting.client;
  show("confirm", "Is this your device?");
}

function sinceWhen(time) {
  const minutes = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 60_000));
  return minutes === 0 ? "just now" : minutes === 1 ? "a minute ago" : `${minutes} minutes ago`;
}

async function approve() {
  const home = at("home");
  const variables = { code: waiting.code, home: home.value, name: at("name").value };
  const { name } = (await ask("Approve", variables)).approveDevice;
  at("result").textContent = `${name} may show ${home.selectedOptions[0].text} now. It notices within seconds.`;
  show("done", "Approved");
  at("of-home").value = home.value;
  await showDevices();
}

async function deny() {
  await ask("Deny", { code: waiting.code });
  at("result").textContent = "The device gets nothing, and is told so.";
  show("done", "Denied");
}

// --- the devices of a home

async function showDevices() {
  const { devices } = await ask("Devices", { home: at("of-home").value });
  at("devices").replaceChildren(...devices.map(itemOf));
  at("no-devices").hidden = devices.length > 0;
  at("paired").hidden = false;
}

function itemOf(device) {
  const item = document.createElement("li");
  const text = document.createElement("div");
  const note = document.createElement("p");
  const remove = document.createElement("button");
  const day = new Date(device.approvedAt).toLocaleDateString([], { dateStyle: "medium" });
  note.className = "note";
  note.textContent = device.pairedAt ? `since ${day}` : "approved, has not come for its token yet";
  text.append(device.name, note);
  remove.type = "button";
  remove.className = "secondary";
  remove.textContent = "Remove";
  remove.setAttribute("aria-label", `Remove ${device.name}`);
  remove.addEventListener("click", () => {
    if (remove.className === "secondary") return askAgain(remove, device.name);
    return run(at("paired"), async () => {
      await ask("Remove", { id: device.id });
      await showDevices();
      at("paired-title").focus();
    });
  });
  item.append(text, remove);
  return item;
}

/** Removing is for good, so it takes a second press; who goes elsewhere has not pressed. */
function askAgain(button, name) {
  button.className = "danger";
  button.textContent = "Remove for good?";
  button.setAttribute("aria-label", `Remove ${name} for good?`);
  button.addEventListener("blur", () => {
    button.className = "secondary";
    button.textContent = "Remove";
    button.setAttribute("aria-label", `Remove ${name}`);
  }, { once: true });
}

// --- what people do

function onSubmit(id, work) {
  at(id).addEventListener("submit", (event) => {
    event.preventDefault();
    run(at(id), work);
  });
}

onSubmit("sign-in", async () => {
  keepToken(at("token").value.trim());
  await start();
});
onSubmit("enter", () => look(at("code").value));
onSubmit("confirm", approve);
at("deny").addEventListener("click", () => run(at("confirm"), deny));
at("another").addEventListener("click", () => {
  at("code").value = "";
  show("enter", "Pair a device", "code");
});
at("of-home").addEventListener("change", () => run(at("paired"), showDevices));
at("sign-out").addEventListener("click", () => signOut());
addEventListener("hashchange", () => adoptToken() && run(at("sign-in"), start));

at("title").tabIndex = -1;
at("paired-title").tabIndex = -1;
adoptToken();
run(at("sign-in"), start);
