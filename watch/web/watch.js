// The watch page: one subscription over graphql-transport-ws, kept up, and its face.
//
// What to watch and the token come from the fragment (#home=demo.home-01&token=…), which no server sees. The parts
// follow watch/*.py one to one: read, after, age and draw are pure; Following is the only one that knows the
// network, and paint the only one that knows the page. What a server sends reaches the page as text only.

const DOCUMENTS = {
  home: `
    subscription HomeGlance($home: ID!) {
      home(id: $home) {
        light
        community {
          surplusPower
          trend
        }
        sharedPower
        netPower
        measuredAt
        selfSufficiency
        quality
      }
    }`,
  community: `
    subscription CommunityGlance($community: ID!) {
      community(id: $community) {
        light
        surplusPower
        sharedPower
        trend
        measuredAt
        selfSufficiency
        homesReporting
        homesTotal
      }
    }`,
};
const PLACES = "query Places { communities { id name homes { id name } } }";

const LIMITS = { connectMs: 20_000, pingMs: 20_000, pongMs: 10_000, messageLength: 64 * 1024 };
const BACKOFF = { firstMs: 500, mostMs: 30_000 };

const WORDS = { GREEN: "use it now", YELLOW: "as you like", RED: "better wait", UNKNOWN: "not known" };
const TRENDS = { RISING: "↗ rising", STEADY: "→ steady", FALLING: "↘ falling" };
const NOTHING = "–";

// ---- what a result says -----------------------------------------------------------------------------------------

function read(kind, data) {
  const state = object(data, kind);
  const community = kind === "home" ? object(state, "community") : state;
  const glance = {
    kind,
    light: Object.hasOwn(WORDS, state.light) ? state.light : "UNKNOWN",
    surplus: number(community, "surplusPower"),
    shared: number(state, "sharedPower"),
    trend: Object.hasOwn(TRENDS, community.trend) ? community.trend : null,
    measuredAt: time(state, "measuredAt"),
    selfSufficiency: number(state, "selfSufficiency"),
  };
  if (kind === "home") {
    glance.net = number(state, "netPower");
    glance.quality = typeof state.quality === "string" ? state.quality.slice(0, 24) : null;
  } else {
    glance.reporting = number(state, "homesReporting");
    glance.total = number(state, "homesTotal");
  }
  glance.fresh = glance.light !== "UNKNOWN" && (kind !== "home" || glance.quality === "MEASURED");
  return glance;
}

function object(fields, name) {
  const value = fields?.[name];
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError(`${name} is no object`);
  return value;
}

function number(fields, name) {
  const value = fields[name];
  if (value === null) return null;
  if (typeof value !== "number" || !Number.isFinite(value)) throw new TypeError(`${name} is no number`);
  return value;
}

function time(fields, name) {
  const value = fields[name];
  if (value === null) return null;
  const ms = typeof value === "string" ? Date.parse(value) : NaN;
  if (Number.isNaN(ms)) throw new TypeError(`${name} is no time`);
  return ms;
}

// ---- what the device knows: a fold over news --------------------------------------------------------------------

const UNTIL_ANSWERED = new Set(["unknown", "fault", "garbage"]);

function newDevice(kind, title, now) {
  return { kind, title, link: { standing: "connecting", reason: "" }, since: now.steady, glance: null, heard: null, partial: "" };
}

function after(device, news, now) {
  if ("standing" in news) {
    if (news.standing === "waiting" && UNTIL_ANSWERED.has(device.link.standing)) return device;
    const same = news.standing === device.link.standing;
    return { ...device, link: news, since: same ? device.since : now.steady };
  }
  let glance;
  try {
    glance = read(device.kind, news.data);
  } catch (error) {
    return after(device, { standing: "garbage", reason: String(error.message) }, now);
  }
  const live = after(device, { standing: "live", reason: "" }, now);
  return { ...live, glance, heard: now.steady, partial: news.errors.length ? message(news.errors, "a part is missing") : "" };
}

// The larger of two ages, so that a clock that runs behind never makes old data look new.
function ageMs(device, now) {
  if (device.glance === null) return null;
  const heard = now.steady - device.heard;
  return device.glance.measuredAt === null ? heard : Math.max(heard, now.wall - device.glance.measuredAt);
}

function message(errors, fallback) {
  const first = errors[0]?.message;
  return typeof first === "string" ? first.slice(0, 160) : fallback;
}

// ---- the face ---------------------------------------------------------------------------------------------------

function draw(device, now) {
  const { glance, link } = device;
  const fresh = link.standing === "live" && glance !== null && glance.fresh;
  const light = glance?.light ?? "UNKNOWN";
  const age = ageMs(device, now);
  const face = {
    title: device.title,
    light,
    word: WORDS[light],
    rows: glance ? rowsOf(glance) : [],
    age: fresh ? "live" : age === null ? "no data yet" : `${span(age)} old`,
    fresh,
    notice: noticeOf(device, span(now.steady - device.since)),
  };
  const rows = face.rows.map((row) => row.filter(Boolean).join(" "));
  face.spoken = [face.title, face.notice, `${light.toLowerCase()}, ${face.word}`, ...rows, face.age].filter(Boolean).join("; ");
  return face;
}

function rowsOf(glance) {
  const mine = glance.kind === "home";
  const rows = [
    signed("surplus", glance.surplus, "to the grid", "from the grid"),
    [mine ? "my share" : "shared", power(glance.shared), mine ? "from others" : "within"],
    ["trend", glance.trend ? TRENDS[glance.trend] : NOTHING, ""],
  ];
  if (mine) rows.push(signed("my net", glance.net, "drawn", "fed in"));
  rows.push(["own supply", glance.selfSufficiency === null ? NOTHING : `${(100 * glance.selfSufficiency).toFixed(0)} %`, ""]);
  if (mine) rows.push(["quality", glance.quality?.toLowerCase() ?? NOTHING, ""]);
  else rows.push(["homes", `${glance.reporting ?? NOTHING} of ${glance.total ?? NOTHING}`, "reporting"]);
  return rows;
}

function signed(label, watts, positive, negative) {
  if (watts === null || Math.round(watts) === 0) return [label, power(watts), ""];
  return [label, (watts > 0 ? "+" : "−") + power(watts), watts > 0 ? positive : negative];
}

function power(watts) {
  if (watts === null) return NOTHING;
  const size = Math.abs(watts);
  if (Math.round(size) < 1000) return `${size.toFixed(0)} W`;
  if (size < 9_995) return `${(size / 1000).toFixed(2)} kW`;
  return size < 999_950 ? `${(size / 1000).toFixed(1)} kW` : `${(size / 1e6).toFixed(2)} MW`;
}

function span(ms) {
  const whole = Math.floor(Math.max(0, ms) / 1000);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return whole < 48 * 3600 ? `${Math.floor(whole / 3600)} h` : `${Math.floor(whole / 86400)} days`;
}

function noticeOf(device, lasting) {
  const because = device.link.reason ? ` (${device.link.reason.replace(/\.$/, "")})` : "";
  switch (device.link.standing) {
    case "live": return device.partial ? `incomplete: ${device.partial}` : "";
    case "connecting": return `connecting for ${lasting}`;
    case "waiting": return `connected, waiting for data for ${lasting}`;
    case "refused": return `refused for ${lasting}${because}: check the token`;
    case "unknown": return `${device.title} is not known here${because}: check the name and the token`;
    case "gone": return `server gone for ${lasting}${because}, trying again`;
    case "fault": return `the server failed ${lasting} ago${because}, trying again`;
    default: return `not understood for ${lasting}${because}: is this a Commonwatt server?`;
  }
}

// ---- the network ------------------------------------------------------------------------------------------------

// Keeps one subscription up until `end`. Tells news: {data, errors}, or {standing, reason}.
class Following {
  constructor(url, document, variables, token, tell) {
    Object.assign(this, { url, document, variables, token, tell, failures: 0, ended: false, timers: new Set() });
    this.connect();
  }

  end() {
    this.ended = true;
    this.drop();
  }

  // Try now instead of at the end of the wait: the network is back, or somebody looks.
  hurry() {
    if (!this.ended && !this.socket) this.connect();
  }

  connect() {
    this.drop();
    this.began = performance.now();
    const socket = new WebSocket(this.url, "graphql-transport-ws");
    this.socket = socket;
    socket.onopen = () => this.send({ type: "connection_init", payload: this.token ? { authorization: `Bearer ${this.token}` } : {} });
    socket.onmessage = (event) => this.hear(event.data);
    socket.onclose = (event) => this.fail(...judgeClose(event));
    this.patience = this.later(LIMITS.connectMs, () => this.fail("gone", "no answer in time"));
  }

  hear(text) {
    let said;
    try {
      if (typeof text !== "string" || text.length > LIMITS.messageLength) throw new TypeError("no short text");
      said = JSON.parse(text);
    } catch {
      return this.fail("garbage", "no JSON");
    }
    switch (said?.type) {
      case "connection_ack":
        this.cancel(this.patience);
        this.tell({ standing: "waiting", reason: "" });
        this.send({ id: "1", type: "subscribe", payload: { query: this.document, variables: this.variables } });
        return this.ping();
      case "ping": return this.send({ type: "pong" });
      case "pong":
        this.cancel(this.patience);
        return this.ping();
      case "next": return this.result(said.payload);
      case "error": return this.fail(...judgeErrors(Array.isArray(said.payload) ? said.payload : []));
      case "complete": return this.fail(...(this.why ?? ["gone", "the server ended the subscription"]));
      default: return this.fail("garbage", "no message of the protocol");
    }
  }

  result(payload) {
    const errors = Array.isArray(payload?.errors) ? payload.errors : [];
    if (typeof payload?.data === "object" && payload.data !== null) {
      this.why = undefined;
      this.tell({ data: payload.data, errors });
    } else if (errors.length) {
      const [standing, reason] = (this.why = judgeErrors(errors));
      this.tell({ standing, reason });
    } else {
      this.fail("garbage", "a result without data");
    }
  }

  // A page cannot see WebSocket pings: without these, a server that vanished would look live for ever.
  ping() {
    this.cancel(this.pinger);
    this.pinger = this.later(LIMITS.pingMs, () => {
      this.send({ type: "ping" });
      this.patience = this.later(LIMITS.pongMs, () => this.fail("gone", "no answer in time"));
    });
  }

  fail(standing, reason) {
    if (performance.now() - this.began >= BACKOFF.mostMs) this.failures = 0;
    const delay = Math.random() * Math.min(BACKOFF.mostMs, BACKOFF.firstMs * 2 ** Math.min(this.failures, 32));
    this.failures += 1;
    this.drop();
    this.later(delay, () => this.connect());
    this.tell({ standing, reason });
  }

  drop() {
    this.timers.forEach(clearTimeout);
    this.timers.clear();
    const socket = this.socket;
    this.socket = this.why = undefined;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  send(said) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(said));
  }

  later(ms, act) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      act();
    }, ms);
    this.timers.add(timer);
    return timer;
  }

  cancel(timer) {
    clearTimeout(timer);
    this.timers.delete(timer);
  }
}

function judgeErrors(errors) {
  const codes = errors.map((error) => error?.extensions?.code);
  const standing = codes.includes("NOT_FOUND") ? "unknown"
    : codes.some((code) => ["UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN"].includes(code)) ? "refused" : "fault";
  return [standing, message(errors, "")];
}

function judgeClose({ code, reason }) {
  const told = code === 1006 ? "no connection" : `closed with ${code}${reason ? `: ${reason}` : ""}`;
  if (code === 4401 || code === 4403) return ["refused", told];
  return [code >= 4400 && code < 4500 ? "fault" : "gone", told];
}

// ---- the page ---------------------------------------------------------------------------------------------------

const at = (id) => document.getElementById(id);
const now = () => ({ wall: Date.now(), steady: performance.now() });
let device = null;
let following = null;
let announced = "";

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function paint() {
  if (!device) return;
  const face = draw(device, now());
  at("watch").dataset.light = face.light;
  at("watch").dataset.fresh = face.fresh ? "yes" : "no";
  for (const id of ["title", "word", "age", "notice"]) set(at(id), face[id]);
  at("notice").hidden = !face.notice;
  const rows = at("rows");
  while (rows.children.length > face.rows.length) rows.lastElementChild.remove();
  face.rows.forEach((row, i) => {
    const line = rows.children[i] ?? rows.appendChild(newRow());
    row.forEach((text, j) => set(line.children[j], text));
  });
  // Spoken when the light, the trend or the link changes: figures alone would never let a reader finish.
  const gist = [device.title, face.light, face.rows[2]?.[1], device.link.standing, face.fresh].join();
  if (gist !== announced) set(at("spoken"), face.spoken);
  announced = gist;
}

function newRow() {
  const line = document.createElement("div");
  line.append(...["dt", "dd", "dd"].map((tag) => document.createElement(tag)));
  return line;
}

function start() {
  following?.end();
  following = device = null;
  const asked = new URLSearchParams(location.hash.slice(1));
  const kind = ["home", "community"].find((name) => asked.get(name));
  at("watch").hidden = !kind;
  at("picker").hidden = Boolean(kind);
  if (!kind) return pick(asked.get("token"));
  const id = asked.get(kind);
  document.title = `${id} · Commonwatt`;
  device = newDevice(kind, id, now());
  const url = new URL("../graphql", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  following = new Following(url, DOCUMENTS[kind], { [kind]: id }, asked.get("token"), (news) => {
    device = after(device, news, now());
    paint();
  });
  paint();
}

async function pick(token) {
  document.title = "Commonwatt";
  set(at("finding"), "Asking the server…");
  try {
    const headers = { "content-type": "application/json", accept: "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch("../graphql", { method: "POST", headers, signal, body: JSON.stringify({ query: PLACES }) });
    const { data, errors } = await response.json();
    if (!Array.isArray(data?.communities)) throw new Error(message(errors ?? [], "no list of communities"));
    at("places").replaceChildren(...data.communities.map((community) => {
      const item = place("community", community, token);
      const homes = document.createElement("ul");
      homes.append(...community.homes.map((home) => place("home", home, token)));
      item.append(homes);
      return item;
    }));
    set(at("finding"), data.communities.length ? "" : "The server knows no community yet. Reload to ask again.");
  } catch (error) {
    at("places").replaceChildren();
    set(at("finding"), `The server did not say (${error.message}). Reload to ask again.`);
  }
}

function place(kind, { id, name }, token) {
  const link = document.createElement("a");
  link.href = `#${new URLSearchParams(token ? { [kind]: id, token } : { [kind]: id })}`;
  link.textContent = `${name} (${id})`;
  const item = document.createElement("li");
  item.append(link);
  return item;
}

addEventListener("hashchange", start);
addEventListener("online", () => following?.hurry());
addEventListener("pagehide", () => following?.end());
addEventListener("pageshow", (event) => event.persisted && start());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  following?.hurry();
  paint();
});
setInterval(paint, 1000);
start();
