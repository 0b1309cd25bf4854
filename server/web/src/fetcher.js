// How operations leave the page: POST for queries, graphql-transport-ws for subscriptions, both on /graphql.
import { createGraphiQLFetcher } from "@graphiql/toolkit";

import { authorization } from "./token.js";

const http = new URL("/graphql", location.origin);
const socket = new URL(http);
socket.protocol = http.protocol === "https:" ? "wss:" : "ws:";

const send = createGraphiQLFetcher({
  url: http.href,
  // Each subscription opens a socket of its own, whose connection_init payload is the headers given below.
  subscriptionUrl: socket.href,
  enableIncrementalDelivery: false,
});

/** Send an operation with the tab's token, unless the header editor says otherwise. */
export function fetcher(params, options = {}) {
  // Lower case, so that a typed `Authorization` replaces the token and doesn't stand beside it.
  const typed = Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]);
  return send(params, { ...options, headers: { ...authorization(), ...Object.fromEntries(typed) } });
}
