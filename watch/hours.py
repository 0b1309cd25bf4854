"""The best hours of a forecast: the stretches worth waiting for.

Expected hours come in, rows of text go out: from and to by the local clock, how much surplus, how sure. A pure
function of its arguments and the time zone.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Final

from watch.figures import NOTHING, energy
from watch.glance import ExpectedHour

LEAST_SURE: Final = 0.5
LIKELY: Final = 0.75
MOST_ROWS: Final = 3


def rows_of_hours(
    hours: Sequence[ExpectedHour] | None, reason: str | None, zone: tzinfo | None = None
) -> Iterator[tuple[str, str, str]]:
    """Give label, value and meaning of up to three stretches, the soonest first; one row that says why without any."""
    stretches = list(_stretches(hours or ()))
    best = sorted(stretches, key=_total, reverse=True)[:MOST_ROWS]
    for stretch in (one for one in stretches if one in best):
        sure = min(hour.sure for hour in stretch)
        label = f"{_clock(stretch[0].start, zone)}–{_clock(stretch[-1].end, zone, end=True)} h"
        yield label, f"+{energy(_total(stretch))}", "likely" if sure >= LIKELY else "perhaps"
    if not best:
        yield ("best hours", NOTHING, reason or "") if not hours else ("best hours", "none", "in sight")


def _stretches(hours: Sequence[ExpectedHour]) -> Iterator[tuple[ExpectedHour, ...]]:
    """Give the longest runs of hours, one after the other, that are good."""
    run: tuple[ExpectedHour, ...] = ()
    for hour in hours:
        if run and run[-1].end != hour.start:
            yield run
            run = ()
        if hour.surplus_wh > 0 and hour.sure >= LEAST_SURE:
            run += (hour,)
        elif run:
            yield run
            run = ()
    if run:
        yield run


def _total(stretch: Sequence[ExpectedHour]) -> float:
    return sum(hour.surplus_wh for hour in stretch)


def _clock(moment: datetime, zone: tzinfo | None, *, end: bool = False) -> str:
    local = moment.astimezone(zone)
    hour = 24 if end and (local.hour, local.minute) == (0, 0) else local.hour
    return f"{hour}:{local.minute:02}" if local.minute else str(hour)
