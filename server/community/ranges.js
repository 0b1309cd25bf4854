// Times that can be looked at: a day, seven days, a month, a year, by the clock of the community.

import { day, moment } from "./figures.js";

const PARTS = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };

/** Give [year, month from 0, day] of a moment, in ms since 1970, in a time zone. */
function dateOf(ms, zone) {
  const [year, month, date] = partsOf(ms, zone);
  return [year, month - 1, date];
}

function partsOf(ms, zone) {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...PARTS });
  const found = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
  return [found.year, found.month, found.day, found.hour, found.minute, found.second];
}

/** Give the moment at which a local day begins; months and days may lie beyond their ends, as in Date.UTC. */
export function midnight(zone, year, month, date) {
  const wanted = Date.UTC(year, month, date);
  let found = wanted;
  for (let round = 0; round < 2; round += 1) {
    const [y, m, d, h, min, s] = partsOf(found, zone);
    found += wanted - Date.UTC(y, m - 1, d, h, min, s);
  }
  return found;
}

/** By name: what a button says, into what it is cut, and where it begins and ends `back` of them ago. */
export const RANGES = {
  day: {
    label: "Day",
    by: "QUARTER_HOUR",
    first: 100,
    span: (zone, [year, month, date], back) => [
      midnight(zone, year, month, date - back),
      midnight(zone, year, month, date - back + 1),
    ],
    name: (from, _, zone, back) => (back === 0 ? `Today, ${day(from, zone)}` : day(from, zone)),
  },
  week: {
    label: "7 days",
    by: "HOUR",
    first: 170,
    span: (zone, [year, month, date], back) => [
      midnight(zone, year, month, date - 6 - 7 * back),
      midnight(zone, year, month, date + 1 - 7 * back),
    ],
    name: (from, to, zone) => `${day(from, zone)} – ${day(to - 1, zone)}`,
  },
  month: {
    label: "Month",
    by: "DAY",
    first: 31,
    span: (zone, [year, month], back) => [midnight(zone, year, month - back, 1), midnight(zone, year, month - back + 1, 1)],
    name: (from, _, zone) => moment(from, zone, { month: "long", year: "numeric" }),
  },
  year: {
    label: "Year",
    by: "MONTH",
    first: 12,
    span: (zone, [year], back) => [midnight(zone, year - back, 0, 1), midnight(zone, year - back + 1, 0, 1)],
    name: (from, _, zone) => moment(from, zone, { year: "numeric" }),
  },
};

/** Give what a range means at a moment, `back` of it ago: from, to, how it is cut, and its name. */
export function rangeAt(key, now, zone, back = 0) {
  const { by, first, span, name } = RANGES[key];
  const [from, to] = span(zone, dateOf(now, zone), back);
  return { key, by, first, from, to, back, name: name(from, to, zone, back) };
}
