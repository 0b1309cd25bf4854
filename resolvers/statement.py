"""A statement: what a home drew, shared and injected in a month, interval by interval, at which prices.

Everything in it is worked out from the same settled intervals, exactly: whole Wh, and decimals that are never
rounded here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from itertools import groupby
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from bus.community import Community
from bus.history import Totals
from bus.identifiers import home_key
from bus.prices import Prices

LineKind = Literal["FROM_SUPPLIER", "FROM_COMMUNITY", "GRID_FEE_REDUCTION", "TO_COMMUNITY", "TO_GRID"]
KINDS: Final[tuple[LineKind, ...]] = (
    "FROM_SUPPLIER",
    "FROM_COMMUNITY",
    "GRID_FEE_REDUCTION",
    "TO_COMMUNITY",
    "TO_GRID",
)
QUALITIES: Final = ("MEASURED", "SUBSTITUTED", "ESTIMATED", "MISSING")
"""From the best to the worst."""

_exact: Final = Context(prec=60)


class Line(NamedTuple):
    """Energy from one source, or to one goal, at one price per kWh."""

    kind: LineKind
    energy_wh: int
    price: Decimal
    """In units of the currency, as the tariff has it; a reduction is below 0."""
    currency: str
    minor_units: int

    @property
    def amount(self) -> Decimal:
        """What it costs in minor units of the currency: + the home owes it, - the home gets it."""
        price = -self.price if self.kind in ("TO_COMMUNITY", "TO_GRID") else self.price
        return _exact.multiply(_exact.multiply(Decimal(self.energy_wh), price), _minor_per_kwh(self.minor_units))


class Entry(NamedTuple):
    """One settled interval of the home, and the prices that hold in it."""

    totals: Totals
    prices: Prices

    @property
    def to_community_wh(self) -> int:
        """What it injected and others used."""
        return self.totals.export_wh - self.totals.residual_export_wh

    @property
    def quality(self) -> str:
        """How far it was measured."""
        return worst([self])

    @property
    def status(self) -> str:
        """FINAL, or PROVISIONAL while it may still change."""
        return "FINAL" if self.totals.final else "PROVISIONAL"

    @property
    def lines(self) -> list[Line]:
        """What it says of energy and prices, one line of each kind."""
        prices, totals = self.prices, self.totals
        parts = (
            (totals.residual_import_wh, prices.supplier),
            (totals.allocated_wh, prices.community),
            (totals.allocated_wh, -prices.grid_fee_reduction),
            (self.to_community_wh, prices.community),
            (totals.residual_export_wh, prices.feed_in),
        )
        return [
            Line(kind, energy_wh, price, prices.currency, prices.minor_units)
            for kind, (energy_wh, price) in zip(KINDS, parts, strict=True)
        ]

    @property
    def amount(self) -> Decimal:
        """What all of it costs, as in a line."""
        return sum((line.amount for line in self.lines), Decimal(0))

    @property
    def agrees(self) -> bool:
        """Say whether what was settled as saved is what these prices say."""
        prices, totals = self.prices, self.totals
        minor = _minor_per_kwh(prices.minor_units)
        saving = totals.allocated_wh * (prices.supplier + prices.grid_fee_reduction - prices.community) * minor
        credit = self.to_community_wh * (prices.community - prices.feed_in) * minor
        return (Decimal(totals.saving or 0), Decimal(totals.credit or 0)) == (saving, credit)


class Sums(NamedTuple):
    """Sums over settled intervals: energy in Wh, money in minor units, CO2 in g."""

    intervals: int
    final: int
    revision: int
    """The highest one."""
    import_wh: int
    shared_wh: int
    residual_import_wh: int
    export_wh: int
    shared_out_wh: int
    residual_export_wh: int
    saving: Decimal
    credit: Decimal
    co2_avoided_g: Decimal
    quality: str
    """The worst one."""

    @property
    def status(self) -> str:
        """FINAL if all of them are."""
        return "FINAL" if self.final == self.intervals else "PROVISIONAL"

    @property
    def saved(self) -> Decimal:
        """Saving and credit together."""
        return self.saving + self.credit


@dataclass(frozen=True, slots=True)
class Statement:
    """What one home did in one month, as it is settled by now. Times in ms since 1970 UTC."""

    community: Community
    """As it is at the end of the month."""
    zone: ZoneInfo
    home: str
    home_name: str
    month: str
    since: int
    until: int
    expected: int
    """How many intervals the month has."""
    entries: tuple[Entry, ...]
    """In order of time; one at least."""
    lines: tuple[Line, ...]
    """By kind, then as the prices came; those without energy left out."""
    sums: Sums

    @property
    def key(self) -> str:
        """The id of the home as clients see it."""
        return home_key(self.community.id, self.home)

    @property
    def amounts(self) -> dict[str, Decimal]:
        """What the lines cost together, in minor units, by currency."""
        found: dict[str, Decimal] = {}
        for line in self.lines:
            found[line.currency] = found.get(line.currency, Decimal(0)) + line.amount
        return found or {entry.prices.currency: Decimal(0) for entry in self.entries}

    @property
    def currency(self) -> str | None:
        """The currency of everything; None where there are several."""
        found = {entry.prices.currency for entry in self.entries}
        return found.pop() if len(found) == 1 else None

    @property
    def disagreeing(self) -> int:
        """In how many intervals other prices were settled than are registered now."""
        return sum(not entry.agrees for entry in self.entries)

    def days(self) -> Iterator[tuple[date, list[Entry]]]:
        """Yield the local days in which something is settled, in order."""
        zone = self.zone
        for day, entries in groupby(
            self.entries,
            key=lambda entry: datetime.fromtimestamp(entry.totals.start / 1000, UTC).astimezone(zone).date(),
        ):
            yield day, list(entries)


def add_up(entries: Iterable[Entry]) -> Sums:
    """Return the sums of entries, of which there is one at least."""
    entries = list(entries)
    all_totals = [entry.totals for entry in entries]
    return Sums(
        intervals=len(entries),
        final=sum(totals.final for totals in all_totals),
        revision=max(totals.revision for totals in all_totals),
        import_wh=sum(totals.import_wh for totals in all_totals),
        shared_wh=sum(totals.allocated_wh for totals in all_totals),
        residual_import_wh=sum(totals.residual_import_wh for totals in all_totals),
        export_wh=sum(totals.export_wh for totals in all_totals),
        shared_out_wh=sum(entry.to_community_wh for entry in entries),
        residual_export_wh=sum(totals.residual_export_wh for totals in all_totals),
        saving=sum((Decimal(totals.saving or 0) for totals in all_totals), Decimal(0)),
        credit=sum((Decimal(totals.credit or 0) for totals in all_totals), Decimal(0)),
        co2_avoided_g=sum((Decimal(totals.co2_avoided_g) for totals in all_totals), Decimal(0)),
        quality=worst(entries),
    )


def worst(entries: Iterable[Entry]) -> str:
    """Return the worst quality of entries."""
    found = {quality for entry in entries for quality in QUALITIES if getattr(entry.totals, quality.lower())}
    return max(found, key=QUALITIES.index, default="MISSING")


def lines_of(entries: Iterable[Entry]) -> list[Line]:
    """Return lines by kind, then as their prices came; those without energy left out."""
    energies: dict[tuple[LineKind, Decimal, str, int], int] = {}
    for entry in entries:
        for line in entry.lines:
            if line.energy_wh and (line.price or line.kind != "GRID_FEE_REDUCTION"):
                key = line.kind, line.price, line.currency, line.minor_units
                energies[key] = energies.get(key, 0) + line.energy_wh
    lines = [Line(kind, wh, price, currency, digits) for (kind, price, currency, digits), wh in energies.items()]
    return sorted(lines, key=lambda line: KINDS.index(line.kind))


def _minor_per_kwh(minor_units: int) -> Decimal:
    """Return what turns Wh times a price per kWh into minor units."""
    return Decimal(1).scaleb(minor_units - 3)
