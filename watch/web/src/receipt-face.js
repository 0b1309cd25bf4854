// The receipt's face: what this device has cost since it began. Pure.

import { receiptRows } from "./rows.js";

/** Return what to draw for counts (receipt.js), with the server's bill (link.js) and the time of day since which they count. */
export function drawReceipt(pen, counts, bill, since) {
  return [
    ["circle", { class: "track", cx: 200, cy: 200, r: 186 }],
    pen.line("soft", 76, 26, bill ? "receipt, server’s" : "receipt"),
    ...receiptRows(counts, bill).map(([what, number, unit, server], i) => (
      pen.value(124 + 44 * i, bill ? 29 : 34, [number, unit], [what, server].filter(Boolean).join(", "), 316))),
    pen.line("soft", 340, 24, `since ${since}`),
  ];
}

/** The same in one sentence. */
export function sayReceipt(counts, bill, since) {
  const rows = receiptRows(counts, bill).map(([what, number, unit, server]) => `${what} ${number} ${unit}`.trim() + (server && ` server ${server}`));
  return `receipt since ${since}; ${rows.join("; ")}`;
}
