// The token of this tab: it comes in the address or is pasted, and ends with the tab. The page /device uses this, too.

const KEY = "commonwatt:token"; // the same as GraphiQL's, in this tab

/** Move a token from the address into this tab's storage: neither the server's log nor the history may hold it. */
export function adoptToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token === null) return false;
  keepToken(token.trim());
  fragment.delete("token");
  const rest = fragment.toString();
  history.replaceState(history.state, "", location.pathname + location.search + (rest && `#${rest}`));
  return true;
}

export function keepToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

/** Give the token, or null where nobody has signed in. */
export const heldToken = () => sessionStorage.getItem(KEY);
