// The best hours of a forecast: the stretches worth waiting for, as rows of text. Pure.

import { energy, NOTHING } from "./figures.js";

const LEAST_SURE = 0.5;
const LIKELY = 0.75;
const MOST_ROWS = 3;

/**
 * Return [from and to, how much surplus, how sure] of up to three stretches, the soonest first; one row that says why
 * without any. `zone`: minutes that the clock is ahead of UTC, the device's own where it is not said.
 */
export function rowsOfHours({ hours, reason }, zone) {
  const all = stretchesOf(hours ?? []);
  const best = [...all].sort((one, other) => total(other) - total(one)).slice(0, MOST_ROWS);
  if (!best.length) return [hours?.length ? ["best hours", "none", "in sight"] : ["best hours", NOTHING, reason ?? ""]];
  return all.filter((stretch) => best.includes(stretch)).map((stretch) => [
    `${clock(stretch[0].start, zone)}–${clock(stretch.at(-1).end, zone, true)} h`,
    `+${energy(total(stretch)).join(" ")}`,
    Math.min(...stretch.map(({ sure }) => sure)) >= LIKELY ? "likely" : "perhaps",
  ]);
}

/** Return the longest runs of hours, one after the other, that are good. */
function stretchesOf(hours) {
  const runs = [];
  let last = null;
  for (const hour of hours) {
    const good = hour.surplus > 0 && hour.sure >= LEAST_SURE;
    if (good && last?.end === hour.start) runs.at(-1).push(hour);
    else if (good) runs.push([hour]);
    last = good ? hour : null;
  }
  return runs;
}

function total(stretch) {
  return stretch.reduce((sum, { surplus }) => sum + surplus, 0);
}

function clock(ms, zone = -new Date(ms).getTimezoneOffset(), end = false) {
  const at = new Date(ms + 60_000 * zone);
  const [hour, minute] = [at.getUTCHours(), at.getUTCMinutes()];
  if (minute) return `${hour}:${String(minute).padStart(2, "0")}`;
  return `${end && !hour ? 24 : hour}`;
}
