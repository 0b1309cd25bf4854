// What outlives the page: the last state, whom it shows, and the token of a pairing. Storage may be full, shut or odd.

import { isObject } from "./answer.js";

const [LAST, PAIRING, ASKED] = ["commonwatt.last", "commonwatt.pairing", "commonwatt.asked"];

export class Memory {
  #local;
  #session;

  /** `local` lasts, `session` ends with the tab: a token that came in a link goes there. */
  constructor(local, session) {
    this.#local = local;
    this.#session = session;
  }

  /** {target, kept}: whom the watch showed last, and by screen what was heard last. */
  get last() {
    return load(this.#local, LAST);
  }

  set last(last) {
    save(this.#local, LAST, last);
  }

  /** {token, home} of a pairing, or null. */
  get pairing() {
    return load(this.#local, PAIRING);
  }

  set pairing(pairing) {
    save(this.#local, PAIRING, pairing);
  }

  /** {target, token} of the link that opened this tab, or null. */
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
    // full, or shut: the watch goes on without
  }
}
