// The shell around the machine: tells it what happens, carries out what it commands, and has it painted when that shows.

import { after, initial } from "./device.js";
import { view } from "./view.js";

const SAVE_MS = 10_000; // at most one write of the last state in so long, but for the last one
const REPAINT_MS = { foreground: 1_000, slow: 15_000 };
const LONGEST_MS = 2 ** 31 - 1; // that a timer can wait

export class App {
  #state = initial();
  #saved = -Infinity;
  #tick = 0;
  #repaint = 0;

  /** `now` gives {steady, wall, chance}; `link` and `memory` are ours alone; `show` paints a view; `tap` is felt. */
  constructor({ now, link, memory, receipt, show, tap }) {
    Object.assign(this, { now, link, memory, receipt, show, tap, since: new Date(now().wall) });
  }

  get state() {
    return this.#state;
  }

  /** Take an event of the machine. */
  tell(event) {
    const [state, commands] = after(this.#state, event, this.now());
    this.#state = state;
    for (const command of commands) this.#do(command);
    if (event.type === "result" || event.type === "unchanged") this.#save();
    this.#wait();
    this.paint();
  }

  /** Write the last state, so that it is there when the page is not. */
  save() {
    const { target, readings } = this.#state;
    if (!target) return;
    const kept = {};
    for (const [screen, { data, wall, age, etag }] of Object.entries(readings)) kept[screen] = { data, heard: wall, age, etag };
    this.memory.last = { target, kept };
    this.#saved = this.now().steady;
  }

  paint() {
    clearTimeout(this.#repaint);
    if (this.#state.mode === "off" || this.#state.want === "background") return;
    const { pairing, target, mode, want } = this.#state;
    const { steady } = this.now();
    const seen = view(this.#state, this.now());
    this.show({
      ...seen,
      mode: mode === "foreground" || mode === "ambient" ? mode : want,
      kind: target?.kind ?? "home",
      title: target?.id ?? "",
      pairing,
      left: pairing?.ends === undefined ? 0 : pairing.ends - steady,
      receipt: this.receipt.counts,
      bill: this.link.bill,
      since: this.since,
    });
    if (seen.state === "live" && !seen.trouble && seen.screen !== "receipt") return; // nothing changes by itself
    const young = Math.min(seen.age ?? Infinity, seen.trouble ? seen.for : Infinity) < 60_000;
    const soon = want === "foreground" && !pairing && (young || seen.screen === "receipt" || !seen.figures);
    this.#repaint = setTimeout(() => this.paint(), soon ? REPAINT_MS.foreground : REPAINT_MS.slow);
  }

  #do(command) {
    switch (command.type) {
      case "keep": return void (this.memory.pairing = { token: command.token, home: command.home });
      case "forget": return void (this.memory.pairing = null);
      case "tap": return this.tap();
      default: return this.link.do(command, this.#state.token);
    }
  }

  #wait() {
    clearTimeout(this.#tick);
    const { due } = this.#state;
    if (due === null) return;
    const wait = Math.min(LONGEST_MS, Math.max(0, due - this.now().steady));
    this.#tick = setTimeout(() => this.tell({ type: "tick" }), wait);
  }

  #save() {
    if (this.now().steady - this.#saved >= SAVE_MS) this.save();
  }
}
