// The table of homes: what each is doing, what it did in a time, and what is wrong with its meters.

import { make, renew } from "./dom.js";
import { energy, money, power, share } from "./figures.js";

const ROLES = { GRID: "grid meter", PV: "solar meter", BATTERY: "battery meter" };
const TROUBLES = { SILENT: "silent", REFUSED: "refused", NEVER: "never heard" };
const STATES = { MEASURED: ["live", "good"], STALE: ["stale", "warn"], MISSING: ["no power yet", "warn"] };

export const roleOf = (role) => ROLES[role] ?? "meter";

function flow(watts) {
  if (watts === null || watts === undefined) return power(null);
  if (Math.round(watts) === 0) return power(0);
  return `${watts > 0 ? "draws" : "gives"} ${power(Math.abs(watts))}`;
}

const measured = ({ qualities, intervals }) => (intervals ? qualities.measured / intervals : null);

/** [key, heading, value to sort by, cell]; the first one heads its row. */
const COLUMNS = [
  ["name", "Home", (home) => home.order, (home) => home.name],
  ["state", "State", (home) => -home.trouble, stateOf],
  ["now", "Now", (home) => home.live?.netPower, (home) => flow(home.live?.netPower)],
  ["consumed", "Used", (home) => home.totals?.consumed, (home) => energy(home.totals?.consumed)],
  ["produced", "Produced", (home) => home.totals?.produced, (home) => energy(home.totals?.produced)],
  ["shared", "From neighbours", (home) => home.totals?.shared, (home) => energy(home.totals?.shared)],
  ["sharedOut", "To neighbours", (home) => home.totals?.sharedOut, (home) => energy(home.totals?.sharedOut)],
  ["supplier", "From the supplier", (home) => home.totals?.residualImport, (home) => energy(home.totals?.residualImport)],
  ["own", "Self-sufficient", (home) => home.totals?.selfSufficiency, (home) => share(home.totals?.selfSufficiency)],
  [
    "measured",
    "Measured",
    (home) => home.totals && measured(home.totals),
    (home) => share(home.totals && measured(home.totals)),
  ],
  [
    "saved",
    "Saved",
    (home) => (home.totals?.saved === null ? null : Number(home.totals?.saved)),
    (home) => money(home.totals?.saved, home.totals?.currency),
  ],
];
const TEXTS = new Set(["name", "state"]);

function stateOf(home) {
  const chips = home.meters.map((meter) =>
    make("span", { class: "chip bad" }, `${roleOf(meter.role)} ${TROUBLES[meter.condition]}`),
  );
  if (!chips.length || home.live?.quality === "STALE") {
    const [text, kind] = home.live ? (STATES[home.live.quality] ?? STATES.MISSING) : ["no reading yet", "warn"];
    chips.push(make("span", { class: `chip ${kind}` }, text));
  }
  return make("span", { class: "chips" }, ...chips);
}

export class Homes {
  constructor(root) {
    this.root = root;
    this.sorted = { key: "state", up: true };
    this.homes = [];
    this.meters = [];
    this.totals = new Map();
  }

  /** Take what is so now: homes with their live state, and the meters that something is wrong with. */
  now(homes, meters) {
    this.homes = homes;
    this.meters = meters;
    this.draw();
  }

  /** Take what each home did in a time. */
  past(homeTotals) {
    this.totals = new Map(homeTotals.map(({ home, totals }) => [home.id, totals]));
    this.draw();
  }

  rows() {
    return this.homes.map((home, order) => {
      const meters = this.meters.filter((meter) => meter.home === home.id);
      const quality = home.live?.quality;
      const trouble = meters.length ? 2 : quality === "MEASURED" ? 0 : 1;
      return { ...home, order, meters, trouble, totals: this.totals.get(home.id) };
    });
  }

  draw() {
    const { key, up } = this.sorted;
    const [, , of] = COLUMNS.find(([name]) => name === key);
    const rows = this.rows().sort((one, other) => {
      const [a, b] = [of(one), of(other)];
      if (a === b) return one.order - other.order;
      if (a === null || a === undefined) return 1; // what is not known comes last, whichever way
      if (b === null || b === undefined) return -1;
      return up ? a - b : b - a;
    });
    const focused = document.activeElement?.closest("th")?.dataset.key;
    const headings = COLUMNS.map(([name, text]) =>
      make(
        "th",
        {
          scope: "col",
          "data-key": name,
          class: TEXTS.has(name) ? null : "number",
          "aria-sort": name === key ? (up ? "ascending" : "descending") : null,
        },
        make("button", { type: "button", onclick: () => this.sort(name) }, text),
      ),
    );
    const body = rows.map((home) =>
      make(
        "tr",
        { class: home.trouble ? `trouble-${home.trouble}` : null, "data-home": home.id },
        ...COLUMNS.map(([name, , , cell], index) =>
          index === 0
            ? make("th", { scope: "row" }, cell(home))
            : make("td", { class: TEXTS.has(name) ? null : "number" }, cell(home)),
        ),
      ),
    );
    const shown = [...this.root.querySelectorAll("tbody tr")].map((row) => row.dataset.home);
    if (this.drawn === key + up && shown.join() === rows.map(({ id }) => id).join()) {
      // Cell by cell: whoever reads row by row stays where they are.
      this.root.querySelectorAll("tbody tr").forEach((row, index) => {
        row.className = body[index].className;
        renew(row, ...body[index].children);
      });
      return;
    }
    this.drawn = key + up;
    this.root.replaceChildren(
      make(
        "table",
        {},
        make("caption", { class: "spoken" }, "Homes; a heading sorts by it"),
        make("thead", {}, make("tr", {}, ...headings)),
        make("tbody", {}, ...body),
      ),
    );
    if (focused) this.root.querySelector(`th[data-key="${focused}"] button`)?.focus();
  }

  /** Sort by a column: by what one looks for first, and the other way at the second press. */
  sort(name) {
    const first = TEXTS.has(name);
    this.sorted = { key: name, up: this.sorted.key === name ? !this.sorted.up : first };
    this.draw();
  }
}
