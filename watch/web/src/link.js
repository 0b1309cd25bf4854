// The device's only way to the network: carries out the machine's commands, and tells what comes of them.
//
// Nothing of what was closed, or replaced by a later command, is told any more.

import { isObject, wantsText } from "./answer.js";
import { stream } from "./stream.js";
import { get } from "./get.js";
import { ask, read } from "./http.js";
import { Socket } from "./socket.js";

const BILL = "receipt"; // an id that is no number is of no operation of the machine
const CLIENT = "watch page";
const GRANT = "urn:ietf:params:oauth:grant-type:device_code";

export class Link {
  #base;
  #documents;
  #tell;
  #receipt;
  #socket = null;
  #abort = null;
  #asked = null; // what was asked last, to be asked again by its text
  #byText = false;
  #bill = null;

  /** `base` is the server's URL, `documents` maps an operation to [id, text], `tell` takes events. */
  constructor(base, documents, tell, receipt) {
    this.#base = base;
    this.#documents = documents;
    this.#tell = tell;
    this.#receipt = receipt;
  }

  /** What the server has counted on the open socket, once it was asked: {in, out, messages} in the device's words; else null. */
  get bill() {
    return this.#bill;
  }

  /** Ask the server what it has counted, where a socket is open. */
  askBill() {
    this.#socket?.subscribe(BILL, this.#parameters({ document: "Receipt" }));
  }

  /** Carry out a command; `token` is the state's. */
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

  /** Tell what was heard; a server that lacks the document is asked again with its text, from here on always. */
  #hear(event) {
    if (Number.isNaN(event.id)) return void (this.#bill = billOf(event.data?.receipt) ?? this.#bill);
    if (this.#byText || !wantsText(event)) return this.#tell(event);
    this.#byText = true;
    const { command, token } = this.#asked;
    return this.do(command, token);
  }

  async #authorize() {
    const { status, body, retry } = await this.#form("oauth/device_authorization", {});
    const words = ["device_code", "user_code", "verification_uri"];
    if (body?.expires_in > 0 && words.every((name) => typeof body[name] === "string")) this.#tell({ ...body, type: "code" });
    else this.#refused(status, body, retry);
  }

  async #poll(device_code) {
    const { status, body, retry } = await this.#form("oauth/token", { grant_type: GRANT, device_code });
    if (typeof body?.access_token === "string" && typeof body.home === "string") this.#tell({ type: "paired", token: body.access_token, home: body.home });
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
    this.#socket = this.#abort = this.#bill = null;
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

function billOf(said) {
  const counts = isObject(said) ? [said.bytesOut, said.bytesIn, said.messagesIn + said.messagesOut, said.wakeups] : [];
  const [received, out, messages, wakeups] = counts;
  return counts.length && counts.every(Number.isFinite) ? { in: received, out, messages, wakeups } : null;
}
