"""Measuring: from the readings around an interval's borders to the energy of a home in it.

Short gaps are interpolated linearly. Gaps of 2 h and more take the shape of the home's own
profile, scaled so that what is filled in adds up to the registers' difference. Where no later
reading has come yet, the profile itself is the estimate. Values at borders are cumulative, so
consecutive intervals always add up to the registers' difference.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from aggregator.profile import Past, Profile, comparable_starts
from aggregator.rows import Measured, worst
from aggregator.track import Crossing, Energy, Point, Track
from bus.messages import Quality

LONG_GAP_MS: Final = 2 * 3_600_000


class Metered(NamedTuple):
    """A meter in an interval: the readings around its two borders."""

    role: str
    track: Track
    at_start: Crossing
    at_end: Crossing


def wanted_past(meters: Iterable[Metered], start: int, end: int) -> set[int]:
    """Return the starts of the settled intervals that measuring needs for profiles; empty: none."""
    wanted: set[int] = set()
    for _, _, at_start, at_end in meters:
        for crossing, border in ((at_start, start), (at_end, end)):
            before, after = crossing
            if before is None or before.at >= border:
                continue
            if after is None:
                since = max(before.at, start)
                wanted |= comparable_starts(before.at, since, border, border, end - start)
            elif after.at - before.at >= LONG_GAP_MS and after.at > border:
                wanted |= comparable_starts(before.at, before.at, after.at, border, end - start)
    return wanted


def measure_home(home: str, meters: Sequence[Metered], start: int, end: int, past: Past) -> Measured:
    """Return a home's energy between two borders, in whole Wh, from all its meters, summed by role."""
    whole = Measured(quality="MEASURED")
    grid_seen = False
    for meter in meters:
        energy, how = _measure_meter(home, meter, start, end, past)
        if meter.role == "GRID":
            grid_seen = grid_seen or how != "MISSING"
        elif how == "MISSING":
            continue
        whole = whole.plus(meter.role, energy.import_wh, energy.export_wh)._replace(quality=worst(whole.quality, how))
    return whole if grid_seen else whole._replace(quality="MISSING")


def _measure_meter(home: str, meter: Metered, start: int, end: int, past: Past) -> tuple[Energy, Quality]:
    at_start, at_end = meter.at_start, meter.at_end
    if meter.track.last is None or (at_end.before is None and (at_end.after is None or at_end.after.at > end)):
        return Energy(0, 0), "MISSING"  # not read by the end of this interval
    first, how_first = _value(home, meter, at_start, start, start, end, past)
    second, how_second = _value(home, meter, at_end, end, start, end, past)
    quality: Quality = "MEASURED"
    if at_start.after is None or at_start.after.at > start:
        quality = worst(quality, how_first)
    if at_end.before is None or at_end.before.at < end:
        quality = worst(quality, how_second)
    energy = second.minus(first)
    return Energy(max(0, energy.import_wh), max(0, energy.export_wh)), quality


def _value(
    home: str, meter: Metered, crossing: Crossing, border: int, start: int, end: int, past: Past
) -> tuple[Energy, Quality]:
    """Return a meter's cumulative energy at a border of the interval from `start` to `end`."""
    track, (before, after) = meter.track, crossing
    if after is None:
        assert before is not None
        known = track.cumulative(before)
        if before.at >= border:
            return known, "MEASURED"
        profile = past.profile(home, before.at)
        more = _weight(meter.role, profile, max(before.at, start), border, border, end - start)
        return Energy(known.import_wh + more[0], known.export_wh + more[1]), "ESTIMATED"
    if before is None:
        return track.cumulative(after), "MEASURED" if after.at == border else "ESTIMATED"
    gap = after.at - before.at
    if gap >= LONG_GAP_MS and before.at < border < after.at:
        profile = past.profile(home, before.at)
        return _shaped(meter, before, after, border, end - start, profile), "ESTIMATED"
    value = track.energy_at(crossing, border)
    assert value is not None
    if gap <= end - start:
        return value, "MEASURED"
    return value, "SUBSTITUTED" if gap < LONG_GAP_MS else "ESTIMATED"


def _shaped(meter: Metered, before: Point, after: Point, border: int, interval_ms: int, profile: Profile) -> Energy:
    start, end = meter.track.cumulative(before), meter.track.cumulative(after)
    part = _weight(meter.role, profile, before.at, border, border, interval_ms)
    whole = _weight(meter.role, profile, before.at, after.at, border, interval_ms)
    values = []
    for low, high, share, total in zip(start, end, part, whole, strict=True):
        if total == 0:
            share, total = border - before.at, after.at - before.at
        values.append(low + max(0, high - low) * share // total)
    return Energy(*values)


def _weight(role: str, profile: Profile, since: int, until: int, border: int, interval_ms: int) -> tuple[int, int]:
    """Return the profile's (import, export) of a meter's role between two times, in Wh; `border` aligns the slots."""
    if until <= since:
        return 0, 0
    first = since - (since - border) % interval_ms
    low = profile.until(role, first, since, interval_ms)
    high = profile.until(role, first, until, interval_ms)
    return (high[0] - low[0]) // interval_ms, (high[1] - low[1]) // interval_ms
