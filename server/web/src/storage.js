// What GraphiQL remembers between visits, without request headers: they may hold a token, and localStorage
// outlives the tab. `shouldPersistHeaders={false}` covers the tabs alone, the history would still keep them.

const HISTORY = new Set(["graphiql:queries", "graphiql:favorites"]);

const withoutHeaders = (text) =>
  JSON.stringify(JSON.parse(text), (name, value) => (name === "headers" ? undefined : value));

const ours = () => Object.keys(localStorage).filter((key) => key.startsWith("graphiql:"));

export const storage = {
  getItem: (key) => localStorage.getItem(key),
  setItem: (key, text) => localStorage.setItem(key, HISTORY.has(key) ? withoutHeaders(text) : text),
  removeItem: (key) => localStorage.removeItem(key),
  clear: () => ours().forEach((key) => localStorage.removeItem(key)),
  get length() {
    return ours().length;
  },
};
