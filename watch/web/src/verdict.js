// What went wrong, in the words of docs/watch.md: the link that a failure leaves behind, and why. Pure.

import { isObject } from "./answer.js";

const REFUSING = ["UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN"];
const REASON = 160; // characters

/** Return [link, reason] of GraphQL errors without data; the first that names a cause decides. */
export function ofErrors(errors) {
  const told = errors.filter(isObject);
  const reason = printable(told[0]?.message);
  for (const { extensions } of told) {
    if (extensions?.code === "NOT_FOUND") return ["unknown", reason];
    if (REFUSING.includes(extensions?.code)) return ["refused", reason];
  }
  return ["fault", reason];
}

/** Return [link, reason] of a connection or request that failed or ended. */
export function ofLoss({ close, status, garbage, reason }) {
  const why = printable(reason);
  if (garbage || [1002, 1003, 1007, 1009].includes(close)) return ["garbage", why];
  if ([4401, 4403].includes(close) || [401, 403].includes(status)) return ["refused", why];
  if (close >= 4400 && close < 4500) return ["fault", why];
  return [status && status !== 429 && status < 500 ? "garbage" : "gone", why];
}

/** Return text as one line of printable characters, cut; "" for what is no text. */
export function printable(text) {
  if (typeof text !== "string") return "";
  const clean = text.slice(0, 4 * REASON).replace(/[\p{C}\p{Z}]+/gu, " ").trim();
  return clean.length > REASON ? `${clean.slice(0, REASON - 1)}…` : clean;
}
