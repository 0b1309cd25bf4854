// An event stream by fetch (graphql-sse, distinct connections): one operation goes out, events of the machine come in.

import { judge } from "./answer.js";
import { refusal } from "./get.js";
import { ask } from "./http.js";

const LONGEST = 64 * 1024; // characters of one event

/** Follow one operation; `tell` hears opened, result, heard and, last, ended or lost. */
export async function stream(url, { id, token, parameters, signal }, tell, receipt) {
  const headers = { "content-type": "application/json", accept: "text/event-stream" };
  const answer = await ask(url, { method: "POST", token, headers, body: JSON.stringify(parameters), signal }, receipt);
  if (!answer.type.startsWith("text/event-stream")) return tell(await refusal(id, answer, receipt));
  receipt.count({ in: answer.head });
  tell({ type: "opened" });
  let [errors, retry] = [[], 0];
  try {
    for await (const block of blocks(answer.body)) {
      const said = fields(block);
      retry = said.retry ?? retry;
      if (said.event !== "next") receipt.count({ in: block.length + 2 });
      if (said.event === "complete") return tell({ type: "ended", id, errors });
      const event = said.event === "next" ? judge(id, receipt.decode(said.data, block.length + 2)) : { type: "heard" };
      errors = event.errors ?? [];
      if (event.type !== "errors") tell(event); // errors alone are a stream's last words: they come with its end
      if (event.type === "lost") return undefined;
    }
  } catch {
    // broken: said below
  }
  return tell({ type: "lost", reason: "the stream broke", retry });
}

async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      if (rest.length > LONGEST) throw new RangeError("an event without end");
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function fields(block) {
  const found = { event: "", data: "", retry: undefined };
  for (const row of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(row) ?? [];
    if (name === "event" || name === "data") found[name] += value;
    if (name === "retry") found.retry = Number(value) || 0;
  }
  return found;
}
