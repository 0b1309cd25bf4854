"""A meter's track: what the fold remembers of one meter.

Not its readings: only the newest one, the pair of readings around each open interval border,
and the register values at which each epoch began and ended. Register values are compared
through `cumulative`, which runs on over meter exchanges: energy is counted within an epoch
only, from its first reading to its last, so an exchange neither loses nor invents any.
"""

from typing import Final, NamedTuple, TypeVar

import msgspec

MIN_STALE_MS: Final = 30_000
UNKNOWN_GAP_MS: Final = 600_000
NEVER: Final = 2**62
_KEPT_EPOCHS: Final = 16


class Point(NamedTuple):
    """A reading's registers: time in ms since 1970, index of the epoch, import and export in Wh."""

    at: int
    epoch: int
    import_wh: int
    export_wh: int


class Energy(NamedTuple):
    """Energy since a meter's first reading, over all epochs, in Wh."""

    import_wh: int
    export_wh: int

    def minus(self, other: "Energy") -> "Energy":
        return Energy(self.import_wh - other.import_wh, self.export_wh - other.export_wh)


class Epoch(msgspec.Struct, array_like=True):
    """A meter's generation: its name, the registers from and to which it counts, and when another one followed.

    `entry` lies below the first reading where the epoch goes on from an earlier one.
    """

    name: str
    entry: tuple[int, int]
    exit: tuple[int, int]
    exit_at: int = 0


class Crossing(NamedTuple):
    """The readings next to a border: the last at or before it, the first at or after it."""

    before: Point | None
    after: Point | None


class Suspect(msgspec.Struct, array_like=True):
    """A quarantined reading: implausible until a second one agrees."""

    at: int
    epoch: str
    import_wh: int
    export_wh: int
    reason: str
    detail: str
    sequence: int
    received_at: int
    payload: bytes


class Track(msgspec.Struct):
    """The state of one meter. Powers are in tenths of a watt; `crossings[k]` belongs to border k."""

    last: Point | None = None
    previous: Point | None = None
    first_at: int = 0
    epochs: list[Epoch] = []
    crossings: list[Crossing] = []
    suspect: Suspect | None = None
    next_border: int = 0
    safe_mark: int = NEVER
    """Time from which on this meter can no longer change the oldest open interval within the grace."""
    usual_gap_ms: int = UNKNOWN_GAP_MS
    power_import_dw: int | None = None
    power_export_dw: int | None = None
    charge: float | None = None
    skew_ms: int = 0
    stale: bool = False
    silent: bool = False
    second: int = 0
    """The second of the meter's clock in which readings lay close to each other last, and how many did."""
    crowd: int = 0
    midnight: Energy | None = None

    def cumulative(self, point: Point) -> Energy:
        """Return the energy counted from the first reading up to `point`."""
        entry = self.epochs[point.epoch].entry
        import_wh = point.import_wh - entry[0]
        export_wh = point.export_wh - entry[1]
        for epoch in self.epochs[: point.epoch]:
            import_wh += epoch.exit[0] - epoch.entry[0]
            export_wh += epoch.exit[1] - epoch.entry[1]
        return Energy(import_wh, export_wh)

    def stale_after_ms(self) -> int:
        """Return the silence after which the meter is stale: 3 x its usual gap, at least 30 s."""
        return max(MIN_STALE_MS, 3 * self.usual_gap_ms)

    def accept(self, point: Point, interval_ms: int) -> None:
        """Take a reading newer than all before it; note the borders that it crosses."""
        last = self.previous = self.last
        if last is None:
            self.first_at = point.at
        if point.at >= self.next_border:
            exact = Crossing(point, point)
            while self.next_border <= point.at:
                self.crossings.append(exact if self.next_border == point.at else Crossing(last, point))
                self.next_border += interval_ms
        self.epochs[point.epoch].exit = (point.import_wh, point.export_wh)
        self.last = point

    def points(self) -> list[Point]:
        """Return the points that still matter, in order of time: those next to open borders and the last two."""
        found = {point for crossing in self.crossings for point in crossing if point is not None}
        found.update(point for point in (self.previous, self.last) if point is not None)
        return sorted(found)

    def insert(self, point: Point, base: int, interval_ms: int, *, correction: bool = False) -> None:
        """Take a reading older than the newest: it may come closer to open borders than others did.

        A register that fell within the tolerance is held, in whatever order its readings come: no
        point lies below an earlier one of its epoch. A correction is taken as it is.
        """
        known = self.points()
        if not correction:
            for earlier in known:
                if earlier.at < point.at:
                    point = _raised(point, earlier)
        epoch = self.epochs[point.epoch]
        replaced = next((one for one in known if one.at == point.at and one.epoch == point.epoch), point)
        entry, exit = list(epoch.entry), list(epoch.exit)
        for index in (2, 3):
            old, new = replaced[index], point[index]
            entry[index - 2] = new if correction and old == entry[index - 2] else min(entry[index - 2], new)
            exit[index - 2] = new if correction and old == exit[index - 2] else max(exit[index - 2], new)
        if self.midnight is not None:  # counted from the entry, too
            self.midnight = self.midnight.minus(Energy(entry[0] - epoch.entry[0], entry[1] - epoch.entry[1]))
        epoch.entry, epoch.exit = (entry[0], entry[1]), (exit[0], exit[1])
        self.first_at = min(self.first_at, point.at)
        border = base
        for index, (before, after) in enumerate(self.crossings):
            if point.at <= border and (before is None or point.at >= before.at):
                before = point
            if point.at >= border and (after is None or point.at <= after.at):
                after = point
            if not correction:
                before, after = _raised(before, point), _raised(after, point)
            self.crossings[index] = Crossing(before, after)
            border += interval_ms
        self.previous, self.last = (
            point if one is not None and one.at == point.at else one if correction else _raised(one, point)
            for one in (self.previous, self.last)
        )

    def leave_epoch(self) -> int:
        """Note that the last reading's epoch ends here; forget epochs that no point refers to. Return their number."""
        assert self.last is not None
        self.epochs[self.last.epoch].exit_at = self.last.at
        if len(self.epochs) >= _KEPT_EPOCHS:
            self._forget(min(len(self.epochs) - _KEPT_EPOCHS // 2, *(point.epoch for point in self.points())))
        return len(self.epochs)

    def _forget(self, count: int) -> None:
        imports = sum(epoch.exit[0] - epoch.entry[0] for epoch in self.epochs[:count])
        exports = sum(epoch.exit[1] - epoch.entry[1] for epoch in self.epochs[:count])
        del self.epochs[:count]
        entry = self.epochs[0].entry
        self.epochs[0].entry = (entry[0] - imports, entry[1] - exports)

        def moved(point: Point | None) -> Point | None:
            return None if point is None else point._replace(epoch=point.epoch - count)

        self.previous, self.last = moved(self.previous), moved(self.last)
        self.crossings = [Crossing(moved(before), moved(after)) for before, after in self.crossings]

    def energy_at(self, crossing: Crossing, border: int) -> Energy | None:
        """Return the energy at a border, interpolated linearly between the readings around it.

        Rounded down to whole Wh, so that what one interval loses the next one has. Before the
        first reading it is that reading's; None where no later reading has come yet.
        """
        before, after = crossing
        if after is None:
            return None
        if before is None or after.at == border:
            return self.cumulative(after)
        start, end = self.cumulative(before), self.cumulative(after)
        span, part = after.at - before.at, border - before.at
        if span == 0:
            return start
        return Energy(
            start.import_wh + max(0, end.import_wh - start.import_wh) * part // span,
            start.export_wh + max(0, end.export_wh - start.export_wh) * part // span,
        )


_MaybePoint = TypeVar("_MaybePoint", Point, Point | None)


def _raised(point: _MaybePoint, earlier: Point) -> _MaybePoint:
    """Return a point held at the registers of an earlier one of its epoch, where it lies below them."""
    if point is None or point.epoch != earlier.epoch or point.at < earlier.at:
        return point
    if point.import_wh >= earlier.import_wh and point.export_wh >= earlier.export_wh:
        return point
    return point._replace(
        import_wh=max(point.import_wh, earlier.import_wh), export_wh=max(point.export_wh, earlier.export_wh)
    )
