// The face of a watch that is being paired: the code, large, and where to enter it. Pure.

import { span } from "./figures.js";

const SAID = {
  asking: "asking for a code",
  denied: "a member refused this watch",
  expired: "the code has expired",
  failed: "this server pairs no watches",
};

/** Return what to draw for a state of pairing, with the ms that its code is good for. */
export function drawPairing(pen, { phase, code, uri }, left) {
  const ring = ["circle", { class: "track", cx: 200, cy: 200, r: 186 }];
  if (phase !== "showing") {
    const lines = pen.wrap(SAID[phase], 32, [260, 290, 290]);
    return [ring, ...lines.map((text, i) => pen.line("plain", 168 + 40 * (i - (lines.length - 1) / 2), 32, text))];
  }
  const address = uri.replace(/^https?:\/\//, "");
  const lines = address.length <= 34 ? [address] : pen.wrap(address, 24, [300, 330]);
  return [
    ring,
    pen.line("soft", 88, 26, "to pair, open"),
    ...lines.map((text, i) => pen.line("plain", 126 + 28 * i, 26, text, 320)),
    pen.line("soft", lines.length > 1 ? 188 : 170, 26, "and enter"),
    pen.line("code", 236, 54, code, 300),
    pen.line("soft", 284, 26, `within ${span(left)}`),
  ];
}

/** The same in one sentence. */
export function sayPairing({ phase, code, uri }, left) {
  return phase === "showing" ? `open ${uri} and enter ${code}, within ${span(left)}` : SAID[phase];
}
