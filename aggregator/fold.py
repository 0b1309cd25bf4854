"""The fold: one community's readings and ticks in stream order become state and outputs.

Pure: time comes with the messages, what lies outside the state is passed in, and the same
messages in the same order always give the same outputs. `outputs` collect what a
message caused; a `job` asks for what the service must bring before the next message.
"""

from typing import Final

from aggregator.alerts import Alerts
from aggregator.flood import APART_MS, MOST_A_SECOND, STRANGERS, crowds, settle, tell
from aggregator.live import HomePower, MeterOf, home_power, sample_surplus
from aggregator.plausibility import Outcome, Verdict, doubt, judge
from aggregator.settlement import Job, Settlement
from aggregator.state import State
from aggregator.today import begin_day, local_midnight
from aggregator.track import UNKNOWN_GAP_MS, Point, Suspect, Track
from bus.community import Community
from bus.messages import Alert, Interval, Rejected
from bus.reading import Reading, RefusalError
from bus.registry import History
from bus.stored import Stored

FUTURE_MS: Final = 300_000
"""A reading may be this far ahead of the community's clock."""

_LEAP_MS: Final = 31 * 86_400_000
_MS_PER_HOUR: Final = 3_600_000
_POWER_MAX_AGE_MS: Final = 2 * _MS_PER_HOUR

Output = Interval | Alert | Rejected


class Fold:
    """The fold of one community. `history` is its registry as far as the log has announced it."""

    def __init__(self, state: State, history: History) -> None:
        self.state = state
        self.outputs: list[Output] = []
        self.changed: set[str] = set()
        """Homes whose live state changed since the service last looked."""
        self.settlement = Settlement(state, history, self.outputs)
        self.alerts = Alerts(state, self.outputs)
        self.power: dict[str, HomePower] = {}
        self._next_midnight = 0
        self._register()

    @property
    def job(self) -> Job | None:
        """What the service must bring before the next message."""
        return self.settlement.job

    @property
    def community(self) -> Community:
        """The community as it is now."""
        return self._community

    def _register(self) -> None:
        """Take over the version of the registry that holds at the community's clock."""
        self._community = self.settlement.history.at(self.state.now)
        self._event_clock = self._community.clock == "event"
        tracks = self.state.tracks
        self._meters: dict[str, tuple[str, int, Track]] = {}
        self.homes: dict[str, list[MeterOf]] = {}
        for home in self._community.homes:
            self.homes[home.id] = []
            for meter in home.meters:
                track = tracks.setdefault(meter.id, self.settlement.new_track())
                self._meters[meter.id] = (home.id, meter.connection_w, track)
                self.homes[home.id].append(MeterOf(meter.id, meter.role, track))
        self.settlement.use(self._community)
        self.alerts.use(self._community)
        self.power = {}
        self._surplus_dw = 0
        self._surpluses = dict.fromkeys(self.homes, 0)
        for name in self.homes:
            self._refresh(name)
        self.changed.update(self.homes)

    def power_now(self) -> dict[str, HomePower]:
        """Return every home's power, worked out again for the homes that changed."""
        for home in self.changed if self.power else self.homes:
            if home in self.homes:
                self.power[home] = home_power(self.homes[home])
        return self.power

    # --- messages ---

    def tick(self, time_ms: int, registry_sequence: int) -> None:
        """Take a tick: time went on, and the registry is known up to `registry_sequence`."""
        state = self.state
        if registry_sequence > state.registry_sequence:
            for since in self.settlement.history.since(state.registry_sequence):
                self.settlement.reshare(since)
            state.registry_sequence = registry_sequence
            self._register()
        if not self._event_clock:
            self._set_clock(time_ms)
        elif state.heard is not None:
            # When readings stop coming, what they completed is closed once the patience has passed in
            # real time; no further, so that a recording that goes on later finds its intervals open.
            idle = min(time_ms - state.heard[0], self.settlement.patience_ms)
            self._set_clock(state.heard[1] + idle)
        self._watch_silence()
        self.settlement.settle_late()
        if state.refusals:
            self.outputs.extend(settle(state.refusals, time_ms))

    def take(self, meter: str, reading: Reading, stored: Stored) -> None:
        """Take a reading that is well-formed; refuse it by an output if it cannot be."""
        state = self.state
        at = reading.at_ms
        if self._event_clock:
            if meter not in self._meters and meter not in self.settlement.history.at(at).home_of_meter:
                return self._refuse_unknown(meter, stored)  # a stranger's time is not the community's
            if state.now and at > state.now + _LEAP_MS and not self._confirmed_leap(at):
                return self.refuse(stored, "future", f"{reading.at} is over 31 days ahead of the community's clock")
            state.leap = None
            self._set_clock(at)
            if state.heard is None or at >= state.heard[1]:
                state.heard = (stored.time_ms, at)
        else:
            self._set_clock(stored.time_ms)
            if at > state.now + FUTURE_MS:
                ahead = (at - state.now) // 1000
                return self.refuse(stored, "future", f"{reading.at} is {ahead} s ahead of the clock; 300 s are allowed")
        entry = self._meters.get(meter)
        if entry is None:
            return self._refuse_unknown(meter, stored)
        home, connection_w, track = entry
        last = track.last
        if last is not None and track.suspect is None:
            gap = at - last.at
            if gap >= APART_MS and last.at >= self.settlement.waits_since:
                imp, exp = reading.import_wh, reading.export_wh
                most = connection_w * gap // _MS_PER_HOUR + 100
                if (
                    0 <= imp - last.import_wh <= most
                    and 0 <= exp - last.export_wh <= most
                    and reading.epoch == track.epochs[last.epoch].name
                ):
                    point = Point(at, last.epoch, imp, exp)
                    self._newest(home, meter, track, point, reading, stored)
                    return None
        if crowds(track, at):
            detail = f"more than {MOST_A_SECOND} readings closer than {APART_MS} ms within the second of {reading.at}"
            return self.refuse(stored, "flood", detail)
        self._judge(meter, home, connection_w, track, reading, stored)
        return None

    def refuse(self, stored: Stored, reason: str, detail: str, count: int = 1) -> None:
        """Put a message, which may stand for several, on REJECTED; one of many is only counted in its minute."""
        rejected = Rejected(
            reason=reason,
            detail=detail,
            subject=stored.subject,
            sequence=stored.sequence,
            received_at=stored.time_ms,
            payload=stored.data.decode("utf-8", "backslashreplace"),
            count=count,
        )
        meter = stored.subject.rpartition(".")[2]
        self.outputs.extend(tell(self.state.refusals, meter if meter in self._meters else STRANGERS, rejected))

    def _refuse_unknown(self, meter: str, stored: Stored) -> None:
        self.refuse(stored, "unknown_meter", f"community {self.state.community!r} has no meter {meter!r}")

    # --- readings ---

    def _judge(self, meter: str, home: str, connection_w: int, track: Track, reading: Reading, stored: Stored) -> None:
        at = reading.at_ms
        final = self.settlement.final_before()
        try:
            if at < final:
                raise RefusalError("interval_final", f"{reading.at} lies in an interval that is final")
            outcome = judge(track, reading, at, connection_w, self._suspect(track, reading, stored, connection_w))
        except RefusalError as refusal:
            return self.refuse(stored, refusal.reason, str(refusal))
        if outcome.refuted is not None:
            self._refuse_suspect(meter, outcome.refuted)
        if outcome.verdict is Verdict.NEWEST:
            for point in outcome.points:
                self._newest(home, meter, track, point, reading, stored)
        elif outcome.verdict in (Verdict.OLDER, Verdict.CORRECTION):
            self._older(meter, home, track, outcome, stored)
        return None

    def _newest(self, home: str, meter: str, track: Track, point: Point, reading: Reading, stored: Stored) -> None:
        last, settlement, at = track.last, self.settlement, point.at
        if last is None:
            settlement.first_reading(home, track, point, stored.sequence)
        elif last.at < (self.state.base or 0):
            settlement.late(home, at)
        if at >= track.next_border:
            track.accept(point, settlement.interval_ms)
            settlement.crossed(track, at, stored.sequence)
        else:
            track.previous, track.last = last, point
            track.epochs[point.epoch].exit = (point.import_wh, point.export_wh)
            if last is None:
                track.first_at = at
        if track.silent and self.alerts.is_recent(at):
            self.alerts.heard(home, meter, track, at)
        self._set_power(home, track, last, point, reading)
        if last is None or at >= track.safe_mark or last.at < settlement.waits_since:
            settlement.heard(track)
            settlement.advance()
        if last is not None:
            gap, usual = max(1000, at - last.at), track.usual_gap_ms
            if gap != usual:
                unknown = usual == UNKNOWN_GAP_MS
                track.usual_gap_ms = gap if unknown else usual + (min(gap, 4 * usual) - usual) // 8
        if not self._event_clock:
            track.skew_ms += (stored.time_ms - at - track.skew_ms) // 8

    def _set_power(self, home: str, track: Track, last: Point | None, point: Point, reading: Reading) -> None:
        power_in, power_out = reading.power_import_w, reading.power_export_w
        if power_in is None and power_out is None:
            # No power in the reading: the mean since the one before, from the registers.
            if last is None or last.epoch != point.epoch or not 0 < point.at - last.at <= _POWER_MAX_AGE_MS:
                track.power_import_dw = track.power_export_dw = None
            else:
                hours_dw = 10 * _MS_PER_HOUR / (point.at - last.at)
                track.power_import_dw = round((point.import_wh - last.import_wh) * hours_dw)
                track.power_export_dw = round((point.export_wh - last.export_wh) * hours_dw)
        else:
            track.power_import_dw = round(power_in * 10) if power_in else 0
            track.power_export_dw = round(power_out * 10) if power_out else 0
        if reading.state_of_charge is not None:
            track.charge = reading.state_of_charge
        track.stale = False
        self._refresh(home)

    def _refresh(self, home: str) -> None:
        """Bring the community's surplus up to date with a home whose grid meters changed or fell silent."""
        surplus = imported = 0
        stale = False
        for _, role, track in self.homes[home]:
            if role == "GRID" and track.last is not None:
                if track.stale:
                    surplus, stale = 0, True
                    break
                drawn = track.power_import_dw or 0
                imported += drawn
                surplus += (track.power_export_dw or 0) - drawn
        self._surplus_dw += surplus - self._surpluses[home]
        self._surpluses[home] = surplus
        self.changed.add(home)
        if home in self.alerts.limits_dw:
            self.alerts.power(home, None if stale else imported)

    def _older(self, meter: str, home: str, track: Track, outcome: Outcome, stored: Stored) -> None:
        point = outcome.points[0]
        base = self.state.base
        assert base is not None
        if point.at < base and not self.settlement.lower_base(point.at):
            if self.state.first is not None and point.at < self.state.first:
                return self.refuse(stored, "too_old", "the reading is older than the community's first interval")
            self.settlement.late(home, point.at)
        behind = track.crossings[0] if track.crossings else None
        correction = outcome.verdict is Verdict.CORRECTION
        track.insert(point, self.state.base or base, self.settlement.interval_ms, correction=correction)
        if behind is not None and track.crossings[0] != behind and self.state.settled:
            self.settlement.late(home, point.at)  # the border that the last closed interval ends at has moved
        self.settlement.heard(track)
        self.settlement.advance()
        self.changed.add(home)
        return None

    def _suspect(self, track: Track, reading: Reading, stored: Stored, connection_w: int) -> Suspect:
        at = reading.at_ms
        reason = detail = ""
        last = track.last
        if last is not None and at > last.at:
            reason, detail = doubt(track, reading, at)
        return Suspect(
            at,
            reading.epoch,
            reading.import_wh,
            reading.export_wh,
            reason,
            detail,
            stored.sequence,
            stored.time_ms,
            stored.data,
        )

    def _refuse_suspect(self, meter: str, suspect: Suspect) -> None:
        subject = f"readings.{self.state.community}.{meter}"
        stored = Stored(subject, suspect.sequence, suspect.received_at, suspect.payload)
        self.refuse(stored, suspect.reason, suspect.detail)

    def _confirmed_leap(self, at: int) -> bool:
        leap = self.state.leap
        self.state.leap = at
        return leap is not None and abs(at - leap) <= _LEAP_MS

    # --- time ---

    def _set_clock(self, now: int) -> None:
        """Move the clock on and do what is due by it, with the figures as they were until now."""
        before = self.state.now
        if now <= before:
            return
        self.state.now = now
        if now // 1000 == before // 1000:
            return  # once a second is enough
        self.alerts.surplus(self._surplus_dw)
        if self.state.base is not None:  # before the first reading there is no surplus to rise from
            sample_surplus(self.state, self._surplus_dw)
        midnight = local_midnight(self._community, self.state.now) if self.state.now >= self._next_midnight else None
        if midnight is not None:
            self._next_midnight = midnight + 23 * _MS_PER_HOUR
            if midnight != self.state.midnight:
                begin_day(self.state, midnight)
            if self._community is not self.settlement.history.at(self.state.now):
                self._register()
        self.settlement.advance()

    def _watch_silence(self) -> None:
        now = self.state.now
        for home, meters in self.homes.items():
            refresh = False
            for meter, _, track in meters:
                if track.last is None:
                    continue
                heard = track.last.at + (track.skew_ms if not self._event_clock else 0)
                if not track.stale and now - heard > track.stale_after_ms():
                    track.stale = refresh = True
                self.alerts.silence(home, meter, track, heard)
            if refresh:
                self._refresh(home)
