// Apollo Client: subscriptions by its graphql-ws link, all else by HTTP or, with `socketOnly`, by that link too.
// With `persisted`, documents go by their hash: GET for queries.
import { createHash } from "node:crypto";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { socket } from "./socket.mjs";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");

export default function ({ url, token, quick, socketOnly, persisted }) {
  const authorization = token && { Authorization: `Bearer ${token}` };
  const live = new GraphQLWsLink(socket({ url, quick }, authorization));
  const http = new HttpLink({ uri: url, headers: authorization ?? {} });
  const hashed = persisted ? new PersistedQueryLink({ sha256, useGETForHashedQueries: true }).concat(http) : http;
  const link = ApolloLink.split(({ operationType }) => socketOnly || operationType === "subscription", live, hashed);
  const client = new ApolloClient({ link, cache: new InMemoryCache() });

  const see = (sink) => ({ data, error }) => (error ? sink.error(error) : sink.next({ data: plain(data) }));

  function start({ query, variables }, sink, operation) {
    const document = gql(query);
    if (operation === "subscription") {
      const running = client.subscribe({ query: document, variables }).subscribe({ ...sink, next: see(sink) });
      return () => running.unsubscribe();
    }
    const answer =
      operation === "mutation"
        ? client.mutate({ mutation: document, variables })
        : client.query({ query: document, variables, fetchPolicy: "network-only" });
    answer.then((result) => (see(sink)(result), sink.complete()), sink.error);
    return () => {};
  }
  return { start, close: () => (client.stop(), live.client.dispose()) };
}

// Apollo asks for __typename everywhere.
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  const fields = Object.entries(value).filter(([name]) => name !== "__typename");
  return Object.fromEntries(fields.map(([name, one]) => [name, plain(one)]));
}
