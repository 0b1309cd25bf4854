"""A simulated house: load, roof and battery, and the meters that watch over them.

Load, sun and clouds are functions of seed and time. What has a memory, the registers and the
battery, goes on from a stored reading of each meter where there is one, so that a simulation
that is started again goes on where its meters stood. Time only goes forward.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import floor
from typing import Final

from bus.community import Community, Home, Meter, MeterRole
from bus.reading import Reading
from meters.battery import Battery
from meters.chance import dice
from meters.household import Household
from meters.roof import Roof
from meters.sun import Place
from meters.weather import Weather

_HOUR_MS: Final = 3_600_000
_FINE_MS: Final = 60_000
_COARSE_STEPS: Final = 96
_SLOT_MS: Final = 4 * _HOUR_MS


class House:
    """One home over time. `read` gives its meters' readings, at times that grow."""

    def __init__(
        self,
        community: Community,
        home: Home,
        seed: int,
        place: Place,
        weather: Weather,
        *,
        start_ms: int,
        stored: Mapping[str, Reading],
    ) -> None:
        name = f"{community.id}/{home.id}"
        draw = dice(seed, name, "house")
        roles = [meter.role for meter in home.meters]
        self._household = Household(seed, name, community.zone, place, weather)
        self._roof = Roof(draw, seed, name, place, weather) if "PV" in roles else None
        self._battery = (
            Battery(draw.choice((5_120, 7_680, 10_240)), draw.choice((2_500, 3_680, 5_000)))
            if "BATTERY" in roles
            else None
        )
        self._totals: dict[MeterRole, list[float]] = {role: [0.0, 0.0] for role in ("GRID", "PV", "BATTERY")}
        self._counters = [
            _Counter(seed, name, meter, roles.count(meter.role), exports="PV" in roles) for meter in home.meters
        ]
        known = [stored[meter.id] for meter in home.meters if meter.id in stored]
        self._now_ms = min((reading.at_ms for reading in known), default=start_ms)
        self._roof_w = self._roof.power_w(self._now_ms / 1000) if self._roof else 0.0
        self._go_on_from(stored)

    def read(self, at_ms: int, step_ms: int) -> list[tuple[str, Reading]]:
        """Go on to `at_ms` and return the readings of the meters that are not silent then.

        Powers are averages over the `step_ms` before. A time further away than that is
        crossed in steps of a minute, or longer ones where it lies hours ahead.
        """
        self._advance(at_ms - step_ms)
        before = {role: tuple(total) for role, total in self._totals.items()}
        self._advance(at_ms)
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        readings = []
        for counter in self._counters:
            if counter.silent(at_ms):
                continue
            total, earlier = self._totals[counter.role], before[counter.role]
            per_hour = _HOUR_MS / step_ms / counter.sharers
            import_wh, export_wh = counter.registers(total)
            reading = Reading(
                at=at,
                import_wh=import_wh,
                export_wh=export_wh,
                power_import_w=round((total[0] - earlier[0]) * per_hour, 1),
                power_export_w=round((total[1] - earlier[1]) * per_hour, 1),
                state_of_charge=round(self._battery.level, 4) if self._battery and counter.role == "BATTERY" else None,
            )
            readings.append((counter.id, reading))
        return readings

    def _go_on_from(self, stored: Mapping[str, Reading]) -> None:
        known = [(stored[counter.id], counter) for counter in self._counters if counter.id in stored]
        for reading, counter in sorted(known, key=lambda pair: pair[0].at_ms):
            self._advance(reading.at_ms)
            counter.go_on_from(reading, self._totals[counter.role])
            if self._battery is not None and reading.state_of_charge is not None:
                self._battery.level = max(self._battery.reserve, reading.state_of_charge)

    def _advance(self, to_ms: int) -> None:
        away_ms = to_ms - self._now_ms
        step_ms = max(_FINE_MS, away_ms // _COARSE_STEPS)  # a long absence costs no more than one of hours
        while self._now_ms < to_ms:
            self._step(min(to_ms, self._now_ms + step_ms))

    def _step(self, end_ms: int) -> None:
        span_ms = end_ms - self._now_ms
        hours = span_ms / _HOUR_MS
        load_w = self._household.energy_wms(self._now_ms, end_ms) / span_ms
        pv_w = 0.0
        if self._roof is not None:
            roof_w = self._roof.power_w(end_ms / 1000)
            pv_w = (self._roof_w + roof_w) / 2
            self._roof_w = roof_w
        net_w = load_w - pv_w
        if self._battery is not None:
            flow = self._battery.exchange(-net_w, hours)
            net_w += flow.charge_w - flow.discharge_w
            self._totals["BATTERY"][0] += flow.charge_w * hours
            self._totals["BATTERY"][1] += flow.discharge_w * hours
        self._totals["PV"][1] += pv_w * hours
        self._totals["GRID"][0 if net_w > 0 else 1] += abs(net_w) * hours
        self._now_ms = end_ms


class _Counter:
    """A meter's registers: where they started, and when it falls silent. Several of a role share its flow."""

    def __init__(self, seed: int, home: str, meter: Meter, sharers: int, *, exports: bool) -> None:
        draw = dice(seed, home, meter.id, "registers")
        self.id = meter.id
        self.role = meter.role
        self.sharers = sharers
        self._seed = seed
        self._home = home
        self._start = (
            0 if meter.role == "PV" else draw.randint(500_000, 30_000_000),
            draw.randint(500_000, 25_000_000) if exports else 0,
        )
        self._origin = (0.0, 0.0)
        self._slot = -1
        self._silence = (0, 0)

    def go_on_from(self, reading: Reading, total: list[float]) -> None:
        """Let the registers stand as in `reading` while the role's total flow is `total`."""
        self._start = (reading.import_wh, reading.export_wh)
        self._origin = (total[0], total[1])

    def registers(self, total: list[float]) -> tuple[int, int]:
        """Return (import, export) in whole Wh, rounded down, at a total flow in Wh."""
        return (
            self._start[0] + floor((total[0] - self._origin[0]) / self.sharers),
            self._start[1] + floor((total[1] - self._origin[1]) / self.sharers),
        )

    def silent(self, at_ms: int) -> bool:
        """Say whether the meter is not heard at a time: some minutes, every other day or so."""
        slot = at_ms // _SLOT_MS
        if slot != self._slot:
            self._slot = slot
            draw = dice(self._seed, self._home, self.id, "silence", slot)
            start = slot * _SLOT_MS + draw.randrange(_SLOT_MS - 15 * 60_000)
            self._silence = (start, start + draw.randint(2, 15) * 60_000 if draw.random() < 0.08 else start)
        return self._silence[0] <= at_ms < self._silence[1]
