import httpx

from bus.client import Bus
from tests.resolvers.frames import Publisher, eventually, home_state
from tests.server.served import ask, metric, next_of, serving, subscribed

HOME = 'subscription { home(id: "demo.home-1") { load } }'


async def test_counts_what_comes_in_and_what_is_open(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    assert await metric(url, "commonwatt_nats_connected") == 1
    assert await metric(url, "commonwatt_registry_loaded") == 1
    assert await metric(url, "commonwatt_communities_followed") == 0
    async with subscribed(url, HOME) as stream:
        await next_of(stream)
        await publisher.publish(home_state(load_w=1.0))
        await next_of(stream)
        assert await metric(url, "commonwatt_websocket_connections") == 1
        assert await metric(url, "commonwatt_subscriptions") == 1
        assert await metric(url, "commonwatt_watchers") == 1
        assert await metric(url, "commonwatt_communities_followed") == 1
        assert await metric(url, "commonwatt_frames_total") == 2
        assert await metric(url, "commonwatt_messages_sent_total") == 2
        assert await metric(url, "commonwatt_frame_age_seconds") < 60

    async def all_is_closed() -> bool:
        return await metric(url, "commonwatt_websocket_connections") == 0

    await eventually(all_is_closed)
    assert await metric(url, "commonwatt_subscriptions") == 0


async def test_counts_gaps_in_frame_numbers(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    async with subscribed(url, HOME) as stream:
        await next_of(stream)
        publisher.number += 5
        await publisher.publish(home_state(load_w=1.0))
        await next_of(stream)
        assert await metric(url, "commonwatt_frame_gaps_total") == 1


async def test_counts_requests_with_few_labels(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for path in ("/nonsense-1", "/nonsense-2", "/static/a/b/c", "/static/d"):
            await http.get(path)
        await http.request("PROPFIND", "/")
        await ask(url, "{ __typename }")
        text = (await http.get("/metrics")).text
    assert 'commonwatt_http_requests_total{method="GET",path="other",status="404"} 2.0' in text
    assert 'commonwatt_http_requests_total{method="GET",path="/static/",status="404"} 2.0' in text
    assert 'commonwatt_http_requests_total{method="POST",path="/graphql",status="200"} 1.0' in text
    assert 'commonwatt_http_requests_total{method="other",path="/",status="405"} 1.0' in text
    assert "nonsense" not in text
    assert "PROPFIND" not in text


async def test_each_app_counts_for_itself(url: str, bus: Bus) -> None:
    async with serving(bus) as second, httpx.AsyncClient() as http:
        await http.get(f"{url}/nonsense")
        assert 'path="other"' not in (await http.get(f"{second}/metrics")).text
