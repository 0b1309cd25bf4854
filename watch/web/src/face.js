// The face: what a device shows, as a drawing. Pure, without clock, page or network.
//
// A drawing is [tag, attributes, ...children], a child a drawing or text; the face is 400 wide and 400 high. In the
// order of a glance: the light, the surplus and my share of it, the trend, the age. The light is as large as the face:
// a shape, a word and a colour. What is old has lost all three, and its age stands where the word was.

import { energy, money, NOTHING, power, signed } from "./figures.js";
import { outline, width } from "./outline.js";
import { drawPairing } from "./pairing-face.js";
import { drawReceipt } from "./receipt-face.js";
import { ageOf, LIGHTS, rowsOf, TRENDS, way } from "./rows.js";
import { arc, penOf } from "./strokes.js";
import { words } from "./trouble.js";

const TEXT = "\uFE0E"; // an arrow as a letter, not as a picture
const SIGNS = {
  offline: "M-26 4a37 37 0 0 1 52 0M-14 16a20 20 0 0 1 28 0M0 28v.1M-24-20 24 28",
  connecting: "M-20 12v.1M0 12v.1M20 12v.1",
  waiting: "M-20 12v.1M0 12v.1M20 12v.1",
  refused: "M-12 12a10 10 0 1 1-.1 0M-5 5 22-22M12-12 21-3",
  unknown: "M-12-8a12 12 0 1 1 18 10c-5 3-6 5-6 11M0 26v.1",
  gone: "M-26 0H-8M8 0H26M-4-16 4 16",
  fault: "M0-20V8M0 24v.1",
  garbage: "M-24 0q6-24 12 0t12 0 12 0 12 0",
};

const PRESSED = ["refused"]; // there is a button for what to do

/** Return what to draw for a view (view.js) that has beside it: kind, title, pairing, left, receipt, since, breadth. */
export function draw(view) {
  const pen = penOf(view.breadth);
  if (view.trouble === "pairing") return drawPairing(pen, view.pairing, view.left);
  if (view.screen === "receipt") return drawReceipt(pen, view.receipt, view.bill, view.since);
  if (!view.figures && view.trouble) return drawTrouble(pen, words(view), view.trouble);
  if (view.screen === "hours") return drawHours(pen, view);
  return view.screen === "today" ? drawToday(pen, view) : drawGlance(pen, view);
}

/** The light that may be shown: none that is old. */
export function lightOf(view) {
  return view.state === "live" || view.state === "recent" ? view.light ?? "UNKNOWN" : "UNKNOWN";
}

function drawGlance(pen, view) {
  const { surplus, share, trend } = view.figures ?? { surplus: null, share: null, trend: null };
  const [number, unit] = signed(surplus);
  const notice = words(view);
  const light = lightOf(view);
  const y = notice ? [104, 178, 210, 248] : [109, 207, 245, 296];
  return [
    bezel(light),
    pen.line("word", y[0], notice ? 28 : 31, headline(view), width(light, y[0] - 14)),
    pen.line("number", y[1], notice ? 78 : 100, number, light === "YELLOW" ? 262 : 325),
    withTrend(y[2], `${unit} ${way(surplus)}`.trim(), trend),
    pen.value(y[3], notice ? 30 : 36, power(share), view.kind === "home" ? "mine" : "shared", width(light, y[3])),
    ...(notice ? tell(pen, notice, light, 281, view.trouble) : [pen.line("soft", 338, 26, footer(view))]),
  ];
}

function drawToday(pen, view) {
  const { imported, shared, saved, currency } = view.figures ?? { imported: null, shared: null, saved: null, currency: null };
  const notice = words(view);
  const light = lightOf(view);
  const [what, amount, unit] = money(saved, currency);
  const y = notice ? [104, 172, 202, 242] : [114, 197, 232, 282];
  return [
    ["circle", { class: "track", cx: 200, cy: 200, r: 186 }],
    imported > 0 && shared > 0 && ["path", { class: "part", d: arc(shared / imported) }],
    ["path", { class: "lamp", d: outline(light, 200, notice ? 54 : 59, 0.13) }],
    pen.line("word", y[0], notice ? 26 : 28, headline(view)),
    pen.line("number", y[1], notice ? 70 : 88, amount),
    pen.line("soft", y[2], 26, `${unit} ${what} today`.trim()),
    column(pen, 127, y[3], energy(imported), "drawn"),
    column(pen, 271, y[3], energy(shared), view.kind === "home" ? "from others" : "shared"),
    ...(notice ? tell(pen, notice, "UNKNOWN", 299, view.trouble) : [pen.line("soft", 354, 25, footer(view))]),
  ];
}

function drawHours(pen, view) {
  const notice = words(view);
  const rows = rowsOf(view.kind, "hours", view.figures ?? { hours: null, reason: null }, view.zone);
  return [
    ["circle", { class: "track", cx: 200, cy: 200, r: 186 }],
    pen.line("soft", 84, 25, notice && view.figures ? `best hours, ${ageOf(view)}` : "best hours", 220),
    ...(view.figures?.hours?.length && rows[0][1] !== "none" ? stretches(pen, rows, notice) : without(pen, rows[0])),
    ...(notice ? tell(pen, notice, "UNKNOWN", 281, view.trouble) : [pen.line("soft", 350, 25, ageOf(view))]),
  ];
}

/** Each stretch on two lines, on one where something else is to be told, in the middle. */
function stretches(pen, rows, notice) {
  const high = notice ? 46 : 74;
  const top = (notice ? 178 : 207) - (high * (rows.length - 1)) / 2;
  return rows.flatMap(([hours, surplus, sure], i) => (notice
    ? [pen.value(top + high * i, 27, [hours, surplus], sure, 310)]
    : [pen.line("strong", top + high * i, 38, hours), pen.line("soft", top + 26 + high * i, 23, `${surplus} ${sure}`)]));
}

function without(pen, [, what, why]) {
  const said = what === NOTHING ? pen.wrap(why, 25, [325, 325, 300]) : [];
  return [
    pen.line("strong", 168, 44, what === NOTHING ? what : `${what} ${why}`),
    ...said.map((text, i) => pen.line("plain", 204 + 30 * i, 25, text)),
  ];
}

function drawTrouble(pen, { short, since, why, todo }, trouble) {
  const lines = [];
  for (const [name, text, most] of [["soft", since, 1], ["soft", why, 2], ["plain", PRESSED.includes(trouble) ? "" : todo, 2]]) {
    const rooms = Array.from({ length: most }, (_, i) => width("UNKNOWN", 206 + 31 * (lines.length + i)));
    lines.push(...pen.wrap(text, 25, rooms).map((part) => [name, part]));
  }
  const down = 11 * Math.max(0, 4 - lines.length);
  return [
    bezel("UNKNOWN"),
    ["path", { class: "sign", transform: `translate(200 ${82 + down})`, d: SIGNS[trouble] }],
    pen.line("strong", 164 + down, 38, short),
    ...lines.map(([name, part], i) => pen.line(name, 203 + down + 31 * i, 25, part)),
  ];
}

function bezel(light) {
  return ["path", { class: "bezel", d: outline(light) }];
}

function headline(view) {
  return view.state === "live" || view.state === "recent" ? LIGHTS[view.light] : ageOf(view);
}

function footer(view) {
  if (view.state === "none") return "";
  if (view.state !== "old") return ageOf(view);
  return view.light === "UNKNOWN" ? LIGHTS.UNKNOWN : `was ${view.light.toLowerCase()}`;
}

/** Below the figures: what happened, shorter where what to do would not fit after it. */
function tell(pen, { what, short, todo }, light, y, trouble) {
  const rooms = [0, 1, 2].map((i) => width(light, y + 28 * i));
  const lines = (first) => {
    const said = pen.wrap(first, 23, rooms.slice(0, 2));
    return PRESSED.includes(trouble) ? said : [...said, ...pen.wrap(todo, 23, rooms.slice(said.length))];
  };
  const long = lines(what);
  const told = long.at(-1).endsWith("…") ? lines(short) : long;
  return told.map((text, i) => pen.line("plain", y + 28 * i, 23, text));
}

function withTrend(y, text, trend) {
  const arrow = TRENDS[trend] ? ` ${TRENDS[trend][0]}${TEXT}` : "";
  return ["text", { class: "soft", x: 200, y, "font-size": 26 }, text, ["tspan", { class: "trend" }, arrow]];
}

function column(pen, x, y, [number, unit], label) {
  return ["g", { transform: `translate(${x - 200} 0)` }, pen.value(y, 34, [number, unit], "", 138), pen.line("soft", y + 31, 23, label, 130)];
}
