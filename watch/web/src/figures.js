// Figures as a glance wants them: a number, and apart from it its unit. Pure; null is a dash, never a zero. Halves are
// rounded away from zero.

export const NOTHING = "–";

const DIGITS = { JPY: 0, KRW: 0, ISK: 0, BHD: 3, KWD: 3, TND: 3 }; // of minor units, where they are not 2

/** W without their sign: ["640", "W"], ["1.24", "kW"], ["14.5", "kW"], ["3.20", "MW"]. */
export function power(watts) {
  if (watts === null) return [NOTHING, ""];
  const size = Math.abs(watts);
  if (Math.round(size) < 1000) return [size.toFixed(0), "W"];
  if (size < 9_995) return [(size / 1000).toFixed(2), "kW"];
  return size < 999_950 ? [(size / 1000).toFixed(1), "kW"] : [(size / 1e6).toFixed(2), "MW"];
}

/** W with their sign, and without where they round to 0. */
export function signed(watts) {
  const [number, unit] = power(watts);
  if (watts === null || number === "0") return [number, unit];
  return [(watts > 0 ? "+" : "−") + number, unit];
}

/** Wh: ["640", "Wh"], ["8.3", "kWh"], ["12.4", "MWh"]. */
export function energy(wattHours) {
  if (wattHours === null) return [NOTHING, ""];
  const size = Math.abs(wattHours);
  if (Math.round(size) < 1000) return [size.toFixed(0), "Wh"];
  return size < 9_999_950 ? [(size / 1000).toFixed(1), "kWh"] : [(size / 1e6).toFixed(1), "MWh"];
}

/** Minor units in a decimal string: ["saved", "0.84", "EUR"], ["lost", "0.12", "EUR"]. */
export function money(minor, currency) {
  const amount = minor === null ? NaN : Number(minor);
  if (!currency || !(Math.abs(amount) < 1e15)) return ["saved", NOTHING, ""];
  const digits = Object.hasOwn(DIGITS, currency) ? DIGITS[currency] : 2;
  const whole = Math.round(Math.abs(amount));
  return [amount < 0 && whole ? "lost" : "saved", (whole / 10 ** digits).toFixed(digits), currency];
}

/** A length of time: 12 s, 4 min, 3 h, 5 days. */
export function span(ms) {
  const whole = Math.floor(Math.max(0, ms) / 1000);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return whole < 48 * 3600 ? `${Math.floor(whole / 3600)} h` : `${Math.floor(whole / 86400)} days`;
}

/** Bytes: ["640", "B"], ["12.3", "kB"], ["3.4", "MB"]. */
export function size(bytes) {
  if (bytes < 1000) return [`${bytes}`, "B"];
  return bytes < 999_950 ? [(bytes / 1000).toFixed(1), "kB"] : [(bytes / 1e6).toFixed(1), "MB"];
}
