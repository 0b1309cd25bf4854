// Readings that were refused: how many for what reason, and the newest one by one.

import { at, make, renew, say, table } from "./dom.js";
import { count, dayAndClock } from "./figures.js";

const word = (reason) => reason.replaceAll("_", " ");

/** Show how many readings were refused for what reason. `days` is how far back was asked. */
export function showCounts({ total, counted, since, reasons }, days, zone) {
  const span = days === 1 ? "in the last 24 hours" : `in the last ${days} days`;
  say(at("refused-note"), total ? `${count(total)} ${span}` : `None ${span}`);
  at("reasons").hidden = !reasons.length;
  const rows = reasons.map((one) => [
    word(one.reason),
    count(one.count),
    one.explanation ?? "",
    one.meters.slice(0, 3).join(", ") + (one.meterCount > 3 ? ` and ${count(one.meterCount - 3)} more` : ""),
    dayAndClock(Date.parse(one.latestAt), zone),
  ]);
  const columns = ["Reason", ["Count", "number"], ["What it means", "text"], "Meters", "Last"];
  const note =
    counted < total
      ? make("p", { class: "note" }, `Reasons of the newest ${count(counted)}, since ${dayAndClock(Date.parse(since), zone)}.`)
      : null;
  const region = { class: "scroll", role: "region", "aria-label": "Reasons of refused readings", tabindex: "0" };
  renew(at("reasons"), make("div", region, table("Reasons of refused readings", columns, rows)), ...(note ? [note] : []));
}

/** Show refused readings, with `more` below those that are there; give where older ones begin. */
export function showRefused({ edges, pageInfo }, zone, more = false) {
  const items = edges.map(({ node }) =>
    make(
      "li",
      {},
      make(
        "p",
        {},
        make("strong", {}, word(node.reason) + (node.count > 1 ? ` × ${count(node.count)}` : "")),
        ` · ${node.homeName ?? "no registered home"} · `,
        make("code", {}, node.meter),
        ` · ${dayAndClock(Date.parse(node.receivedAt), zone)}`,
      ),
      make("p", {}, node.detail),
      node.explanation ? make("p", { class: "note" }, node.explanation) : null,
      make("pre", { tabindex: "0", role: "group", "aria-label": "What came" }, node.payload || (node.count > 1 ? "(counted only)" : "(nothing)")),
    ),
  );
  const list = at("refused-list");
  if (more) list.append(...items);
  else renew(list, ...items);
  at("refused-details").hidden = !list.children.length;
  at("older").hidden = !pageInfo.hasNextPage;
  return pageInfo.endCursor;
}
