// The receipt's face: what this device has cost since it began. Pure.

import { receiptRows } from "./rows.js";

/** Return what to draw for counts (receipt.js), with the time of day since which they count. */
export function drawReceipt(pen, counts, since) {
  return [
    ["circle", { class: "track", cx: 200, cy: 200, r: 186 }],
    pen.line("soft", 76, 26, "receipt"),
    ...receiptRows(counts).map(([what, number, unit], i) => pen.value(124 + 44 * i, 34, [number, unit], what)),
    pen.line("soft", 340, 24, `since ${since}`),
  ];
}

/** The same in one sentence. */
export function sayReceipt(counts, since) {
  return `receipt since ${since}; ${receiptRows(counts).map((row) => row.join(" ").trim()).join("; ")}`;
}
