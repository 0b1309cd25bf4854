"""One step of the device's fold: what it asks the server for, and what it waits for.

A State and the moment come in; what changes gathers in a Step, and so do the commands. It knows modes and
connections, not what events mean.
"""

from dataclasses import replace
from typing import Any, Final

from watch import commands as do
from watch.backoff import delay_ms
from watch.events import Screen, Show, Way
from watch.modes import PACES, Ask, ask
from watch.state import Awaited, Mode, Moment, Open, State
from watch.verdict import PATIENT, Standing

ANSWER_MS: Final = 20_000
PONG_MS: Final = 10_000
STRAY_MS: Final = 3_600_000
"""For so long a way that is not the first is kept."""
TROUBLES: Final = frozenset({Standing.REFUSED, Standing.UNKNOWN, Standing.GONE, Standing.FAULT, Standing.GARBAGE})


class Step:
    """One step of the fold, while it is taken."""

    def __init__(self, state: State, now: Moment) -> None:
        self.state = state
        self.now = now
        self.commands: list[do.Command] = []

    def settle(self, at_once: bool = False) -> None:
        """Ask for what the mode and the screen want, where it is not what is asked already."""
        state = self.state
        if state.pairing is not None:
            self.set(mode=Mode.PAIRING)
            return
        if not state.network:
            if state.mode is not Mode.OFFLINE:
                self.set(mode=Mode.OFFLINE, link=Standing.IDLE, reason="", since=self.now.steady)
            self.drop()
            self.wait(None)
            return
        self.set(mode=Mode(state.want))
        if state.target is None:
            return
        wanted = ask(state.target, state.basis, state.want, state.low, self._way())
        if wanted.how == "get":
            self._settle_get(wanted, at_once)
        elif state.how != wanted.how:
            self.drop()
            if at_once or state.awaited is not Awaited.RETRY:
                self.ask(wanted)
        elif state.asked is None and state.open is Open.OPEN:
            if at_once:
                self.ask(wanted)
        elif state.asked is not None and (state.asked != wanted or (state.over and at_once)):
            self.ask(wanted)

    def _settle_get(self, wanted: Ask, at_once: bool) -> None:
        before = self.state.asked
        same = before is not None and before.asks_as(wanted)
        if same and self.state.open is Open.OPENING:
            self.set(asked=wanted)
            return
        if self.state.open is not Open.NONE:
            self.drop()
        if same and self.state.awaited is Awaited.CADENCE and not at_once:
            if before != wanted:  # only how often has changed
                self.set(asked=wanted)
                self.rest(wanted)
        elif at_once or wanted.screen not in self.state.readings or (wanted.once and not same):
            self.ask(wanted)
        else:
            self.set(asked=wanted)
            self.rest(wanted)

    def ask(self, wanted: Ask) -> None:
        state = self.state
        if wanted.how == "socket" and state.open is Open.NONE:
            self.command(do.Connect())
            self.set(open=Open.OPENING, how="socket")
            self.wait(Awaited.ANSWER, ANSWER_MS)
            self._asking(Standing.CONNECTING)
            return
        id = state.operation + 1
        if wanted.how == "socket":
            if state.asked is not None and not state.over:
                self.command(do.Complete(state.operation))
            self.command(do.Subscribe(id, wanted.document, wanted.variables))
            self.set(operation=id, asked=wanted, over=False)
            self.listen()
            self._asking(Standing.WAITING)
            return
        self.drop()
        if wanted.how == "stream":
            self.command(do.Stream(id, wanted.document, wanted.variables))
            self._asking(Standing.CONNECTING)
        else:
            known = state.readings.get(wanted.screen)
            self.command(do.Get(id, wanted.document, wanted.variables, known.etag if known else None))
            if state.link is Standing.IDLE:
                self.link(Standing.CONNECTING)
        self.set(operation=id, asked=wanted, open=Open.OPENING, how=wanted.how)
        self.wait(Awaited.ANSWER, ANSWER_MS)

    def _asking(self, standing: Standing) -> None:
        if self.state.link not in TROUBLES:  # asking again says nothing yet: the face must not flicker
            self.link(standing)

    def drop(self) -> None:
        if self.state.open is not Open.NONE:
            self.command(do.Close())
        self.set(open=Open.NONE, how=None, asked=None, over=False)

    def _way(self) -> Way:
        state = self.state
        first = state.ways[0]
        if state.way != first and state.open is Open.NONE and self.now.steady - state.strayed >= STRAY_MS:
            self.set(way=first, tries=0)
        return self.state.way

    def try_another_way(self) -> None:
        tries = self.state.tries + 1
        others = [way for way in self.state.ways if way != self.state.way]
        if tries >= 2 and others:
            self.set(way=others[0], tries=0, strayed=self.now.steady)
        else:
            self.set(tries=tries)

    def answered(self) -> None:
        """Go on after an answer: listen on a connection, rest after a request."""
        if self.state.how == "get" and self.state.asked is not None:
            self.set(open=Open.NONE, how=None, failures=0)
            self.rest(self.state.asked)
        else:
            self.listen()

    def listen(self) -> None:
        if self.state.asked is not None:
            self.wait(Awaited.SILENCE, self.state.asked.silence_ms)

    def rest(self, asked: Ask, retry: int = 0) -> None:
        self.wait(Awaited.CADENCE, retry + round(asked.cadence_ms * (0.9 + 0.2 * self.now.chance)))

    def retry(self, retry: int = 0) -> None:
        state = self.state
        least = PACES[Show.AMBIENT, Screen.GLANCE, state.low].every_ms if state.want is Show.AMBIENT else 0
        patient = state.link in PATIENT
        delay = delay_ms(state.failures, self.now.chance, patient=patient, least_most_ms=least)
        self.set(failures=state.failures + 1)
        self.wait(Awaited.RETRY, retry + delay)

    def link(self, standing: Standing, reason: str = "") -> None:
        since = self.state.since if standing is self.state.link else self.now.steady
        self.set(link=standing, reason=reason, since=since)

    def wait(self, awaited: Awaited | None, ms: int = 0) -> None:
        self.set(awaited=awaited, due=None if awaited is None else self.now.steady + ms)

    def set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def command(self, command: do.Command) -> None:
        self.commands.append(command)
