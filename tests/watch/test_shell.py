"""The device on the real server: each mode, each change of it, and what a network does."""

import asyncio

import pytest

from tests.watch.cable import Cable
from tests.watch.stand import DEADLINE_S, Light, Stand, a_day, a_home
from tests.watch.wearing import HOME, Clock, worn
from watch import events as on
from watch.events import Screen, Show, Started
from watch.glance import HomeToday
from watch.receipt import Bill
from watch.state import Awaited
from watch.verdict import Standing
from watch.view import Freshness, Trouble


async def test_screens_and_modes_take_turns_on_one_connection(stand: Stand) -> None:
    with Cable(stand.port) as cable:
        async with worn(cable.url, Started(HOME)) as device:
            await device.until_live()
            assert device.seen.freshness is Freshness.LIVE
            device.put(on.Turned(Screen.TODAY))
            await device.until_live()
            today = device.seen.reading
            assert isinstance(today, HomeToday)
            assert (today.imported_wh, today.shared_wh, today.saved, today.currency) == (4200, 1800, "84.5", "EUR")
            device.put(on.Shown(Show.AMBIENT))
            await device.until_live()
            assert (device.seen.screen, device.seen.freshness) == (Screen.GLANCE, Freshness.RECENT)
            device.put(on.Shown(Show.FOREGROUND))
            await device.until_live()
            assert device.seen.screen is Screen.TODAY
            await asyncio.to_thread(stand.set_home, a_home(today=a_day(import_wh=5000)))
            assert cable.connections == 1


async def test_the_receipt_counts_every_byte_of_a_socket(stand: Stand) -> None:
    with Cable(stand.port) as cable:
        async with worn(cable.url, Started(HOME)) as device:
            await device.until_live()
            receipt = device.shell.receipt
            assert (receipt.bytes_in, receipt.bytes_out) == (cable.to_client, cable.to_server)
            # connection_init and connection_ack, subscribe and next
            assert (receipt.messages, receipt.wakeups) == (4, 1)
            assert receipt.parse_us > 0


async def test_the_server_counts_the_same_bytes_and_messages_as_the_device(own_stand: Stand) -> None:
    async with worn(own_stand.url, Started(HOME)) as device:
        await device.until_live()
        device.put(on.Turned(Screen.TODAY))
        await device.until_live()
    await asyncio.to_thread(own_stand.await_sockets, 0)
    counted = {
        (what, direction): await asyncio.to_thread(
            own_stand.metric, f"commonwatt_connection_{what}_sum", direction=direction
        )
        for what in ("bytes", "messages")
        for direction in ("in", "out")
    }
    receipt = device.shell.receipt
    assert counted["bytes", "out"] == receipt.bytes_in
    assert counted["bytes", "in"] == receipt.bytes_out
    assert counted["messages", "in"] + counted["messages", "out"] == receipt.messages


async def test_who_opens_the_receipt_sees_what_the_server_has_counted(guarded_stand: Stand) -> None:
    async with worn(guarded_stand.url, Started(HOME, token=guarded_stand.issue())) as device:
        device.put(on.Turned(Screen.RECEIPT))  # nothing is open yet, and nobody is asked
        device.put(on.Turned(Screen.GLANCE))
        await device.until_live()
        before = device.shell.receipt
        device.put(on.Turned(Screen.RECEIPT))
        await device.until(lambda _: device.shell.bill is not None)
        after = device.shell.receipt
        bill = device.shell.bill
        assert bill is not None
        assert bill == Bill(before.bytes_in, after.bytes_out, before.messages + 1, bill.wakeups)
        assert bill.wakeups > 0
        assert device.state.link is Standing.LIVE
        await device.until(lambda _: device.shell.receipt.messages == before.messages + 3)
        device.put(on.Network(up=False))
        assert device.shell.bill is None


async def test_background_asks_by_get_and_an_unchanged_answer_is_empty(stand: Stand) -> None:
    async with worn(stand.url, Started(HOME, Show.BACKGROUND)) as device:
        await device.until(lambda state: state.awaited is Awaited.CADENCE)
        assert device.seen.freshness is Freshness.RECENT
        (known,) = device.state.readings.values()
        assert known.etag is not None
        before = device.shell.receipt
        device.pass_until_due()
        await device.until(lambda state: state.awaited is Awaited.CADENCE)
        (again,) = device.state.readings.values()
        assert (again.operation, again.data, again.etag) == (2, known.data, known.etag)
        spent = device.shell.receipt.bytes_in - before.bytes_in
        assert spent < before.bytes_in
        assert device.seen.age is not None
        assert device.seen.age < 60_000  # not the cadence
        await asyncio.to_thread(stand.set_home, a_home(light=Light.RED))
        device.pass_until_due()
        await device.until(lambda state: state.operation == 3 and state.awaited is Awaited.CADENCE)
        assert device.seen.reading is not None
        assert device.seen.reading.light == "RED"


async def test_a_light_that_turns_green_taps(stand: Stand) -> None:
    tapped = asyncio.Event()
    await asyncio.to_thread(stand.set_home, a_home(light=Light.RED))
    async with worn(stand.url, Started(HOME), tap=tapped.set) as device:
        await device.until_live()
        await asyncio.to_thread(stand.set_home, a_home(light=Light.GREEN))
        async with asyncio.timeout(DEADLINE_S):
            await tapped.wait()


async def test_event_streams_serve_where_sockets_fail(stand: Stand) -> None:
    with Cable(stand.port, sockets=False) as cable:
        async with worn(cable.url, Started(HOME)) as device:
            await device.until_live()
            assert (device.state.way, device.state.how) == ("stream", "stream")
            await asyncio.to_thread(stand.set_home, a_home(light=Light.RED))
            await device.until(lambda state: state.readings[Screen.GLANCE].reading.light == "RED")
            device.put(on.Turned(Screen.TODAY))
            await device.until_live()
            assert isinstance(device.seen.reading, HomeToday)
            device.put(on.Shown(Show.AMBIENT))
            assert device.state.how is None
            device.pass_until_due()
            await device.until(lambda state: state.operation == 3 and state.awaited is Awaited.CADENCE)
            assert device.seen.freshness is Freshness.RECENT


async def test_a_stream_that_ends_is_opened_anew(own_stand: Stand) -> None:
    async with worn(own_stand.url, Started(HOME, ways=("stream",))) as device:
        await device.until_live()
        await asyncio.to_thread(own_stand.stop)
        await device.until(lambda state: state.link is Standing.GONE)
        await asyncio.to_thread(own_stand.start)
        await device.until_live()


async def test_an_unknown_home_is_told_over_every_way(stand: Stand) -> None:
    nobody = on.Target("home", "demo.nobody")
    for started in (
        Started(nobody),
        Started(nobody, ways=("stream",)),
        Started(nobody, Show.BACKGROUND),
    ):
        async with worn(stand.url, started, clock=Clock(chance=0.9)) as device:
            state = await device.until(lambda state: state.link is Standing.UNKNOWN)
            assert state.reason == "there is no home 'demo.nobody'"
            assert device.seen.trouble is Trouble.UNKNOWN
            assert device.seen.reading is None


async def test_a_server_that_does_not_know_the_documents_is_sent_their_text(watch_nats: str) -> None:
    stand = Stand(watch_nats, documents=False)
    await asyncio.to_thread(stand.start)
    try:
        for started in (Started(HOME), Started(HOME, ways=("stream",)), Started(HOME, Show.BACKGROUND)):
            async with worn(stand.url, started) as device:
                await device.until(lambda state: Screen.GLANCE in state.readings)
                assert device.state.link is Standing.LIVE
                device.put(on.Turned(Screen.TODAY))
                if started.want is Show.FOREGROUND:
                    await device.until_live()
    finally:
        await asyncio.to_thread(stand.stop)


async def test_a_token_is_asked_for_over_every_way(guarded_stand: Stand) -> None:
    ways_and_wants: list[tuple[tuple[on.Way, ...], Show]] = [
        (("socket",), Show.FOREGROUND),
        (("stream",), Show.FOREGROUND),
        (("socket",), Show.BACKGROUND),
    ]
    for ways, want in ways_and_wants:
        for token, link in (
            (guarded_stand.issue(), Standing.LIVE),
            ("wrong", Standing.REFUSED),
            (None, Standing.REFUSED),
        ):
            started = Started(HOME, want, token, ways=ways)
            async with worn(guarded_stand.url, started, clock=Clock(chance=0.9)) as device:
                await device.until(lambda state, link=link: state.link is link)  # type: ignore[misc]


async def test_a_newer_token_is_taken_on_the_open_socket_and_somebody_elses_is_not(guarded_stand: Stand) -> None:
    with Cable(guarded_stand.port) as cable:
        async with worn(cable.url, Started(HOME, token=guarded_stand.issue()), clock=Clock(chance=0.9)) as device:
            await device.until_live()
            sent = device.shell.receipt.messages
            device.put(on.Token(guarded_stand.issue()))
            await device.until(lambda _: device.shell.receipt.messages == sent + 2)  # ping and pong
            assert (device.state.link, cable.connections) == (Standing.LIVE, 1)
            device.put(on.Token(guarded_stand.issue("home-02")))
            assert (await device.until(lambda state: state.link is Standing.REFUSED)).reason.startswith(
                "closed with 4403"
            )


async def test_a_silence_is_ended_by_a_pong_and_a_server_that_vanished_is_noticed(stand: Stand) -> None:
    with Cable(stand.port) as cable:
        async with worn(cable.url, Started(HOME)) as device:
            await device.until_live()
            device.pass_until_due()
            await device.until(lambda state: state.awaited is Awaited.PONG)
            await device.until(lambda state: state.awaited is Awaited.SILENCE)
            cable.hold()
            device.pass_until_due()
            device.pass_until_due()
            assert (device.state.link, device.state.reason) == (Standing.GONE, "no answer in time")
            assert device.seen.freshness is Freshness.OLD


async def test_without_a_network_nothing_is_open_and_with_one_it_goes_on(own_stand: Stand) -> None:
    async with worn(own_stand.url, Started(HOME)) as device:
        await device.until_live()
        device.put(on.Network(up=False))
        await asyncio.to_thread(own_stand.await_sockets, 0)
        assert device.seen.trouble is Trouble.OFFLINE
        device.put(on.Network(up=True))
        await device.until_live()


async def test_leaving_closes_what_is_open(own_stand: Stand) -> None:
    async with worn(own_stand.url, Started(HOME)) as device:
        await device.until_live()
        await asyncio.to_thread(own_stand.await_sockets, 1)
    await asyncio.to_thread(own_stand.await_sockets, 0)
    device.put(on.Shown(Show.AMBIENT))
    assert device.state.mode == "off"


async def test_what_nobody_foresaw_is_raised_at_whoever_waits(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("watch.shell.SocketLine.run", broken)
    async with worn(stand.url, Started(HOME)) as device:
        with pytest.raises(ZeroDivisionError):
            await device.until_live()
