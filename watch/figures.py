"""Figures as text for a glance: power, energy, money, a length of time.

Numbers come in, short text goes out; no sign, no label. docs/watch.md says how many digits.
"""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

NOTHING: Final = "–"
_MINOR_DIGITS: Final = {"JPY": 0, "KRW": 0, "ISK": 0, "BHD": 3, "KWD": 3, "TND": 3}
_MOST_DIGITS: Final = 15


def power(watts: float | None) -> str:
    """Return `watts` without its sign: 640 W, 1.24 kW, 14.5 kW, 3.20 MW; a dash for None."""
    if watts is None:
        return NOTHING
    size = abs(watts)
    if _whole(size) < 1000:
        return f"{_whole(size)} W"
    if size < 9_995:
        return f"{_fixed(size / 1000, 2)} kW"
    return f"{_fixed(size / 1000, 1)} kW" if size < 999_950 else f"{_fixed(size / 1_000_000, 2)} MW"


def energy(watt_hours: float | None) -> str:
    """Return `watt_hours` without its sign: 640 Wh, 1.2 kWh, 12.3 MWh; a dash for None."""
    if watt_hours is None:
        return NOTHING
    size = abs(watt_hours)
    if _whole(size) < 1000:
        return f"{_whole(size)} Wh"
    return f"{_fixed(size / 1000, 1)} kWh" if size < 9_999_950 else f"{_fixed(size / 1_000_000, 1)} MWh"


def money(minor_units: str | None, currency: str | None) -> tuple[str, bool]:
    """Return an amount without its sign, as 0.84 EUR, and whether it is a loss; a dash for what is no amount."""
    try:
        amount = Decimal(minor_units or "")
    except InvalidOperation:
        return NOTHING, False
    if not amount.is_finite() or abs(amount) >= Decimal(10) ** _MOST_DIGITS or currency is None:
        return NOTHING, False
    digits = _MINOR_DIGITS.get(currency, 2)
    shown = amount.scaleb(-digits).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return f"{abs(shown)} {currency}", shown < 0


def span(ms: float) -> str:
    """Return a length of time: 12 s, 4 min, 3 h, 5 days."""
    whole = int(max(0.0, ms) / 1000)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h" if whole < 48 * 3600 else f"{whole // 86400} days"


def size(count: int) -> str:
    """Return a number of bytes: 640 B, 1.2 kB, 3.4 MB."""
    if count < 1000:
        return f"{count} B"
    return f"{_fixed(count / 1000, 1)} kB" if count < 999_950 else f"{_fixed(count / 1_000_000, 1)} MB"


def is_zero(watts: float) -> bool:
    """Say whether it shows as 0."""
    return _whole(abs(watts)) == 0


def _whole(value: float) -> int:
    return int(value + 0.5)


def _fixed(value: float, digits: int) -> str:
    return f"{int(value * 10**digits + 0.5) / 10**digits:.{digits}f}"
