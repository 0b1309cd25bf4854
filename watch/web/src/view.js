// What there is to see of a device: the screen shown, how current it is, and what is wrong. Pure; times in ms.

import { recency } from "./modes.js";
import { CALM } from "./turn.js";

const PATIENCE = ["connecting", "waiting"]; // links that are a trouble only once they last
const SHORT_MS = 2_000;

/** Return what a face is drawn from. `for` is how long the trouble has lasted, `reason` why, `off` how far ahead the clock is. */
export function view(state, now) {
  const screen = state.want === "foreground" ? state.screen : "glance";
  const reading = state.readings[screen === "receipt" ? state.before : screen] ?? null;
  const heard = reading && Math.max(0, reading.steady === null ? 0 : now.steady - reading.steady, now.wall - reading.wall);
  const lasting = now.steady - state.since;
  const trouble = troubleOf(state, lasting, reading);
  return {
    screen,
    state: currency(state, reading, heard),
    age: reading && reading.age + heard,
    trouble,
    for: lasting,
    reason: trouble === "incomplete" ? reading.why : state.reason,
    off: state.clock_off,
    light: reading?.light ?? null,
    figures: reading?.figures ?? null,
  };
}

function currency(state, reading, heard) {
  if (!reading) return "none";
  if (!reading.current || reading.operation === null || !CALM.includes(state.link)) return "old";
  const open = state.open === "open" && state.link === "live" && reading.operation === state.operation;
  const forecast = reading.light === null; // which is of what will be, and never live
  if (state.mode === "foreground" && open && !forecast) return "live";
  return heard <= recency(state, forecast) ? "recent" : "old";
}

function troubleOf(state, lasting, reading) {
  if (state.pairing) return "pairing";
  if (!state.network) return "offline";
  if (PATIENCE.includes(state.link)) {
    if (lasting > SHORT_MS) return state.link;
  } else if (!["idle", "live"].includes(state.link)) return state.link;
  if (state.clock_off !== 0) return "clock";
  return reading?.why ? "incomplete" : null;
}
