// Figures as people read them: power in W or kW, energy in kWh or MWh, shares in %, money in its currency.

const LOCALE = "en-GB";
const NONE = "–";

const number = (value, digits) =>
  value.toLocaleString(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits });

const digitsOf = (value) => (value === 0 ? 0 : Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0);

/** Show a power, given in W. */
export function power(watts) {
  if (watts === null || watts === undefined) return NONE;
  if (Math.abs(watts) < 1000) return `${number(Math.round(watts), 0)} W`;
  return `${number(watts / 1000, digitsOf(watts / 1000))} kW`;
}

/** Show an energy, given in Wh. */
export function energy(wattHours) {
  if (wattHours === null || wattHours === undefined) return NONE;
  const kilo = wattHours / 1000;
  if (Math.abs(kilo) >= 10_000) return `${number(kilo / 1000, 1)} MWh`;
  return `${number(kilo, digitsOf(kilo))} kWh`;
}

/** Show a ratio, 0 to 1, as a share; what is not quite all or nothing is shown as neither. */
export function share(ratio) {
  if (ratio === null || ratio === undefined) return NONE;
  if (ratio > 0 && ratio < 0.001) return "under 0.1 %";
  const percent = ratio < 1 && ratio >= 0.9995 ? 99.9 : ratio * 100;
  return `${number(percent, percent % 1 && (percent > 99 || percent < 1) ? 1 : 0)} %`;
}

/** Show an amount, given in minor units of a currency. */
export function money(minor, currency) {
  if (minor === null || minor === undefined || !currency) return NONE;
  const format = new Intl.NumberFormat(LOCALE, { style: "currency", currency });
  const digits = format.resolvedOptions().maximumFractionDigits;
  return format.format(Number(minor) / 10 ** digits);
}

export const count = (value) => value.toLocaleString(LOCALE);

/** Say how long ago something was, both in ms since 1970. */
export function ago(then, now) {
  const seconds = Math.max(0, (now - then) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 36_000) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

const formats = new Map();

/** Show a moment, in ms since 1970, by the clock of a time zone. */
export function moment(ms, zone, options) {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(LOCALE, { timeZone: zone, ...options }));
  return formats.get(key).format(ms);
}

export const clock = (ms, zone) => moment(ms, zone, { hour: "2-digit", minute: "2-digit" });
export const day = (ms, zone) => moment(ms, zone, { weekday: "short", day: "numeric", month: "short" });
/** Show a moment by the clock, with its day where that is not the day of `now`. */
export const clockOf = (ms, now, zone) => (day(ms, zone) === day(now, zone) ? clock(ms, zone) : dayAndClock(ms, zone));

export const dayAndClock = (ms, zone) => `${day(ms, zone)}, ${clock(ms, zone)}`;
