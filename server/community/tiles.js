// Figures at a glance: what is so now, what a time brought, and what it rests on.

import { at, make, renew } from "./dom.js";
import { count, energy, money, power, share } from "./figures.js";

const LIGHTS = {
  GREEN: ["Green", "surplus: a good time to use energy"],
  YELLOW: ["Yellow", "neither surplus nor scarcity"],
  RED: ["Red", "little of its own: wait if you can"],
  UNKNOWN: ["Unknown", "too many homes are stale"],
};
const TRENDS = { RISING: "rising", STEADY: "steady", FALLING: "falling" };
const QUALITIES = [
  ["measured", "Measured", "from readings"],
  ["substituted", "Substituted", "interpolated, gaps under 2 h"],
  ["estimated", "Estimated", "from comparable days, longer gaps"],
  ["missing", "Missing", "nothing to go by"],
];

/** Show [name, value, note] as tiles; those that are there keep their place, so that nothing flickers. */
function fill(list, tiles) {
  if (list.children.length !== tiles.length) {
    list.replaceChildren(...tiles.map(() => make("div", {}, make("dt"), make("dd", { class: "figure" }), make("dd", { class: "note" }))));
  }
  tiles.forEach(([name, value, note, kind], index) => {
    const tile = list.children[index];
    [name, value, note ?? ""].forEach((text, place) => {
      if (tile.children[place].textContent !== text) tile.children[place].textContent = text;
    });
    tile.className = kind ?? "";
  });
}

/** Show a community as it is now. */
export function showNow(live) {
  const surplus = live.surplusPower;
  const [light, meaning] = LIGHTS[live.light] ?? LIGHTS.UNKNOWN;
  const away = live.homesTotal - live.homesReporting;
  fill(at("now"), [
    ["Light", light, meaning, `light ${live.light.toLowerCase()}`],
    [surplus >= 0 ? "Surplus" : "Draws", power(Math.abs(surplus)), `${surplus >= 0 ? "to" : "from"} the grid, ${TRENDS[live.trend]}`],
    ["Consumption", power(live.load), "of all homes that report"],
    ["Production", power(live.pvPower), live.pvPower === null ? "no meter for it" : "photovoltaics"],
    ["Shared", power(live.sharedPower), "from neighbour to neighbour"],
    ["Self-sufficient", share(live.selfSufficiency), "of what is used"],
    ["Homes reporting", `${count(live.homesReporting)} of ${count(live.homesTotal)}`, away ? `${count(away)} stale` : "all of them", away ? "warn" : ""],
  ]);
}

/** Show the sums of a time; null: nothing is settled. */
export function showTotals(totals) {
  at("totals").hidden = !totals;
  if (!totals) return;
  fill(at("totals"), [
    ["Used", energy(totals.consumed)],
    ["Produced", energy(totals.produced)],
    ["Shared", energy(totals.shared)],
    ["From suppliers", energy(totals.residualImport)],
    ["Left over", energy(totals.residualExport), "injected, used by nobody here"],
    ["Self-sufficient", share(totals.selfSufficiency)],
    ["Saved", money(totals.saved, totals.currency), totals.status === "FINAL" ? "final" : "may still change"],
  ]);
}

/** Show what the figures of a time rest on; null: there are none. */
export function showQuality(qualities) {
  const total = qualities ? QUALITIES.reduce((sum, [key]) => sum + qualities[key], 0) : 0;
  at("quality").parentElement.hidden = !total;
  const parts = QUALITIES.map(([key, name, meaning]) => [key, name, meaning, total ? qualities[key] / total : null]);
  renew(
    at("quality"),
    ...parts.map(([key, name, meaning, part]) =>
      make(
        "div",
        { class: `swatch block ${key}` },
        make("dt", {}, name),
        make("dd", { class: "figure" }, share(part)),
        make("dd", { class: "note" }, meaning),
      ),
    ),
  );
  const bar = at("quality-bar");
  bar.replaceChildren(...parts.filter(([, , , part]) => part).map(([key]) => make("span", { class: key })));
  // Widths through the object model: the policy lets no markup have styles.
  [...bar.children].forEach((span) => {
    const [, , , part] = parts.find(([key]) => key === span.className);
    span.style.flexGrow = String(part);
  });
}
