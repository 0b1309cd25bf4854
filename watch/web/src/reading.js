// What a result says: the fields of a screen's document, checked. Pure; nonsense is a TypeError that names the field.

import { isObject } from "./answer.js";
import { printable } from "./verdict.js";

const MOST_HOURS = 48;
const LIGHTS_KNOWN = ["GREEN", "YELLOW", "RED"];
const ZONED = /(Z|[+-]\d\d:\d\d)$/;
const TRENDS_KNOWN = ["RISING", "STEADY", "FALLING"];

/** Return {data, light (null of a forecast), current, measured (ms since 1970, or null), figures}; null where the server has no data yet. */
export function readResult(screen, kind, data) {
  const root = object(data, kind);
  return root.live === null ? null : readLive(screen, kind, "live" in root ? object(root, "live") : root);
}

/** Return the readings that storage kept, by screen; what is no reading is left out. */
export function readKept(kept, kind) {
  const readings = {};
  for (const [screen, one] of Object.entries(kept)) {
    try {
      const [age, wall] = [number(one, "age"), number(one, "heard")];
      const etag = typeof one.etag === "string" ? one.etag : null;
      if (age !== null && wall !== null) readings[screen] = { ...readLive(screen, kind, object(one, "data")), age, wall, steady: null, etag, operation: null, why: "" };
    } catch {
      // from an older version, or spoilt
    }
  }
  return readings;
}

function readLive(screen, kind, data) {
  if (screen === "hours") return { data, light: null, current: true, measured: null, figures: forecast(kind === "home" ? object(data, "community") : data) };
  const light = LIGHTS_KNOWN.includes(word(data, "light")) ? data.light : "UNKNOWN";
  return {
    data,
    light,
    current: light !== "UNKNOWN" && (kind === "community" || word(data, "quality") === "MEASURED"),
    measured: time(data, "measuredAt"),
    figures: screen === "today" ? today(data) : glance(data, kind),
  };
}

function glance(live, kind) {
  const community = kind === "home" ? object(live, "community") : live;
  return {
    surplus: number(community, "surplusPower"),
    share: number(live, "sharedPower"),
    trend: TRENDS_KNOWN.includes(community.trend) ? community.trend : null,
  };
}

function today(live) {
  if (live.today === null) return { imported: null, shared: null, saved: null, currency: null };
  const day = object(live, "today");
  const [saved, currency] = ["saved", "currency"].map((name) => (day[name] === null ? null : word(day, name)));
  return { imported: number(day, "imported"), shared: number(day, "shared"), saved, currency };
}

function forecast(community) {
  if (community.bestHours === null) return { hours: null, reason: null };
  const best = object(community, "bestHours");
  if (best.hours !== null && !Array.isArray(best.hours)) throw new TypeError("hours is no list");
  const hours = best.hours?.slice(0, MOST_HOURS).map((hour) => {
    const [start, end] = ["start", "end"].map((name) => time(isObject(hour) ? hour : {}, name));
    return { start, end, surplus: number(hour, "surplus"), sure: number(hour, "sure") };
  });
  if (hours?.some((hour) => Object.values(hour).includes(null))) throw new TypeError("a part of an hour is null");
  return { hours: hours ?? null, reason: best.reason === null ? null : printable(word(best, "reason")) };
}

function object(fields, name) {
  if (!isObject(fields[name])) throw new TypeError(`${name} is no object`);
  return fields[name];
}

function number(fields, name) {
  const value = fields[name];
  if (value === null) return null;
  if (typeof value !== "number" || !Number.isFinite(value) || Math.abs(value) > 1e15) throw new TypeError(`${name} is no number`);
  return value;
}

function word(fields, name) {
  if (typeof fields[name] !== "string") throw new TypeError(`${name} is no word`);
  return fields[name];
}

function time(fields, name) {
  const value = fields[name];
  if (value === null) return null;
  const ms = typeof value === "string" && ZONED.test(value) ? Date.parse(value) : NaN;
  if (Number.isNaN(ms)) throw new TypeError(`${name} is no time`);
  return ms;
}
