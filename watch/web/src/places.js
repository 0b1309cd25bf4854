// What there is to watch, for whoever has not said: asked of the server once, and picked from a list.

import { isObject } from "./answer.js";
import { ask, read } from "./http.js";

const TIMEOUT_MS = 20_000;

/** Return {places: [{kind, id, name}]}, {refused: true} or {reason}. */
export async function findPlaces(base, [id], token, receipt) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  const body = JSON.stringify({ documentId: id });
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const answer = await ask(new URL("graphql", base), { method: "POST", token, headers, body, signal }, receipt);
  const said = await read(answer, receipt);
  if (answer.status === 401 || answer.status === 403) return { refused: true };
  const communities = said?.data?.communities;
  if (!Array.isArray(communities)) return { reason: answer.status ? "not understood" : "no answer" };
  const places = communities.filter(isObject).flatMap((community) => [
    { kind: "community", id: String(community.id), name: String(community.name) },
    ...(Array.isArray(community.homes) ? community.homes : []).map((home) => ({ kind: "home", id: String(home.id), name: String(home.name) })),
  ]);
  return { places };
}

/** Show the list in the page's elements; each is a link to what `addressOf` says. */
export function listPlaces(page, places, addressOf) {
  const document = page.at("found").ownerDocument;
  page.at("found").replaceChildren(...places.map((place) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = addressOf(place);
    link.textContent = place.name;
    link.className = place.kind;
    item.append(link);
    return item;
  }));
  page.at("finding").textContent = places.length ? "" : "The server knows no community yet.";
}
