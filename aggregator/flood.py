"""Floods: a meter that says too much is cut short, and what is refused of it is told in few messages.

What is judged is how close a meter's readings lie by its own clock, not how fast they come: a gateway
that was away publishes thousands of good ones at once. Of refusals the first few of a minute of the
stream's time go to REJECTED whole; the others are counted, and told of in one message for each reason
when the minute is over. All of it is in the state, so that the same stream gives the same messages.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from aggregator.track import Track
from bus.messages import Rejected

APART_MS: Final = 100
"""Readings of a meter that lie this far apart, or further, are never too many."""

MOST_A_SECOND: Final = 10
"""Readings within one second of the meter's clock that lie closer, or come in another order; more are refused."""

MOST_TOLD: Final = 30
"""Refusals of one meter that are told whole, in each minute."""

MOST_OF_STRANGERS: Final = 60
"""The same for all meters together that the community does not have."""

STRANGERS: Final = ""
"""Stands for those where the id of a meter would."""

_MINUTE_MS: Final = 60_000


class Withheld(msgspec.Struct, array_like=True):
    """Refusals that were counted only: how many, and which was the last."""

    count: int
    sequence: int
    received_at: int
    subject: str
    detail: str


class Refusals(msgspec.Struct):
    """What was refused of a meter in a minute (since 1970, of the stream's time)."""

    minute: int
    told: int = 0
    withheld: dict[str, Withheld] = {}
    """By reason."""


def crowds(track: Track, at: int) -> bool:
    """Count a reading that lies close to others; say whether there are too many of its second."""
    second = at // 1000
    if second != track.second:
        track.second, track.crowd = second, 1
        return False
    track.crowd += 1
    return track.crowd > MOST_A_SECOND


def tell(refusals: dict[str, Refusals], meter: str, rejected: Rejected) -> Iterator[Rejected]:
    """Yield what a refusal causes: what was withheld until its minute, and itself, unless it is one too many."""
    minute = rejected.received_at // _MINUTE_MS
    known = refusals.get(meter)
    if known is None or minute > known.minute:
        if known is not None:
            yield from _counted(known)
        known = refusals[meter] = Refusals(minute)
    if known.told < (MOST_TOLD if meter else MOST_OF_STRANGERS):
        known.told += 1
        yield rejected
        return
    before = known.withheld.get(rejected.reason)
    known.withheld[rejected.reason] = Withheld(
        rejected.count + (0 if before is None else before.count),
        rejected.sequence,
        rejected.received_at,
        rejected.subject,
        rejected.detail,
    )


def settle(refusals: dict[str, Refusals], now: int) -> Iterator[Rejected]:
    """Yield what was withheld in minutes that are over at `now`, in ms since 1970, and forget them."""
    for meter in [meter for meter, known in refusals.items() if now // _MINUTE_MS > known.minute]:
        yield from _counted(refusals.pop(meter))


def _counted(known: Refusals) -> Iterator[Rejected]:
    for reason, withheld in known.withheld.items():
        which = f"the last at sequence {withheld.sequence} of READINGS, which holds them whole"
        yield Rejected(
            reason=reason,
            detail=f"{withheld.count} more in this minute, {which}: {withheld.detail}",
            subject=withheld.subject,
            sequence=withheld.sequence,
            received_at=withheld.received_at,
            payload="",
            count=withheld.count,
        )
