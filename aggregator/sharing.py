"""Sharing: who gets how much of the community's production in one interval.

Whole Wh in, whole Wh out. What a rule leaves fractional is rounded by largest remainder, ties
by home id, so that every sum holds exactly. Pure functions; no home is ever given more than it
drew, and never more is given than was injected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from bus.community import AllocationKey

_KEY_SCALE: Final = 10**12


class Participant(NamedTuple):
    """A home in one interval: drawn and injected energy in Wh, key 0..1, participation 1..100 %."""

    home: str
    import_wh: int
    export_wh: int
    key: Decimal | None = None
    participation: int = 100


@dataclass(frozen=True, slots=True)
class Allocation:
    """The outcome: per home what it was allocated and what of its injection was used, in Wh."""

    allocated: Mapping[str, int]
    used: Mapping[str, int]
    shared_wh: int


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` >= 0 into integers proportional to `weights` >= 0; they add up to it exactly.

    Units that rounding down leaves over go to the largest remainders, ties to the earlier
    position. With weights that are all 0 everything stays 0.
    """
    whole = sum(weights)
    if total == 0 or whole == 0:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    if left:
        order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
        for i in order[:left]:
            parts[i] += 1
    return parts


def share(key: AllocationKey, participants: Sequence[Participant]) -> Allocation:
    """Share one interval's production by an allocation key (formulas: docs/energy-communities.md).

    VIRTUAL nets nothing per home: its allocations are 0 and `shared_wh` is min(production, demand).
    """
    homes = sorted(participants)  # by home id: ties of a largest remainder go to the smaller id
    demand = [home.import_wh * home.participation // 100 for home in homes]
    supply = [home.export_wh * home.participation // 100 for home in homes]
    total = sum(supply)
    if key == "VIRTUAL":
        nothing = {home.home: 0 for home in homes}
        return Allocation(nothing, nothing, min(total, sum(demand)))
    if key == "DYNAMIC":
        allocated = _pro_rata(total, demand)
    else:
        weights = [int((home.key or Decimal(0)) * _KEY_SCALE) for home in homes]
        allocated = _round(total, demand, weights)
        if key == "STATIC_ROUNDS":
            allocated = _rounds(total, demand, weights, allocated)
        elif key == "HYBRID":
            rest = [want - got for want, got in zip(demand, allocated, strict=True)]
            more = _pro_rata(total - sum(allocated), rest)
            allocated = [got + extra for got, extra in zip(allocated, more, strict=True)]
    shared = sum(allocated)
    used = largest_remainder(shared, supply)
    return Allocation(
        {home.home: wh for home, wh in zip(homes, allocated, strict=True)},
        {home.home: wh for home, wh in zip(homes, used, strict=True)},
        shared,
    )


def _pro_rata(total: int, demand: Sequence[int]) -> list[int]:
    return largest_remainder(min(total, sum(demand)), demand)


def _round(total: int, demand: Sequence[int], weights: Sequence[int]) -> list[int]:
    offered = largest_remainder(total, weights)
    return [min(offer, want) for offer, want in zip(offered, demand, strict=True)]


def _rounds(total: int, demand: Sequence[int], weights: Sequence[int], first: Sequence[int]) -> list[int]:
    allocated = list(first)
    while left := total - sum(allocated):
        rest = [want - got for want, got in zip(demand, allocated, strict=True)]
        still = [weight if want else 0 for weight, want in zip(weights, rest, strict=True)]
        more = _round(left, rest, still)
        if not any(more):
            break
        allocated = [got + extra for got, extra in zip(allocated, more, strict=True)]
    return allocated
