"""A meter's track: what the fold remembers of one meter.

Not its readings: only the newest one, the pair of readings around each open interval border,
and the register values at which each epoch began and ended. Register values are compared
through `cumulative`, which runs on over meter exchanges: energy is counted within an epoch
only, from its first reading to its last, so an exchange neither loses nor invents any.
"""

from typing import Final, NamedTuple

import msgspec

MIN_STALE_MS: Final = 30_000
UNKNOWN_GAP_MS: Final = 600_000
NEVER: Final = 2**62


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
    """A meter's generation: its name, and the registers of its first and last reading."""

    name: str
    entry: tuple[int, int]
    exit: tuple[int, int]


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

    def insert(self, point: Point, base: int, interval_ms: int) -> None:
        """Take a reading older than the newest: it may come closer to open borders than others did."""
        epoch = self.epochs[point.epoch]
        at_entry, at_exit = epoch.entry, epoch.exit
        epoch.entry = (min(at_entry[0], point.import_wh), min(at_entry[1], point.export_wh))
        epoch.exit = (max(at_exit[0], point.import_wh), max(at_exit[1], point.export_wh))
        self.first_at = min(self.first_at, point.at)
        border = base
        for index, (before, after) in enumerate(self.crossings):
            if point.at <= border and (before is None or point.at >= before.at):
                before = point
            if point.at >= border and (after is None or point.at <= after.at):
                after = point
            self.crossings[index] = Crossing(before, after)
            border += interval_ms
        if self.last is not None and point.at == self.last.at:
            self.last = point

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
