// A conditional GET: a query, and the ETag of what is shown; an event of the machine comes back.

import { isObject, judge, nonsense } from "./answer.js";
import { ask, read } from "./http.js";

/** Ask once; return result, unchanged, errors or lost. */
export async function get(url, { id, token, parameters, etag, signal }, receipt) {
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

/** Return the event for an answer that is not what was asked for. */
export async function refusal(id, answer, receipt) {
  const { status, retry } = answer;
  if (!status) return { type: "lost", reason: "no answer" };
  const said = await read(answer, receipt);
  if (status === 400 && Array.isArray(said?.errors)) return judge(id, said);
  if (status === 200) return nonsense("no GraphQL there");
  const [first] = Array.isArray(said?.errors) ? said.errors : [];
  const told = isObject(first) && typeof first.message === "string" ? `: ${first.message}` : "";
  return { type: "lost", status, retry, reason: `HTTP status ${status}${told}` };
}
