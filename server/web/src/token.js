// The bearer token of this tab. It arrives in the URL's fragment (`#token=…`), which browsers never send
// to a server, and stays in sessionStorage: it survives a reload and ends with the tab.

const KEY = "commonwatt:token";

/** Move a token from the visible URL into this tab's storage; an empty one (`#token=`) signs out. */
export function adoptToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token === null) return false;
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
  fragment.delete("token");
  const rest = fragment.toString();
  // replaceState, so that the token is not left behind in the history either.
  history.replaceState(history.state, "", location.pathname + location.search + (rest && `#${rest}`));
  return true;
}

/** Give the headers that identify this tab: none without a token. */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? { authorization: `Bearer ${token}` } : {};
}
