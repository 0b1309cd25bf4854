"""Plausibility: what to believe of a reading, given what its meter said before.

Nothing is believed that a connection could not carry, and nothing is dropped without a trace: a
value that cannot be is quarantined until a second reading agrees with it (then the register
is counted on from there) or contradicts it (then it is refused, whole, with its reason).
"""

from enum import Enum
from typing import Final, NamedTuple

from aggregator.track import Epoch, Point, Suspect, Track
from bus.reading import Reading, RefusalError

TOLERANCE_WH: Final = 100
"""A register may fall by this much (rounding, a sample out of order inside the meter): it is held."""

_SLACK_WH: Final = 100
_MS_PER_HOUR: Final = 3_600_000
_MAX_EPOCHS: Final = 64


class Verdict(Enum):
    """What became of a reading."""

    NEWEST = "newer than all before it"
    OLDER = "in between earlier ones"
    CORRECTION = "takes the place of an earlier one"
    DUPLICATE = "known already"
    QUARANTINED = "kept until a second reading agrees"


class Outcome(NamedTuple):
    """A verdict, the points that it accepts (oldest first) and the suspect that it refutes."""

    verdict: Verdict
    points: tuple[Point, ...] = ()
    refuted: Suspect | None = None


def judge(track: Track, reading: Reading, at: int, connection_w: int, suspect: Suspect) -> Outcome:
    """Judge a reading that is not simply the next one; `suspect` is its form in quarantine.

    Raises RefusalError for what can never be accepted. Takes new epochs into the track.
    """
    imp, exp = reading.import_wh, reading.export_wh
    last = track.last
    if last is None:
        track.epochs.append(Epoch(reading.epoch, (imp, exp), (imp, exp)))
        return Outcome(Verdict.NEWEST, (Point(at, 0, imp, exp),))
    index = _epoch_index(track, reading.epoch)
    if at <= last.at:
        return _older(track, reading, at, index, connection_w)
    if index is None:
        if len(track.epochs) >= _MAX_EPOCHS:
            raise RefusalError("out_of_range", f"meter exchanged more than {_MAX_EPOCHS} times")
        refuted, track.suspect = track.suspect, None
        track.epochs.append(Epoch(reading.epoch, (imp, exp), (imp, exp)))
        return Outcome(Verdict.NEWEST, (Point(at, len(track.epochs) - 1, imp, exp),), refuted)
    for candidate in range(len(track.epochs) - 1, -1, -1):
        epoch = track.epochs[candidate]
        if epoch.name != reading.epoch or (candidate != last.epoch and track.suspect is None):
            continue
        if follows(epoch.exit, last.at, imp, exp, at, connection_w):
            refuted, track.suspect = track.suspect, None
            return Outcome(Verdict.NEWEST, (_held(epoch, Point(at, candidate, imp, exp)),), refuted)
    earlier = track.suspect
    if (
        earlier is not None
        and earlier.epoch == reading.epoch
        and earlier.at < at
        and follows((earlier.import_wh, earlier.export_wh), earlier.at, imp, exp, at, connection_w)
        and len(track.epochs) < _MAX_EPOCHS
    ):
        track.suspect = None
        start = (earlier.import_wh, earlier.export_wh)
        track.epochs.append(Epoch(reading.epoch, start, start))
        number = len(track.epochs) - 1
        return Outcome(
            Verdict.NEWEST,
            (Point(earlier.at, number, *start), _held(track.epochs[number], Point(at, number, imp, exp))),
        )
    track.suspect = suspect
    return Outcome(Verdict.QUARANTINED, refuted=earlier)


def follows(before: tuple[int, int], before_at: int, imp: int, exp: int, at: int, connection_w: int) -> bool:
    """Say whether registers can follow earlier ones: no fall beyond tolerance, no leap beyond the connection."""
    limit = connection_w * (at - before_at) // _MS_PER_HOUR + _SLACK_WH
    return -TOLERANCE_WH <= imp - before[0] <= limit and -TOLERANCE_WH <= exp - before[1] <= limit


def doubt(track: Track, reading: Reading, at: int) -> tuple[str, str]:
    """Return reason and text for a reading that cannot follow the meter's last one."""
    last = track.last
    assert last is not None
    for name, new, old in (
        ("import_wh", reading.import_wh, last.import_wh),
        ("export_wh", reading.export_wh, last.export_wh),
    ):
        if new < old - TOLERANCE_WH:
            return "register_fell", f"{name} fell from {old} to {new} Wh; up to {TOLERANCE_WH} Wh are tolerated"
    seconds = (at - last.at) / 1000
    rises = f"import {last.import_wh} to {reading.import_wh}, export {last.export_wh} to {reading.export_wh} Wh"
    return "register_leapt", f"{rises} within {seconds:g} s is more than the connection can carry"


def _older(track: Track, reading: Reading, at: int, index: int | None, connection_w: int) -> Outcome:
    last = track.last
    assert last is not None
    known = _stored_at(track, at)
    imp, exp = reading.import_wh, reading.export_wh
    if known is not None:
        if _same(known.import_wh, imp) and _same(known.export_wh, exp):
            return Outcome(Verdict.DUPLICATE)
        if not reading.correction:
            raise RefusalError(
                "conflict",
                f"{imp}/{exp} Wh where {known.import_wh}/{known.export_wh} Wh are stored for the same time; "
                "mark it with correction = true if it is right",
            )
        return Outcome(Verdict.CORRECTION, (Point(at, known.epoch, imp, exp),))
    if index is None:
        raise RefusalError("unknown_epoch", f"epoch {reading.epoch!r} begins before the meter's newest reading")
    epoch = track.epochs[index]
    if epoch is track.epochs[last.epoch] and not follows((imp, exp), at, *epoch.exit, last.at, connection_w):
        reason = "register_leapt" if imp <= last.import_wh and exp <= last.export_wh else "register_fell"
        raise RefusalError(reason, f"{imp}/{exp} Wh cannot come before {last.import_wh}/{last.export_wh} Wh")
    verdict = Verdict.CORRECTION if reading.correction else Verdict.OLDER
    return Outcome(verdict, (Point(at, index, imp, exp),))


def _stored_at(track: Track, at: int) -> Point | None:
    """Return the point of a time, among those that still matter: the last two, and those next to open borders."""
    for point in (track.last, track.previous):
        if point is not None and point.at == at:
            return point
    for crossing in track.crossings:
        for point in crossing:
            if point is not None and point.at == at:
                return point
    return None


def _same(known: int, register: int) -> bool:
    """Say whether a register is the one known, which may have been held a little above it."""
    return 0 <= known - register <= TOLERANCE_WH


def _epoch_index(track: Track, name: str) -> int | None:
    for index in range(len(track.epochs) - 1, -1, -1):
        if track.epochs[index].name == name:
            return index
    return None


def _held(epoch: Epoch, point: Point) -> Point:
    """Hold a register that fell within the tolerance at the value that it had."""
    return point._replace(import_wh=max(point.import_wh, epoch.exit[0]), export_wh=max(point.export_wh, epoch.exit[1]))
