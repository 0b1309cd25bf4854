// What a face is drawn with: lines of text that stay inside it, figures with their units, arcs. Pure: how wide the
// platform's font is comes in as `breadth` (breadth.js), and widths are reckoned from it.

const RUNNING = 0.88; // of bold, in running text
const BESIDE = 0.72; // of a figure's size: its unit, and what it is
const WIDTHS = { ".": 0.3, ",": 0.3, ":": 0.3, " ": 0.27, "-": 0.4, i: 0.3, l: 0.3, j: 0.3, t: 0.4, r: 0.42, m: 0.92, w: 0.85, W: 0.98, M: 0.9 };
const OTHER = 0.62; // of all else: digits, signs, letters; bold, as a part of their size

/** Return {line, value, wrap} for a font that is `breadth` times as wide as one with digits of 0.6 of its size. */
export function penOf(breadth) {
  const wide = (text) => breadth * [...text].reduce((sum, letter) => sum + (WIDTHS[letter] ?? OTHER), 0);
  const fit = (text, size, most, weight = 1) => Math.floor(Math.min(size, most / (weight * wide(text))));

  /** Text in the middle of the face at `y`, smaller where it would be wider than `most`. */
  const line = (name, y, size, text, most = 325) => {
    const weight = name === "soft" || name === "plain" ? RUNNING : 1;
    return ["text", { class: name, x: 200, y, "font-size": fit(text, size, most, weight) }, text];
  };

  /** A figure [number, unit] in the middle at `y`, and what it is beside it. */
  const value = (y, size, [number, unit], what, most = 300) => {
    const rest = [unit, what].map((word) => word && ` ${word}`).join("");
    const fitted = Math.floor(Math.min(size, most / (wide(number) + BESIDE * RUNNING * wide(rest))));
    return [
      "text", { class: "strong", x: 200, y, "font-size": fitted }, number,
      rest && ["tspan", { class: "soft", "font-size": Math.floor(BESIDE * fitted) }, rest],
    ];
  };

  /** Text, broken between words into lines as long as `rooms` are wide; the last says if more was. */
  const wrap = (text, size, rooms) => {
    const broken = [];
    const words = text.trim().replace(/(?<=\d) (?=\w{1,4}\b)| (?=(ago|ahead|behind)$)/g, "\u00A0").split(" "); // a figure keeps its unit
    for (const room of rooms) {
      const fits = (part) => RUNNING * size * wide(part) <= room;
      let row = words.shift() ?? "";
      while (words.length && fits(`${row} ${words[0]}`)) row += ` ${words.shift()}`;
      while (row.length > 1 && !fits(row)) row = `${row.slice(0, -2)}…`; // a word that is longer than the line
      if (row) broken.push(row);
    }
    if (words.length && broken.length) broken.push(`${broken.pop().replace(/…?$/, "")}…`);
    return broken;
  };

  return { line, value, wrap };
}

/** Return the path of a part, 0 to 1, of the ring at the edge, clockwise from the top. */
export function arc(part) {
  const angle = 2 * Math.PI * Math.min(part, 0.9999);
  const [x, y] = [200 + 186 * Math.sin(angle), 200 - 186 * Math.cos(angle)].map((at) => at.toFixed(1));
  return `M200 14A186 186 0 ${part > 0.5 ? 1 : 0} 1 ${x} ${y}`;
}
