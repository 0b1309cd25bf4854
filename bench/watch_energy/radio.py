"""What traffic costs a radio: how often it wakes, how long it is awake, what goes through it, and joules.

What passed a socket comes in, with its times; figures go out: pure functions. The model is E = E_wake + E_byte · bytes
+ E_tail, where the tail is cut short by what comes before its end, so that traffic without a pause costs one long
tail, not many. It is the radio's share alone: not the display, not the processor, not what a held link costs when idle.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

SEGMENT: Final = 1448
"""Bytes that a TCP segment carries: 1500 less the headers of IPv4 and of TCP with timestamps."""
HEADERS: Final = 52
"""Bytes of those headers."""
RECORD: Final = 22
"""Bytes that TLS 1.3 adds to a record: its head, the content type, the tag."""
OPENING: Final = (3_200, 800)
"""Bytes that come and go for a new connection: TCP's handshake and end, TLS 1.3's handshake with two certificates."""
TOGETHER_S: Final = 0.05


class Passed(NamedTuple):
    """What one read (`came`) or write (`went`) at a socket carried, in bytes; `opened`: it is a connection's first."""

    at_s: float
    came: int
    went: int
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Radio:
    """What a radio costs: to wake, W while awake, per byte in and out; and how long it stays awake after use."""

    name: str
    wake_j: float
    tail_s: float
    tail_w: float
    in_j: float
    out_j: float


BLE: Final = Radio("BLE", wake_j=0.0001, tail_s=0.1, tail_w=0.001, in_j=0.2e-6, out_j=0.2e-6)
"""A held link: a connection event of some ms at 6 mA and 3 V, then some more at the short interval; about, by data
sheets of the nRF52 family. The idle link (4 to 20 µA) costs the same whatever is sent."""
WIFI: Final = Radio("Wi-Fi", wake_j=0.00984, tail_s=0.2381, tail_w=0.1193, in_j=1.096e-6, out_j=2.265e-6)
"""A held link in power save: 0.04 J for a lone update. Huang et al., MobiSys 2012, tables 3 and 4."""
LTE: Final = Radio("LTE", wake_j=0.3149, tail_s=11.576, tail_w=1.060, in_j=0.416e-6, out_j=3.507e-6)
"""12.6 J for a lone update, nearly all of it the tail. The same source."""
RADIOS: Final = (BLE, WIFI, LTE)


def wire(passed: Iterable[Passed]) -> tuple[int, int]:
    """Return the bytes that come and go for it with TLS, TCP and IP.

    What goes in one direction within TOGETHER_S is one TLS record, in as few segments as hold it. What came is
    acknowledged by a bare segment, what went by the answer.
    """
    came = went = 0
    for one in pieces(passed):
        if one.came:
            came += _segmented(one.came)
            went += HEADERS
        if one.went:
            went += _segmented(one.went)
        if one.opened:
            came, went = came + OPENING[0], went + OPENING[1]
    return came, went


def pieces(passed: Iterable[Passed]) -> list[Passed]:
    """Return what passed with reads, and writes, of the same moment put together: how many there were is chance."""
    found: list[Passed] = []
    for one in passed:
        last = found[-1] if found else None
        alike = last is not None and not one.opened and bool(last.came) == bool(one.came)
        if last is not None and alike and one.at_s - last.at_s <= TOGETHER_S:
            found[-1] = last._replace(came=last.came + one.came, went=last.went + one.went)
        else:
            found.append(one)
    return found


def _segmented(size: int) -> int:
    return size + RECORD + HEADERS * ceil((size + RECORD) / SEGMENT)


def bursts(passed: Iterable[Passed], tail_s: float) -> list[tuple[float, float]]:
    """Return when each burst began and ended: what passes over `tail_s` after what passed before begins one."""
    found: list[tuple[float, float]] = []
    for at_s, *_ in passed:
        if found and at_s - found[-1][1] <= tail_s:
            found[-1] = found[-1][0], at_s
        else:
            found.append((at_s, at_s))
    return found


def awake_s(passed: Iterable[Passed], tail_s: float) -> float:
    """Return how long a radio is awake: each burst and its tail, in s."""
    return sum(end - begin + tail_s for begin, end in bursts(passed, tail_s))


def joules(passed: Sequence[Passed], radio: Radio) -> float:
    """Return what a radio spends on what passed, in J."""
    came, went = wire(passed)
    woken, awake = len(bursts(passed, radio.tail_s)), awake_s(passed, radio.tail_s)
    return woken * radio.wake_j + awake * radio.tail_w + came * radio.in_j + went * radio.out_j
