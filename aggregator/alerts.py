"""Alerts: events that members must not miss, one per occurrence.

Begin and end have different thresholds, so that a value that trembles around one does not ring
twice, and surplus must hold for a while. Every alert has a key that the same readings always
give again: kind, subject and the time of the occurrence.
"""

from typing import Any, Final

from aggregator.state import State
from aggregator.track import Track
from bus.community import Community
from bus.identifiers import COMMUNITY_ALERTS
from bus.messages import Alert, AlertKind

_HOLD_MS: Final = 30_000
_PEAK_END: Final = 0.9
_BEGINNINGS: Final = ("SURPLUS_STARTED", "METER_SILENT", "IMPORT_PEAK_STARTED")


class Alerts:
    """The alert rules of one community at work on its state."""

    def __init__(self, state: State, outputs: list[Any]) -> None:
        self._state = state
        self._outputs = outputs

    def use(self, community: Community) -> None:
        """Work with a version of the community from now on."""
        rules = community.alerts
        self._start_dw, self._end_dw = int(rules.surplus_start_w * 10), int(rules.surplus_end_w * 10)
        self._silent_ms = int(rules.meter_silent.total_seconds() * 1000)
        self.limits_dw = {
            home.id: int(home.import_limit_w * 10) for home in community.homes if home.import_limit_w is not None
        }

    def surplus(self, surplus_dw: int) -> None:
        """Look at the community's surplus as it is at the community's clock."""
        state = self._state
        began = state.active.get("surplus")
        due = surplus_dw >= self._start_dw if began is None else surplus_dw < self._end_dw
        if not due:
            state.surplus_since = None
        elif state.surplus_since is None:
            state.surplus_since = state.now
        elif state.now - state.surplus_since >= _HOLD_MS:
            since, state.surplus_since = state.surplus_since, None
            if began is None:
                self._send("SURPLUS_STARTED", "surplus", COMMUNITY_ALERTS, since, surplus_dw, self._start_dw)
            else:
                self._send("SURPLUS_ENDED", "surplus", COMMUNITY_ALERTS, since, surplus_dw, self._end_dw)

    def power(self, home: str, import_dw: int | None) -> None:
        """Look at what a home draws, where its member set a limit."""
        limit = self.limits_dw.get(home)
        if limit is None or import_dw is None:
            return
        subject = f"peak:{home}"
        if subject not in self._state.active:
            if import_dw > limit:
                self._send("IMPORT_PEAK_STARTED", subject, home, self._state.now, import_dw, limit)
        elif import_dw < limit * _PEAK_END:
            self._send("IMPORT_PEAK_ENDED", subject, home, self._state.now, import_dw, limit)

    def silence(self, home: str, meter: str, track: Track, heard: int) -> None:
        """Look at a meter that was heard last at `heard`, in ms since 1970 UTC by the community's clock."""
        after = max(self._silent_ms, track.stale_after_ms())
        if not track.silent and self._state.now - heard > after:
            track.silent = True
            self._send("METER_SILENT", f"silent:{meter}", home, heard, meter=meter)

    def is_recent(self, at: int) -> bool:
        """Say whether a reading is young enough to end a silence: old ones that come late do not."""
        return self._state.now - at <= self._silent_ms

    def heard(self, home: str, meter: str, track: Track, at: int) -> None:
        """A silent meter is heard again."""
        track.silent = False
        self._send("METER_BACK", f"silent:{meter}", home, at, meter=meter)

    def _send(
        self,
        kind: AlertKind,
        subject: str,
        home: str,
        at: int,
        value_dw: int | None = None,
        limit_dw: int | None = None,
        meter: str | None = None,
    ) -> None:
        if kind in _BEGINNINGS:
            self._state.active[subject] = at
        else:
            self._state.active.pop(subject, None)
        self._outputs.append(
            Alert(
                key=f"{kind}:{subject}:{at}",
                kind=kind,
                community=self._state.community,
                home=home,
                at=at,
                value=None if value_dw is None else value_dw / 10,
                limit=None if limit_dw is None else limit_dw / 10,
                meter=meter,
            )
        )
