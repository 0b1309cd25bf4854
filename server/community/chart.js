// A chart: drawn by uPlot, read by pointer, by arrow keys and aloud, and the same as a table.
// Its values are told by the element with the role slider, whose text is what is under the cursor.

import { make, renew, say, table } from "./dom.js";

const LIBRARY = "/static/graphiql/uplot.js";
const HEIGHT = 260;
const AXIS = 34;
const MANY = 60;

let library = null;

/** Give the library, null where the front end was not built: then there are tables alone. */
function load() {
  library ??= import(LIBRARY).then(({ default: uPlot }) => uPlot).catch(() => null);
  return library;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class Chart {
  /** `series`: [{name, colour, dash, of}]; `stacked` draws bars on top of each other, else there are steps. */
  constructor(root, { title, unit, series, stacked = false }) {
    this.title = title;
    this.unit = unit;
    this.series = series;
    this.stacked = stacked;
    this.rows = [];
    this.index = -1;
    this.plot = null;
    this.heading = make("h3", {});
    this.name(title, unit);
    this.legend = make(
      "ul",
      { class: "legend", "aria-hidden": "true" },
      ...series.map((one) => make("li", { class: `swatch ${stacked ? "block" : one.dash ? "dashed" : "line"} ${one.colour}` }, one.name)),
    );
    this.canvas = make("div", { class: "canvas", "aria-hidden": "true" });
    this.slider = make(
      "div",
      {
        class: "plot",
        role: "slider",
        tabindex: "0",
        "aria-label": title,
        "aria-valuemin": "0",
        "aria-valuemax": "0",
        "aria-valuenow": "0",
        "aria-valuetext": "Nothing yet",
        onkeydown: (event) => this.press(event),
      },
      this.canvas,
    );
    this.readout = make("p", { class: "readout", "aria-hidden": "true" });
    this.details = make("details", { ontoggle: () => this.fillTable() }, make("summary", {}, "As a table"));
    root.replaceChildren(this.heading, this.legend, this.slider, this.readout, this.details);
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Call it something else; `unit` is that of its axis. */
  name(title, unit) {
    Object.assign(this, { title, unit });
    renew(this.heading, make("span", {}, title), make("span", { class: "note" }, ` in ${unit}`));
    this.slider?.setAttribute("aria-label", title);
  }

  /**
   * Show rows [{from, to, label, values}], in order of time (ms); a value that is null is a gap.
   * `live`: the last one is so now. `ticks(ms)` writes a time below the axis, `show(value)` a value with its unit; `zone` is that of the clock.
   */
  async show(rows, { zone, ticks, show, from, to, live = false }) {
    Object.assign(this, { rows, zone, ticks, showValue: show, from, to, live });
    this.index = Math.min(this.index, rows.length - 1);
    this.slider.setAttribute("aria-valuemax", String(Math.max(0, rows.length - 1)));
    this.point(this.index);
    this.fillTable();
    const uPlot = await load();
    if (!uPlot) {
      say(this.readout, "Charts are not built on this server; the table has all figures.");
      this.slider.hidden = true;
      this.details.open = true;
      return;
    }
    this.uPlot = uPlot;
    if (this.plot && this.drawn === this.shape()) this.plot.setData(this.data(), true);
    else this.draw();
  }

  /** What a chart must be drawn anew for, beside its colours. */
  shape() {
    return JSON.stringify([this.from, this.to, this.zone]);
  }

  data() {
    const { rows, series } = this;
    if (this.stacked) {
      const times = rows.map((row) => row.from / 1000);
      const sums = series.map((_, index) =>
        rows.map(({ values }) => values.slice(0, index + 1).reduce((sum, value) => sum + (value ?? 0), 0)),
      );
      return [times, ...sums.reverse()];
    }
    const ends = new Set(rows.filter((row, index) => this.endsAt(row, index)));
    // A step reaches to the end of its time, also where a gap follows.
    const both = (row, start, end) => (ends.has(row) ? [start, end] : [start]);
    return [
      rows.flatMap((row) => both(row, row.from / 1000, (row.to - 1) / 1000)),
      ...series.map((_, index) => rows.flatMap((row) => both(row, row.values[index], row.values[index]))),
    ];
  }

  endsAt(row, index) {
    const next = this.rows[index + 1];
    return !next || next.values.every((value) => value === null);
  }

  draw() {
    const { uPlot } = this;
    if (!uPlot) return;
    this.plot?.destroy();
    this.drawn = this.shape();
    const ink = colour("soft");
    const grid = { stroke: colour("line"), width: 1 };
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: ink, font, grid, ticks: { show: false } };
    const shown = this.stacked ? [...this.series].reverse() : this.series;
    const shortest = Math.min(...this.rows.map((row) => row.to - row.from), this.to - this.from);
    const widest = Math.max(1, 0.86 * (shortest / (this.to - this.from)) * (this.width() - AXIS));
    const bars = uPlot.paths.bars({ size: [0.86, widest], align: 1 });
    const steps = uPlot.paths.stepped({ align: 1 });
    this.plot = new uPlot(
      {
        width: this.width(),
        height: HEIGHT,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { show: !this.stacked }, y: false },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), this.zone),
        scales: {
          x: { time: true, range: () => [this.from / 1000, this.to / 1000] },
          y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1] },
        },
        axes: [
          { ...axis, space: 64, size: AXIS, values: (_, splits) => splits.map((seconds) => this.ticks(seconds * 1000)) },
          { ...axis, size: 46, values: (_, splits) => splits.map((value) => value.toLocaleString("en-GB")) },
        ],
        series: [
          {},
          ...shown.map((one, index) =>
            this.stacked
              ? { paths: bars, fill: colour(one.colour), stroke: colour("card"), width: this.rows.length > MANY ? 0 : 1, points: { show: false } }
              : {
                  paths: steps,
                  stroke: colour(one.colour),
                  width: 2,
                  dash: one.dash,
                  fill: index === 0 ? `${colour(one.colour)}1f` : undefined,
                  points: {
                    show: true,
                    size: 8,
                    fill: colour(one.colour),
                    filter: (plot) => (this.live ? [plot.data[0].length - 1] : []),
                  },
                  spanGaps: false,
                },
          ),
        ],
        hooks: { setCursor: [(plot) => this.hovered(plot)] },
      },
      this.data(),
      this.canvas,
    );
  }

  width() {
    return Math.max(220, Math.floor(this.canvas.clientWidth));
  }

  resize() {
    if (this.plot && this.plot.width !== this.width()) this.plot.setSize({ width: this.width(), height: HEIGHT });
  }

  hovered(plot) {
    const { left } = plot.cursor;
    if (left === null || left < 0 || this.moving) return;
    const ms = plot.posToVal(left, "x") * 1000;
    const found = this.rows.findIndex((row) => row.from <= ms && ms < row.to);
    if (found >= 0) this.point(found);
  }

  press(event) {
    const last = this.rows.length - 1;
    const page = Math.max(2, Math.round(this.rows.length / 10));
    const now = this.index < 0 ? last + 1 : this.index;
    const next = {
      ArrowRight: now + 1,
      ArrowUp: now + 1,
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      PageUp: now + page,
      PageDown: now - page,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.point(Math.min(last, Math.max(0, next)));
    const row = this.rows[this.index];
    if (!this.plot) return;
    this.moving = true; // the cursor follows the key, not the key the cursor
    this.plot.setCursor({ left: this.plot.valToPos((row.from + row.to) / 2000, "x"), top: 0 });
    this.moving = false;
  }

  /** Say what a row holds; none chosen: the last one. */
  point(index) {
    this.index = index;
    const at = index < 0 ? this.rows.length - 1 : index;
    const row = this.rows[at];
    const text = row
      ? `${row.label}: ${this.series.map((one, of) => `${one.name.toLowerCase()} ${this.showValue(row.values[of])}`).join(", ")}`
      : "Nothing is settled in this time";
    this.slider.setAttribute("aria-valuenow", String(Math.max(0, at)));
    this.slider.setAttribute("aria-valuetext", text);
    say(this.readout, text);
  }

  fillTable() {
    this.details.querySelector(".scroll")?.remove();
    if (!this.details.open) return;
    const rows = this.rows.map((row) => [row.label, ...row.values.map((value) => this.showValue(value))]);
    const columns = ["Time", ...this.series.map((one) => [one.name, "number"])];
    const region = { class: "scroll", role: "region", "aria-label": `${this.title}, as a table`, tabindex: "0" };
    this.details.append(make("div", region, table(this.title, columns, rows)));
  }
}
