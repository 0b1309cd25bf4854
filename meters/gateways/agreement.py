"""Whether sources of one meter say the same: what differs is a unit, a sign, or another meter."""

from datetime import timedelta
from typing import Final

from bus.reading import Reading

_NEAR: Final = timedelta(seconds=60)
"""Readings further apart are not compared."""

_LEAST_W: Final = 50.0
_LEAST_WH: Final = 1000
_THRICE: Final = 3
_MOST: Final = 16
"""Sources that are compared; a person reads no more."""


class Agreement:
    """Compares each reading with the newest one of every other source."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[str, Reading]] = {}
        self._apart: dict[tuple[str, str], int] = {}

    def of(self, name: str, reading: Reading, source: str = "") -> tuple[str, ...]:
        """Return how a reading differs from what the other sources said last, a sentence each.

        `source` is where several devices come from, which are meters of their own; empty: the name.
        """
        found: list[str] = []
        for other, (theirs_from, theirs) in self._newest.items():
            if theirs_from != (source or name) and abs(theirs.at - reading.at) <= _NEAR:
                first, second = sorted(((name, reading), (other, theirs)), key=lambda pair: pair[0])
                found += self._compared(*first, *second)
        if name in self._newest or len(self._newest) < _MOST:
            self._newest[name] = source or name, reading
        return tuple(found)

    def _compared(self, name: str, one: Reading, other: str, two: Reading) -> list[str]:
        found = [_registers(name, one, other, two)]
        said, differs = _powers(name, one, other, two)
        pair = name, other
        # A load that is switched between two readings makes any two sources differ once.
        self._apart[pair] = self._apart.get(pair, 0) + 1 if differs else 0
        if said or self._apart[pair] >= _THRICE:
            found.append(said or f"{name} says {_net(one):,.0f} W and {other} {_net(two):,.0f} W, again and again")
        return [text for text in found if text]


def _powers(name: str, one: Reading, other: str, two: Reading) -> tuple[str, bool]:
    """Return what a difference in power means, if anything, and whether there is one."""
    if one.power_import_w is None or two.power_import_w is None:
        return "", False
    a, b = _net(one), _net(two)
    most, least = max(abs(a), abs(b)), min(abs(a), abs(b))
    if most < _LEAST_W or abs(a - b) <= max(2 * _LEAST_W, most * 0.3):
        return "", False
    both = f"{name} says {a:,.1f} W and {other} {b:,.1f} W"
    if abs(a + b) <= most * 0.1:
        return f"{both}: one of them has import and export swapped", True
    if least > 0 and 500 <= most / least <= 2000:
        return f"{both}, a thousand times as much: one of them takes kW for W", True
    return "", True


def _registers(name: str, one: Reading, other: str, two: Reading) -> str:
    """Return what a difference in the registers means; "" where there is none."""
    a, b = (one.import_wh, one.export_wh), (two.import_wh, two.export_wh)
    if _same(a, b):
        return ""
    both = f"{name} says {a[0]:,} Wh drawn and {a[1]:,} Wh fed in, {other} {b[0]:,} and {b[1]:,}"
    if _same(a, (b[1], b[0])):
        return f"{both}: one of them has import and export swapped"
    for more, less in ((a, b), (b, a)):
        if max(more) >= 1000 * _LEAST_WH and _same(more, (less[0] * 1000, less[1] * 1000)):
            return f"{both}, a thousand times as much: one of them takes kWh for Wh"
    return f"{both}: they count from different times, or are two meters"


def _same(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return all(abs(x - y) <= max(_LEAST_WH, 0.001 * max(x, y)) for x, y in zip(a, b, strict=True))


def _net(reading: Reading) -> float:
    return (reading.power_import_w or 0.0) - (reading.power_export_w or 0.0)
