// Clients in one Node process. What to do comes as JSON lines on stdin, and what an application sees of it goes out
// as JSON lines on stdout; the client in between is used as its documentation says. `client` is a number.
//
//   {client, "open": script, settings}   {client, "close": true}   {client, "ping": payload}
//   {client, "start": id, "request": {query, variables, documentId}, "operation": kind}   {client, "stop": id}
//   {client, id, "next": data}   {client, id, "errors": [...]}   {client, id, "failure": text, "code"}
//   {client, id, "complete": true}   {client, "event": name, ...}: of the connection, where the client tells
//
// A script's default function takes settings (url, token or null, quick: try again after 50 ms, and what the script
// itself knows) and what tells of the connection. It returns `{ start(request, sink, kind), ping(payload), close() }`;
// `start` returns what stops the operation.
import { createInterface } from "node:readline";

const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const clients = new Map();

// graphql-ws rejects what nobody waits for when all is stopped while it is about to connect again, or is cut off then.
// What a client owes its application goes through its sink; this is told, and does not end the others.
process.on("unhandledRejection", (reason) => console.error("nobody waited for", reason?.reason ?? reason));

for await (const line of createInterface({ input: process.stdin })) {
  const { client, open, settings, start, request, operation, stop, ping, close } = JSON.parse(line);
  const { one, stops } = clients.get(client) ?? {};
  if (open !== undefined) {
    const script = await import(`./${open}`);
    const opened = script.default(settings, (event, details) => tell({ client, event, ...details }));
    clients.set(client, { one: opened, stops: new Map() });
  } else if (start !== undefined) {
    const sink = reporting((what) => tell({ client, id: start, ...what }));
    stops.set(start, one.start(request, sink, operation));
  } else if (stop !== undefined) {
    stops.get(stop)();
  } else if (close !== undefined) {
    for (const end of stops.values()) end();
    one.close();
    clients.delete(client);
  } else {
    one.ping(ping);
  }
}
process.exit(0);

function reporting(tell) {
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
