// graphql-sse: an event stream for each operation. It does not read ids of events: an application that must not
// miss any sends the cursor of the last one that it saw. It repeats a request that was refused with 401, too.
import { createClient } from "graphql-sse";
import { after } from "./socket.mjs";

export default function ({ url, token, quick, attempts }) {
  const seen = new WeakMap();
  const client = createClient({
    url,
    headers: (request) => ({
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(seen.has(request) && { "Last-Event-ID": seen.get(request) }),
    }),
    ...(quick && { retryAttempts: attempts ?? 200, retry: () => after(50) }),
  });
  return {
    start: (request, sink) =>
      client.subscribe(request, {
        ...sink,
        next(result) {
          const cursor = result.data?.alerts?.cursor;
          if (cursor) seen.set(request, cursor);
          sink.next(result);
        },
      }),
    close: () => client.dispose(),
  };
}
