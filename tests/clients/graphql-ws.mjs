// graphql-ws: everything over one WebSocket.
import { socket } from "./socket.mjs";

export default function (settings, see) {
  let open;
  const client = socket(settings, settings.token && { token: settings.token }, {
    connected: (socket) => void (open = socket),
    pong: (received, payload) => received && see("pong", { payload }),
    closed: ({ code, reason }) => see("closed", { code, reason }),
  });
  return {
    start: (request, sink) => client.subscribe({ query: "", ...request }, sink), // it insists on a query
    ping: (payload) => open.send(JSON.stringify({ type: "ping", payload })),
    close: () => client.dispose(),
  };
}
