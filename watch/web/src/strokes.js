// What a face is drawn with: lines of text that stay inside it, figures with their units, arcs. Pure; widths are
// estimates for a wide font, since nothing is measured.

const WIDE = 0.57; // a character, as a part of its size: figures and short words
const RUNNING = 0.53; // the same of running text

/** Return text in the middle of the face at `y`, smaller where it would be wider than `most`. */
export function line(name, y, size, text, most = 325) {
  return ["text", { class: name, x: 200, y, "font-size": fit(text, size, most) }, text];
}

/** Return a figure [number, unit] in the middle at `y`, and what it is beside it. */
export function value(y, size, [number, unit], what, most = 300) {
  const rest = [unit, what].filter(Boolean).join(" ");
  const fitted = fit(`${number} ${rest}`, size, most);
  return [
    "text", { class: "strong", x: 200, y, "font-size": fitted }, number,
    rest && ["tspan", { class: "soft", "font-size": Math.round(fitted * 0.72) }, ` ${rest}`],
  ];
}

/** Break text, between words where there are any, into lines as long as `rooms` are wide; the last says if more was. */
export function wrap(text, size, rooms) {
  const broken = [];
  let rest = text.trim().replace(/(\d) (?=\p{L})/gu, "$1\u00A0"); // a figure keeps its unit
  for (const room of rooms) {
    if (!rest) break;
    const length = Math.floor(room / (RUNNING * size));
    let end = rest.length <= length ? rest.length : rest.lastIndexOf(" ", length);
    if (end <= 0) end = length;
    broken.push(rest.slice(0, end));
    rest = rest.slice(end).trim();
  }
  if (rest && broken.length) broken.push(`${broken.pop().slice(0, -1)}…`);
  return broken;
}

/** Return the path of a part, 0 to 1, of the ring at the edge, clockwise from the top. */
export function arc(part) {
  const angle = 2 * Math.PI * Math.min(part, 0.9999);
  const [x, y] = [200 + 186 * Math.sin(angle), 200 - 186 * Math.cos(angle)].map((at) => at.toFixed(1));
  return `M200 14A186 186 0 ${part > 0.5 ? 1 : 0} 1 ${x} ${y}`;
}

function fit(text, size, most) {
  return Math.round(Math.min(size, most / (WIDE * text.length)));
}
