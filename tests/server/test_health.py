import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from bus.client import Bus, connection_of
from bus.settings import NatsSettings
from bus.streams import REVOKED, Retention, ensure_streams
from server.options import ServerOptions
from tests.conftest import NatsServer
from tests.resolvers.frames import Publisher, community, eventually, home_state, register
from tests.server.people import Signer, post
from tests.server.served import ask, next_of, serving, subscribed, until_ready

LIVE = '{ community(id: "demo") { live { load } } }'


async def ready(url: str) -> tuple[int, dict[str, Any]]:
    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.get("/ready")
    return response.status_code, response.json()


def says(url: str, status: int) -> Callable[[], Awaitable[bool]]:
    async def does() -> bool:
        return (await ready(url))[0] == status

    return does


async def test_health_answers_before_anything_is_ready(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    own_nats.kill()
    async with serving(bus) as url, httpx.AsyncClient(base_url=url) as http:
        response = await http.get("/health")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
    await bus.close()


async def test_is_not_ready_until_nats_is_there_and_the_registry_read(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    await register(bus, community("demo"))
    own_nats.kill()
    async with serving(bus) as url:

        async def nats_is_missed() -> bool:
            return not (await ready(url))[1]["conditions"]["nats"]

        await eventually(nats_is_missed)
        assert await ready(url) == (
            503,
            {
                "ready": False,
                "conditions": {"nats": False, "registry": False, "frames": True},
                "reasons": ["NATS is not connected", "the registry is not read yet"],
            },
        )
        answer = await ask(url, LIVE)
        assert answer["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        own_nats.start()
        await until_ready(url)
        assert (await ask(url, '{ community(id: "demo") { name } }'))["data"] == {"community": {"name": "Demo"}}
    await bus.close()


async def test_answers_nobody_until_it_knows_which_tokens_were_revoked(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.app._LOAD_S", 0.1)
    signer = Signer()
    await register(bus, community("demo"))
    jetstream = connection_of(bus).jetstream()
    await jetstream.delete_stream(f"KV_{REVOKED}")
    async with serving(bus, ServerOptions(tokens=signer.tokens)) as url:
        token = signer.token("operator:", community="demo", jti="revoked", role="operator")
        assert (await ready(url))[1]["reasons"] == ["the registry is not read yet"]
        answer = (await post(url, token, "{ communities { id } }")).json()
        assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        await ensure_streams(jetstream, Retention())
        await until_ready(url)
        assert (await post(url, token, "{ communities { id } }")).json() == {"data": {"communities": [{"id": "demo"}]}}


async def test_is_ready_with_communities_that_nobody_follows_or_that_never_had_data(url: str) -> None:
    assert await ready(url) == (
        200,
        {"ready": True, "conditions": {"nats": True, "registry": True, "frames": True}, "reasons": []},
    )
    assert (await ask(url, LIVE))["data"] == {"community": {"live": None}}
    assert (await ready(url))[0] == 200


async def test_is_not_ready_with_an_old_frame_and_ready_again_with_a_new_one(bus: Bus) -> None:
    await register(bus, community("demo"))
    publisher = Publisher(bus)
    await publisher.publish(home_state())
    async with serving(bus, ServerOptions(frame_age_s=0.5)) as url:
        await until_ready(url)
        async with subscribed(url, 'subscription { community(id: "demo") { load } }') as stream:
            await next_of(stream)
            await eventually(says(url, 503))
            status, body = await ready(url)
            assert status == 503
            assert body["conditions"] == {"nats": True, "registry": True, "frames": False}
            assert body["reasons"] == ["communities without a frame of the last 0.5 s: 1"]
            await publisher.publish(load_w=1.0)
            await next_of(stream)
            assert (await ready(url))[0] == 200


async def test_old_frames_of_a_replay_do_not_count(bus: Bus) -> None:
    await register(bus, community("demo", clock="event"), community("other"))
    publisher, other = Publisher(bus), Publisher(bus, "other")
    await publisher.publish(load_w=1.0)
    await other.publish(load_w=1.0)
    async with serving(bus, ServerOptions(frame_age_s=0.2)) as url:
        await until_ready(url)
        began = time.monotonic()
        await ask(url, "{ communities { live { load } } }")
        await eventually(says(url, 503))
        assert (await ready(url))[1]["reasons"] == ["communities without a frame of the last 0.2 s: 1"]
        assert time.monotonic() - began < 10
