const GLANCE = { homeStep: 50, communityStep: 500 };
const COARSE = { homeStep: 200, communityStep: 2000 };
const PACES = {
glance: [{ every: "PT1S", maxSilence: "PT1M", silence: 81_000 }, { every: "PT10S", maxSilence: "PT5M", silence: 330_000 }],
today: [{ every: "PT1M", maxSilence: "PT5M", silence: 380_000 }, { every: "PT5M", maxSilence: "PT15M", silence: 1_220_000 }],
ambient: [
{ every: "PT5M", maxSilence: "PT10M", silence: 920_000, cadence: 300_000 },
{ every: "PT15M", maxSilence: "PT30M", silence: 2_720_000, cadence: 900_000 },
],
background: [{ cadence: 1_200_000 }, { cadence: 3_600_000 }],
};
const LOWEST = 0.2;
const ENOUGH = 0.25;
function asked({ mode, low, target, before, way }) {
if (!target || !["foreground", "ambient", "background"].includes(mode)) return null;
const screen = mode === "foreground" ? before : "glance";
const { every, maxSilence, silence, cadence } = PACES[mode === "foreground" ? screen : mode][low ? 1 : 0];
const how = mode === "background" || (mode === "ambient" && way === "stream") ? "get" : way;
const steps = screen === "today" ? { energyStep: 100 } : mode === "foreground" ? { ...GLANCE } : { ...COARSE };
if (target.kind === "community") delete steps.homeStep;
const variables = { [target.kind]: target.id, ...steps, ...(how === "get" ? {} : { every, maxSilence }) };
const document = (target.kind === "home" ? "Home" : "Community") + (screen === "today" ? "Today" : "Glance") + (how === "get" ? "Now" : "");
return { screen, document, variables, how, silence, cadence };
}
function recency({ mode, low }) {
if (mode === "ambient") return PACES.ambient[low ? 1 : 0].silence;
return mode === "background" ? 1.2 * PACES.background[low ? 1 : 0].cadence : 10_000;
}
function isLow(before, level, charging) {
if (charging || level === null) return false;
return level <= LOWEST || (before && level < ENOUGH);
}
const ASK_MS = 5_000; // between attempts to get a code
const SLOWEST_MS = 60_000;
const PATIENCE_MS = 20_000;
const JITTER = [500, 30_000];
const ENDS = { access_denied: "denied", expired_token: "expired", invalid_grant: "expired" };
function isPairing(state) {
return state.pairing !== null;
}
function beginPairing(turn) {
turn.s.mode = "pairing";
turn.s.pairing = { phase: "asking", interval: ASK_MS };
turn.s.failures = 0;
turn.link("idle");
authorize(turn);
}
function pollAgain(turn) {
const { phase, device_code, ends } = turn.s.pairing;
if (phase === "asking") return authorize(turn);
if (turn.now.steady >= ends) return end(turn, "expired");
turn.do("poll", { device_code });
return turn.await("answer", PATIENCE_MS);
}
function authorized(turn, event) {
if (turn.s.pairing?.phase !== "asking") return;
const { device_code, user_code: code, verification_uri: uri, verification_uri_complete: uri_complete } = event;
const interval = 1000 * (event.interval ?? 5);
turn.s.pairing = { phase: "showing", code, uri, uri_complete, device_code, interval, ends: turn.now.steady + 1000 * event.expires_in };
turn.s.failures = 0;
turn.await("poll", interval);
}
function answerTo(turn, { error, retry = 0 }) {
const { s } = turn;
if (!["asking", "showing"].includes(s.pairing?.phase)) return;
if (error === "unsupported_grant_type") {
Object.assign(s, { pairing: null, token: null, paired: false });
turn.await(null);
turn.settle(true);
} else if (["authorization_pending", "slow_down", "temporarily_unavailable"].includes(error)) {
const interval = error === "slow_down" ? Math.min(SLOWEST_MS, s.pairing.interval + 5_000) : s.pairing.interval;
s.pairing = { ...s.pairing, interval };
s.failures = 0;
turn.await("poll", interval + retry);
} else {
s.reason = error;
end(turn, ENDS[error] ?? "failed");
}
}
function loseAnswer(turn) {
if (["asking", "showing"].includes(turn.s.pairing.phase)) turn.await("poll", turn.s.pairing.interval + turn.backoff(JITTER));
}
function authorize(turn) {
turn.do("authorize");
turn.await("answer", PATIENCE_MS);
}
function end(turn, phase) {
turn.s.pairing = { phase };
turn.await(null);
}
function judge(id, result) {
const errors = Array.isArray(result?.errors) ? result.errors : [];
if (isObject(result?.data)) return { type: "result", id, data: result.data, errors };
return errors.length ? { type: "errors", id, errors } : nonsense("a result without data");
}
function nonsense(reason) {
return { type: "lost", garbage: true, reason };
}
function wantsText({ errors = [] }) {
return errors.some((error) => error?.extensions?.code === "PERSISTED_QUERY_NOT_FOUND");
}
function isObject(value) {
return typeof value === "object" && value !== null && !Array.isArray(value);
}
const LIGHTS_KNOWN = ["GREEN", "YELLOW", "RED"];
const ZONED = /(Z|[+-]\d\d:\d\d)$/;
const TRENDS_KNOWN = ["RISING", "STEADY", "FALLING"];
function readResult(screen, kind, data) {
const root = object(data, kind);
return root.live === null ? null : readLive(screen, kind, "live" in root ? object(root, "live") : root);
}
function readKept(kept, kind) {
const readings = {};
for (const [screen, one] of Object.entries(kept)) {
try {
const [age, wall] = [number(one, "age"), number(one, "heard")];
const etag = typeof one.etag === "string" ? one.etag : null;
if (age !== null && wall !== null) readings[screen] = { ...readLive(screen, kind, object(one, "data")), age, wall, steady: null, etag, operation: null, why: "" };
} catch {
}
}
return readings;
}
function readLive(screen, kind, data) {
const light = LIGHTS_KNOWN.includes(word(data, "light")) ? data.light : "UNKNOWN";
return {
data,
light,
current: light !== "UNKNOWN" && (kind === "community" || word(data, "quality") === "MEASURED"),
measured: time(data, "measuredAt"),
figures: screen === "today" ? today(data) : glance(data, kind),
};
}
function glance(live, kind) {
const community = kind === "home" ? object(live, "community") : live;
return {
surplus: number(community, "surplusPower"),
share: number(live, "sharedPower"),
trend: TRENDS_KNOWN.includes(community.trend) ? community.trend : null,
};
}
function today(live) {
if (live.today === null) return { imported: null, shared: null, saved: null, currency: null };
const day = object(live, "today");
const [saved, currency] = ["saved", "currency"].map((name) => (day[name] === null ? null : word(day, name)));
return { imported: number(day, "imported"), shared: number(day, "shared"), saved, currency };
}
function object(fields, name) {
if (!isObject(fields[name])) throw new TypeError(`${name} is no object`);
return fields[name];
}
function number(fields, name) {
const value = fields[name];
if (value === null) return null;
if (typeof value !== "number" || !Number.isFinite(value) || Math.abs(value) > 1e15) throw new TypeError(`${name} is no number`);
return value;
}
function word(fields, name) {
if (typeof fields[name] !== "string") throw new TypeError(`${name} is no word`);
return fields[name];
}
function time(fields, name) {
const value = fields[name];
if (value === null) return null;
const ms = typeof value === "string" && ZONED.test(value) ? Date.parse(value) : NaN;
if (Number.isNaN(ms)) throw new TypeError(`${name} is no time`);
return ms;
}
const REFUSING = ["UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN"];
const REASON = 160; // characters
function ofErrors(errors) {
const told = errors.filter(isObject);
const reason = printable(told[0]?.message);
for (const { extensions } of told) {
if (extensions?.code === "NOT_FOUND") return ["unknown", reason];
if (REFUSING.includes(extensions?.code)) return ["refused", reason];
}
return ["fault", reason];
}
function ofLoss({ close, status, garbage, reason }) {
const why = printable(reason);
if (garbage || [1002, 1003, 1007, 1009].includes(close)) return ["garbage", why];
if ([4401, 4403].includes(close) || [401, 403].includes(status)) return ["refused", why];
if (close >= 4400 && close < 4500) return ["fault", why];
return [status && status !== 429 && status < 500 ? "garbage" : "gone", why];
}
function printable(text) {
if (typeof text !== "string") return "";
const clean = text.slice(0, 4 * REASON).replace(/[\p{C}\p{Z}]+/gu, " ").trim();
return clean.length > REASON ? `${clean.slice(0, REASON - 1)}…` : clean;
}
const ANSWER_MS = 20_000;
const COMMENT_MS = 30_000; // of a stream, whose comments come every 12 s
const LASTING_MS = 30_000; // what lasted so long was no failure
const OTHER_WAY_MS = 3_600_000; // after which the first way is tried again
const ATTEMPTS = 2; // in a row, before the other way is tried
const TAP_MS = 600_000;
const [SOON, LATE] = [[500, 30_000], [5_000, 300_000]]; // the first wait, the most
const LATE_LINKS = ["refused", "unknown", "garbage"];
const CALM = ["idle", "connecting", "waiting", "live"]; // links that are no trouble
class Turn {
constructor(state, now) {
this.s = { ...state };
this.now = now;
this.commands = [];
}
do(type, fields) {
this.commands.push({ type, ...fields });
}
await(awaited, ms) {
this.s.awaited = awaited;
this.s.due = awaited && this.now.steady + ms;
}
link(link, reason = "") {
if (link !== this.s.link) this.s.since = this.now.steady;
Object.assign(this.s, { link, reason });
}
get asking() {
return this.s.awaited === "answer" && this.s.open === "none" && !this.s.pairing;
}
hang() {
if (this.s.open !== "none" || this.asking) this.do("close");
Object.assign(this.s, { open: "none", active: false });
this.await(null);
}
settle(eager) {
const { s } = this;
s.mode = s.pairing ? "pairing" : s.network ? s.want : "offline";
if (s.pairing) return;
const asks = asked(s);
if (!asks) {
this.hang();
this.link("idle");
} else if (asks.how === "get") this.settleRequests(asks, eager);
else this.settleConnection(asks, eager);
}
settleRequests(asks, eager) {
const before = this.s.asks;
if (this.asking && isSame(before, asks)) return void (this.s.asks = asks);
if (this.s.awaited === "cadence" && before.cadence === asks.cadence && !eager) return;
if (this.s.open !== "none") this.hang();
const heard = this.s.readings[asks.screen]?.operation;
this.s.asks = asks;
if (eager || !heard) this.attempt();
else this.waitCadence();
}
settleConnection(asks, eager) {
const { s } = this;
const same = isSame(s.asks, asks);
if (this.asking) this.hang();
if (s.open === "open" && asks.how === "socket" && s.asks.how === "socket") {
if (same && !(eager && s.awaited === "retry")) return;
if (s.active) this.do("complete", { id: s.operation });
this.subscribe();
if (s.link === "live") this.link("waiting");
} else if (s.open === "none") {
if (eager || s.awaited !== "retry") this.attempt();
} else if (!same && (asks.how === "stream" || s.asks.how === "stream")) {
this.hang();
this.attempt();
}
}
attempt() {
const { s } = this;
if (s.way !== s.ways[0] && this.now.steady - s.turned >= OTHER_WAY_MS) this.go(s.ways[0]);
s.asks = asked(s);
if (s.asks.how === "get") {
if (s.link === "idle") this.link("connecting");
this.ask("get", { etag: s.readings[s.asks.screen]?.etag ?? null });
} else {
if (CALM.includes(s.link)) this.link("connecting");
s.open = "opening";
if (s.asks.how === "stream") this.ask("stream");
else this.do("connect");
}
this.await("answer", ANSWER_MS);
}
ask(type, fields) {
const { s } = this;
Object.assign(s, { operation: s.operation + 1, active: true });
this.do(type, { id: s.operation, document: s.asks.document, variables: s.asks.variables, ...fields });
}
subscribe() {
this.s.asks = asked(this.s);
this.ask("subscribe");
this.awaitSilence();
}
awaitSilence() {
this.await("silence", this.s.asks.how === "stream" ? COMMENT_MS : this.s.asks.silence);
}
waitCadence(more = 0) {
this.await("cadence", Math.round(this.s.asks.cadence * (0.9 + 0.2 * this.now.chance)) + more);
}
retry(began, more = 0) {
const { s } = this;
if (s.asks.how === "get") return this.waitCadence(more);
if (began !== null && this.now.steady - began >= LASTING_MS) s.failures = 0;
this.await("retry", this.backoff(LATE_LINKS.includes(s.link) ? LATE : SOON) + more);
}
backoff([first, most]) {
const bound = this.s.mode === "ambient" ? Math.max(most, this.s.asks.cadence) : most;
return Math.floor(this.now.chance * Math.min(bound, first * 2 ** this.s.failures++));
}
go(way) {
Object.assign(this.s, { way, tries: 0, turned: this.now.steady });
}
isOver() {
const { s } = this;
if (s.link !== "refused") return false;
s.refusals += 1;
if (!s.paired || s.refusals < 2) return false;
this.do("forget");
Object.assign(s, { token: null, paired: false, refusals: 0 });
beginPairing(this);
return true;
}
lose(event) {
const { s } = this;
const opening = s.open === "opening";
const began = s.open === "open" ? s.opened : null;
this.link(...ofLoss(event));
Object.assign(s, { open: "none", active: false });
this.await(null);
if (this.isOver()) return;
if (opening && ["gone", "garbage"].includes(s.link) && ++s.tries >= ATTEMPTS) {
this.go(s.ways.find((way) => way !== s.way) ?? s.way);
}
this.retry(began, event.retry);
}
giveUp() {
this.do("close");
this.lose({ reason: "no answer in time" });
}
hear(reading) {
const { s, now } = this;
const late = s.light === "YELLOW" || s.light === "RED";
s.light = reading.light;
s.readings = { ...s.readings, [s.asks.screen]: { ...reading, wall: now.wall, steady: now.steady, operation: s.operation } };
if (late && s.light === "GREEN" && now.steady - s.tapped >= TAP_MS) {
s.tapped = now.steady;
this.do("tap");
}
}
goOn() {
if (this.s.asks.how !== "get") return this.awaitSilence();
this.s.active = false;
return this.waitCadence();
}
setClock(off, least, most) {
this.s.clock_off = off < least || off > most ? off : 0;
}
}
function isSame(one, other) {
return one?.how === other.how && one.document === other.document && JSON.stringify(one.variables) === JSON.stringify(other.variables);
}
const PONG_MS = 10_000;
function initial() {
return {
mode: "off", want: "foreground", target: null, screen: "glance", before: "glance", network: true, low: false,
link: "idle", reason: "", since: 0, ways: ["socket"], way: "socket", turned: 0, open: "none", opened: 0, asks: null,
operation: 0, active: false, failures: 0, tries: 0, refusals: 0, due: null, awaited: null,
token: null, paired: false, clock_off: 0, pairing: null, readings: {}, light: null, tapped: -Infinity,
};
}
function after(state, event, now) {
const turn = new Turn(state, now);
const on = ON[event.type];
if (on && (state.mode !== "off" || event.type === "start")) on(turn, event);
return [turn.s, turn.commands];
}
const ON = {
start(turn, { target = null, want = "foreground", token = null, paired = false, ways = ["socket", "stream"], kept = {} }) {
turn.hang();
const { operation } = turn.s;
turn.s = { ...initial(), operation, want, target, token, paired, ways, way: ways[0], since: turn.now.steady };
if (target) turn.s.readings = readKept(kept, target.kind);
turn.settle(true);
},
stop(turn) {
turn.hang();
turn.link("idle");
Object.assign(turn.s, { mode: "off", pairing: null });
},
show(turn, { as }) {
const looks = as === "foreground";
turn.s.want = as;
if (looks) turn.s.failures = 0;
if (looks && turn.s.pairing?.phase === "expired") beginPairing(turn);
else turn.settle(looks);
},
turn(turn, { to }) {
turn.s.screen = to;
if (to !== "receipt") turn.s.before = to;
turn.settle(false);
},
network(turn, { up }) {
if (!up && turn.s.network) turn.s.since = turn.now.steady;
turn.s.network = up;
if (up) turn.s.failures = 0;
if (up && turn.s.open === "none") turn.go(turn.s.ways[0]);
turn.settle(up);
},
battery(turn, { level, charging }) {
turn.s.low = isLow(turn.s.low, level, charging);
turn.settle(false);
},
token(turn, { token }) {
const { s } = turn;
Object.assign(s, { token, paired: false, refusals: 0, failures: 0 });
if (isPairing(s)) s.pairing = null;
else if (token && s.open === "open" && s.asks.how === "socket") return turn.do("renew");
turn.hang();
turn.settle(true);
},
pair(turn) {
if (!isPairing(turn.s)) turn.hang();
beginPairing(turn);
},
unpair(turn) {
if (!isPairing(turn.s)) return;
turn.await(null);
turn.s.pairing = null;
turn.settle(true);
},
tick(turn) {
const { awaited, due } = turn.s;
if (due === null || turn.now.steady < due) return;
if (awaited === "poll") pollAgain(turn);
else if (awaited === "answer" && isPairing(turn.s)) loseAnswer(turn);
else if (awaited === "retry" && turn.s.open === "open") turn.subscribe();
else if (awaited === "retry" || awaited === "cadence") turn.attempt();
else if (awaited === "silence" && turn.s.asks.how === "socket") {
turn.do("ping");
turn.await("pong", PONG_MS);
} else turn.giveUp();
},
opened(turn) {
const { s } = turn;
if (s.open !== "opening") return;
Object.assign(s, { open: "open", opened: turn.now.steady, tries: 0, refusals: 0 });
if (["connecting", "gone", "refused"].includes(s.link)) turn.link("waiting");
if (s.asks.how === "stream") turn.awaitSilence();
else turn.subscribe();
},
result(turn, { id, data, errors = [], etag = null, date = null }) {
const { s, now } = turn;
if (id !== s.operation || !s.active) return;
s.refusals = 0;
try {
const reading = readResult(s.asks.screen, s.target.kind, data);
if (date !== null) turn.setClock(now.wall - date, -60_000, 60_000);
else if (reading?.current && reading.measured !== null) turn.setClock(now.wall - reading.measured, -60_000, 3_000_000);
turn.link(reading ? "live" : "waiting");
const age = reading?.measured ? Math.max(0, now.wall - s.clock_off - reading.measured) : 0;
if (reading) turn.hear({ ...reading, age, etag, why: errors.length ? printable(errors[0]?.message) || "a part is missing" : "" });
} catch (error) {
turn.link(...(errors.length ? ofErrors(errors) : ["garbage", error.message]));
}
turn.goOn();
},
unchanged(turn, { id, date = null }) {
const { s, now } = turn;
if (id !== s.operation || !s.active) return;
const reading = s.readings[s.asks.screen];
if (date !== null) turn.setClock(now.wall - date, -60_000, 60_000);
s.refusals = 0;
turn.link(reading ? "live" : "waiting");
if (reading?.current) turn.hear({ ...reading, age: 0 });
turn.goOn();
},
heard(turn) {
if (turn.s.open === "open" && turn.s.active) turn.awaitSilence();
},
errors(turn, { id, errors }) {
if (id !== turn.s.operation || !turn.s.active) return;
turn.link(...ofErrors(errors));
if (turn.s.asks.how !== "get" || !turn.isOver()) turn.goOn();
},
ended(turn, { id, errors = [] }) {
const { s } = turn;
if (id !== s.operation || !s.active) return;
s.active = false;
const began = s.link === "live" ? s.since : null;
if (errors.length) turn.link(...ofErrors(errors));
else if (CALM.includes(s.link)) turn.link("gone", "the server ended the subscription");
if (s.asks.how === "stream") s.open = "none";
if (errors.length && turn.isOver()) return;
turn.retry(began);
},
lost(turn, event) {
if (isPairing(turn.s)) loseAnswer(turn);
else if (turn.s.open !== "none" || turn.asking) turn.lose(event);
},
code: authorized,
denied: answerTo,
paired(turn, { token, home }) {
if (!isPairing(turn.s)) return;
turn.do("keep", { token, home });
Object.assign(turn.s, { token, paired: true, pairing: null, target: { kind: "home", id: home }, readings: {}, failures: 0, refusals: 0 });
turn.await(null);
turn.settle(true);
},
};
const PATIENCE = ["connecting", "waiting"]; // links that are a trouble only once they last
const SHORT_MS = 2_000;
function view(state, now) {
const screen = state.mode === "ambient" || state.mode === "background" ? "glance" : state.screen;
const reading = state.readings[screen === "receipt" ? state.before : screen] ?? null;
const heard = reading && Math.max(0, reading.steady === null ? 0 : now.steady - reading.steady, now.wall - reading.wall);
const lasting = now.steady - state.since;
const trouble = troubleOf(state, lasting, reading);
return {
screen,
state: currency(state, reading, heard, trouble),
age: reading && reading.age + heard,
trouble,
for: lasting,
reason: trouble === "incomplete" ? reading.why : state.reason,
off: state.clock_off,
light: reading?.light ?? null,
figures: reading?.figures ?? null,
};
}
function currency(state, reading, heard, trouble) {
if (!reading) return "none";
if (!reading.current || reading.operation === null) return "old";
const open = state.open === "open" && state.link === "live" && reading.operation === state.operation;
if (state.mode === "foreground" && open) return "live";
return trouble === null && heard <= recency(state) ? "recent" : "old";
}
function troubleOf(state, lasting, reading) {
if (state.pairing) return "pairing";
if (!state.network) return "offline";
if (PATIENCE.includes(state.link)) {
if (lasting > SHORT_MS) return state.link;
} else if (!["idle", "live"].includes(state.link)) return state.link;
if (state.clock_off !== 0) return "clock";
return reading?.why ? "incomplete" : null;
}
const SAVE_MS = 10_000; // at most one write of the last state in so long, but for the last one
const REPAINT_MS = { foreground: 1_000, slow: 15_000 };
const LONGEST_MS = 2 ** 31 - 1; // that a timer can wait
class App {
#state = initial();
#saved = -Infinity;
#tick = 0;
#repaint = 0;
constructor({ now, link, memory, receipt, show, tap }) {
Object.assign(this, { now, link, memory, receipt, show, tap, since: new Date(now().wall) });
}
get state() {
return this.#state;
}
tell(event) {
const [state, commands] = after(this.#state, event, this.now());
this.#state = state;
for (const command of commands) this.#do(command);
if (event.type === "result" || event.type === "unchanged") this.#save();
this.#wait();
this.paint();
}
save() {
const { target, readings } = this.#state;
if (!target) return;
const kept = {};
for (const [screen, { data, wall, age, etag }] of Object.entries(readings)) kept[screen] = { data, heard: wall, age, etag };
this.memory.last = { target, kept };
this.#saved = this.now().steady;
}
paint() {
clearTimeout(this.#repaint);
if (this.#state.mode === "off" || this.#state.want === "background") return;
const { pairing, target, mode, want } = this.#state;
const { steady } = this.now();
const seen = view(this.#state, this.now());
this.show({
...seen,
mode: mode === "foreground" || mode === "ambient" ? mode : want,
kind: target?.kind ?? "home",
title: target?.id ?? "",
pairing,
left: pairing?.ends === undefined ? 0 : pairing.ends - steady,
receipt: this.receipt.counts,
since: this.since,
});
if (seen.state === "live" && !seen.trouble && seen.screen !== "receipt") return; // nothing changes by itself
const young = Math.min(seen.age ?? Infinity, seen.trouble ? seen.for : Infinity) < 60_000;
const soon = want === "foreground" && (young || seen.screen === "receipt" || !seen.figures);
this.#repaint = setTimeout(() => this.paint(), soon ? REPAINT_MS.foreground : REPAINT_MS.slow);
}
#do(command) {
switch (command.type) {
case "keep": return void (this.memory.pairing = { token: command.token, home: command.home });
case "forget": return void (this.memory.pairing = null);
case "tap": return this.tap();
default: return this.link.do(command, this.#state.token);
}
}
#wait() {
clearTimeout(this.#tick);
const { due } = this.#state;
if (due === null) return;
const wait = Math.min(LONGEST_MS, Math.max(0, due - this.now().steady));
this.#tick = setTimeout(() => this.tell({ type: "tick" }), wait);
}
#save() {
if (this.now().steady - this.#saved >= SAVE_MS) this.save();
}
}
const NOTCH = 60; // of a wheel, in pixels
const SWIPE = 36;
const REST_MS = 250; // one turn for each gesture, however long its wheel runs out
const PRESS_MS = 700;
const KEYS = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
function listen(target, { turn, reveal, leave, dim, wake, clock }) {
let [wheel, quiet, from, press] = [0, 0, null, 0];
const end = () => {
clearTimeout(press);
from = null;
};
addEventListener("keydown", ({ key, altKey, ctrlKey, metaKey }) => {
if (altKey || ctrlKey || metaKey || key === "Tab" || key === "Shift") return;
if (key === "a") dim();
else if (wake()) return;
else if (key in KEYS) turn(KEYS[key]);
else if (key === "r") reveal();
else leave();
});
target.addEventListener("wheel", (event) => {
const now = clock();
if (now < quiet) return;
const moved = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.deltaY;
wheel = Math.sign(moved) === Math.sign(wheel) ? wheel + moved : moved;
if (Math.abs(wheel) < NOTCH) return;
if (!wake()) turn(Math.sign(wheel));
[wheel, quiet] = [0, now + REST_MS];
}, { passive: true });
target.addEventListener("pointerdown", (event) => {
if (event.button !== 0 || wake()) return;
from = [event.clientX, event.clientY];
press = setTimeout(() => {
end();
reveal();
}, PRESS_MS);
});
addEventListener("pointermove", (event) => {
if (from && Math.hypot(event.clientX - from[0], event.clientY - from[1]) > SWIPE / 3) clearTimeout(press);
});
addEventListener("pointerup", (event) => {
if (!from) return;
const [x, y] = [event.clientX - from[0], event.clientY - from[1]];
const far = Math.abs(x) > Math.abs(y) ? x : y;
end();
if (Math.abs(far) >= SWIPE) turn(far < 0 ? 1 : -1);
});
addEventListener("pointercancel", end);
}
const DOCUMENTS = {
"CommunityGlance": [
"1497d993e3a01241e272a7016870a53eb30a3df5058ea51dfa2c8d33ac57cd97",
"subscription CommunityGlance($community: ID!, $communityStep: Watts, $every: Duration, $maxSilence: Duration) { community(id: $community, every: $every, maxSilence: $maxSilence) { ...Glance } } query CommunityGlanceNow($community: ID!, $communityStep: Watts) { community(id: $community) { live { ...Glance } } } fragment Glance on CommunityLive { light surplusPower(step: $communityStep) sharedPower(step: $communityStep) trend measuredAt }"
],
"CommunityGlanceNow": [
"1497d993e3a01241e272a7016870a53eb30a3df5058ea51dfa2c8d33ac57cd97",
"subscription CommunityGlance($community: ID!, $communityStep: Watts, $every: Duration, $maxSilence: Duration) { community(id: $community, every: $every, maxSilence: $maxSilence) { ...Glance } } query CommunityGlanceNow($community: ID!, $communityStep: Watts) { community(id: $community) { live { ...Glance } } } fragment Glance on CommunityLive { light surplusPower(step: $communityStep) sharedPower(step: $communityStep) trend measuredAt }"
],
"CommunityToday": [
"3d8dd9165d2f584b244e094adb02d9e97550cc2193f2a9e09fe19ee5db298af7",
"subscription CommunityToday($community: ID!, $energyStep: WattHours, $every: Duration, $maxSilence: Duration) { community(id: $community, every: $every, maxSilence: $maxSilence) { light today { imported(step: $energyStep) shared(step: $energyStep) saved currency } measuredAt } }"
],
"HomeGlance": [
"c95d9b8e474195b7efaaeb82c15c81cfec73d6bf0d54b3afa823842209b957f4",
"subscription HomeGlance($home: ID!, $homeStep: Watts, $communityStep: Watts, $every: Duration, $maxSilence: Duration) { home(id: $home, every: $every, maxSilence: $maxSilence) { ...Glance } } query HomeGlanceNow($home: ID!, $homeStep: Watts, $communityStep: Watts) { home(id: $home) { live { ...Glance } } } fragment Glance on HomeLive { light community { surplusPower(step: $communityStep) trend } sharedPower(step: $homeStep) quality measuredAt }"
],
"HomeGlanceNow": [
"c95d9b8e474195b7efaaeb82c15c81cfec73d6bf0d54b3afa823842209b957f4",
"subscription HomeGlance($home: ID!, $homeStep: Watts, $communityStep: Watts, $every: Duration, $maxSilence: Duration) { home(id: $home, every: $every, maxSilence: $maxSilence) { ...Glance } } query HomeGlanceNow($home: ID!, $homeStep: Watts, $communityStep: Watts) { home(id: $home) { live { ...Glance } } } fragment Glance on HomeLive { light community { surplusPower(step: $communityStep) trend } sharedPower(step: $homeStep) quality measuredAt }"
],
"HomeToday": [
"fead318f0bac92e7f8b8d1035ef73e95e95c97abf8032c757d2b9cf140bac23f",
"subscription HomeToday($home: ID!, $energyStep: WattHours, $every: Duration, $maxSilence: Duration) { home(id: $home, every: $every, maxSilence: $maxSilence) { light today { imported(step: $energyStep) shared(step: $energyStep) saved currency } quality measuredAt } }"
],
"Places": [
"e5655e083eabd8d2d9cf803020553968f4c1ff54b5f769b484509fbae99edcde",
"query Places { communities { id name homes { id name } } }"
]
};
const LARGEST = 256 * 1024; // characters of an answer
const JSONS = /^application\/(graphql-response\+)?json\b/;
async function ask(url, { token, headers = {}, ...options }, receipt) {
const sent = token ? { ...headers, authorization: `Bearer ${token}` } : headers;
receipt.count({ out: lengthOf(Object.entries(sent)) + String(url).length + (options.body?.length ?? 0) });
let response;
try {
response = await fetch(url, { ...options, headers: sent, cache: "no-store", credentials: "omit", redirect: "error" });
} catch {
return { status: 0, type: "", etag: null, date: null, retry: 0 };
}
const { status, headers: got, body } = response;
return {
status,
type: got.get("content-type") ?? "",
etag: got.get("etag"),
date: Date.parse(got.get("date")) || null,
retry: 1000 * (Number(got.get("retry-after")) || 0),
head: lengthOf([...got]),
body,
text: () => response.text(),
};
}
async function read(answer, receipt) {
if (!answer.status) return null;
try {
const text = await answer.text();
return receipt.decode(JSONS.test(answer.type) && text.length <= LARGEST ? text : "", answer.head + text.length);
} catch {
return null;
}
}
function lengthOf(pairs) {
return pairs.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
}
async function get(url, { id, token, parameters, etag, signal }, receipt) {
const asked = new URL(url);
for (const [name, value] of Object.entries(parameters)) {
asked.searchParams.set(name, typeof value === "string" ? value : JSON.stringify(value));
}
const headers = { accept: "application/graphql-response+json", ...(etag && { "if-none-match": etag }) };
const answer = await ask(asked, { token, headers, signal }, receipt);
const { status, date } = answer;
if (status === 304) {
receipt.count({ in: answer.head });
return { type: "unchanged", id, date };
}
if (status !== 200) return refusal(id, answer, receipt);
const event = judge(id, await read(answer, receipt));
return event.type === "result" ? { ...event, etag: answer.etag, date } : event;
}
async function refusal(id, answer, receipt) {
const { status, retry } = answer;
if (!status) return { type: "lost", reason: "no answer" };
const said = await read(answer, receipt);
if (status === 400 && Array.isArray(said?.errors)) return judge(id, said);
if (status === 200) return nonsense("no GraphQL there");
const [first] = Array.isArray(said?.errors) ? said.errors : [];
const told = isObject(first) && typeof first.message === "string" ? `: ${first.message}` : "";
return { type: "lost", status, retry, reason: `HTTP status ${status}${told}` };
}
const LONGEST = 64 * 1024; // characters of one event
async function stream(url, { id, token, parameters, signal }, tell, receipt) {
const headers = { "content-type": "application/json", accept: "text/event-stream" };
const answer = await ask(url, { method: "POST", token, headers, body: JSON.stringify(parameters), signal }, receipt);
if (!answer.type.startsWith("text/event-stream")) return tell(await refusal(id, answer, receipt));
receipt.count({ in: answer.head });
tell({ type: "opened" });
let [errors, retry] = [[], 0];
try {
for await (const block of blocks(answer.body)) {
const said = fields(block);
retry = said.retry ?? retry;
if (said.event !== "next") receipt.count({ in: block.length + 2 });
if (said.event === "complete") return tell({ type: "ended", id, errors });
const event = said.event === "next" ? judge(id, receipt.decode(said.data, block.length + 2)) : { type: "heard" };
errors = event.errors ?? [];
if (event.type !== "errors") tell(event); // errors alone are a stream's last words: they come with its end
if (event.type === "lost") return undefined;
}
} catch {
}
return tell({ type: "lost", reason: "the stream broke", retry });
}
async function* blocks(body) {
const reader = body.pipeThrough(new TextDecoderStream()).getReader();
let rest = "";
try {
for (;;) {
const { done, value } = await reader.read();
if (done) return;
const parts = (rest + value).split("\n\n");
rest = parts.pop();
if (rest.length > LONGEST) throw new RangeError("an event without end");
yield* parts;
}
} finally {
reader.cancel().catch(() => {});
}
}
function fields(block) {
const found = { event: "", data: "", retry: undefined };
for (const row of block.split("\n")) {
const [, name, value] = /^(\w+): ?(.*)$/.exec(row) ?? [];
if (name === "event" || name === "data") found[name] += value;
if (name === "retry") found.retry = Number(value) || 0;
}
return found;
}
const MOST = 64 * 1024; // characters of a message, as the server has it too
class Socket {
#socket;
#tell;
#receipt;
constructor(url, token, tell, receipt) {
this.#tell = tell;
this.#receipt = receipt;
const socket = new WebSocket(url, "graphql-transport-ws");
this.#socket = socket;
socket.onopen = () => this.#send({ type: "connection_init", payload: token ? { token } : {} });
socket.onmessage = ({ data }) => this.#hear(data);
socket.onclose = ({ code, reason }) => {
this.#lose({ type: "lost", close: code, reason: code === 1006 ? "no connection" : `closed with ${code}${reason && `: ${reason}`}` });
};
}
subscribe(id, payload) {
this.#send({ id: `${id}`, type: "subscribe", payload });
}
complete(id) {
this.#send({ id: `${id}`, type: "complete" });
}
ping(token) {
this.#send(token ? { type: "ping", payload: { token } } : { type: "ping" });
}
close() {
const socket = this.#socket;
this.#tell = () => {};
socket.onopen = socket.onmessage = socket.onclose = null;
socket.close();
}
#hear(text) {
const said = typeof text === "string" && text.length <= MOST ? this.#receipt.decode(text, frame(text)) : null;
const id = Number(said?.id);
switch (said?.type) {
case "connection_ack": return this.#tell({ type: "opened" });
case "pong": return this.#tell({ type: "heard" });
case "ping": return this.#send({ type: "pong" });
case "error": return this.#tell({ type: "ended", id, errors: Array.isArray(said.payload) ? said.payload : [] });
case "complete": return this.#tell({ type: "ended", id, errors: [] });
case "next": {
const event = judge(id, said.payload);
return event.type === "lost" ? this.#lose(event) : this.#tell(event);
}
default: return this.#lose(nonsense("no message of graphql-transport-ws"));
}
}
#send(said) {
if (this.#socket.readyState !== WebSocket.OPEN) return;
const text = JSON.stringify(said);
this.#receipt.count({ out: frame(text) + 4 });
this.#socket.send(text);
}
#lose(event) {
const tell = this.#tell;
this.close();
tell(event);
}
}
function frame(text) {
const bytes = new TextEncoder().encode(text).length;
return bytes + (bytes < 126 ? 2 : 4);
}
const CLIENT = "watch page";
const GRANT = "urn:ietf:params:oauth:grant-type:device_code";
class Link {
#base;
#documents;
#tell;
#receipt;
#socket = null;
#abort = null;
#asked = null; // what was asked last, to be asked again by its text
#byText = false;
constructor(base, documents, tell, receipt) {
this.#base = base;
this.#documents = documents;
this.#tell = tell;
this.#receipt = receipt;
}
do(command, token) {
const { type } = command;
if (["connect", "stream", "get", "close", "authorize", "poll"].includes(type)) this.#drop();
if (["subscribe", "stream", "get"].includes(type)) this.#asked = { command, token };
switch (type) {
case "connect": return void (this.#socket = new Socket(this.#socketUrl(), token, (event) => this.#hear(event), this.#receipt));
case "subscribe": return this.#socket.subscribe(command.id, this.#parameters(command));
case "complete": return this.#socket.complete(command.id);
case "ping": return this.#socket.ping();
case "renew": return this.#socket.ping(token);
case "stream": case "get": return this.#request(command, token);
case "authorize": return this.#authorize();
case "poll": return this.#poll(command.device_code);
default: return undefined;
}
}
#request(command, token) {
const { signal } = (this.#abort = new AbortController());
const tell = (event) => signal.aborted || this.#hear(event);
const asked = { ...command, token, parameters: this.#parameters(command), signal };
if (command.type === "get") get(this.#at("graphql"), asked, this.#receipt).then(tell);
else stream(this.#at("graphql"), asked, tell, this.#receipt);
}
#hear(event) {
if (this.#byText || !wantsText(event)) return this.#tell(event);
this.#byText = true;
const { command, token } = this.#asked;
return this.do(command, token);
}
async #authorize() {
const { status, body, retry } = await this.#form("oauth/device_authorization", {});
if (body?.device_code && body.user_code) this.#tell({ ...body, type: "code" });
else this.#refused(status, body, retry);
}
async #poll(device_code) {
const { status, body, retry } = await this.#form("oauth/token", { grant_type: GRANT, device_code });
if (body?.access_token && body.home) this.#tell({ type: "paired", token: body.access_token, home: body.home });
else this.#refused(status, body, retry);
}
#refused(status, body, retry) {
if (status === null) return;
if (typeof body?.error === "string") this.#tell({ type: "denied", error: body.error, retry });
else this.#tell({ type: "lost", status, reason: "no answer" });
}
async #form(path, fields) {
const { signal } = (this.#abort = new AbortController());
const body = new URLSearchParams({ client_id: CLIENT, ...fields }).toString();
const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
const answer = await ask(this.#at(path), { method: "POST", headers, body, signal }, this.#receipt);
const said = await read(answer, this.#receipt);
return signal.aborted ? { status: null } : { status: answer.status, body: said, retry: answer.retry };
}
#parameters({ document, variables }) {
const [id, text] = this.#documents[document];
return { ...(this.#byText ? { query: text } : { documentId: id }), operationName: document, variables };
}
#drop() {
this.#socket?.close();
this.#abort?.abort();
this.#socket = this.#abort = null;
}
#at(path) {
return new URL(path, this.#base);
}
#socketUrl() {
const url = this.#at("graphql");
url.protocol = url.protocol.replace("http", "ws");
return url;
}
}
const [LAST, PAIRING, ASKED] = ["commonwatt.last", "commonwatt.pairing", "commonwatt.asked"];
class Memory {
#local;
#session;
constructor(local, session) {
this.#local = local;
this.#session = session;
}
get last() {
return load(this.#local, LAST);
}
set last(last) {
save(this.#local, LAST, last);
}
get pairing() {
return load(this.#local, PAIRING);
}
set pairing(pairing) {
save(this.#local, PAIRING, pairing);
}
get asked() {
return load(this.#session, ASKED);
}
set asked(asked) {
save(this.#session, ASKED, asked);
}
}
function load(storage, key) {
try {
const value = JSON.parse(storage().getItem(key));
return isObject(value) ? value : null;
} catch {
return null;
}
}
function save(storage, key, value) {
try {
if (value === null) storage().removeItem(key);
else storage().setItem(key, JSON.stringify(value));
} catch {
}
}
function breadthOf(element) {
const pen = element.ownerDocument.createElement("canvas").getContext("2d");
pen.font = `600 100px ${getComputedStyle(element).fontFamily}`;
return Math.max(0.9, pen.measureText("0123456789").width / 600);
}
const NOTHING = "–";
const DIGITS = { JPY: 0, KRW: 0, ISK: 0, BHD: 3, KWD: 3, TND: 3 }; // of minor units, where they are not 2
function power(watts) {
if (watts === null) return [NOTHING, ""];
const size = Math.abs(watts);
if (Math.round(size) < 1000) return [size.toFixed(0), "W"];
if (size < 9_995) return [(size / 1000).toFixed(2), "kW"];
return size < 999_950 ? [(size / 1000).toFixed(1), "kW"] : [(size / 1e6).toFixed(2), "MW"];
}
function signed(watts) {
const [number, unit] = power(watts);
if (watts === null || number === "0") return [number, unit];
return [(watts > 0 ? "+" : "−") + number, unit];
}
function energy(wattHours) {
if (wattHours === null) return [NOTHING, ""];
const size = Math.abs(wattHours);
if (Math.round(size) < 1000) return [size.toFixed(0), "Wh"];
return size < 9_999_950 ? [(size / 1000).toFixed(1), "kWh"] : [(size / 1e6).toFixed(1), "MWh"];
}
function money(minor, currency) {
const amount = minor === null ? NaN : Number(minor);
if (!currency || !(Math.abs(amount) < 1e15)) return ["saved", NOTHING, ""];
const digits = Object.hasOwn(DIGITS, currency) ? DIGITS[currency] : 2;
const whole = Math.round(Math.abs(amount));
return [amount < 0 && whole ? "lost" : "saved", (whole / 10 ** digits).toFixed(digits), currency];
}
function span(ms) {
const whole = Math.floor(Math.max(0, ms) / 1000);
if (whole < 60) return `${whole} s`;
if (whole < 3600) return `${Math.floor(whole / 60)} min`;
return whole < 48 * 3600 ? `${Math.floor(whole / 3600)} h` : `${Math.floor(whole / 86400)} days`;
}
function size(bytes) {
if (bytes < 1000) return [`${bytes}`, "B"];
return bytes < 999_950 ? [(bytes / 1000).toFixed(1), "kB"] : [(bytes / 1e6).toFixed(1), "MB"];
}
const SHAPES = {
GREEN: [186, 49.3, 186, 49.3],
YELLOW: [189, 20, 147, 104],
RED: [179, 74, 179, 74],
UNKNOWN: [186, 49.3, 186, 49.3],
};
function outline(light, x = 200, y = 200, size = 1) {
const [near, nearHandle, far, farHandle] = SHAPES[light];
const point = (i) => {
const angle = (i * Math.PI) / 4;
const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
const [distance, handle] = i % 2 ? [far, farHandle] : [near, nearHandle];
const at = (turn) => `${round(x + size * (distance * sin + turn * handle * cos))} ${round(y - size * (distance * cos - turn * handle * sin))}`;
return { before: at(-1), on: at(0), after: at(1) };
};
let path = `M${point(0).on}`;
for (let i = 0; i < 8; i += 1) path += `C${point(i).after} ${point(i + 1).before} ${point(i + 1).on}`;
return `${path}Z`;
}
function width(light, y) {
const off = Math.abs(y - 200);
if (light === "YELLOW") return Math.max(0, 2 * (188 - off));
return 2 * Math.sqrt(Math.max(0, 175 ** 2 - off ** 2));
}
function round(value) {
return Math.round(value * 10) / 10;
}
const SAID = {
asking: "asking for a code",
denied: "a member refused this watch",
expired: "the code has expired",
failed: "this server pairs no watches",
};
function drawPairing(pen, { phase, code, uri }, left) {
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
function sayPairing({ phase, code, uri }, left) {
return phase === "showing" ? `open ${uri} and enter ${code}, within ${span(left)}` : SAID[phase];
}
const TOKEN = "check the token, or pair this watch";
function words({ trouble, for: lasting, title, reason, off }) {
const since = `for ${span(lasting)}`;
const say = (short, what, todo = "", more = {}) => ({ short, since, what, why: "", todo, joint: ": ", ...more });
const why = reason.replace(/\.$/, "");
switch (trouble) {
case null: case "pairing": return null;
case "offline": return say("offline", `no network ${since}`, "it goes on by itself");
case "connecting": return say("connecting", `connecting ${since}`);
case "waiting": return say("waiting", `connected, waiting for data ${since}`);
case "refused": return say("refused", `refused ${since}`, TOKEN, { why });
case "unknown": return say("not known", `${title} is not known here`, "check the name and the token", { since: title, why });
case "gone": return say("server gone", `server gone ${since}`, "trying again", { why, joint: ", " });
case "fault": return say("server error", `the server failed ${span(lasting)} ago`, "trying again", { since: `${span(lasting)} ago`, why, joint: ", " });
case "garbage": return say("not understood", `not understood ${since}`, "is this a Commonwatt server?", { why });
case "clock": return say("check clock", `this clock is ${span(Math.abs(off))} ${off > 0 ? "ahead" : "behind"}`, "set it");
default: return say("incomplete", "incomplete", why);
}
}
function sentence({ what, why, joint, todo }) {
return what + (why && ` (${why})`) + (todo && joint + todo);
}
const LIGHTS = { GREEN: "use it now", YELLOW: "as you like", RED: "better wait", UNKNOWN: "not known" };
const TRENDS = { RISING: "↗ rising", STEADY: "→ steady", FALLING: "↘ falling" };
function rowsOf(kind, screen, figures) {
const home = kind === "home";
if (screen === "today") {
const [what, ...amount] = money(figures.saved, figures.currency);
return [
["drawn", energy(figures.imported).join(" ").trim(), ""],
[home ? "from others" : "shared", energy(figures.shared).join(" ").trim(), ""],
[what, amount.join(" ").trim(), ""],
];
}
return [
["surplus", signed(figures.surplus).join(" ").trim(), way(figures.surplus)],
home ? ["my share", power(figures.share).join(" ").trim(), "from others"] : ["shared", power(figures.share).join(" ").trim(), "within"],
["trend", TRENDS[figures.trend] ?? NOTHING, ""],
];
}
function way(surplus) {
if (surplus === null || signed(surplus)[0] === "0") return "";
return surplus > 0 ? "to the grid" : "from the grid";
}
function ageOf({ state, age }) {
if (state === "none") return "no data yet";
return state === "live" ? "live" : `${span(age)} old`;
}
function receiptRows({ in: received, out, messages, wakeups, parse_us }) {
return [
["in", ...size(received)],
["out", ...size(out)],
["messages", `${messages}`, ""],
["wake-ups", `${wakeups}`, ""],
["parsing", (parse_us / 1000).toFixed(1), "ms"],
];
}
function say(view) {
const notice = words(view);
const light = view.light && `${view.light.toLowerCase()}, ${LIGHTS[view.light]}`;
const rows = view.figures ? rowsOf(view.kind, view.screen, view.figures) : [];
const parts = [view.title, notice && sentence(notice), light, ...rows.map((row) => row.filter(Boolean).join(" ")), ageOf(view)];
return parts.filter(Boolean).join("; ");
}
function drawReceipt(pen, counts, since) {
return [
["circle", { class: "track", cx: 200, cy: 200, r: 186 }],
pen.line("soft", 76, 26, "receipt"),
...receiptRows(counts).map(([what, number, unit], i) => pen.value(124 + 44 * i, 34, [number, unit], what)),
pen.line("soft", 340, 24, `since ${since}`),
];
}
function sayReceipt(counts, since) {
return `receipt since ${since}; ${receiptRows(counts).map((row) => row.join(" ").trim()).join("; ")}`;
}
const RUNNING = 0.88; // of bold, in running text
const WIDTHS = { ".": 0.3, ",": 0.3, ":": 0.3, " ": 0.27, "-": 0.4, i: 0.3, l: 0.3, j: 0.3, t: 0.4, r: 0.42, m: 0.92, w: 0.85, W: 0.98, M: 0.9 };
const OTHER = 0.62; // of all else: digits, signs, letters; bold, as a part of their size
function penOf(breadth) {
const wide = (text) => breadth * [...text].reduce((sum, letter) => sum + (WIDTHS[letter] ?? OTHER), 0);
const fit = (text, size, most) => Math.floor(Math.min(size, most / wide(text)));
const line = (name, y, size, text, most = 325) => ["text", { class: name, x: 200, y, "font-size": fit(text, size, most) }, text];
const value = (y, size, [number, unit], what, most = 300) => {
const rest = [unit, what].filter(Boolean).join(" ");
const fitted = fit(`${number} ${rest}`, size, most);
return [
"text", { class: "strong", x: 200, y, "font-size": fitted }, number,
rest && ["tspan", { class: "soft", "font-size": Math.floor(fitted * 0.72) }, ` ${rest}`],
];
};
const wrap = (text, size, rooms) => {
const broken = [];
const words = text.trim().replace(/(\d) (?=\p{L})/gu, "$1\u00A0").split(" "); // a figure keeps its unit
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
function arc(part) {
const angle = 2 * Math.PI * Math.min(part, 0.9999);
const [x, y] = [200 + 186 * Math.sin(angle), 200 - 186 * Math.cos(angle)].map((at) => at.toFixed(1));
return `M200 14A186 186 0 ${part > 0.5 ? 1 : 0} 1 ${x} ${y}`;
}
const TEXT = "\uFE0E"; // an arrow as a letter, not as a picture
const SIGNS = {
offline: "M-26 4a37 37 0 0 1 52 0M-14 16a20 20 0 0 1 28 0M0 28v.1M-24-20 24 28",
connecting: "M-20 12v.1M0 12v.1M20 12v.1",
waiting: "M-20 12v.1M0 12v.1M20 12v.1",
refused: "M-12 12a10 10 0 1 1-.1 0M-5 5 22-22M12-12 21-3",
unknown: "M-12-8a12 12 0 1 1 18 10c-5 3-6 5-6 11M0 26v.1",
gone: "M-26 0H-8M8 0H26M-4-16 4 16",
fault: "M0-20V8M0 24v.1",
garbage: "M-24 0q6-24 12 0t12 0 12 0 12 0",
};
const PRESSED = ["refused"]; // there is a button for what to do
function draw(view) {
const pen = penOf(view.breadth);
if (view.trouble === "pairing") return drawPairing(pen, view.pairing, view.left);
if (view.screen === "receipt") return drawReceipt(pen, view.receipt, view.since);
if (!view.figures && view.trouble) return drawTrouble(pen, words(view), view.trouble);
return view.screen === "today" ? drawToday(pen, view) : drawGlance(pen, view);
}
function lightOf(view) {
return view.state === "live" || view.state === "recent" ? view.light ?? "UNKNOWN" : "UNKNOWN";
}
function drawGlance(pen, view) {
const { surplus, share, trend } = view.figures ?? { surplus: null, share: null, trend: null };
const [number, unit] = signed(surplus);
const notice = words(view);
const light = lightOf(view);
const y = notice ? [104, 178, 210, 248] : [109, 207, 245, 296];
return [
bezel(light),
pen.line("word", y[0], notice ? 28 : 31, headline(view)),
pen.line("number", y[1], notice ? 78 : 100, number, light === "YELLOW" ? 262 : 325),
withTrend(y[2], `${unit} ${way(surplus)}`.trim(), trend),
pen.value(y[3], notice ? 30 : 36, power(share), view.kind === "home" ? "mine" : "shared", light === "YELLOW" ? 235 : 300),
...(notice ? tell(pen, notice, light, 281, view.trouble) : [pen.line("soft", 338, 26, footer(view))]),
];
}
function drawToday(pen, view) {
const { imported, shared, saved, currency } = view.figures ?? { imported: null, shared: null, saved: null, currency: null };
const notice = words(view);
const light = lightOf(view);
const [what, amount, unit] = money(saved, currency);
const y = notice ? [104, 172, 202, 242] : [114, 197, 232, 282];
return [
["circle", { class: "track", cx: 200, cy: 200, r: 186 }],
imported > 0 && ["path", { class: "part", d: arc(shared / imported) }],
["path", { class: "lamp", d: outline(light, 200, notice ? 55 : 60, 0.1) }],
pen.line("word", y[0], notice ? 26 : 28, headline(view)),
pen.line("number", y[1], notice ? 70 : 88, amount),
pen.line("soft", y[2], 26, `${unit} ${what} today`.trim()),
column(pen, 122, y[3], energy(imported), "drawn"),
column(pen, 278, y[3], energy(shared), view.kind === "home" ? "from others" : "shared"),
...(notice ? tell(pen, notice, "UNKNOWN", 307, view.trouble) : [pen.line("soft", 354, 25, footer(view))]),
];
}
function drawTrouble(pen, { short, since, why, todo }, trouble) {
const lines = [];
for (const [name, text, most] of [["soft", since, 1], ["soft", why, 2], ["plain", PRESSED.includes(trouble) ? "" : todo, 2]]) {
const rooms = Array.from({ length: most }, (_, i) => width("UNKNOWN", 206 + 31 * (lines.length + i)));
lines.push(...pen.wrap(text, 25, rooms).map((part) => [name, part]));
}
const down = 11 * Math.max(0, 4 - lines.length);
return [
bezel("UNKNOWN"),
["path", { class: "sign", transform: `translate(200 ${82 + down})`, d: SIGNS[trouble] }],
pen.line("strong", 164 + down, 38, short),
...lines.map(([name, part], i) => pen.line(name, 203 + down + 31 * i, 25, part)),
];
}
function bezel(light) {
return ["path", { class: "bezel", d: outline(light) }];
}
function headline(view) {
return view.state === "live" || view.state === "recent" ? LIGHTS[view.light] : ageOf(view);
}
function footer(view) {
if (view.state === "none") return "";
if (view.state !== "old") return ageOf(view);
return view.light === "UNKNOWN" ? LIGHTS.UNKNOWN : `was ${view.light.toLowerCase()}`;
}
function tell(pen, { what, short, todo }, light, y, trouble) {
const rooms = [0, 1, 2].map((i) => width(light, y + 28 * i));
const lines = (first) => {
const said = pen.wrap(first, 23, rooms.slice(0, 2));
return PRESSED.includes(trouble) ? said : [...said, ...pen.wrap(todo, 23, rooms.slice(said.length))];
};
const long = lines(what);
const told = long.at(-1).endsWith("…") ? lines(short) : long;
return told.map((text, i) => pen.line("plain", y + 28 * i, 23, text));
}
function withTrend(y, text, trend) {
const arrow = TRENDS[trend] ? ` ${TRENDS[trend][0]}${TEXT}` : "";
return ["text", { class: "soft", x: 200, y, "font-size": 26 }, text || NOTHING, ["tspan", { class: "trend" }, arrow]];
}
function column(pen, x, y, [number, unit], label) {
return ["g", { transform: `translate(${x - 200} 0)` }, pen.value(y, 34, [number, unit], "", 150), pen.line("soft", y + 31, 23, label, 150)];
}
const SVG = "http://www.w3.org/2000/svg";
function paint(parent, drawings) {
const wanted = drawings.filter((one) => one || one === 0);
while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
wanted.forEach((drawing, i) => {
const old = parent.childNodes[i];
if (!Array.isArray(drawing)) {
if (old?.nodeType === Node.TEXT_NODE) set(old, "data", String(drawing));
else place(parent, document.createTextNode(drawing), old);
return;
}
const [tag, attributes, ...children] = drawing;
const element = old?.localName === tag ? old : place(parent, document.createElementNS(SVG, tag), old);
for (const { name } of [...element.attributes]) if (!(name in attributes)) element.removeAttribute(name);
for (const [name, value] of Object.entries(attributes)) {
if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}
paint(element, children);
});
}
function set(thing, name, value) {
if (thing[name] !== value) thing[name] = value;
}
function place(parent, node, old) {
if (old) old.replaceWith(node);
else parent.append(node);
return node;
}
const PAIR = ["Pair this watch", "pair"];
const LEAVE = ["Leave off", "unpair"];
class Page {
#document;
#act;
#gist = "";
#breadth;
constructor(document, act) {
this.#document = document;
this.#act = act;
}
at(id) {
return this.#document.getElementById(id);
}
show(view) {
const face = this.at("face");
const since = view.since.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
this.#breadth ??= breadthOf(face);
const seen = { ...view, since, breadth: this.#breadth };
set(this.#document.documentElement.dataset, "mode", view.mode);
set(face.dataset, "light", lightOf(view));
set(face.dataset, "state", view.state);
set(this.#document, "title", view.title ? `${view.title} · Commonwatt` : "Commonwatt");
face.setAttribute("viewBox", view.mode === "ambient" ? shifted() : "0 0 400 400");
paint(face, draw(seen));
const said = view.trouble === "pairing" ? sayPairing(view.pairing, view.left)
: view.screen === "receipt" ? sayReceipt(view.receipt, since) : say(view);
face.setAttribute("aria-label", said);
this.#speak(view, said);
this.#offer(actionsOf(view));
}
#speak(view, said) {
const gist = [view.screen, lightOf(view), view.figures?.trend, view.trouble, view.pairing?.phase].join();
if (gist !== this.#gist && !this.#document.hidden) set(this.at("spoken"), "textContent", said);
this.#gist = gist;
}
#offer(actions) {
const box = this.at("actions");
const names = actions.map(([, name]) => name).join();
if (box.dataset.names === names) return;
box.dataset.names = names;
box.hidden = !actions.length;
box.replaceChildren(...actions.map(([text, name]) => {
const button = this.#document.createElement("button");
button.type = "button";
button.textContent = text;
button.addEventListener("click", () => this.#act(name));
return button;
}));
}
}
function actionsOf({ trouble, pairing, title }) {
if (trouble === "refused") return [PAIR];
if (trouble !== "pairing") return [];
const leave = title ? [LEAVE] : [];
return ["asking", "showing"].includes(pairing.phase) ? leave : [["Pair again", "pair"], ...leave];
}
function shifted() {
const minute = Math.floor(Date.now() / 60_000);
return `${(minute % 5) - 2} ${(Math.floor(minute / 5) % 5) - 2} 400 400`;
}
const TIMEOUT_MS = 20_000;
async function findPlaces(base, [id], token, receipt) {
const headers = { "content-type": "application/json", accept: "application/json" };
const body = JSON.stringify({ documentId: id });
const signal = AbortSignal.timeout(TIMEOUT_MS);
const answer = await ask(new URL("graphql", base), { method: "POST", token, headers, body, signal }, receipt);
const said = await read(answer, receipt);
if (answer.status === 401 || answer.status === 403) return { refused: true };
const communities = said?.data?.communities;
if (!Array.isArray(communities)) return { reason: answer.status ? "not understood" : "no answer" };
const places = communities.filter(isObject).flatMap((community) => [
{ kind: "community", id: String(community.id), name: String(community.name) },
...(Array.isArray(community.homes) ? community.homes : []).map((home) => ({ kind: "home", id: String(home.id), name: String(home.name) })),
]);
return { places };
}
function listPlaces(page, places) {
const document = page.at("found").ownerDocument;
page.at("found").replaceChildren(...places.map(({ kind, id, name }) => {
const item = document.createElement("li");
const link = document.createElement("a");
link.href = `#${new URLSearchParams({ [kind]: id })}`;
link.textContent = name;
link.className = kind;
item.append(link);
return item;
}));
page.at("finding").textContent = places.length ? "" : "The server knows no community yet.";
}
const IDLE_MS = 20_000;
const WRIST = "(max-width: 500px) and (pointer: coarse)"; // a display that dims when nobody touches it
function observe(tell, { forced }) {
let ambient = forced();
let idle = 0;
const shown = () => (document.hidden ? "background" : ambient ? "ambient" : "foreground");
let before = shown();
const show = () => {
if (shown() !== before) tell({ type: "show", as: (before = shown()) });
};
const rest = () => {
clearTimeout(idle);
if (matchMedia(WRIST).matches) idle = setTimeout(() => { ambient = true; show(); }, IDLE_MS);
};
const wake = () => {
const slept = ambient;
ambient = false;
rest();
show();
return slept;
};
document.addEventListener("visibilitychange", () => {
if (!document.hidden) ambient = forced();
show();
rest();
});
addEventListener("online", () => tell({ type: "network", up: true }));
addEventListener("offline", () => tell({ type: "network", up: false }));
navigator.getBattery?.().then((battery) => {
const say = () => tell({ type: "battery", level: battery.level, charging: battery.charging });
battery.addEventListener("levelchange", say);
battery.addEventListener("chargingchange", say);
say();
}).catch(() => {});
rest();
return { shown, wake, toggle: () => { ambient = !ambient; show(); }, dim: () => { ambient = forced(); show(); } };
}
const TAIL_MS = 1_000;
class Receipt {
#clock;
#last = -Infinity;
#counts = { in: 0, out: 0, messages: 0, wakeups: 0, parse_us: 0 };
constructor(clock) {
this.#clock = clock;
}
get counts() {
return { ...this.#counts };
}
count({ in: received = 0, out = 0, parse_us = 0 }) {
const now = this.#clock();
const counts = this.#counts;
if (now - this.#last > TAIL_MS) counts.wakeups += 1;
this.#last = now;
counts.in += received;
counts.out += out;
counts.parse_us += parse_us;
counts.messages += 1;
}
decode(text, bytes) {
const began = this.#clock();
let value = null;
try {
value = JSON.parse(text);
} catch {
}
this.count({ in: bytes, parse_us: Math.round(1000 * (this.#clock() - began)) });
return value;
}
}
const SCREENS = ["glance", "today"]; // and the best hours, once the schema has them
const AGAIN_MS = 10_000;
const base = new URL("../", location.href);
const steady = () => performance.now();
const receipt = new Receipt(steady);
const memory = new Memory(() => localStorage, () => sessionStorage);
const link = new Link(base, DOCUMENTS, (event) => app.tell(event), receipt);
const page = new Page(document, (name) => app.tell({ type: name }));
const app = new App({
now: () => ({ steady: steady(), wall: Date.now(), chance: Math.random() }),
link,
memory,
receipt,
show: (view) => page.show(view),
tap: () => navigator.userActivation?.hasBeenActive && navigator.vibrate?.([40, 80, 40]),
});
const fragment = () => new URLSearchParams(location.hash.slice(1));
const platform = observe((event) => app.tell(event), { forced: () => fragment().has("ambient") });
let again = 0;
listen(page.at("watch"), {
clock: steady,
wake: () => platform.wake(),
dim: () => platform.toggle(),
turn(by) {
const at = SCREENS.indexOf(app.state.screen);
app.tell({ type: "turn", to: at < 0 ? app.state.before : SCREENS[(at + by + SCREENS.length) % SCREENS.length] });
},
reveal() {
app.tell({ type: "turn", to: app.state.screen === "receipt" ? app.state.before : "receipt" });
},
leave() {
if (app.state.screen === "receipt") app.tell({ type: "turn", to: app.state.before });
},
});
function readAddress() {
const said = fragment();
const kind = ["home", "community"].find((name) => said.get(name));
const before = memory.asked;
const target = kind ? { kind, id: said.get(kind) } : before?.target ?? null;
const token = said.get("token") ?? before?.token ?? null;
document.documentElement.dataset.shape = said.get("shape") === "square" ? "square" : "round";
if (kind || said.has("token")) memory.asked = { target, token };
if (said.has("token")) {
said.delete("token");
history.replaceState(null, "", `#${said}`.replace(/=(?=&|$)/g, ""));
}
return { target, token };
}
function begin() {
clearTimeout(again);
const { pairing, last } = memory;
let { target, token } = readAddress();
if (!target && !token && pairing) target = { kind: "home", id: pairing.home };
if (!target && !token && last) target = last.target;
const paired = !token && pairing !== null && pairing.home === target?.id;
if (paired) token = pairing.token;
const kept = target && last?.target?.kind === target.kind && last.target.id === target.id ? last.kept : {};
const ways = "WebSocket" in window ? ["socket", "stream"] : ["stream"];
page.at("places").hidden = true;
app.tell({ type: "start", target, want: platform.shown(), token, paired, ways, kept });
if (!navigator.onLine) app.tell({ type: "network", up: false });
if (!target) find(token);
}
async function find(token) {
const { places, refused, reason } = await findPlaces(base, DOCUMENTS.Places, token, receipt);
if (app.state.target || app.state.pairing) return;
if (refused) return void app.tell({ type: "pair" });
const homes = places?.filter(({ kind }) => kind === "home") ?? [];
if (homes.length === 1) return void location.replace(`#home=${encodeURIComponent(homes[0].id)}`);
page.at("places").hidden = false;
if (places) listPlaces(page, places);
else page.at("finding").textContent = `The server did not say (${reason}). Trying again.`;
if (!places?.length) again = setTimeout(() => find(token), AGAIN_MS);
}
addEventListener("hashchange", () => {
const { kind, id } = app.state.target ?? {};
const before = kind && `${kind}=${id}`;
const said = fragment();
platform.dim();
if (said.has("token") || (["home", "community"].some((name) => said.get(name)) && `${kind}=${said.get(kind)}` !== before)) begin();
else readAddress();
});
addEventListener("pagehide", () => {
app.save();
app.tell({ type: "stop" });
});
addEventListener("pageshow", (event) => event.persisted && begin());
document.addEventListener("visibilitychange", () => document.hidden && app.save());
begin();
navigator.serviceWorker?.register("sw.js").catch(() => {}); // without one, the page just needs the network
