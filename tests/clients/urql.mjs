// urql: subscriptions over graphql-ws or, with `stream`, as event streams by fetch; all else by fetch or, with
// `socketOnly`, over graphql-ws too. With `persisted`, documents go by their hash: GET for queries.
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { onEnd, pipe, subscribe } from "wonka";
import { socket } from "./socket.mjs";

export default function ({ url, token, quick, stream, socketOnly, persisted }) {
  const authorization = token && { authorization: `Bearer ${token}` };
  const live = socket({ url, quick }, authorization);
  const subscriptions = subscriptionExchange({
    enableAllOperations: socketOnly ?? false,
    forwardSubscription: (request) => {
      const input = { ...request, query: request.query || "" };
      return { subscribe: (sink) => ({ unsubscribe: live.subscribe(input, sink) }) };
    },
  });
  const options = { preferGetForPersistedQueries: true, enableForSubscriptions: true, enableForMutation: true };
  const client = new Client({
    url,
    exchanges: [...(persisted ? [persistedExchange(options)] : []), ...(stream ? [] : [subscriptions]), fetchExchange],
    fetchSubscriptions: stream ?? false,
    fetchOptions: { headers: authorization ?? {} },
  });

  const see = (sink) => ({ data, error }) => {
    if (error) sink.error(error.networkError ?? error);
    else if (data) sink.next({ data });
  };

  function start({ query, documentId, variables }, sink, operation) {
    const document = documentId ? { kind: "Document", definitions: [], documentId } : query;
    if (operation !== "subscription") {
      const answer = client[operation](document, variables).toPromise();
      answer.then((result) => (see(sink)(result), sink.complete()), sink.error);
      return () => {};
    }
    const running = pipe(client.subscription(document, variables), onEnd(sink.complete), subscribe(see(sink)));
    return () => running.unsubscribe();
  }
  return { start, close: () => live.dispose() };
}
