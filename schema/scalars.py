"""The custom scalars: how power, energy, ratios, times and durations look in JSON.

They are written here and nowhere else. Inside, they are plain numbers and strings with the units
of the domain objects; a value that cannot be shown raises ValueError.
"""

import re
from datetime import UTC, datetime, timedelta
from math import copysign, floor, isfinite
from typing import Any, Final, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

Watts = NewType("Watts", float)
WattHours = NewType("WattHours", int)
Ratio = NewType("Ratio", float)
Decimal = NewType("Decimal", str)
DateTime = NewType("DateTime", int)
"""ms since 1970 UTC."""
Duration = NewType("Duration", timedelta)
Cursor = NewType("Cursor", int)
Bytes = NewType("Bytes", int)

_MOST: Final = 2**63
EXACT: Final = 2**53
"""From here on a float is no longer exact to 1, and is written as a float: JSON has no end, our encoder has."""

_UNITS: Final = ((86_400_000, "D"), (3_600_000, "H"), (60_000, "M"))


def show_watts(value: Any) -> int | float:
    """Return a power in W with at most one decimal, an integer where it is whole."""
    return _rounded(value, 1)


def show_watt_hours(value: Any) -> int:
    """Return an energy in whole Wh."""
    if value != int(value):
        raise ValueError(f"{value!r} is no whole number of Wh")
    if not -_MOST <= value < _MOST:
        raise ValueError("an energy has at most 63 bits of Wh")
    return int(value)


def show_bytes(value: Any) -> int:
    """Return a number of bytes, at least 0."""
    if value != int(value) or not 0 <= value < _MOST:
        raise ValueError(f"{value!r} is no number of bytes: whole, at least 0, of at most 63 bits")
    return int(value)


def show_ratio(value: Any) -> int | float:
    """Return a ratio with at most four decimals, an integer where it is 0 or 1."""
    return _rounded(value, 4)


def show_time(value: Any) -> str:
    """Return a time, in ms since 1970 UTC, as RFC 3339 in UTC; milliseconds only where there are some."""
    seconds, milliseconds = divmod(int(value), 1000)
    text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    return f"{text}.{milliseconds:03}Z" if milliseconds else f"{text}Z"


_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(value: Any) -> int:
    """Return a time of RFC 3339 in ms since 1970 UTC, what is finer cut off; raise ValueError."""
    if isinstance(value, str) and _TIME.fullmatch(value.upper()):
        try:
            return (datetime.fromisoformat(value.upper()) - _EPOCH) // timedelta(milliseconds=1)
        except ValueError:
            pass
    raise ValueError(
        f"{str(value)[:40]!r} is no time of RFC 3339: date, time and offset, such as 2030-06-01T00:00:00+02:00"
    )


_RANGES: Final = "every takes PT0.1S to PT1H, maxSilence PT1S to PT24H, next up to PT48H"


def show_duration(value: timedelta) -> str:
    """Return a duration, at least 0 and in whole ms, as ISO 8601 of days, hours, minutes and seconds."""
    left = value // timedelta(milliseconds=1)
    if left < 0:
        raise ValueError(f"{value!r} is negative")
    days, clock = "", ""
    for size, letter in _UNITS:
        count, left = divmod(left, size)
        if count and letter == "D":
            days = f"{count}D"
        elif count:
            clock += f"{count}{letter}"
    if left:
        clock += f"{left / 1000:g}S"
    if not days and not clock:
        return "PT0S"
    return f"P{days}{'T' + clock if clock else ''}"


MAX_STEP: Final = 1_000_000


def check_step(step: Any, *, whole: bool = False) -> float:
    """Return a display quantum that can be used; raise ValueError with the range otherwise.

    `whole`: of a figure that has no fraction, such as an energy in whole Wh.
    """
    if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step <= MAX_STEP:
        raise ValueError(f"step is {_shortened(step)}; it must be over 0 and at most {MAX_STEP}")
    if whole and step != int(step):
        raise ValueError(f"step is {step!r}; it must be a whole number over 0 and at most {MAX_STEP}")
    return step


def quantise(value: float, step: float) -> float:
    """Return the multiple of `step` nearest to `value`, halves away from zero.

    A step below the precision of `value` leaves it as it is.
    """
    quotient = abs(value) / step
    if quotient >= EXACT:
        return value
    steps = floor(quotient + 0.5)
    return copysign(steps * step, value) if steps else 0


HYSTERESIS: Final = 0.25
MAX_HYSTERESIS: Final = 0.5


def show_with_hysteresis(value: float, step: float, before: float | None, hysteresis: float = HYSTERESIS) -> float:
    """Return what to show of a value: what was shown before, until the value is well beyond the border of its step.

    `hysteresis` says how far beyond, in steps, 0 to MAX_HYSTERESIS; so what is shown is at most 0.5 + hysteresis
    steps off.
    """
    if before is not None and abs(value - before) <= (0.5 + hysteresis) * step:
        return before
    return quantise(value, step)


def show_cursor(value: int) -> str:
    """Return a cursor's text: opaque to clients, a stream sequence inside."""
    return str(value)


def parse_cursor(value: Any) -> int:
    """Return the stream sequence in a cursor; raise ValueError for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    raise ValueError(f"{str(value)[:40]!r} is no cursor of this API: give one as you got it")


_DURATION: Final = re.compile(r"P(?:(\d{1,5})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,5})M)?(?:(\d{1,6}(?:\.\d{1,3})?)S)?)?")


def parse_duration(value: Any) -> timedelta:
    """Return the duration in ISO 8601 text of days, hours, minutes and seconds; raise ValueError."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        raise ValueError(f"{str(value)[:40]!r} is no duration of ISO 8601 such as PT10S; {_RANGES}")
    days, hours, minutes, seconds = match.groups()
    return timedelta(days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0), seconds=float(seconds or 0))


def _rounded(value: Any, digits: int) -> int | float:
    if not isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    rounded = round(value, digits)
    if not -EXACT < rounded < EXACT:
        return float(rounded)
    return int(rounded) if rounded == int(rounded) else rounded


def _shortened(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a list in a list in a list
        text = f"of type {type(value).__name__}"
    return text if len(text) <= 40 else text[:40] + "…"


def scalar_map() -> dict[object, ScalarDefinition]:
    """Return the definition of each custom scalar by its Python type."""
    return {
        Watts: strawberry.scalar(
            name="Watts",
            description="Electric power in W: a JSON number with at most one decimal, an integer where it is whole.",
            serialize=show_watts,
        ),
        WattHours: strawberry.scalar(
            name="WattHours",
            description="Energy in whole Wh: a JSON integer that may exceed the 32 bits of Int.",
            serialize=show_watt_hours,
        ),
        Ratio: strawberry.scalar(
            name="Ratio",
            description="A ratio from 0 to 1 without unit: a JSON number with at most four decimals.",
            serialize=show_ratio,
        ),
        Decimal: strawberry.scalar(
            name="Decimal",
            description='An exact decimal number as a string, such as "-12.5".',
            serialize=str,
        ),
        DateTime: strawberry.scalar(
            name="DateTime",
            description='A time in UTC after RFC 3339, such as "2030-06-01T10:15:00Z"; '
            "milliseconds are given only where they are not zero. Other offsets than Z are understood.",
            specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
            serialize=show_time,
            parse_value=parse_time,
        ),
        Cursor: strawberry.scalar(
            name="Cursor",
            description="A place in a sequence, to go on from: opaque, to be given back as it came.",
            serialize=show_cursor,
            parse_value=parse_cursor,
        ),
        Bytes: strawberry.scalar(
            name="Bytes",
            description="A number of bytes: a JSON integer that may exceed the 32 bits of Int.",
            serialize=show_bytes,
        ),
        Duration: strawberry.scalar(
            name="Duration",
            description='A duration after ISO 8601, such as "PT15M".',
            serialize=show_duration,
            parse_value=parse_duration,
        ),
    }
