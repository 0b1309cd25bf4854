// Meters that need a look: silent, refused or never heard, those of one home together.

import { at, make, renew, say } from "./dom.js";
import { ago, clockOf, count } from "./figures.js";
import { roleOf } from "./homes.js";

const SHOWN = 12;

/** Say of a meter what is wrong. */
function trouble(meter, now, zone) {
  if (meter.condition === "NEVER") return "never heard";
  const since = Date.parse(meter.heardAt);
  if (meter.condition === "REFUSED") return "sends readings that are refused";
  return `silent since ${clockOf(since, now, zone)} (${ago(since, now)})`;
}

function summary({ total, heard, silent, refused, never }) {
  if (heard === total) return total === 1 ? "The one meter is heard." : `All ${count(total)} meters are heard.`;
  const parts = [
    [silent, "silent"],
    [refused, "refused"],
    [never, "never heard"],
  ];
  const told = parts.filter(([number]) => number).map(([number, text]) => `${count(number)} ${text}`);
  return `${count(total - heard)} of ${count(total)} meters need a look: ${told.join(", ")}.`;
}

/** Show which meters need a look; `connection` is a connection of meters. */
export function showMeters({ counts, edges }, now, zone) {
  const section = at("attention");
  const troubled = counts.total - counts.heard;
  section.dataset.state = troubled ? "bad" : "good";
  say(at("attention-summary"), summary(counts));
  const items = edges.slice(0, SHOWN).map(({ node }) =>
    make(
      "li",
      {},
      make("strong", {}, node.homeName),
      make("span", {}, `${roleOf(node.role)} `, make("code", {}, node.id)),
      make("span", { class: "chip bad" }, trouble(node, now, zone)),
    ),
  );
  const more = troubled - items.length;
  if (more > 0) items.push(make("li", { class: "note" }, `and ${count(more)} more: see the homes below`));
  renew(at("attention-list"), ...items);
}
