// graphql-transport-ws over a WebSocket. Operations go out, events of the machine come in; it never connects again.

import { judge, nonsense } from "./answer.js";

const MOST = 64 * 1024; // characters of a message, as the server has it too

export class Socket {
  #socket;
  #tell;
  #receipt;

  /** Connect and sign in; `tell` hears opened, result, errors, ended, heard and, once and last, lost. */
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

  /** Ask whether the server is still there: a page does not see a WebSocket's own pings. A token renews the one before. */
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

/** Return the bytes of a message with its frame's head; what a client sends has a mask of 4 beside. */
function frame(text) {
  const bytes = new TextEncoder().encode(text).length;
  return bytes + (bytes < 126 ? 2 : 4);
}
