// Troubles in words: what happened, since when, why, and what to do. Pure; the reason comes from elsewhere and is text.

import { span } from "./figures.js";

const TOKEN = "check the token, or pair this watch";

/** Return the trouble of a view in words, null without one: {short, since, what, why, todo}. */
export function words({ trouble, for: lasting, title, reason, off }) {
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

/** The same in one sentence. */
export function sentence({ what, why, joint, todo }) {
  return what + (why && ` (${why})`) + (todo && joint + todo);
}
