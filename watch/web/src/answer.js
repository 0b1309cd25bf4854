// What an answer says: an execution result, from whatever transport, becomes an event of the machine. Pure.

/** Return the event of an execution result; nonsense is `lost`, with `garbage`. */
export function judge(id, result) {
  const errors = Array.isArray(result?.errors) ? result.errors : [];
  if (isObject(result?.data)) return { type: "result", id, data: result.data, errors };
  return errors.length ? { type: "errors", id, errors } : nonsense("a result without data");
}

export function nonsense(reason) {
  return { type: "lost", garbage: true, reason };
}

/** Say whether the server does not know the id of a document, and wants its text. */
export function wantsText({ errors = [] }) {
  return errors.some((error) => error?.extensions?.code === "PERSISTED_QUERY_NOT_FOUND");
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
