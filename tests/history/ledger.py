"""Settled intervals for tests, and an oracle: the totals of a range in plain Python, from the messages alone."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args
from zoneinfo import ZoneInfo

import duckdb

from bus.history import Totals
from bus.messages import Interval, IntervalRow, Quality, encode
from bus.stored import Stored
from history.decoding import decode
from history.store import Position, Store
from history.totals import text
from history.writer import Writer

QUARTER = 900_000
DAY = 96 * QUARTER
VIENNA = ZoneInfo("Europe/Vienna")
QUALITIES = [quality for quality in get_args(Quality) if quality != "STALE"]
ENERGIES = (
    "import_wh",
    "export_wh",
    "pv_wh",
    "load_wh",
    "charge_wh",
    "discharge_wh",
    "allocated_wh",
    "residual_import_wh",
    "residual_export_wh",
)


def ms(local: str, zone: str = "Europe/Vienna") -> int:
    """Return ms since 1970 of a local time."""
    return int(datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def rfc3339(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def row(home: str, start: int, length: int = QUARTER, **changes: Any) -> IntervalRow:
    """Return a home's row: it draws 400 Wh, 100 of them from the community, and injects 30, 20 of them to it."""
    fields: dict[str, Any] = {
        "import_wh": 400,
        "export_wh": 30,
        "pv_wh": 60,
        "load_wh": 430,
        "charge_wh": 5,
        "discharge_wh": 5,
        "allocated_wh": 100,
        "residual_import_wh": 300,
        "residual_export_wh": 10,
        "saving": "1.2",
        "credit": "0.16",
        "co2_avoided_g": "21",
        "quality": "MEASURED",
    }
    return IntervalRow(home=home, start=rfc3339(start), end=rfc3339(start + length), **(fields | changes))


def interval(start: int, rows: Iterable[IntervalRow], *, length: int = QUARTER, **changes: Any) -> Interval:
    """Return a settled interval of the community `demo`."""
    rows = list(rows)
    fields: dict[str, Any] = {
        "community": "demo",
        "revision": 0,
        "status": "PROVISIONAL",
        "currency": "EUR",
        "shared_wh": sum(one.allocated_wh for one in rows),
    }
    return Interval(start=rfc3339(start), end=rfc3339(start + length), rows=rows, **(fields | changes))


def chance_interval(
    start: int, homes: Sequence[str], revision: int = 0, *, community: str = "demo", seed: int = 0, **changes: Any
) -> Interval:
    """Return an interval by chance: always the same for the same start, revision and community."""
    dice = random.Random(f"{community} {start} {revision} {seed}")
    rows = []
    for home in homes:
        drawn, injected = dice.choice((0, dice.randrange(900))), dice.choice((0, dice.randrange(900)))
        allocated = dice.randint(0, drawn)
        rows.append(
            row(
                home,
                start,
                import_wh=drawn,
                export_wh=injected,
                pv_wh=dice.choice((0, injected + dice.randrange(300))),
                load_wh=dice.randrange(1200),
                charge_wh=dice.randrange(50),
                discharge_wh=dice.randrange(50),
                allocated_wh=allocated,
                residual_import_wh=drawn - allocated,
                residual_export_wh=dice.randint(0, injected),
                saving=text(Decimal(allocated * dice.randint(-3, 99)).scaleb(-dice.randrange(12))),
                credit=text(Decimal(injected * dice.randint(-3, 99)).scaleb(-dice.randrange(12))),
                co2_avoided_g=text(Decimal(allocated * dice.randrange(999)).scaleb(-dice.randrange(12))),
                quality=dice.choice(QUALITIES),
            )
        )
    status = "FINAL" if dice.random() < 0.3 else "PROVISIONAL"
    return interval(
        start, rows, community=community, revision=revision, **({"status": status, "currency": "EUR"} | changes)
    )


def stored(one: Interval, sequence: int = 1) -> Stored:
    """Return an interval as INTERVALS holds it."""
    return Stored(f"intervals.{one.community}", sequence, 1_700_000_000_000 + sequence, encode(one))


class Ledger:
    """Tables in memory, or in a file, and what was written to them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection | None = None, zone: str = "Europe/Vienna") -> None:
        self.store = Store(connection or duckdb.connect())
        self.store.reload()
        self.cursor = self.store.cursor()
        self.writer = Writer(self.store, self.store.cursor())
        self.zone = zone
        self.newest: dict[tuple[str, int], Interval] = {}
        self._sequence = 0

    def write(self, *intervals: Interval, zone_of: Callable[[str], str] | None = None) -> int:
        """Write intervals at once; return how many rows were new or replaced."""
        entries = []
        for one in intervals:
            self._sequence += 1
            entries.append(decode(stored(one, self._sequence)))
            key = one.community, entries[-1].start
            if key not in self.newest or self.newest[key].revision < one.revision:
                self.newest[key] = one
        position = Position(self._sequence, self._sequence, str(self._sequence))
        return self.writer.write(entries, position, zone_of or (lambda _: self.zone))

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return what the tables hold, with names in place of numbers."""
        named = {
            "intervals": "SELECT c.community, i.* EXCLUDE (community) FROM intervals i "
            "JOIN communities c ON c.number = i.community",
            "rows": "SELECT c.community, h.home, r.* EXCLUDE (community, home) FROM rows r "
            "JOIN communities c ON c.number = r.community JOIN homes h ON h.number = r.home AND h.community = c.number",
            "days": "SELECT c.community, h.home, d.* EXCLUDE (community, home) FROM days d "
            "JOIN communities c ON c.number = d.community JOIN homes h ON h.number = d.home AND h.community = c.number",
        }
        return {table: self.cursor.execute(f"{query} ORDER BY ALL").fetchall() for table, query in named.items()}

    def close(self) -> None:
        self.cursor.close()
        self.store.close()


def expected(
    intervals: Mapping[tuple[str, int], Interval] | Iterable[Interval],
    home: str | None,
    since: int,
    until: int,
    *,
    community: str = "demo",
    shown: tuple[int, int] | None = None,
) -> Totals | None:
    """Return the totals of a range, added up one by one; `shown`: the range that they name."""
    values = intervals.values() if isinstance(intervals, Mapping) else intervals
    parts = [
        (one, [item for item in one.rows if home in (None, item.home)])
        for one in sorted(values, key=lambda one: one.start)
        if one.community == community and since <= ms_of(one.start) < until
    ]
    parts = [(one, rows) for one, rows in parts if rows or home is None]
    if not parts:
        return None
    rows = [item for _, items in parts for item in items]
    sums = {name: sum(getattr(item, name) for item in rows) for name in ENERGIES}
    shared = sums["allocated_wh"] if home else sum(one.shared_wh for one, _ in parts)
    currencies = {one.currency for one, _ in parts}
    currency = currencies.pop() if len(currencies) == 1 else None
    peaks = [(sum(item.import_wh for item in items), ms_of(one.start)) for one, items in parts]
    peak = max(drawn for drawn, _ in peaks)
    extra = 0 if home else shared
    worth = {name: sum((Decimal(getattr(item, name)) for item in rows), Decimal(0)) for name in WORTHS}
    return Totals(
        start=(shown or (since, until))[0],
        end=(shown or (since, until))[1],
        intervals=len(parts),
        final=sum(one.status == "FINAL" for one, _ in parts),
        revision=max(one.revision for one, _ in parts),
        **{quality.lower(): sum(item.quality == quality for item in rows) for quality in QUALITIES},
        **sums,
        shared_wh=shared,
        saving=text(worth["saving"]) if currency else None,
        credit=text(worth["credit"]) if currency else None,
        currency=currency,
        co2_avoided_g=text(worth["co2_avoided_g"]),
        self_sufficiency=_ratio(sums["load_wh"] - sums["import_wh"] + extra, sums["load_wh"]),
        self_consumption=_ratio(sums["pv_wh"] - sums["export_wh"] + extra, sums["pv_wh"]),
        peak_import_wh=peak,
        peak_import_at=min(at for drawn, at in peaks if drawn == peak),
    )


WORTHS = ("saving", "credit", "co2_avoided_g")


def _ratio(part: int, whole: int) -> float | None:
    return None if whole == 0 else max(0.0, min(1.0, part / whole))


def ms_of(text_: str) -> int:
    return int(datetime.fromisoformat(text_).timestamp() * 1000)
