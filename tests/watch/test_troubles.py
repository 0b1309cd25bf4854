"""Each trouble has its face: what happened, since when, what to do; none ends the watch or takes its last figures."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection

from tests.watch.stand import Stand
from tests.watch.test_line import ACK, GLANCE, GOOD, Script, answering, next_message, page, saying, scripted
from tests.watch.wearing import HOME, Clock, Worn, worn
from watch.events import Network, Started, Target
from watch.face import Face, draw
from watch.state import Moment
from watch.verdict import Standing
from watch.view import Trouble

FIGURES = ["+1.00 kW", "300 W", "↗ rising"]


def face(device: Worn) -> Face:
    target = device.state.target
    return draw(device.seen, target.id if target is not None else "")


async def until(device: Worn, trouble: Trouble) -> Face:
    await device.until(lambda _: device.seen.trouble is trouble)
    return face(device)


def figures(face: Face) -> list[str]:
    return [row.value for row in face.rows]


@asynccontextmanager
async def after_figures(*then: Script) -> AsyncIterator[Worn]:
    """A device that has figures, on a connection that then ends; the next ones go as `then` says."""
    end = asyncio.Event()

    async def play(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(ACK)
        await connection.recv()
        await connection.send(next_message({"home": GLANCE}))
        await end.wait()

    async with scripted(play, *then) as url, worn(url, Started(HOME)) as device:
        await device.until_live()
        end.set()
        yield device


def refusing(code: int, reason: str) -> Script:
    async def play(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(code, reason)

    return play


ERROR = '{"type": "error", "id": "1", "payload": [{"message": "%s", "extensions": {"code": "%s"}}]}'


@pytest.mark.parametrize(
    ("script", "trouble", "short", "notice"),
    [
        (
            refusing(4403, "Forbidden"),
            Trouble.REFUSED,
            "refused",
            r"refused for 0 s \(closed with 4403: Forbidden\): check the token, or pair this watch",
        ),
        (
            saying(ERROR % ("there is no home", "NOT_FOUND")),
            Trouble.UNKNOWN,
            "not known",
            r"demo.home-01 is not known here \(there is no home\): check the name and the token",
        ),
        (
            saying(ERROR % ("quote the reference 7f", "INTERNAL")),
            Trouble.FAULT,
            "server error",
            r"the server failed 0 s ago \(quote the reference 7f\), trying again",
        ),
        (
            saying("hello"),
            Trouble.GARBAGE,
            "not understood",
            r"not understood for 0 s \(.*\): is this a Commonwatt server\?",
        ),
        (
            refusing(1011, "broken"),
            Trouble.GONE,
            "server gone",
            r"server gone for 0 s \(closed with 1011: broken\), trying again",
        ),
    ],
    ids=["refused", "unknown", "fault", "garbage", "gone"],
)
async def test_a_trouble_is_told_beside_the_last_figures_and_passes(
    script: Script, trouble: Trouble, short: str, notice: str
) -> None:
    async with after_figures(
        script, saying(next_message({"home": GLANCE}).replace('"id": "1"', '"id": "3"'))
    ) as device:
        shown = await until(device, trouble)
        if trouble is Trouble.GONE:  # the end of the first connection is one, too
            await device.until(lambda state: "1011" in state.reason)
            shown = face(device)
        assert (shown.short, shown.fresh) == (short, False)
        assert re.fullmatch(notice, shown.notice)
        assert figures(shown) == FIGURES
        assert shown.age.endswith(" old")
        assert shown.notice in shown.spoken


async def test_after_each_trouble_in_turn_the_watch_is_live_again() -> None:
    troubles = [refusing(4403, "Forbidden"), saying("hello"), refusing(1011, "broken")]
    async with after_figures(*troubles, GOOD) as device:
        for link in (Standing.REFUSED, Standing.GARBAGE):
            await device.until(lambda state, link=link: state.link is link)  # type: ignore[misc]
            device.pass_until_due()
        state = await device.until(lambda state: "1011" in state.reason)
        assert state.link is Standing.GONE
        shown = face(device)
        assert figures(shown) == FIGURES
        device.put(Network(up=False))
        assert face(device).notice == "no network for 0 s: it goes on by itself"
        device.put(Network(up=True))
        await device.until(lambda state: state.link in (Standing.WAITING, Standing.LIVE))


async def test_a_url_of_another_server_is_told_without_any_figure() -> None:
    async with answering(page("404 Not Found")) as url, worn(url, Started(HOME), clock=Clock(chance=0.9)) as device:
        shown = await until(device, Trouble.GARBAGE)
        notice = r"not understood for 0 s \(HTTP status 404, no WebSocket there\): is this a Commonwatt server\?"
        assert re.fullmatch(notice, shown.notice)
        assert figures(shown) == ["–", "–", "–"]
        assert shown.age == "no data yet"


async def test_a_home_that_is_not_there_is_named(stand: Stand) -> None:
    nobody = Started(Target("home", "demo.nobody"))
    async with worn(stand.url, nobody, clock=Clock(chance=0.9)) as device:
        shown = await until(device, Trouble.UNKNOWN)
        assert shown.notice == (
            "demo.nobody is not known here (there is no home 'demo.nobody'): check the name and the token"
        )


class Off(Clock):
    """A clock whose time of day is off by so many ms."""

    def __init__(self, off: int) -> None:
        super().__init__()
        self._off = off

    def __call__(self) -> Moment:
        now = super().__call__()
        return Moment(now.steady, now.wall + self._off, now.chance)


@pytest.mark.parametrize(("hours", "words"), [(1, "ahead"), (-1, "behind")])
async def test_a_clock_off_by_an_hour_is_told_and_the_age_is_right_all_the_same(
    stand: Stand, hours: int, words: str
) -> None:
    async with worn(stand.url, Started(HOME), clock=Off(3_600_000 * hours)) as device:
        await device.until_live()
        shown = face(device)
        assert re.fullmatch(f"this clock is (1 h|59 min) {words}: set it", shown.notice)
        assert (shown.short, shown.age, shown.fresh) == ("check clock", "live", True)
        assert figures(shown)[:2] == FIGURES[:2]
        assert device.seen.age is not None
        assert device.seen.age < 60_000


async def test_a_result_with_nulls_and_errors_is_incomplete_and_a_null_is_a_dash() -> None:
    errors = [{"message": "no share today", "path": ["home", "sharedPower"]}]
    part = next_message({"home": GLANCE | {"sharedPower": None}}, errors=errors)
    async with scripted(saying(part)) as url, worn(url, Started(HOME)) as device:
        await device.until_live()
        shown = face(device)
        assert (shown.short, shown.notice) == ("incomplete", "incomplete: no share today")
        assert figures(shown) == ["+1.00 kW", "–", "↗ rising"]
        assert shown.fresh
