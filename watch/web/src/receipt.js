// The receipt: what a device costs, counted as it goes. A message or an answer, in whatever direction, over TAIL_MS
// after the one before wakes the radio.

const TAIL_MS = 1_000;

export class Receipt {
  #clock;
  #last = -Infinity;
  #counts = { in: 0, out: 0, messages: 0, wakeups: 0, parse_us: 0 };

  /** `clock` gives ms that only go forward. */
  constructor(clock) {
    this.#clock = clock;
  }

  get counts() {
    return { ...this.#counts };
  }

  /** Count one message or answer: bytes that came or went. */
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

  /** Decode what came in `bytes`, one message, and count it; return null for what is no JSON. */
  decode(text, bytes) {
    const began = this.#clock();
    let value = null;
    try {
      value = JSON.parse(text);
    } catch {
      // told by null
    }
    this.count({ in: bytes, parse_us: Math.round(1000 * (this.#clock() - began)) });
    return value;
  }
}
