// How the page asks: POST for queries, graphql-transport-ws for what is live, both on /graphql with the tab's token.

import { heldToken } from "./token.js";

const PROTOCOL = "graphql-transport-ws";
const PATIENCE_MS = 20_000;
const SILENCE_MS = 75_000; // the subscription is sent again every 30 s
const MOST_WAIT_MS = 30_000;
const REFUSED = new Set([4401, 4403]);

const SIGN_IN_AGAIN = "This token is not accepted: it has ended, was revoked, or is for another server. Paste another.";

let documents = "";

/** An answer that is none; `code` says why. */
export class Refusal extends Error {
  constructor(message, code = "") {
    super(message);
    this.code = code;
  }
}

/** The page's own operations: the server knows the document by its text. */
async function known() {
  if (!documents) {
    const response = await fetch("/community/community.graphql");
    if (!response.ok) throw new Error(`${response.status}`);
    documents = (await response.text()).trim();
  }
  return documents;
}

/** Execute an operation; give its data, and its errors by the path's last name. Throws Refusal where there is no data. */
export async function ask(operationName, variables = {}) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  const token = heldToken();
  if (token) headers.authorization = `Bearer ${token}`;
  let status, answer;
  try {
    const body = JSON.stringify({ query: await known(), operationName, variables });
    const response = await fetch("/graphql", { method: "POST", headers, body, signal: AbortSignal.timeout(PATIENCE_MS) });
    status = response.status;
    answer = await response.json();
  } catch {
    throw new Refusal("The server does not answer. Figures are as they were; it is asked again.", "AWAY");
  }
  if (status === 401) throw new Refusal(token ? SIGN_IN_AGAIN : "", "UNAUTHENTICATED");
  const errors = new Map((answer.errors ?? []).map((error) => [error.path?.at(-1) ?? "", error]));
  const [first] = answer.errors ?? [];
  if (!answer.data) throw new Refusal(first?.message ?? `The server answered ${status}.`, first?.extensions?.code);
  return { data: answer.data, errors };
}

/**
 * Follow a subscription for ever, over connections that come and go.
 * `took` is given its data, `changed` the state: connecting, live, lost, and refused or hidden, with which it ends.
 * Gives what ends it.
 */
export function follow(operationName, variables, took, changed) {
  let socket = null;
  let ended = false;
  let failures = 0;
  let timer = 0;
  let watchdog = 0;

  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => socket?.close(), SILENCE_MS);
  };

  const again = (code) => {
    clearTimeout(watchdog);
    socket = null;
    if (ended) return;
    if (REFUSED.has(code)) {
      ended = true;
      changed("refused");
      return;
    }
    changed("lost");
    const wait = Math.min(MOST_WAIT_MS, 500 * 2 ** failures) * (0.5 + Math.random() / 2);
    failures += 1;
    timer = setTimeout(open, wait);
  };

  const open = async () => {
    let query;
    try {
      query = await known();
    } catch {
      return again(0);
    }
    if (ended) return;
    const token = heldToken();
    const mine = new WebSocket(new URL("/graphql", location.href.replace(/^http/, "ws")), PROTOCOL);
    const send = (message) => mine.send(JSON.stringify(message));
    socket = mine;
    alive();
    mine.onopen = () => send({ type: "connection_init", payload: token ? { token } : {} });
    mine.onclose = ({ code }) => again(code);
    mine.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      alive();
      if (message.type === "connection_ack") {
        send({ type: "subscribe", id: "now", payload: { query, operationName, variables } });
        changed("connecting");
      } else if (message.type === "ping") {
        send({ type: "pong" });
      } else if (message.type === "next" && message.payload.data) {
        failures = 0;
        changed("live");
        took(message.payload.data);
      } else if (message.type === "error" && message.payload.some(({ extensions }) => extensions?.code === "NOT_FOUND")) {
        ended = true;
        changed("hidden");
        mine.close(1000);
      } else if (["error", "complete"].includes(message.type)) {
        mine.close(1000);
      }
    };
  };

  changed("connecting");
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    clearTimeout(watchdog);
    socket?.close(1000);
  };
}
