"""The device: one pure fold over what happens to it, `after(state, event, now) -> (state, commands)`.

docs/watch.md is its specification and tests/watch/device.json its cases, which every other implementation passes
too. It opens nothing, draws nothing, and knows neither clock nor chance but those that `now` brings.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import singledispatchmethod
from typing import Any, Final

from watch import commands as do
from watch import events as on
from watch.events import Event, Screen, Show, Target
from watch.glance import FORMS, GarbledError, Light, Reading, read
from watch.modes import Ask
from watch.pairing import Phase
from watch.pairing_step import PairingStep
from watch.state import Awaited, Known, Mode, Moment, Open, State, restore
from watch.step import PONG_MS, TROUBLES
from watch.text import printable
from watch.verdict import Standing, judge_errors, judge_lost

LASTING_MS: Final = 30_000
"""A connection that lasted so long was a success; one that falls at once must not be hammered."""
TAP_MS: Final = 600_000
LOW, NO_LONGER_LOW = 0.2, 0.25
CLOCK_DIFFERS_MS: Final = 60_000
CLOCK_AHEAD_MS: Final = 50 * 60_000
"""Data that the server holds for current may come from a slow meter: only what is older is the clock's fault."""


def after(state: State, event: Event, now: Moment) -> tuple[State, tuple[do.Command, ...]]:
    """Return the state after an event at `now`, and what is to be done."""
    if state.mode is Mode.OFF and not isinstance(event, on.Started):
        return state, ()
    step = _Device(state, now)
    step.take(event)
    return step.state, tuple(step.commands)


class _Device(PairingStep):
    """What each event makes of the device."""

    # --- what happens to the watch ---

    @singledispatchmethod
    def take(self, event: Event) -> None:
        raise TypeError(f"{event!r} is no event of a watch")

    @take.register
    def _(self, event: on.Started) -> None:
        self.drop()
        restored = {
            screen: restore(event.target, screen, kept)
            for screen, kept in event.kept.items()
            if event.target is not None
        }
        self.state = State(
            want=event.want,
            target=event.target,
            ways=event.ways,
            way=event.ways[0],
            token=event.token,
            paired=event.paired,
            since=self.now.steady,
            readings={screen: known for screen, known in restored.items() if known is not None},
            operation=self.state.operation,
        )
        self.settle(at_once=True)

    @take.register
    def _(self, event: on.Shown) -> None:
        looks = event.as_ is Show.FOREGROUND
        self.set(want=event.as_, failures=0 if looks else self.state.failures)
        pairing = self.state.pairing
        if pairing is not None:
            if looks and pairing.phase is Phase.EXPIRED:
                self.authorize()
            return
        self.settle(at_once=looks)

    @take.register
    def _(self, event: on.Turned) -> None:
        self.set(screen=event.to, basis=self.state.basis if event.to is Screen.RECEIPT else event.to)
        self.settle()

    @take.register
    def _(self, event: on.Network) -> None:
        came = event.up and not self.state.network
        self.set(network=event.up)
        if came:
            self.set(failures=0, tries=0, way=self.state.ways[0])
        self.settle(at_once=came)

    @take.register
    def _(self, event: on.Battery) -> None:
        limit = NO_LONGER_LOW if self.state.low else LOW + 1e-9
        self.set(low=event.level is not None and not event.charging and event.level < limit)
        self.settle()

    @take.register
    def _(self, event: on.Token) -> None:
        self.set(token=event.token, paired=False, refusals=0, failures=0)
        if event.token is not None and self.state.pairing is not None:
            self.set(pairing=None)
            self.wait(None)
        if event.token is not None and self.state.how == "socket" and self.state.open is Open.OPEN:
            self.command(do.Renew())
            return
        self.drop()
        self.settle(at_once=True)

    @take.register
    def _(self, _: on.Stopped) -> None:
        self.drop()
        self.set(mode=Mode.OFF, pairing=None)
        self.wait(None)

    @take.register
    def _(self, _: on.Tick) -> None:
        if self.state.due is None or self.now.steady < self.state.due:
            return
        awaited = self.state.awaited
        self.wait(None)
        if self.state.mode is Mode.PAIRING:
            self.poll() if awaited is Awaited.POLL else self._lost(on.Lost(reason="no answer in time"))
        elif awaited is Awaited.SILENCE and self.state.how == "socket":
            self.command(do.Ping())
            self.wait(Awaited.PONG, PONG_MS)
        elif awaited in (Awaited.RETRY, Awaited.CADENCE):
            self.settle(at_once=True)
        else:
            self.command(do.Close())
            self._lost(on.Lost(reason="no answer in time"))

    # --- what the server says ---

    @take.register
    def _(self, _: on.Opened) -> None:
        if self.state.open is not Open.OPENING or self.state.how == "get":
            return
        self.set(open=Open.OPEN, opened=self.now.steady, tries=0, refusals=0)
        if self.state.link in (Standing.CONNECTING, Standing.GONE, Standing.REFUSED):
            self.link(Standing.WAITING)
        if self.state.how == "stream":
            self.listen()
        else:
            self.settle(at_once=True)

    @take.register
    def _(self, event: on.Heard) -> None:
        if self.state.awaited in (Awaited.SILENCE, Awaited.PONG):
            self.listen()

    @take.register
    def _(self, event: on.Result) -> None:
        asked = self._asked(event.id)
        if asked is None or self.state.target is None:
            return
        found: object = event.data.get(self.state.target.kind)
        if found is None and event.errors:
            self.take(on.Errors(event.id, event.errors))
            return
        if asked.how == "get" and not asked.once and isinstance(found, Mapping):
            found = found.get("live")
            if found is None:
                self.answered()
                self.link(*judge_errors(event.errors) if event.errors else (Standing.WAITING,))
                return
        try:
            reading = read(FORMS[self.state.target.kind, asked.screen], found)
        except GarbledError as error:
            self.answered()
            self.link(Standing.GARBAGE, printable(str(error)))
            return
        assert isinstance(found, Mapping)
        self._know(asked, reading, found, event)
        self.answered()
        self.link(Standing.LIVE)

    @take.register
    def _(self, event: on.Unchanged) -> None:
        asked = self._asked(event.id)
        known = None if asked is None else self.state.readings.get(asked.screen)
        if asked is None or known is None:
            return
        if event.date is not None:
            self.set(clock_off=_differs(self.now.wall - event.date))
        age = 0 if known.reading.current else known.age_at(self.now)
        known = replace(known, steady=self.now.steady, wall=self.now.wall, age=age, operation=event.id)
        self.set(readings={**self.state.readings, asked.screen: known})
        self.answered()
        self.link(Standing.LIVE)

    @take.register
    def _(self, event: on.Errors) -> None:
        if self._asked(event.id) is None:
            return
        standing, reason = judge_errors(event.errors)
        self.answered()
        self.link(standing, reason)

    @take.register
    def _(self, event: on.Ended) -> None:
        asked = self._asked(event.id)
        if asked is None:
            return
        if asked.once and not event.errors and self.state.link is Standing.LIVE:
            self.set(over=True)
            self.rest(asked)
            return
        if event.errors:
            standing, reason = judge_errors(event.errors)
        elif self.state.link in TROUBLES:  # told just before, in a result without data
            standing, reason = self.state.link, self.state.reason
        else:
            standing, reason = Standing.GONE, "the server ended the subscription"
        lasted = self.state.link is Standing.LIVE and self.now.steady - self.state.since >= LASTING_MS
        self.set(asked=None, failures=0 if lasted else self.state.failures)
        if self.state.how == "stream":
            self.set(open=Open.NONE, how=None)
        self.link(standing, reason)
        self.retry()

    @take.register
    def _(self, event: on.Lost) -> None:
        self._lost(event)

    def _lost(self, event: on.Lost) -> None:
        if self.state.mode is Mode.PAIRING:
            self.pairing_failed(event.retry)
            return
        if self.state.open is Open.NONE:
            return
        standing = judge_lost(event)
        asked, opened = self.state.asked, self.state.open is Open.OPEN
        get = self.state.how == "get"
        self.set(open=Open.NONE, how=None, asked=asked if get else None, over=False)
        self.link(standing, printable(event.reason))
        if standing is Standing.REFUSED and self.is_over():
            return
        if get and asked is not None:
            self.rest(asked, event.retry)
            return
        if opened and self.now.steady - self.state.opened >= LASTING_MS:
            self.set(failures=0)
        if not opened and standing in (Standing.GONE, Standing.GARBAGE):
            self.try_another_way()
        self.retry(event.retry)

    # --- pairing ---

    @take.register
    def _(self, _: on.Pair) -> None:
        self.drop()
        self.authorize()

    @take.register
    def _(self, _: on.Unpair) -> None:
        if self.state.pairing is not None:
            self.leave_off()

    @take.register
    def _(self, event: on.Code) -> None:
        if self.state.pairing is None or self.state.pairing.phase is not Phase.ASKING:
            return
        self.set(pairing=self.state.pairing.showing(event, self.now.steady), failures=0)
        self.wait(Awaited.POLL, event.interval * 1000)

    @take.register
    def _(self, event: on.Denied) -> None:
        pairing = self.state.pairing
        if pairing is None or pairing.phase not in (Phase.ASKING, Phase.SHOWING):
            return
        if event.error == "unsupported_grant_type":
            self.leave_off()
            return
        self.set(pairing=pairing.denied(printable(event.error)))
        assert self.state.pairing is not None
        if self.state.pairing.phase is pairing.phase:
            self.wait(Awaited.POLL, event.retry + self.state.pairing.interval)
        else:
            self.wait(None)

    @take.register
    def _(self, event: on.Paired) -> None:
        if self.state.pairing is None:
            return
        home = Target("home", event.home)
        readings = self.state.readings if self.state.target == home else {}
        self.set(token=event.token, paired=True, target=home, readings=readings, refusals=0)
        self.command(do.Keep(event.token, event.home))
        self.leave_off()

    # --- what was heard ---

    def _asked(self, id: int) -> Ask | None:
        """Return what an operation asks for, None where it is over."""
        state = self.state
        return state.asked if id == state.operation and state.open is not Open.NONE else None

    def _know(self, asked: Ask, reading: Reading, data: Mapping[str, Any], event: on.Result) -> None:
        now, state = self.now, self.state
        measured = None if reading.measured_at is None else round(reading.measured_at.timestamp() * 1000)
        off = state.clock_off
        if event.date is not None:
            off = _differs(now.wall - event.date)
        elif reading.current and measured is not None:
            old = now.wall - measured
            off = old if old < -CLOCK_DIFFERS_MS or old > CLOCK_AHEAD_MS else 0
        age = 0 if measured is None else max(0, now.wall - off - measured)
        before = self._light()
        known = Known(reading, data, now.steady, now.wall, age, event.id, event.etag, event.errors)
        self.set(readings={**state.readings, asked.screen: known}, clock_off=off, refusals=0)
        rested = state.tapped is None or now.steady - state.tapped >= TAP_MS
        if reading.light is Light.GREEN and before in (Light.YELLOW, Light.RED) and rested:
            self.set(tapped=now.steady)
            self.command(do.Tap())

    def _light(self) -> Light | None:
        """Return the light that was heard last in this life."""
        known = self.state.readings.values()
        heard = [(one.steady, one.reading.light) for one in known if one.steady is not None and one.reading.light]
        return max(heard)[1] if heard else None


def _differs(ms: int) -> int:
    return ms if abs(ms) > CLOCK_DIFFERS_MS else 0
