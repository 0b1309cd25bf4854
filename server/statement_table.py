"""A statement as CSV: one line for each settled interval (RFC 4180), sums left to whoever reads it."""

import csv
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Final

from bus.prices import show
from resolvers.statement import Entry, Statement

COLUMNS: Final = (
    "home",
    "start",
    "end",
    "start_local",
    "drawn_wh",
    "from_community_wh",
    "from_supplier_wh",
    "injected_wh",
    "to_community_wh",
    "to_grid_wh",
    "supplier_price",
    "community_price",
    "feed_in_price",
    "grid_fee_reduction",
    "amount",
    "saving",
    "credit",
    "currency",
    "quality",
    "status",
    "revision",
)
"""Times are RFC 3339; prices are per kWh in units of the currency; amount (+ owed, - got), saving and credit in units
of the currency, too, exactly."""


def show_csv(statement: Statement) -> bytes:
    """Return a statement as CSV in UTF-8, with a line of names first."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_row(statement, entry) for entry in statement.entries)
    return text.getvalue().encode()


def _row(statement: Statement, entry: Entry) -> tuple[object, ...]:
    totals, prices = entry.totals, entry.prices
    start = datetime.fromtimestamp(totals.start / 1000, UTC)
    end = datetime.fromtimestamp(totals.end / 1000, UTC)
    return (
        statement.key,
        f"{start:%Y-%m-%dT%H:%M:%SZ}",
        f"{end:%Y-%m-%dT%H:%M:%SZ}",
        start.astimezone(statement.zone).isoformat(timespec="minutes"),
        totals.import_wh,
        totals.allocated_wh,
        totals.residual_import_wh,
        totals.export_wh,
        entry.to_community_wh,
        totals.residual_export_wh,
        show(prices.supplier),
        show(prices.community),
        show(prices.feed_in),
        show(prices.grid_fee_reduction),
        show(entry.amount.scaleb(-prices.minor_units)),
        show(Decimal(totals.saving or 0).scaleb(-prices.minor_units)),
        show(Decimal(totals.credit or 0).scaleb(-prices.minor_units)),
        prices.currency,
        entry.quality,
        entry.status,
        totals.revision,
    )
