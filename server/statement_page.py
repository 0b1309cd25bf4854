"""A statement as one HTML page that prints well on A4: no script, nothing loaded, readable by a screen reader."""

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from html import escape
from pathlib import Path
from typing import Final

from resolvers.statement import QUALITIES, LineKind, Statement, Sums, add_up
from server.headers import POLICY_NOTHING

_STYLE: Final = Path(__file__).with_name("statement.css")

_NAMES: Final = {
    "FROM_SUPPLIER": "from the supplier",
    "FROM_COMMUNITY": "from the community",
    "GRID_FEE_REDUCTION": "grid-fee reduction for it",
    "TO_COMMUNITY": "to the community",
    "TO_GRID": "to the grid",
}
_DRAWN: Final[tuple[LineKind, ...]] = ("FROM_SUPPLIER", "FROM_COMMUNITY", "GRID_FEE_REDUCTION")
_INJECTED: Final[tuple[LineKind, ...]] = ("TO_COMMUNITY", "TO_GRID")
_QUALITY_NAMES: Final = {
    "MEASURED": "measured",
    "SUBSTITUTED": "substituted (interpolated over a gap of less than two hours)",
    "ESTIMATED": "estimated (over a longer gap, from comparable days)",
    "MISSING": "missing (nothing to go by, counted as 0)",
}
_STATUS: Final = {
    "FINAL": "Final: it will not change any more",
    "PROVISIONAL": "Provisional: late readings and corrections may still change it",
}


def policy() -> str:
    """Return the content security policy of the page."""
    return f"{POLICY_NOTHING}; {_style_rule()}"


def show_page(statement: Statement, *, made_ms: int, csv_link: str | None = None) -> bytes:
    """Return the page; `made_ms`: when it was made, in ms since 1970 UTC; `csv_link` leads to the same as CSV."""
    month = f"{datetime.fromtimestamp((statement.since + statement.until) / 2000, UTC):%B %Y}"
    rules = f"default-src 'none'; {_style_rule()}"
    title = escape(f"Statement {month}, {statement.home_name}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # For where it is opened from a file; what else the policy says holds in headers alone.
        f'<meta http-equiv="Content-Security-Policy" content="{escape(rules)}">'
        f"<title>{title}</title><style>{_style()}</style></head>\n<body><main>\n"
        f"{_head(statement, month)}\n{_money(statement)}\n{_days(statement)}\n{_foot(statement, made_ms, csv_link)}\n"
        "</main></body></html>\n"
    ).encode()


@cache
def _style() -> str:
    return _STYLE.read_text("utf-8")


def _style_rule() -> str:
    digest = hashlib.sha256(_style().encode()).digest()
    return f"style-src 'sha256-{base64.b64encode(digest).decode()}'"


def _head(statement: Statement, month: str) -> str:
    sums, zone = statement.sums, statement.zone
    start, end = (datetime.fromtimestamp(at / 1000, zone) for at in (statement.since, statement.until))
    minutes = statement.community.settlement_interval.total_seconds() / 60
    counts = {quality: sum(entry.quality == quality for entry in statement.entries) for quality in QUALITIES}
    revised = sum(entry.totals.revision > 0 for entry in statement.entries)
    facts = (
        ("Home", f"{statement.home_name} ({statement.key})"),
        ("Time", f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}, {statement.community.timezone}"),
        ("Status", _STATUS[sums.status]),
        ("Settled", f"{_count(sums.intervals)} of {_count(statement.expected)} intervals of {minutes:g} minutes"),
        (
            "Quality",
            ", ".join(f"{_count(count)} {_QUALITY_NAMES[quality]}" for quality, count in counts.items() if count),
        ),
        (
            "Revision",
            f"{_count(revised)} corrected, at most to revision {sums.revision}" if revised else "none corrected",
        ),
    )
    return (
        f'<header><p class="what">Statement for {escape(month)}</p><h1>{escape(statement.home_name)}</h1>'
        f"<p>{escape(statement.community.name)}</p><dl>"
        + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
        + "</dl></header>"
    )


def _money(statement: Statement) -> str:
    sums = statement.sums
    parts = []
    for name, kinds, energy_wh in (
        ("Drawn from the grid", _DRAWN, sums.import_wh),
        ("Injected into the grid", _INJECTED, sums.export_wh),
    ):
        parts.append(
            f'<tbody><tr><th scope="rowgroup">{name}</th><td>{_kwh(energy_wh)}</td><td></td><td></td></tr>'
            f"{''.join(_lines(statement, kinds))}</tbody>"
        )
    ends = [_end(statement, currency, amount) for currency, amount in statement.amounts.items()]
    return (
        "<section><h2>Energy and money</h2>"
        '<div class="scroll" role="region" aria-label="Energy and money" tabindex="0"><table>'
        "<caption>What was drawn and injected, and at what price</caption>"
        '<thead><tr><th scope="col" class="word">Energy</th><th scope="col">kWh</th>'
        '<th scope="col">Price per kWh</th><th scope="col">Amount</th></tr></thead>'
        f"{''.join(parts)}<tbody>{''.join(ends)}</tbody></table></div>{_saved(statement)}</section>"
    )


def _lines(statement: Statement, kinds: Iterable[LineKind]) -> list[str]:
    digits = _digits(statement)
    prices = max((_scale(line.price) for line in statement.lines), default=0)
    return [
        f'<tr class="part"><th scope="row">{_NAMES[line.kind]}</th><td>{_kwh(line.energy_wh)}</td>'
        f"<td>{_number(line.price, prices)} {escape(line.currency)}</td>"
        f"<td>{_number(_units(line.amount, line.minor_units), digits)} {escape(line.currency)}</td></tr>"
        for line in statement.lines
        if line.kind in kinds
    ]


def _end(statement: Statement, currency: str, amount: Decimal) -> str:
    """Return the last rows of one currency: the exact sum, and what it comes to."""
    minor_units = _minor_units(statement, currency)
    exact = _units(amount, minor_units)
    rounded = _rounded(exact, minor_units)
    word = "To get" if rounded < 0 else "To pay"
    return (
        f'<tr class="exact"><th scope="row">Sum, exactly</th><td></td><td></td>'
        f"<td>{_number(exact, _digits(statement))} {escape(currency)}</td></tr>"
        f'<tr class="sum"><th scope="row">{word}</th><td></td><td></td>'
        f"<td>{_number(abs(rounded), minor_units)} {escape(currency)}</td></tr>"
    )


def _saved(statement: Statement) -> str:
    sums, currency = statement.sums, statement.currency
    texts = []
    if currency is not None:
        digits = _minor_units(statement, currency)
        saving, credit, saved = (
            f"{_number(_units(amount, digits), digits)} {escape(currency)}"
            for amount in (sums.saving, sums.credit, sums.saved)
        )
        texts.append(
            f"Against having no community: {saving} saved by using shared energy, {credit} earned more by giving it, "
            f"together {saved}."
        )
    if sums.co2_avoided_g:
        texts.append(f"CO₂ avoided by sharing: {_number(*_cents(sums.co2_avoided_g / 1000, 1))} kg.")
    return f"<p>{' '.join(texts)}</p>" if texts else ""


def _days(statement: Statement) -> str:
    currency = statement.currency
    rows = []
    for day, entries in statement.days():
        exact = sum((_units(entry.amount, entry.prices.minor_units) for entry in entries), Decimal(0))
        amount = _number(*_cents(exact, entries[0].prices.minor_units)) if currency else ""
        name = f'<time datetime="{day:%Y-%m-%d}">{day:%a %d}</time>'
        rows.append(f"<tr>{_day(name, add_up(entries), amount)}</tr>")
    amount = _month_amount(statement)
    heads = ("Drawn", "of it shared", "Injected", "of it shared", f"Amount, {escape(currency)}" if currency else "")
    words = ("Quality", "Status")
    return (
        '<section><h2>Day by day</h2><div class="scroll" role="region" aria-label="Day by day" tabindex="0"><table>'
        "<caption>Energy in kWh; the worst quality, the least certain status and the highest revision of each day"
        '</caption><thead><tr><th scope="col" class="word">Day</th>'
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + "".join(f'<th scope="col" class="word">{word}</th>' for word in words)
        + f'<th scope="col">Revision</th></tr></thead><tbody>{"".join(rows)}'
        f'<tr class="sum">{_day("Month", statement.sums, amount)}</tr></tbody></table></div></section>'
    )


def _day(name: str, sums: Sums, amount: str) -> str:
    energies = (sums.import_wh, sums.shared_wh, sums.export_wh, sums.shared_out_wh)
    words = (sums.quality.lower(), sums.status.lower())
    return (
        f'<th scope="row">{name}</th>'
        + "".join(f"<td>{_kwh(energy_wh)}</td>" for energy_wh in energies)
        + f"<td>{amount}</td>"
        + "".join(f'<td class="word">{word}</td>' for word in words)
        + f"<td>{sums.revision}</td>"
    )


def _month_amount(statement: Statement) -> str:
    currency = statement.currency
    if currency is None:
        return ""
    digits = _minor_units(statement, currency)
    return _number(*_cents(_units(statement.amounts[currency], digits), digits))


def _foot(statement: Statement, made_ms: int, csv_link: str | None) -> str:
    notes = [
        "Every amount is worked out from whole Wh and exact prices. Lines are exact, days are rounded each for itself, "
        "and the month is rounded once, at the end. A minus is what the home gets.",
        "Prices are those that the community has registered, the supplier's among them; each interval has those that "
        "held when it began.",
    ]
    if statement.disagreeing:
        notes.append(
            f"In {_count(statement.disagreeing)} intervals what is given as saved was settled at other prices than are "
            "registered for them now."
        )
    if statement.sums.intervals < statement.expected:
        notes.append("What is not settled yet is not in it.")
    if csv_link is not None:
        notes.append(f'<a class="screen" href="{escape(csv_link)}">Interval by interval, as CSV</a>')
    made = datetime.fromtimestamp(made_ms / 1000, UTC).astimezone(statement.zone)
    notes.append(f"Made on {made:%Y-%m-%d at %H:%M} by Commonwatt, from what was settled by then.")
    return "<footer>" + "".join(f"<p>{note}</p>" for note in notes) + "</footer>"


# --- figures ---


def _count(number: int) -> str:
    return _number(Decimal(number), 0)


def _kwh(energy_wh: int) -> str:
    return _number(Decimal(energy_wh).scaleb(-3), 3)


def _units(minor: Decimal, minor_units: int) -> Decimal:
    """Return an amount in units of its currency, exactly."""
    return minor.scaleb(-minor_units)


def _rounded(value: Decimal, digits: int) -> Decimal:
    """Return a number rounded to so many digits, halves away from zero."""
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _cents(value: Decimal, digits: int) -> tuple[Decimal, int]:
    return _rounded(value, digits), digits


def _number(value: Decimal, digits: int) -> str:
    """Return a number with so many digits after the point at least, thousands apart, and a true minus."""
    text = f"{abs(value):,.{max(digits, _scale(value))}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"\N{MINUS SIGN}{text}" if value < 0 else text


def _scale(value: Decimal) -> int:
    """Return how many digits after the point a number needs."""
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _digits(statement: Statement) -> int:
    """Return how many digits all exact amounts are given with, so that points stand below each other."""
    scales = [_scale(_units(line.amount, line.minor_units)) for line in statement.lines]
    return max([*scales, *(entry.prices.minor_units for entry in statement.entries[:1])])


def _minor_units(statement: Statement, currency: str) -> int:
    return next(entry.prices.minor_units for entry in statement.entries if entry.prices.currency == currency)
