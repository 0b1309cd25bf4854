// What the scripts of all clients share. Operations come in as JSON lines on stdin, and what an application
// sees of them goes out as JSON lines on stdout; the client in between is used as its documentation says.
//
//   {"start": id, "request": {query, variables, documentId}, "operation": kind}   {"stop": id}   {"ping": payload}
//   {"id", "next": data}   {"id", "errors": [...]}   {"id", "failure": text, "code"}   {"id", "complete": true}
//   {"event": name, ...}   what happens to the connection, where the client tells
import { createInterface } from "node:readline";

// `open(settings, see)` returns `{ start(request, sink, kind), ping(payload) }`; `start` returns what stops the
// operation. Settings: url, token or null, quick (try again after 50 ms), and what the script itself knows.
export async function drive(open) {
  const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");
  const client = await open(JSON.parse(process.argv[2]), (event, details) => tell({ event, ...details }));
  const stops = new Map();
  for await (const line of createInterface({ input: process.stdin })) {
    const { start, request, operation, stop, ping } = JSON.parse(line);
    const see = sink((what) => tell({ id: start, ...what }));
    if (start !== undefined) stops.set(start, client.start(request, see, operation));
    else if (stop !== undefined) stops.get(stop)();
    else client.ping(ping);
  }
  process.exit(0);
}

export const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function sink(tell) {
  return {
    next: ({ data, errors }) => tell(errors ? { errors } : { next: data }),
    error: (error) => tell(fault(error)),
    complete: () => tell({ complete: true }),
  };
}

// An error in the words of its client: a list of GraphQL errors, something that holds one, or a lost connection.
function fault(error) {
  const errors = Array.isArray(error) ? error : (error.errors ?? error.graphQLErrors ?? []);
  if (errors.length) return { errors };
  const code = error.code ?? error.statusCode ?? error.response?.status;
  return { failure: error.message || error.reason || String(error), code: typeof code === "number" ? code : null };
}
