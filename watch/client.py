"""The watch's client: one subscription kept up over whatever the network does.

A document and its variables go in, news come out: results and how the link stands. It never raises for what a
server or a network does, never draws, and keeps no history.
"""

import asyncio
import random as randomness
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Self

from gql import GraphQLRequest
from gql.transport.exceptions import TransportError

from watch.address import socket_url
from watch.backoff import Backoff
from watch.news import Link, News, Result, Standing
from watch.pending import Pending
from watch.transport import Limits, WatchTransport
from watch.verdict import judge, judge_errors


class Following:
    """One subscription that is kept up; an endless async iterator of news.

    `anext` may be cancelled, by a timeout say, and loses nothing. Ended by `aclose`, by leaving `async with`, or
    by leaving the Watch. An error that nobody foresaw is raised at the reader.
    """

    def __init__(self, keep: Callable[[Callable[[News], None]], Coroutine[Any, Any, None]]) -> None:
        self._pending = Pending()
        self._keeper = asyncio.create_task(keep(self._pending.put))
        self._keeper.add_done_callback(self._ended)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> News:
        return await self._pending.get()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the subscription and wait until its connection is closed."""
        self._keeper.cancel()
        await asyncio.wait([self._keeper])

    def _ended(self, keeper: asyncio.Task[None]) -> None:
        error = None if keeper.cancelled() else keeper.exception()
        self._pending.end(error or StopAsyncIteration())


class Watch:
    """A device that follows subscriptions on one server.

    Leaving it ends all of them and closes their connections.

        async with Watch("http://127.0.0.1:8000") as watch:
            async for news in watch.follow(document, {"home": "demo.home-01"}):
                ...
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        limits: Limits | None = None,
        backoff: Backoff | None = None,
        random: Callable[[], float] = randomness.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the server's `url` (raises AddressError, see socket_url) and an optional bearer `token`.

        `random` (0 ≤ x < 1), `sleep` (seconds) and `clock` (seconds, monotonic) stand for chance and time.
        """
        self._url = socket_url(url)
        self._token = token
        self._limits = limits or Limits()
        self._backoff = backoff or Backoff()
        self._random = random
        self._sleep = sleep
        self._clock = clock
        self._followings: list[Following] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._followings:
            await self._followings.pop().aclose()

    def follow(self, document: str, variables: Mapping[str, Any]) -> Following:
        """Subscribe and give the news: first CONNECTING, then each result and each change of the link.

        A result means that the link is live; after any Link, what was shown before is old. A reader slower
        than the server skips results, the latest wins.
        Raises graphql.GraphQLSyntaxError for a document that does not parse.
        """
        request = GraphQLRequest(document, variable_values=dict(variables))
        following = Following(lambda tell: self._keep(request, tell))
        self._followings.append(following)
        return following

    async def _keep(self, request: GraphQLRequest, tell: Callable[[News], None]) -> None:
        tell(Link(Standing.CONNECTING))
        failures = 0
        while True:
            began = self._clock()
            try:
                link = await self._attempt(request, tell)
            except (TransportError, OSError) as error:
                link = judge(error)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # gql tells the server about a cancelled subscription; where that fails, its error hides the
                # cancellation.
                raise asyncio.CancelledError
            if self._clock() - began >= self._backoff.most_s:
                failures = 0  # only a link that held is a success: one that falls at once must not be hammered
            delay_s = self._backoff.delay_s(failures, self._random)
            failures += 1
            tell(replace(link, retry_in_s=delay_s))
            await self._sleep(delay_s)

    async def _attempt(self, request: GraphQLRequest, tell: Callable[[News], None]) -> Link:
        """Hold one connection until the subscription ends, and say why it did; raises what gql raises."""
        transport = WatchTransport(self._url, self._token, self._limits)
        ended = Link(Standing.GONE, "the server ended the subscription")
        try:
            await transport.connect()
            tell(Link(Standing.WAITING))
            why = ended
            async with aclosing(transport.subscribe(request)) as results:
                async for result in results:
                    errors: list[Any] = list(result.errors or ())
                    if result.data is not None:
                        why = ended
                        tell(Result(result.data, tuple(errors)))
                    else:
                        why = judge_errors(errors)
                        tell(why)
            return why
        finally:
            await transport.close()
