"""Scripts get typed glances, whatever server and network do."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from graphql import GraphQLSyntaxError
from websockets.asyncio.server import ServerConnection

from tests.watch.cable import Cable
from tests.watch.stand import Light, Stand, a_community, a_home
from tests.watch.test_line import ACK, next_message, scripted
from watch import client
from watch.address import AddressError
from watch.client import RefusedError, UnknownError, Watch
from watch.events import Show
from watch.news import Link, News, Result, Standing
from watch.state import Moment
from watch.transport import Limits

DEADLINE_S = 20.0
ROOT = Path(__file__).parents[2]
OWN = "subscription Own($home: ID!) { home(id: $home) { netPower } }"


def at_once() -> Moment:
    """This moment, with the chance that makes each wait none."""
    now = client.moment()
    return Moment(now.steady, now.wall, 0.0)


@asynccontextmanager
async def watching(url: str, token: client.Token = None, limits: Limits | None = None) -> AsyncIterator[Watch]:
    async with asyncio.timeout(DEADLINE_S), Watch(url, token, limits=limits, now=at_once) as watch:
        yield watch


async def test_the_present_state_comes_first_then_each_change(stand: Stand) -> None:
    async with watching(stand.url) as watch:
        glances = watch.glance("demo.home-01")
        first = await anext(glances)
        assert (first.light, first.share_w, first.surplus_w, first.trend) == ("GREEN", 300.0, 1000.0, "RISING")
        await asyncio.to_thread(stand.set_home, a_home(light=Light.RED, shared_power=500.0))
        second = await anext(glances)
        assert (second.light, second.share_w) == ("RED", 500.0)


async def test_what_moves_less_than_the_display_shows_is_not_sent(stand: Stand) -> None:
    async with watching(stand.url) as watch:
        glances = watch.glance("demo.home-01")
        await anext(glances)
        sent = glances.receipt.messages
        await asyncio.to_thread(stand.set_home, a_home(shared_power=331.0))
        await asyncio.to_thread(stand.set_home, a_home(shared_power=400.0))
        assert (await anext(glances)).share_w == 400.0
        assert glances.receipt.messages == sent + 1


async def test_every_screen_has_its_type(stand: Stand) -> None:
    async with watching(stand.url) as watch:
        today = await anext(watch.today("demo.home-01"))
        assert (today.imported_wh, today.saved, today.currency) == (4200, "84.5", "EUR")
        community = await anext(watch.community_glance("demo"))
        assert (community.surplus_w, community.share_w) == (1000.0, 3000.0)
        whole = await anext(watch.community_today("demo"))
        assert (whole.imported_wh, whole.shared_wh) == (120_000, 31_000)


async def test_the_background_is_a_glance_too(stand: Stand) -> None:
    async with watching(stand.url) as watch:
        glance = await anext(watch.glance("demo.home-01", Show.BACKGROUND))
        assert (glance.share_w, glance.surplus_w) == (400.0, 2000.0)  # coarser


async def test_a_server_that_was_restarted_is_found_again(own_stand: Stand) -> None:
    async with watching(own_stand.url) as watch:
        glances = watch.glance("demo.home-01")
        await anext(glances)
        await asyncio.to_thread(own_stand.stop)
        own_stand.home = a_home(light=Light.RED)
        await asyncio.to_thread(own_stand.start)
        assert (await anext(glances)).light == "RED"
        assert glances.state.link is Standing.LIVE


async def test_an_unknown_home_or_community_is_raised(stand: Stand) -> None:
    async with watching(stand.url) as watch:
        with pytest.raises(UnknownError, match=r"^demo\.nobody: there is no home 'demo\.nobody'$"):
            await anext(watch.glance("demo.nobody"))
        with pytest.raises(UnknownError, match="nowhere"):
            await anext(watch.community_glance("nowhere"))


async def test_a_token_opens_the_door_and_without_one_it_is_shut(guarded_stand: Stand) -> None:
    async with watching(guarded_stand.url, guarded_stand.issue()) as watch:
        assert (await anext(watch.glance("demo.home-01"))).light == "GREEN"
        with pytest.raises(UnknownError):
            await anext(watch.glance("demo.home-02"))
    for token in (None, "wrong"):
        async with watching(guarded_stand.url, token) as watch:
            with pytest.raises(RefusedError, match="closed with 4403"):
                await anext(watch.glance("demo.home-01"))


async def test_a_function_gives_the_token_and_a_newer_one_after_a_refusal(guarded_stand: Stand) -> None:
    given: list[str] = []

    async def token() -> str:
        given.append("expired" if not given else guarded_stand.issue())
        return given[-1]

    async with watching(guarded_stand.url, token) as watch:
        await anext(watch.glance("demo.home-01"))
    assert len(given) == 2

    async def expired() -> str:
        return "expired"

    async with watching(guarded_stand.url, expired) as watch:
        with pytest.raises(RefusedError):
            await anext(watch.glance("demo.home-01"))


async def test_a_token_is_renewed_on_the_open_connection(guarded_stand: Stand) -> None:
    with Cable(guarded_stand.port) as cable:
        async with watching(cable.url, guarded_stand.issue()) as watch:
            glances = watch.glance("demo.home-01")
            await anext(glances)
            glances.renew(guarded_stand.issue())
            await asyncio.to_thread(guarded_stand.set_home, a_home(light=Light.RED))
            assert (await anext(glances)).light == "RED"
            assert cable.connections == 1


async def test_leaving_closes_every_connection(own_stand: Stand) -> None:
    async with watching(own_stand.url) as watch:
        one, other = watch.glance("demo.home-01"), watch.today("demo.home-01")
        await anext(one)
        await anext(other)
        await asyncio.to_thread(own_stand.await_sockets, 2)
        await one.aclose()
        await asyncio.to_thread(own_stand.await_sockets, 1)
        assert [left async for left in one] == []
        assert watch.glance("demo.home-02") in watch._kept
        assert one not in watch._kept
    await asyncio.to_thread(own_stand.await_sockets, 0)
    assert [left async for left in other] == []


async def test_a_cancelled_wait_loses_nothing(stand: Stand) -> None:
    async with watching(stand.url) as watch, watch.glance("demo.home-01") as glances:
        await anext(glances)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(glances), 0.01)
        await asyncio.to_thread(stand.set_home, a_home(light=Light.YELLOW))
        assert (await anext(glances)).light == "YELLOW"


def test_what_is_no_address_is_refused_before_the_network() -> None:
    with pytest.raises(AddressError):
        Watch("ftp://host")


# --- subscriptions of one's own ---


async def result_of(news: AsyncIterator[News]) -> Result:
    while not isinstance(item := await anext(news), Result):
        pass
    return item


async def test_a_subscription_of_ones_own_is_kept_up(own_stand: Stand) -> None:
    async with watching(own_stand.url) as watch, watch.follow(OWN, {"home": "demo.home-01"}) as news:
        assert await anext(news) == Link(Standing.CONNECTING)
        assert (await result_of(news)).data == {"home": {"netPower": -410}}
        await asyncio.to_thread(own_stand.stop)
        while not (isinstance(item := await anext(news), Link) and item.standing is Standing.GONE):
            pass
        assert item.retry_in_s == 0
        await asyncio.to_thread(own_stand.start)
        assert (await result_of(news)).data == {"home": {"netPower": -410}}


async def test_a_silence_is_asked_about_and_a_server_that_vanished_is_noticed() -> None:
    answers = 0

    async def play(connection: ServerConnection) -> None:
        nonlocal answers
        await connection.recv()
        await connection.send(ACK)
        await connection.recv()
        await connection.send(next_message({"home": {"netPower": 1}}))
        for _ in range(2):
            assert json.loads(await connection.recv())["type"] == "ping"
            await connection.send('{"type": "pong"}')
            answers += 1
        await connection.wait_closed()

    limits = Limits(close_s=0.1, silence_s=0.05, pong_s=1.0)
    async with (
        scripted(play) as url,
        watching(url, limits=limits) as watch,
        watch.follow(OWN, {"home": "demo.home-01"}) as news,
    ):
        await result_of(news)
        assert await anext(news) == Link(Standing.GONE, "no answer in time", 0)
        assert answers == 2


async def test_a_subscription_of_ones_own_says_what_is_wrong(stand: Stand) -> None:
    async with watching(stand.url) as watch:
        for document, variables, standing in (
            (OWN, {"home": "demo.nobody"}, Standing.UNKNOWN),
            ("subscription { home(id: 1) { bogus } }", {}, Standing.FAULT),
        ):
            async with watch.follow(document, variables) as news:
                while not (isinstance(item := await anext(news), Link) and item.standing is standing):
                    pass
                assert item.reason
        with pytest.raises(GraphQLSyntaxError):
            watch.follow("subscription {", {})


async def test_a_community_is_quantised_as_its_document_asks(stand: Stand) -> None:
    await asyncio.to_thread(stand.set_community, a_community(surplus_power=-1260.0))
    async with watching(stand.url) as watch:
        assert (await anext(watch.community_glance("demo"))).surplus_w == -1500.0


def test_the_script_in_the_documents_runs(guarded_stand: Stand) -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "watch.md").read_text("utf-8"), re.M | re.S)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script.replace("http://127.0.0.1:8000", guarded_stand.url)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"COMMONWATT_TOKEN": guarded_stand.issue()},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "GREEN 1000.0 300.0\n"
    finally:
        process.kill()
        process.communicate()
