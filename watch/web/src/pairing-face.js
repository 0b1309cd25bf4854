// The face of a watch that is being paired: the code, large, and where to enter it. Pure.

import { span } from "./figures.js";
import { line, wrap } from "./strokes.js";

const SAID = {
  asking: "asking for a code",
  denied: "a member refused this watch",
  expired: "the code has expired",
  failed: "this server pairs no watches",
};

/** Return what to draw for a state of pairing, with the ms that its code is good for. */
export function drawPairing({ phase, code, uri }, left) {
  const ring = ["circle", { class: "track", cx: 200, cy: 200, r: 186 }];
  if (phase !== "showing") {
    const lines = wrap(SAID[phase], 32, [260, 290, 290]);
    return [ring, ...lines.map((text, i) => line("plain", 168 + 40 * (i - (lines.length - 1) / 2), 32, text))];
  }
  const address = uri.replace(/^https?:\/\//, "");
  const lines = address.length <= 34 ? [address] : wrap(address, 24, [300, 330]);
  return [
    ring,
    line("soft", 88, 26, "to pair, open"),
    ...lines.map((text, i) => line("plain", 126 + 28 * i, 26, text, 320)),
    line("soft", lines.length > 1 ? 188 : 170, 26, "and enter"),
    line("code", 238, 56, code, 325),
    line("soft", 284, 26, `within ${span(left)}`),
  ];
}

/** The same in one sentence. */
export function sayPairing({ phase, code, uri }, left) {
  return phase === "showing" ? `open ${uri} and enter ${code}, within ${span(left)}` : SAID[phase];
}
