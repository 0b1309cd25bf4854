import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar, cast

import pytest

from bus.client import Bus
from bus.messages import encode
from bus.settings import NatsSettings
from bus.stored import Stored
from resolvers.errors import NotReadyError
from resolvers.live import Live
from tests.conftest import NatsServer
from tests.resolvers.frames import Cable, Publisher, eventually, frame, home_state

T = TypeVar("T")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running(live: Live) -> AsyncIterator[Live]:
    task = asyncio.create_task(live.run())
    try:
        yield live
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def live(bus: Bus) -> AsyncIterator[Live]:
    async with running(Live(bus, now_ms=now_ms)) as live:
        yield live


@pytest.fixture
def publisher(bus: Bus) -> Publisher:
    return Publisher(bus)


async def next_of(stream: AsyncGenerator[T, None]) -> T:
    async with asyncio.timeout(10):
        return await anext(stream)


async def test_follows_nothing_until_someone_asks(live: Live, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    assert live.statistics().communities == 0
    await live.community("demo")
    assert live.statistics().communities == 1


async def test_has_none_of_a_community_that_never_had_a_frame(live: Live) -> None:
    assert await live.community("demo") is None
    assert await live.home("demo", "home-1") is None
    assert live.ages_s() == {}


async def test_finds_the_last_frame_at_first_interest(live: Live, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    await publisher.publish(home_state(load_w=5.0), load_w=7.0)
    home = await live.home("demo", "home-1")
    community = await live.community("demo")
    assert home is not None
    assert community is not None
    assert (home.state.load_w, community.load_w) == (5.0, 7.0)
    assert live.ages_s()["demo"] < 60


class RacingBus:
    """A bus on which the next frame comes while the last one is being fetched, both of the same moment."""

    def __init__(self) -> None:
        self._callback: Callable[[bytes], Awaitable[None]] | None = None

    def on_reconnect(self, callback: object) -> None:
        pass

    async def subscribe(
        self, subject: str, callback: Callable[[bytes], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        self._callback = callback

        async def end() -> None:
            self._callback = None

        return end

    async def last(self, stream: str, subject: str) -> Stored:
        assert self._callback is not None, "the subject must be listened to before the last frame is fetched"
        await self._callback(encode(frame(2, home_state(load_w=2.0), at=1)))
        return Stored(subject, 1, 0, encode(frame(1, home_state(load_w=1.0), at=1)))


async def test_a_frame_that_came_while_the_last_one_was_fetched_is_the_newer_one() -> None:
    async with running(Live(cast(Bus, RacingBus()), now_ms=now_ms)) as live:
        home = await live.home("demo", "home-1")
        assert home is not None
        assert home.state.load_w == 2.0


async def test_streams_the_current_value_then_each_change(live: Live, publisher: Publisher) -> None:
    await publisher.publish(home_state(load_w=1.0))
    async with aclosing(live.stream_home("demo", "home-1")) as stream:
        assert (await next_of(stream)).state.load_w == 1.0
        for load in (2.0, 3.0):
            await publisher.publish(home_state(load_w=load))
            assert (await next_of(stream)).state.load_w == load


async def test_waits_for_the_first_frame(live: Live, publisher: Publisher) -> None:
    async with aclosing(live.stream_community("demo")) as stream:
        first = asyncio.create_task(next_of(stream))
        await live.community("demo")
        assert not first.done()
        await publisher.publish(load_w=4.0)
        assert (await first).load_w == 4.0


async def test_a_home_that_did_not_change_is_not_streamed_again(live: Live, publisher: Publisher) -> None:
    await publisher.publish(home_state("home-1"), home_state("home-2"))
    async with aclosing(live.stream_home("demo", "home-1")) as stream:
        await next_of(stream)
        await publisher.publish(home_state("home-2", load_w=2.0))
        await publisher.publish(home_state("home-1"))  # named as changed, and is as before
        await publisher.publish(home_state("home-1", load_w=3.0))
        assert (await next_of(stream)).state.load_w == 3.0


async def test_a_change_of_the_community_counts_where_it_is_wanted(live: Live, publisher: Publisher) -> None:
    await publisher.publish(home_state(), load_w=1.0)
    async with aclosing(live.stream_home("demo", "home-1", with_community=True)) as stream:
        await next_of(stream)
        await publisher.publish(load_w=2.0)
        assert (await next_of(stream)).community.load_w == 2.0


async def test_whoever_is_slow_skips_states_and_gets_the_latest(live: Live, publisher: Publisher) -> None:
    await publisher.publish(home_state(load_w=0.0))
    async with aclosing(live.stream_home("demo", "home-1")) as slow, aclosing(live.stream_community("demo")) as fast:
        await next_of(slow)
        await next_of(fast)
        for load in range(1, 6):
            await publisher.publish(home_state(load_w=float(load)), load_w=float(load))
        while (await next_of(fast)).load_w != 5.0:
            pass
        assert (await next_of(slow)).state.load_w == 5.0


async def test_a_closed_stream_watches_no_more(live: Live, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    stream = live.stream_home("demo", "home-1", with_community=True)
    await next_of(stream)
    assert live.statistics().watchers == 2
    await stream.aclose()
    assert live.statistics().watchers == 0


async def test_lets_go_of_a_community_that_nobody_asks_for(bus: Bus, publisher: Publisher) -> None:
    await publisher.publish(home_state(load_w=1.0))
    async with running(Live(bus, now_ms=now_ms, idle_s=0.05)) as live:
        await live.community("demo")

        async def is_let_go() -> bool:
            return live.statistics().communities == 0

        await eventually(is_let_go)
        await publisher.publish(home_state(load_w=2.0))
        home = await live.home("demo", "home-1")
        assert home is not None
        assert home.state.load_w == 2.0


async def test_keeps_a_community_that_someone_watches(bus: Bus, publisher: Publisher) -> None:
    await publisher.publish(load_w=1.0)
    async with (
        running(Live(bus, now_ms=now_ms, idle_s=0.01)) as live,
        aclosing(live.stream_community("demo")) as stream,
    ):
        await next_of(stream)
        await live.community("other")

        async def only_one_is_left() -> bool:
            return live.statistics().communities == 1

        await eventually(only_one_is_left)
        await publisher.publish(load_w=2.0)
        assert (await next_of(stream)).load_w == 2.0


async def test_a_malformed_frame_is_counted_and_the_stream_goes_on(live: Live, publisher: Publisher) -> None:
    await publisher.publish(home_state(load_w=1.0))
    async with aclosing(live.stream_home("demo", "home-1")) as stream:
        await next_of(stream)
        await publisher.publish_raw(b"{")
        await publisher.publish(home_state(load_w=2.0))
        assert (await next_of(stream)).state.load_w == 2.0
    assert live.statistics().malformed == 1


async def test_a_community_whose_last_frame_is_malformed_has_none(live: Live, publisher: Publisher) -> None:
    await publisher.publish_raw(b"{}")
    assert await live.community("demo") is None
    await publisher.publish(load_w=2.0)

    async def is_there() -> bool:
        return await live.community("demo") is not None

    await eventually(is_there)


async def test_shows_what_it_missed_once_the_connection_is_back(bus: Bus, session_nats: NatsServer) -> None:
    cable = Cable(session_nats.broker.port)
    await cable.plug()
    cut_off = await Bus.connect(NatsSettings(url=cable.url), name="cut-off", patience_s=10)
    publisher = Publisher(bus)
    await publisher.publish(home_state(load_w=1.0))
    async with running(Live(cut_off, now_ms=now_ms)) as live, aclosing(live.stream_home("demo", "home-1")) as stream:
        await next_of(stream)
        await cable.pull()

        async def is_lost() -> bool:
            return not cut_off.connected

        await eventually(is_lost)
        await publisher.publish(home_state(load_w=2.0))
        home = await live.home("demo", "home-1")
        assert home is not None
        assert home.state.load_w == 1.0
        await cable.plug()
        assert (await next_of(stream)).state.load_w == 2.0
    await cut_off.close()
    await cable.pull()


async def test_keeps_the_last_state_and_goes_on_when_nats_was_restarted(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    publisher = Publisher(bus)
    await publisher.publish(home_state(load_w=1.0))
    async with running(Live(bus, now_ms=now_ms)) as live, aclosing(live.stream_home("demo", "home-1")) as stream:
        await next_of(stream)
        back = asyncio.Event()

        async def say_back() -> None:
            back.set()

        bus.on_reconnect(say_back)
        own_nats.kill()
        own_nats.start()
        async with asyncio.timeout(20):
            await back.wait()
        home = await live.home("demo", "home-1")  # the stream holds nothing any more
        assert home is not None
        assert home.state.load_w == 1.0
        await publisher.publish(home_state(load_w=2.0))
        assert (await next_of(stream)).state.load_w == 2.0
    await bus.close()


async def test_says_that_it_is_not_ready_while_nats_is_away(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    own_nats.kill()
    async with running(Live(bus, now_ms=now_ms, patience_s=0.1)) as live:
        with pytest.raises(NotReadyError, match="ask again"):
            await live.community("demo")
    await bus.close()
