// One turn of the device's machine: what is asked for, in which way, and how long is waited. Pure but for its own state,
// which nobody else has yet.

import { asked, slowest } from "./modes.js";
import { beginPairing } from "./pairing.js";
import { ofLoss } from "./verdict.js";

const ANSWER_MS = 20_000;
const COMMENT_MS = 30_000; // of a stream, whose comments come every 12 s
const LASTING_MS = 30_000; // what lasted so long was no failure
const OTHER_WAY_MS = 3_600_000; // after which the first way is tried again
const ATTEMPTS = 2; // in a row, before the other way is tried
const TAP_MS = 600_000;
const [SOON, LATE] = [[500, 30_000], [5_000, 300_000]]; // the first wait, the most
const LATE_LINKS = ["refused", "unknown", "garbage"];
export const CALM = ["idle", "connecting", "waiting", "live"]; // links that are no trouble

/** One turn of the machine: the state as it becomes, the commands as they are added. */
export class Turn {
  constructor(state, now) {
    this.s = { ...state };
    this.now = now;
    this.commands = [];
  }

  do(type, fields) {
    this.commands.push({ type, ...fields });
  }

  await(awaited, ms) {
    this.s.awaited = awaited;
    this.s.due = awaited && this.now.steady + ms;
  }

  link(link, reason = "") {
    if (link !== this.s.link) this.s.since = this.now.steady;
    Object.assign(this.s, { link, reason });
  }

  /** Whether a GET is under way. */
  get asking() {
    return this.s.awaited === "answer" && this.s.open === "none" && !this.s.pairing;
  }

  hang() {
    if (this.s.open !== "none" || this.asking) this.do("close");
    Object.assign(this.s, { open: "none", active: false, over: false });
    this.await(null);
  }

  /** Do what the mode, the screen, the battery now want; `eager`: without waiting for the end of a wait. */
  settle(eager) {
    const { s } = this;
    s.mode = s.pairing ? "pairing" : s.network ? s.want : "offline";
    if (s.pairing) return;
    if (s.open === "none") this.returnToFirst();
    const asks = asked(s);
    if (!asks) {
      this.hang();
      this.link("idle");
    } else if (asks.how === "get") this.settleRequests(asks, eager);
    else this.settleConnection(asks, eager);
  }

  settleRequests(asks, eager) {
    const { s } = this;
    const before = s.asks;
    const same = isSame(before, asks);
    if (this.asking && same) return void (s.asks = asks);
    const resting = s.awaited === "cadence" && same && !eager;
    if (resting && before.cadence === asks.cadence) return;
    this.hang();
    s.asks = asks;
    if (!resting && (eager || !(asks.screen in s.readings) || (asks.once && !same))) this.attempt();
    else this.waitCadence();
  }

  settleConnection(asks, eager) {
    const { s } = this;
    const same = isSame(s.asks, asks) && s.asks.cadence === asks.cadence;
    if (this.asking) this.hang();
    if (s.open === "open" && asks.how === "socket" && s.asks.how === "socket") {
      if (s.awaited === "retry" ? !eager : same && !(s.over && eager)) return;
      if (s.active) this.do("complete", { id: s.operation });
      this.subscribe();
      if (s.link === "live") this.link("waiting");
    } else if (s.open === "none") {
      if (eager || s.awaited !== "retry") this.attempt();
    } else if (!same && (asks.how === "stream" || s.asks.how === "stream")) {
      this.hang();
      this.attempt();
    }
  }

  attempt() {
    const { s } = this;
    this.returnToFirst();
    s.asks = asked(s);
    if (s.asks.how === "get") {
      if (s.link === "idle") this.link("connecting");
      this.ask("get", { etag: s.readings[s.asks.screen]?.etag ?? null });
    } else {
      if (CALM.includes(s.link)) this.link("connecting");
      s.open = "opening";
      if (s.asks.how === "stream") this.ask("stream");
      else this.do("connect");
    }
    this.await("answer", ANSWER_MS);
  }

  /** Begin an operation: what is heard from now on is its. */
  ask(type, fields) {
    const { s } = this;
    Object.assign(s, { operation: s.operation + 1, active: true, over: false });
    this.do(type, { id: s.operation, document: s.asks.document, variables: s.asks.variables, ...fields });
  }

  subscribe() {
    this.s.asks = asked(this.s);
    this.ask("subscribe");
    this.awaitSilence();
  }

  awaitSilence() {
    this.await("silence", this.s.asks.how === "stream" ? COMMENT_MS : this.s.asks.silence);
  }

  waitCadence(more = 0) {
    this.await("cadence", Math.round(this.s.asks.cadence * (0.9 + 0.2 * this.now.chance)) + more);
  }

  /** Wait before the next attempt, or until the next request; `began`: when what has failed began to work, if it did. */
  retry(began, more = 0) {
    const { s } = this;
    if (s.asks.how === "get") return this.waitCadence(more);
    if (began !== null && this.now.steady - began >= LASTING_MS) s.failures = 0;
    this.await("retry", this.backoff(LATE_LINKS.includes(s.link) ? LATE : SOON) + more);
  }

  /** Return the wait after one more failure, with full jitter. */
  backoff([first, most]) {
    const bound = this.s.want === "ambient" ? Math.max(most, slowest(this.s.low)) : most;
    return Math.floor(this.now.chance * Math.min(bound, first * 2 ** this.s.failures++));
  }

  returnToFirst() {
    const { ways, way, turned } = this.s;
    if (way !== ways[0] && this.now.steady - turned >= OTHER_WAY_MS) this.go(ways[0]);
  }

  go(way) {
    Object.assign(this.s, { way, tries: 0, turned: this.now.steady });
  }

  /** Note a refusal, and say whether it ended a pairing. */
  isOver() {
    const { s } = this;
    if (s.link !== "refused") return false;
    s.refusals += 1;
    if (!s.paired || s.refusals < 2) return false;
    this.do("forget");
    Object.assign(s, { token: null, paired: false, refusals: 0, failures: 0 });
    beginPairing(this);
    return true;
  }

  lose(event) {
    const { s } = this;
    const opening = s.open === "opening";
    const began = s.open === "open" ? s.opened : null;
    this.link(...ofLoss(event));
    Object.assign(s, { open: "none", active: false });
    this.await(null);
    if (this.isOver()) return;
    if (opening && ["gone", "garbage"].includes(s.link) && ++s.tries >= ATTEMPTS) {
      this.go(s.ways.find((way) => way !== s.way) ?? s.way);
    }
    this.retry(began, event.retry);
  }

  giveUp() {
    this.do("close");
    this.lose({ reason: "no answer in time" });
  }

  hear(reading) {
    const { s, now } = this;
    const late = s.light === "YELLOW" || s.light === "RED";
    Object.assign(s, { light: reading.light ?? s.light, refusals: 0 });
    s.readings = { ...s.readings, [s.asks.screen]: { ...reading, wall: now.wall, steady: now.steady, operation: s.operation } };
    if (late && reading.light === "GREEN" && now.steady - s.tapped >= TAP_MS) {
      s.tapped = now.steady;
      this.do("tap");
    }
  }

  /** Go on after an answer that the operation survives; a request is over with it. */
  goOn() {
    if (this.s.asks.how !== "get") return this.awaitSilence();
    Object.assign(this.s, { active: false, failures: 0 });
    return this.waitCadence();
  }

  setClock(off, least, most) {
    this.s.clock_off = off < least || off > most ? off : 0;
  }
}

function isSame(one, other) {
  return one?.how === other.how && one.document === other.document && JSON.stringify(one.variables) === JSON.stringify(other.variables);
}
