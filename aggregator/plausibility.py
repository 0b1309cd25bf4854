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
    if at <= last.at:
        return _older(track, reading, at, connection_w)
    earlier = track.suspect
    refuted = earlier if earlier is not None and earlier.at < at else None
    epoch = track.epochs[last.epoch]
    known = epoch.name == reading.epoch
    if known and follows(epoch.exit, last.at, imp, exp, at, connection_w):
        track.suspect = None if refuted is not None else earlier
        return Outcome(Verdict.NEWEST, (_held(epoch, Point(at, last.epoch, imp, exp)),), refuted)
    if not known and all(one.name != reading.epoch for one in track.epochs):
        number = _new_epoch(track, reading.epoch, (imp, exp))
        track.suspect = None if refuted is not None else earlier
        return Outcome(Verdict.NEWEST, (Point(at, number, imp, exp),), refuted)
    if earlier is not None and earlier.epoch == reading.epoch:
        if (earlier.at, earlier.import_wh, earlier.export_wh) == (at, imp, exp):
            return Outcome(Verdict.DUPLICATE)
        one, two = sorted(((earlier.at, earlier.import_wh, earlier.export_wh), (at, imp, exp)))
        if one[0] < two[0] and follows(one[1:], one[0], two[1], two[2], two[0], connection_w):
            number = _new_epoch(track, reading.epoch, _counted_from(track, reading.epoch, one, connection_w))
            track.suspect = None
            started = Point(one[0], number, one[1], one[2])
            return Outcome(
                Verdict.NEWEST,
                (started, started._replace(at=two[0], import_wh=max(one[1], two[1]), export_wh=max(one[2], two[2]))),
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


def _older(track: Track, reading: Reading, at: int, connection_w: int) -> Outcome:
    points = track.points()
    known = next((point for point in points if point.at == at), None)
    imp, exp = reading.import_wh, reading.export_wh
    if known is not None:
        same = (known.import_wh, known.export_wh) == (imp, exp)
        if same or (not reading.correction and _same(known.import_wh, imp) and _same(known.export_wh, exp)):
            return Outcome(Verdict.DUPLICATE)
        if not reading.correction:
            raise RefusalError(
                "conflict",
                f"{imp}/{exp} Wh where {known.import_wh}/{known.export_wh} Wh are stored for the same time; "
                "mark it with correction = true if it is right",
            )
        return Outcome(Verdict.CORRECTION, (Point(at, known.epoch, imp, exp),))
    after = next(point for point in points if point.at > at)
    before = next((point for point in reversed(points) if point.at < at), None)
    named = [number for number, epoch in enumerate(track.epochs) if epoch.name == reading.epoch]
    if not named:
        raise RefusalError("unknown_epoch", f"epoch {reading.epoch!r} begins before the meter's newest reading")
    verdict = Verdict.CORRECTION if reading.correction else Verdict.OLDER
    near = {point.epoch for point in (before, after) if point is not None and point.epoch in named}
    for number in sorted(near):
        if (
            before is None or before.epoch != number or follows(before[2:], before.at, imp, exp, at, connection_w)
        ) and (after.epoch != number or follows((imp, exp), at, *after[2:], after.at, connection_w)):
            return Outcome(verdict, (Point(at, number, imp, exp),))
    if not near:
        return Outcome(verdict, (Point(at, named[-1], imp, exp),))
    above = imp > after.import_wh or exp > after.export_wh
    earlier = "the first one" if before is None else f"{before.import_wh}/{before.export_wh} Wh"
    raise RefusalError(
        "register_leapt" if above else "register_fell",
        f"{imp}/{exp} Wh cannot come between {earlier} and {after.import_wh}/{after.export_wh} Wh",
    )


def _new_epoch(track: Track, name: str, entry: tuple[int, int]) -> int:
    """Begin an epoch and return its number."""
    number = track.leave_epoch()
    if number >= _MAX_EPOCHS:
        raise RefusalError("out_of_range", f"the meter was exchanged {_MAX_EPOCHS} times within the open intervals")
    track.epochs.append(Epoch(name, entry, entry))
    return number


def _counted_from(track: Track, name: str, start: tuple[int, int, int], connection_w: int) -> tuple[int, int]:
    """Return the registers from which a register that was not believed at first counts: `start` is its first value.

    Its own; but where it goes on from what the meter showed before some nonsense (zeros at boot,
    a wrong unit), from there, less what was counted in between.
    """
    at, imp, exp = start
    between = [0, 0]
    for epoch in reversed(track.epochs):
        if epoch.name != name:
            continue
        if epoch.exit_at and follows(epoch.exit, epoch.exit_at, imp, exp, at, connection_w):
            return min(imp, epoch.exit[0] + between[0]), min(exp, epoch.exit[1] + between[1])
        between[0] += epoch.exit[0] - epoch.entry[0]
        between[1] += epoch.exit[1] - epoch.entry[1]
    return imp, exp


def _same(known: int, register: int) -> bool:
    """Say whether a register is the one known, which may have been held a little above it."""
    return 0 <= known - register <= TOLERANCE_WH


def _held(epoch: Epoch, point: Point) -> Point:
    """Hold a register that fell within the tolerance at the value that it had."""
    return point._replace(import_wh=max(point.import_wh, epoch.exit[0]), export_wh=max(point.export_wh, epoch.exit[1]))
