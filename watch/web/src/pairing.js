// Pairing (RFC 8628), the device's part in the machine: a code is shown, and polled with until somebody answers. Pure.

const ASK_MS = 5_000; // between attempts to get a code
const SLOWEST_MS = 60_000;
const PATIENCE_MS = 20_000;
const JITTER = [500, 30_000];
const ENDS = { access_denied: "denied", expired_token: "expired", invalid_grant: "expired" };

export function isPairing(state) {
  return state.pairing !== null;
}

/** Ask for a code. */
export function beginPairing(turn) {
  turn.s.mode = "pairing";
  turn.s.pairing = { phase: "asking", interval: ASK_MS };
  turn.link("idle");
  authorize(turn);
}

/** Ask again, for a code or for the answer; end it where the code has expired. */
export function pollAgain(turn) {
  const { phase, device_code, ends } = turn.s.pairing;
  if (phase === "asking") return authorize(turn);
  if (turn.now.steady >= ends) return end(turn, "expired");
  turn.do("poll", { device_code });
  return turn.await("answer", PATIENCE_MS);
}

/** Show the code that came. */
export function authorized(turn, event) {
  if (turn.s.pairing?.phase !== "asking") return;
  const { device_code, user_code: code, verification_uri: uri, verification_uri_complete: uri_complete } = event;
  const interval = 1000 * (event.interval > 0 ? event.interval : 5);
  turn.s.pairing = { phase: "showing", code, uri, uri_complete, device_code, interval, ends: turn.now.steady + 1000 * event.expires_in };
  turn.s.failures = 0;
  turn.await("poll", interval);
}

/** Go on after an error of either endpoint. */
export function answerTo(turn, { error, retry = 0 }) {
  const { s } = turn;
  if (!["asking", "showing"].includes(s.pairing?.phase)) return;
  if (error === "unsupported_grant_type") {
    leaveOff(turn);
  } else if (["authorization_pending", "slow_down", "temporarily_unavailable"].includes(error)) {
    const interval = error === "slow_down" ? Math.min(SLOWEST_MS, s.pairing.interval + 5_000) : s.pairing.interval;
    s.pairing = { ...s.pairing, interval };
    turn.await("poll", interval + retry);
  } else {
    s.reason = error;
    end(turn, ENDS[error] ?? "failed");
  }
}

/** Go on in the mode that is wanted. */
export function leaveOff(turn) {
  Object.assign(turn.s, { pairing: null, failures: 0 });
  turn.await(null);
  turn.settle(true);
}

/** Go on without an answer. */
export function loseAnswer(turn, { retry = 0 } = {}) {
  const { phase, interval } = turn.s.pairing;
  if (["asking", "showing"].includes(phase)) turn.await("poll", interval + retry + turn.backoff(JITTER));
}

function authorize(turn) {
  turn.do("authorize");
  turn.await("answer", PATIENCE_MS);
}

function end(turn, phase) {
  turn.s.pairing = { phase };
  turn.await(null);
}
