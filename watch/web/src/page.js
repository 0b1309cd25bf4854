// The page: a view becomes the face, its buttons, and what a screen reader says. The only one that knows the elements.

import { breadthOf } from "./breadth.js";
import { draw, lightOf } from "./face.js";
import { paint, set } from "./paint.js";
import { sayPairing } from "./pairing-face.js";
import { sayReceipt } from "./receipt-face.js";
import { say } from "./rows.js";

const PAIR = ["Pair this watch", "pair"];
const LEAVE = ["Leave off", "unpair"];

export class Page {
  #document;
  #act;
  #gist = "";
  #breadth;

  /** `act` takes the name of a button that was pressed. */
  constructor(document, act) {
    this.#document = document;
    this.#act = act;
  }

  at(id) {
    return this.#document.getElementById(id);
  }

  /** Show the list of places in place of the face, or the face again. */
  pick(picking) {
    this.at("places").hidden = !picking;
    this.at("face").toggleAttribute("hidden", picking);
  }

  /** Show a view. */
  show(view) {
    const face = this.at("face");
    const since = view.since.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.#breadth ??= breadthOf(face);
    const seen = { ...view, since, breadth: this.#breadth };
    set(this.#document.documentElement.dataset, "mode", view.mode);
    set(face.dataset, "light", lightOf(view));
    set(face.dataset, "state", view.state);
    set(this.#document, "title", view.title ? `${view.title} · Commonwatt` : "Commonwatt");
    face.setAttribute("viewBox", view.mode === "ambient" ? shifted() : "0 0 400 400");
    paint(face, draw(seen));
    const said = view.trouble === "pairing" ? sayPairing(view.pairing, view.left)
      : view.screen === "receipt" ? sayReceipt(view.receipt, view.bill, since) : say(view);
    face.setAttribute("aria-label", said);
    this.#speak(view, said);
    this.#offer(actionsOf(view));
  }

  /** Say what matters, once: figures alone would never let a listener finish. */
  #speak(view, said) {
    const forecast = JSON.stringify(view.figures?.hours);
    const gist = [view.screen, lightOf(view), view.figures?.trend, forecast, view.trouble, view.pairing?.phase].join();
    if (gist !== this.#gist && !this.#document.hidden) set(this.at("spoken"), "textContent", said);
    this.#gist = gist;
  }

  #offer(actions) {
    const box = this.at("actions");
    const names = actions.map(([, name]) => name).join();
    if (box.dataset.names === names) return;
    box.dataset.names = names;
    box.hidden = !actions.length;
    box.replaceChildren(...actions.map(([text, name]) => {
      const button = this.#document.createElement("button");
      button.type = "button";
      button.dataset.name = name;
      button.textContent = text;
      button.addEventListener("click", () => this.#act(name));
      return button;
    }));
  }
}

function actionsOf({ trouble, pairing, title }) {
  if (trouble === "refused") return [PAIR];
  if (trouble !== "pairing") return [];
  const leave = title ? [LEAVE] : [];
  return ["asking", "showing"].includes(pairing.phase) ? leave : [["Pair again", "pair"], ...leave];
}

/** A view box that moves a little every minute, so that nothing burns in. */
function shifted() {
  const minute = Math.floor(Date.now() / 60_000);
  return `${(minute % 5) - 2} ${(Math.floor(minute / 5) % 5) - 2} 400 400`;
}
