// A screen in words: its figures row by row, and all of it in one sentence for whoever listens. Pure.

import { energy, money, NOTHING, power, signed, size, span } from "./figures.js";
import { rowsOfHours } from "./hours.js";
import { sentence, words } from "./trouble.js";

export const LIGHTS = { GREEN: "use it now", YELLOW: "as you like", RED: "better wait", UNKNOWN: "not known" };
export const TRENDS = { RISING: "↗ rising", STEADY: "→ steady", FALLING: "↘ falling" };

/** Return [what, how much, what the sign or the place means] of each figure, in the order of a glance; `zone` as in hours.js. */
export function rowsOf(kind, screen, figures, zone) {
  if (screen === "hours") return rowsOfHours(figures, zone);
  const home = kind === "home";
  if (screen === "today") {
    const [what, ...amount] = money(figures.saved, figures.currency);
    return [
      ["drawn", energy(figures.imported).join(" ").trim(), ""],
      [home ? "from others" : "shared", energy(figures.shared).join(" ").trim(), ""],
      [what, amount.join(" ").trim(), ""],
    ];
  }
  return [
    ["surplus", signed(figures.surplus).join(" ").trim(), way(figures.surplus)],
    home ? ["my share", power(figures.share).join(" ").trim(), "from others"] : ["shared", power(figures.share).join(" ").trim(), "within"],
    ["trend", TRENDS[figures.trend] ?? NOTHING, ""],
  ];
}

/** Return what the sign of a surplus means; nothing where it rounds to 0. */
export function way(surplus) {
  if (surplus === null || signed(surplus)[0] === "0") return "";
  return surplus > 0 ? "to the grid" : "from the grid";
}

/** Return how old figures are, in words. */
export function ageOf({ state, age }) {
  if (state === "none") return "no data yet";
  return state === "live" ? "live" : `${span(age)} old`;
}

/** Return the rows of a receipt: what, how much, its unit, and what the server has counted (`bill`, or null) of it, or "". */
export function receiptRows({ in: received, out, messages, wakeups, parse_us }, bill) {
  return [
    ["in", ...size(received), bill ? size(bill.in).join(" ") : ""],
    ["out", ...size(out), bill ? size(bill.out).join(" ") : ""],
    ["messages", `${messages}`, "", bill ? `${bill.messages}` : ""],
    ["wake-ups", `${wakeups}`, "", bill ? `${bill.wakeups}` : ""],
    ["parsing", (parse_us / 1000).toFixed(1), "ms", ""],
  ];
}

/** Return the whole face in one sentence. */
export function say(view) {
  const notice = words(view);
  const light = view.light && `${view.light.toLowerCase()}, ${LIGHTS[view.light]}`;
  const rows = view.figures ? rowsOf(view.kind, view.screen, view.figures, view.zone) : [];
  const parts = [view.title, notice && sentence(notice), light, ...rows.map((row) => row.filter(Boolean).join(" ")), ageOf(view)];
  return parts.filter(Boolean).join("; ");
}
