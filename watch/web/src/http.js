// Requests over HTTP, one by one: what is sent and what comes back, bounded and counted. No GraphQL here.

const LARGEST = 256 * 1024; // characters of an answer
const JSONS = /^application\/(graphql-response\+)?json\b/;

/** Send a request; return {status, type, etag, date, retry, head, body, text()}. The status is 0 without an answer. */
export async function ask(url, { token, headers = {}, ...options }, receipt) {
  const sent = token ? { ...headers, authorization: `Bearer ${token}` } : headers;
  receipt.count({ out: lengthOf(Object.entries(sent)) + String(url).length + (options.body?.length ?? 0) });
  let response;
  try {
    response = await fetch(url, { ...options, headers: sent, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch {
    return { status: 0, type: "", etag: null, date: null, retry: 0 };
  }
  const { status, headers: got, body } = response;
  return {
    status,
    type: got.get("content-type") ?? "",
    etag: got.get("etag"),
    date: Date.parse(got.get("date")) || null,
    retry: 1000 * (Number(got.get("retry-after")) || 0),
    head: lengthOf([...got]),
    body,
    text: () => response.text(),
  };
}

/** Read the JSON of an answer, and count it; return null for anything else. */
export async function read(answer, receipt) {
  if (!answer.status) return null;
  try {
    const text = await answer.text();
    return receipt.decode(JSONS.test(answer.type) && text.length <= LARGEST ? text : "", answer.head + text.length);
  } catch {
    return null;
  }
}

function lengthOf(pairs) {
  return pairs.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
}
