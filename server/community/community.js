// The operator's page: who looks, at which community, at what time; and when what is asked again.

import { Refusal, ask, follow } from "./api.js";
import { Chart } from "./chart.js";
import { at, make, say } from "./dom.js";
import { clock, day, dayAndClock, energy, moment, power } from "./figures.js";
import { Homes } from "./homes.js";
import { showMeters } from "./meters.js";
import { RANGES, rangeAt } from "./ranges.js";
import { showCounts, showRefused } from "./refused.js";
import { showNow, showQuality, showTotals } from "./tiles.js";
import { adoptToken, heldToken, keepToken } from "./token.js";

const HOMES_MS = 15_000;
const TIME_MS = 60_000;
const REFUSED_MS = 60_000;
const REFUSED_DAYS = 7;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const TRAIL_MS = 10_000;
const MOST_TRAIL = 720;

const CONNECTIONS = {
  connecting: "Connecting",
  live: "Live",
  lost: "Connection lost, trying again",
  refused: "Signed out",
  hidden: "",
};
const AWAY = "Settled data is not to be had just now, live figures go on. It is asked again.";
const HIDDEN = "The totals of this community are not shown to its members, who are few: one could be told from them.";
const NOT_YOURS = "Meters and refused readings are for operators of this community; you see what members see.";

const homes = new Homes(at("homes"));
const charts = {
  power: new Chart(at("power"), {
    title: "Power",
    unit: "kW",
    series: [
      { name: "Consumption", colour: "load" },
      { name: "Production", colour: "pv" },
      { name: "Shared", colour: "shared", dash: [5, 4] },
    ],
  }),
  sources: new Chart(at("sources"), {
    title: "Where consumption came from",
    unit: "kWh",
    stacked: true,
    series: [
      { name: "Own production", colour: "pv" },
      { name: "Neighbours", colour: "shared" },
      { name: "Suppliers", colour: "supplier" },
    ],
  }),
};

let communities = [];
let community = null;
let live = null;
let trail = [];
let settled = null;
let range = { key: "day", back: 0 };
let endFollowing = () => {};
let timers = [];
let olderAfter = null;
let isPaged = false;
let asked = 0;

/** Give the community's time, in ms since 1970: of one that replays, or has long been silent, that of its readings. */
function now() {
  const wall = Date.now();
  const measured = live?.measuredAt ? Date.parse(live.measuredAt) : wall;
  return measured > wall + HOUR_MS || measured < wall - 36 * HOUR_MS ? measured : wall;
}

// --- signing in

function signOut(why = "") {
  keepToken("");
  stop();
  at("figures").hidden = true;
  at("choice").hidden = true;
  at("sign-out").hidden = true;
  at("sign-in").hidden = false;
  at("token").value = "";
  say(at("name"), "Community");
  say(at("connection"), "");
  say(at("problem"), why);
  at("token").focus();
}

function stop() {
  endFollowing();
  timers.forEach(clearInterval);
  [endFollowing, timers, live, trail, settled, community] = [() => {}, [], null, [], null, null];
  asked += 1; // answers that are under way are of before
}

async function begin() {
  say(at("problem"), "");
  try {
    const { data } = await ask("Communities");
    communities = data.communities;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.code === "UNAUTHENTICATED") return signOut(error.message);
    say(at("problem"), error.message);
    setTimeout(begin, 3000);
    return undefined;
  }
  at("sign-in").hidden = true;
  at("sign-out").hidden = !heldToken();
  if (!communities.length) {
    say(at("problem"), "You see no community here. Sign in as the operator of one.");
    return undefined;
  }
  at("communities").replaceChildren(...communities.map(({ id, name }) => make("option", { value: id }, name)));
  at("choice").hidden = communities.length < 2;
  const wanted = new URLSearchParams(location.hash.slice(1)).get("community");
  show(communities.find(({ id }) => id === wanted) ?? communities[0]);
  return undefined;
}

// --- one community

function show(one) {
  stop();
  community = one;
  at("communities").value = one.id;
  at("figures").hidden = false;
  say(at("name"), one.name);
  document.title = `${one.name} · Commonwatt`;
  range = { key: range.key, back: 0 };
  endFollowing = follow("Now", { id: one.id }, ({ community: state }) => takeLive(state), showConnection);
  refreshHomes();
  refreshTime();
  refreshRefused();
  timers = [
    setInterval(refreshHomes, HOMES_MS),
    setInterval(() => range.back === 0 && refreshTime(), TIME_MS),
    setInterval(() => isPaged || refreshRefused(), REFUSED_MS),
  ];
}

function showConnection(state) {
  at("connection").dataset.state = state;
  say(at("connection"), CONNECTIONS[state]);
  at("now-title").closest("section").hidden = state === "hidden";
  if (state === "refused") signOut("This token is not accepted any more. Paste another.");
}

function takeLive(state) {
  const first = live === null;
  const before = now();
  live = state;
  showNow(state);
  say(at("now-note"), state.measuredAt ? `Newest reading ${dayAndClock(Date.parse(state.measuredAt), community.timezone)}` : "");
  const time = Date.parse(state.measuredAt ?? "") || now();
  if (!trail.length || time - trail.at(-1).from >= TRAIL_MS) {
    trail.push({ from: time, to: time + TRAIL_MS, values: [state.load, state.pvPower, state.sharedPower] });
    trail = trail.slice(-MOST_TRAIL);
    if (settled) drawPower();
  }
  if (first && Math.abs(now() - before) > HOUR_MS) refreshTime(); // it replays: its today is another day
}

/** Ask, and hand on what comes, unless the page shows another community by then; say what goes wrong. */
async function refresh(name, variables, took) {
  if (document.hidden) return;
  const [mine, id] = [asked, community.id];
  try {
    const { data, errors } = await ask(name, { id, ...variables });
    if (mine === asked && data.community) took(data.community, errors);
    if (mine === asked) say(at("problem"), data.community ? "" : (errors.get("community")?.message ?? ""));
  } catch (error) {
    if (mine !== asked) return;
    if (!(error instanceof Refusal)) throw error;
    if (error.code === "UNAUTHENTICATED") signOut(error.message);
    else say(at("problem"), error.message);
  }
}

const refreshHomes = () =>
  refresh("Homes", {}, (found, errors) => {
    const isOperator = errors.get("meters")?.extensions?.code !== "NOT_FOUND";
    at("attention").hidden = !found.meters;
    at("refused").hidden = !isOperator;
    say(at("homes-note"), isOperator ? `${found.homes.length} homes` : NOT_YOURS);
    if (found.meters) showMeters(found.meters, now(), community.timezone);
    homes.now(found.homes, found.meters ? found.meters.edges.map(({ node }) => node) : []);
  });

const refreshRefused = (after = null) =>
  refresh("Rejected", { since: new Date(now() - REFUSED_DAYS * DAY_MS).toISOString(), after }, (found) => {
    if (found.rejectedCounts) showCounts(found.rejectedCounts, REFUSED_DAYS, community.timezone);
    if (!found.rejected) return;
    isPaged = after !== null;
    olderAfter = showRefused(found.rejected, community.timezone, isPaged);
  });

// --- a time

function refreshTime() {
  const wanted = rangeAt(range.key, now(), community.timezone, range.back);
  for (const button of at("ranges").children) button.setAttribute("aria-pressed", String(button.value === range.key));
  say(at("range-name"), wanted.name);
  at("later").disabled = range.back === 0;
  const variables = {
    from: new Date(wanted.from).toISOString(),
    to: new Date(wanted.to).toISOString(),
    by: wanted.by,
    first: wanted.first,
  };
  return refresh("Range", variables, (found, errors) => {
    if (wanted.key !== range.key || wanted.back !== range.back) return; // another was chosen meanwhile
    const error = errors.get("intervals") ?? errors.get("summary") ?? errors.get("homeTotals");
    const note = error ? ({ UNAVAILABLE: AWAY, NOT_FOUND: HIDDEN }[error.extensions?.code] ?? error.message) : "";
    say(at("time-note"), note);
    at("time-note").hidden = !note;
    if (error?.extensions?.code === "UNAVAILABLE") return; // what was shown stays
    settled = { ...wanted, periods: (found.intervals?.edges ?? []).map(({ node }) => period(node)) };
    showTotals(found.summary);
    showQuality(found.summary?.qualities);
    homes.past(found.homeTotals ?? []);
    drawPower();
    drawSources();
  });
}

const period = (node) => ({ ...node, from: Date.parse(node.start), to: Date.parse(node.end) });

const LABELS = {
  day: ({ from, to }, zone) => `${clock(from, zone)} to ${clock(to, zone)}`,
  week: ({ from }, zone) => dayAndClock(from, zone),
  month: ({ from }, zone) => day(from, zone),
  year: ({ from }, zone) => moment(from, zone, { month: "long" }),
};
const TICKS = {
  day: clock,
  week: (ms, zone) => moment(ms, zone, { weekday: "short", day: "numeric" }),
  month: (ms, zone) => moment(ms, zone, { day: "numeric", month: "short" }),
  year: (ms, zone) => moment(ms, zone, { month: "short" }),
};

/** Draw power over a day, as the mean of each interval and then as it is live; energy over longer times. */
function drawPower() {
  const { key, periods, from, to, back } = settled;
  const zone = community.timezone;
  const isDay = key === "day";
  const rows = withGaps(periods, zone, key, ({ consumed, produced, shared, from, to }) =>
    [consumed, produced, shared].map((wattHours) => (isDay ? wattHours / ((to - from) / HOUR_MS) : wattHours) / 1000),
  );
  const end = periods.at(-1)?.to ?? from;
  const recent = isDay && back === 0 ? trail.filter((one) => one.from >= end && one.from < to) : [];
  if (recent.length && recent[0].from > end) rows.push(gap(end, recent[0].from, zone, 3));
  recent.forEach((one, index) => {
    const until = recent[index + 1]?.from ?? one.to;
    rows.push({ from: one.from, to: until, label: `${clock(one.from, zone)}, live`, values: one.values.map((value) => (value === null ? null : value / 1000)) });
  });
  charts.power.name(isDay ? "Power" : "Consumption and production", isDay ? "kW" : "kWh");
  charts.power.show(rows, {
    zone,
    from,
    to,
    live: recent.length > 0,
    ticks: (ms) => TICKS[key](ms, zone),
    show: (value) => (isDay ? power : energy)(value === null ? null : value * 1000),
  });
}

/** Draw what each period's consumption was made of: own production, what neighbours gave, what suppliers gave. */
function drawSources() {
  const { key, periods, from, to } = settled;
  const zone = community.timezone;
  const rows = withGaps(periods, zone, key, ({ consumed, shared, residualImport }) =>
    [Math.max(0, consumed - shared - residualImport), shared, residualImport].map((wattHours) => wattHours / 1000),
  );
  charts.sources.show(rows, {
    zone,
    from,
    to,
    ticks: (ms) => TICKS[key](ms, zone),
    show: (value) => energy(value === null ? null : value * 1000),
  });
}

function withGaps(periods, zone, key, valuesOf) {
  const rows = [];
  for (const one of periods) {
    const values = valuesOf(one);
    const before = rows.at(-1)?.to;
    if (before !== undefined && before < one.from) rows.push(gap(before, one.from, zone, values.length));
    rows.push({ from: one.from, to: one.to, label: LABELS[key](one, zone), values });
  }
  return rows;
}

const gap = (from, to, zone, width) => ({
  from,
  to,
  label: `${dayAndClock(from, zone)} to ${clock(to, zone)}`,
  values: Array(width).fill(null),
});

// --- what is pressed

at("ranges").replaceChildren(
  ...Object.entries(RANGES).map(([key, { label }]) =>
    make("button", { type: "button", value: key, onclick: () => choose(key, 0), "aria-pressed": "false" }, label),
  ),
);

function choose(key, back) {
  range = { key, back };
  refreshTime();
}

at("earlier").addEventListener("click", () => choose(range.key, range.back + 1));
at("later").addEventListener("click", () => choose(range.key, Math.max(0, range.back - 1)));
at("older").addEventListener("click", () => refreshRefused(olderAfter));
at("sign-out").addEventListener("click", () => signOut());
at("communities").addEventListener("change", ({ target }) => {
  const one = communities.find(({ id }) => id === target.value);
  history.replaceState(history.state, "", `#community=${one.id}`);
  show(one);
});
at("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value.trim());
  begin();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !community) return;
  refreshHomes();
  if (range.back === 0) refreshTime();
  if (!isPaged) refreshRefused();
});
addEventListener("hashchange", () => {
  if (adoptToken()) location.reload();
});

adoptToken();
begin();
