"""Any subscription, kept up: for scripts that have documents of their own.

A document and its variables go in; results, and how the link stands, come out. It never raises for what a server or
a network does, and tries again with back-off and full jitter; what is fit for a wrist is watch.client's.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from watch import events as on
from watch.backoff import delay_ms
from watch.documents import Document
from watch.events import Event
from watch.failure import NO_ANSWER
from watch.line import Party, SocketLine
from watch.state import Moment
from watch.verdict import PATIENT, Standing, judge_errors, judge_lost

_LASTING_MS: Final = 30_000
_NAME: Final = "own"


@dataclass(frozen=True, slots=True)
class Result:
    """One GraphQL result with data; `errors` is not empty where parts of the data are null because of them."""

    data: Mapping[str, Any]
    errors: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """The link has changed. `retry_in_s`: seconds until the next attempt, where one is planned."""

    standing: Standing
    reason: str = ""
    retry_in_s: float | None = None


News = Result | Link


class Following:
    """One subscription that is kept up; an endless async iterator of news, CONNECTING first.

    A result means that the link is live; after any Link, what came before is old. A reader slower than the server
    skips results, the latest wins. `anext` may be cancelled, by a timeout say, and loses nothing. Ended by `aclose`,
    by leaving `async with`, or by leaving the Watch. An error that nobody foresaw is raised at the reader.
    """

    def __init__(self, party: Party, document: str, variables: Mapping[str, Any], now: Callable[[], Moment]) -> None:
        party.documents = {_NAME: Document(_NAME, document, "", alone=True)}
        party.by_text = True
        self._party = party
        self._variables = variables
        self._now = now
        self._news: list[News] = [Link(Standing.CONNECTING)]
        self._changed = asyncio.Event()
        self._changed.set()
        self._why: Link | None = None
        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(lambda _: self._changed.set())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> News:
        while not self._news:
            if self._keeper.done():
                if not self._keeper.cancelled() and (error := self._keeper.exception()) is not None:
                    raise error
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._news.pop(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._keeper.done()

    async def aclose(self) -> None:
        """End the subscription and wait until its connection is closed."""
        self._keeper.cancel()
        await asyncio.wait([self._keeper])

    async def _keep(self) -> None:
        failures = 0
        while True:
            began = self._now().steady
            await self._attempt()
            link = self._why or Link(Standing.GONE, "the server ended the subscription")
            now = self._now()
            if now.steady - began >= _LASTING_MS:
                failures = 0  # only a link that held is a success: one that falls at once must not be hammered
            delay_s = delay_ms(failures, now.chance, patient=link.standing in PATIENT) / 1000
            failures += 1
            self._put(Link(link.standing, link.reason, delay_s))
            await asyncio.sleep(delay_s)

    async def _attempt(self) -> None:
        """Hold one connection until the subscription ends or nobody answers any more, and note why it did."""
        heard = asyncio.Event()
        opened = over = False
        limits = self._party.limits
        self._why = None

        def tell(event: Event) -> None:
            nonlocal opened, over
            heard.set()
            match event:
                case on.Opened():
                    opened = True
                    self._put(Link(Standing.WAITING))
                    line.subscribe(1, _NAME, self._variables)
                case on.Result():
                    self._why = None
                    self._put(Result(event.data, tuple(event.errors)))
                case on.Errors():
                    self._why = Link(*judge_errors(event.errors))
                    self._put(self._why)
                case on.Ended():
                    self._why = Link(*judge_errors(event.errors)) if event.errors else self._why
                    over = True
                case on.Lost():
                    self._why = Link(judge_lost(event), event.reason)
                    over = True
                case _:
                    pass

        line = SocketLine(self._party, tell)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(line.run())
            while not over:
                if await _comes(heard, limits.silence_s):
                    continue
                if opened:
                    line.ping()
                if not await _comes(heard, limits.pong_s):
                    self._why = Link(Standing.GONE, NO_ANSWER)
                    break
            running.cancel()

    def _put(self, news: News) -> None:
        """Add news behind what waits, in place of what waits of the same kind."""
        self._news = [waiting for waiting in self._news if type(waiting) is not type(news)]
        self._news.append(news)
        self._changed.set()


async def _comes(heard: asyncio.Event, most_s: float) -> bool:
    """Wait until something is heard, for so many seconds at most; return whether it was."""
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await heard.wait()
            heard.clear()
            return True
    return False
