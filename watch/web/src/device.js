// The device: one machine (docs/watch.md), a pure fold of events into states and commands. No clock, network or page.
//
// `now` is {steady, wall, chance}: ms that only go forward, ms since 1970, 0 <= chance < 1.

import { isLow } from "./modes.js";
import { answerTo, authorized, beginPairing, isPairing, leaveOff, loseAnswer, pollAgain } from "./pairing.js";
import { readKept, readResult } from "./reading.js";
import { CALM, Turn } from "./turn.js";
import { ofErrors, printable } from "./verdict.js";

const PONG_MS = 10_000;

/** Return the state before `start`. */
export function initial() {
  return {
    mode: "off", want: "foreground", target: null, screen: "glance", before: "glance", network: true, low: false,
    link: "idle", reason: "", since: 0, ways: ["socket"], way: "socket", turned: 0, open: "none", opened: 0, asks: null,
    operation: 0, active: false, over: false, failures: 0, tries: 0, refusals: 0, due: null, awaited: null,
    token: null, paired: false, clock_off: 0, pairing: null, readings: {}, light: null, tapped: -Infinity,
  };
}

/** Return [state, commands] after an event. */
export function after(state, event, now) {
  const turn = new Turn(state, now);
  const on = ON[event.type];
  if (on && (state.mode !== "off" || event.type === "start")) on(turn, event);
  return [turn.s, turn.commands];
}

const ON = {
  start(turn, { target = null, want = "foreground", token = null, paired = false, ways = ["socket", "stream"], kept = {} }) {
    turn.hang();
    const { operation } = turn.s;
    turn.s = { ...initial(), operation, want, target, token, paired, ways, way: ways[0], since: turn.now.steady };
    if (target) turn.s.readings = readKept(kept, target.kind);
    turn.settle(true);
  },

  stop(turn) {
    turn.hang();
    Object.assign(turn.s, { mode: "off", pairing: null });
  },

  show(turn, { as }) {
    const looks = as === "foreground";
    turn.s.want = as;
    if (looks) turn.s.failures = 0;
    if (looks && turn.s.pairing?.phase === "expired") beginPairing(turn);
    else turn.settle(looks);
  },

  turn(turn, { to }) {
    turn.s.screen = to;
    if (to !== "receipt") turn.s.before = to;
    turn.settle(false);
  },

  network(turn, { up }) {
    if (up === turn.s.network) return;
    turn.s.network = up;
    if (up) {
      turn.s.failures = 0;
      turn.go(turn.s.ways[0]);
    } else turn.s.since = turn.now.steady;
    turn.settle(up);
  },

  battery(turn, { level, charging }) {
    turn.s.low = isLow(turn.s.low, level, charging);
    turn.settle(false);
  },

  token(turn, { token }) {
    const { s } = turn;
    Object.assign(s, { token, paired: false, refusals: 0, failures: 0 });
    if (token && isPairing(s)) {
      s.pairing = null;
      turn.await(null);
    }
    if (token && s.open === "open" && s.asks.how === "socket") return turn.do("renew");
    if (!isPairing(s)) turn.hang();
    turn.settle(true);
  },

  pair(turn) {
    if (!isPairing(turn.s)) turn.hang();
    beginPairing(turn);
  },

  unpair(turn) {
    if (!isPairing(turn.s)) return;
    leaveOff(turn);
  },

  tick(turn) {
    const { awaited, due } = turn.s;
    if (due === null || turn.now.steady < due) return;
    if (awaited === "poll") pollAgain(turn);
    else if (awaited === "answer" && isPairing(turn.s)) loseAnswer(turn);
    else if (["retry", "cadence"].includes(awaited) && turn.s.open === "open") turn.subscribe();
    else if (awaited === "retry" || awaited === "cadence") turn.attempt();
    else if (awaited === "silence" && turn.s.asks.how === "socket") {
      turn.do("ping");
      turn.await("pong", PONG_MS);
    } else turn.giveUp();
  },

  opened(turn) {
    const { s } = turn;
    if (s.open !== "opening") return;
    Object.assign(s, { open: "open", opened: turn.now.steady, tries: 0, refusals: 0 });
    if (["connecting", "gone", "refused"].includes(s.link)) turn.link("waiting");
    if (s.asks.how === "stream") turn.awaitSilence();
    else turn.subscribe();
  },

  result(turn, { id, data, errors = [], etag = null, date = null }) {
    const { s, now } = turn;
    if (id !== s.operation || !s.active) return;
    if (errors.length && (data[s.target.kind] ?? null) === null) return void ON.errors(turn, { id, errors });
    try {
      const reading = readResult(s.asks.screen, s.target.kind, data);
      if (reading) {
        if (date !== null) turn.setClock(now.wall - date, -60_000, 60_000);
        else if (reading.current && reading.measured !== null) turn.setClock(now.wall - reading.measured, -60_000, 3_000_000);
        const age = reading.measured === null ? 0 : Math.max(0, now.wall - s.clock_off - reading.measured);
        turn.hear({ ...reading, age, etag, why: errors.length ? printable(errors[0]?.message) || "a part is missing" : "" });
      }
      if (reading) turn.link("live");
      else turn.link(...(errors.length ? ofErrors(errors) : ["waiting", ""]));
    } catch (error) {
      turn.link("garbage", error.message);
    }
    turn.goOn();
  },

  unchanged(turn, { id, date = null }) {
    const { s, now } = turn;
    const reading = s.readings[s.asks?.screen];
    if (id !== s.operation || !s.active || s.asks.how !== "get" || !reading) return;
    if (date !== null) turn.setClock(now.wall - date, -60_000, 60_000);
    turn.link("live");
    if (reading.current) turn.hear({ ...reading, age: 0 });
    turn.goOn();
  },

  heard(turn) {
    if (turn.s.open === "open" && turn.s.active) turn.awaitSilence();
  },

  errors(turn, { id, errors }) {
    if (id !== turn.s.operation || !turn.s.active) return;
    turn.link(...ofErrors(errors));
    turn.goOn();
  },

  ended(turn, { id, errors = [] }) {
    const { s } = turn;
    if (id !== s.operation || !s.active) return;
    s.active = false;
    if (s.asks.once && !errors.length && s.link === "live") {
      s.over = true;
      return turn.waitCadence();
    }
    const began = s.link === "live" ? s.since : null;
    if (errors.length) turn.link(...ofErrors(errors));
    else if (CALM.includes(s.link)) turn.link("gone", "the server ended the subscription");
    if (s.asks.how === "stream") s.open = "none";
    turn.retry(began);
  },

  lost(turn, event) {
    if (isPairing(turn.s)) loseAnswer(turn, event);
    else if (turn.s.open !== "none" || turn.asking) turn.lose(event);
  },

  code: authorized,
  denied: answerTo,

  paired(turn, { token, home }) {
    const { s } = turn;
    if (!isPairing(s)) return;
    const target = { kind: "home", id: home };
    const readings = s.target?.kind === "home" && s.target.id === home ? s.readings : {};
    turn.do("keep", { token, home });
    Object.assign(s, { token, paired: true, target, readings, refusals: 0 });
    leaveOff(turn);
  },
};
