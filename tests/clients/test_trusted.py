"""Trusted documents by published clients: as an id, or as Apollo's persisted queries."""

from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from bus.client import Bus
from server.documents import document_id
from server.options import ServerOptions
from tests.clients.clients import Known
from tests.clients.conftest import Open
from tests.clients.signing import Signing
from tests.clients.stand import Scene, arrange
from tests.resolvers.frames import home_state
from tests.server.served import serving, until_ready

NAME = "query Name($home: ID!) { home(id: $home) { name } }"
LOAD = "subscription Load($home: ID!) { home(id: $home) { load } }"

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trusting_url(
    module_bus: Bus, signing: Signing, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """The URL of a server that takes nothing but these documents, and what Apollo makes of them."""
    folder = tmp_path_factory.mktemp("documents")
    for number, text in enumerate((NAME, LOAD)):
        (folder / f"{number}.graphql").write_text(text, encoding="utf-8")
        (folder / f"{number}-apollo.graphql").write_text(text.replace(" } }", " __typename } }"), encoding="utf-8")
    options = ServerOptions(document_directories=(folder,), trusted_only=True, tokens=signing.tokens())
    async with serving(module_bus, options) as url:
        await until_ready(url)
        yield url


@pytest_asyncio.fixture(loop_scope="module")
async def trusting(module_bus: Bus, trusting_url: str, signing: Signing) -> Scene:
    """A community at that server, seen by a household: an operator may ask anything."""
    scene = await arrange(module_bus, trusting_url, signing)
    await scene.publisher.publish(home_state(load_w=1.0))
    return scene._replace(token=signing.household(scene.community))


async def answered(url: str) -> Counter[tuple[str, str]]:
    """Return how many requests to /graphql were answered, by method and status."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{url}/metrics")).text
    counts = Counter[tuple[str, str]]()
    for line in text.splitlines():
        if line.startswith("commonwatt_http_requests_total{") and 'path="/graphql"' in line:
            labels, value = line.rsplit(" ", 1)
            method, status = (labels.partition(f'{name}="')[2].partition('"')[0] for name in ("method", "status"))
            counts[method, status] = int(float(value))
    return counts


@pytest.mark.parametrize("name", ["graphql-ws", "graphql-sse", "urql", "urql-socket", "urql-stream"])
async def test_operations_go_by_the_ids_of_their_documents(name: str, trusting: Scene, open_client: Open) -> None:
    client = await open_client(name, trusting)
    query = await client.start(Known(document_id(NAME), "query"), home=trusting.home)
    assert await query.data() == {"home": {"name": "home-1"}}
    subscription = await client.start(Known(f"sha256:{document_id(LOAD)}", "subscription"), home=trusting.home)
    assert await subscription.data() == {"home": {"load": 1}}
    (unknown,) = await (await client.start(Known("0" * 64, "query"), home=trusting.home)).errors()
    assert unknown["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize("name", ["apollo", "urql", "urql-socket", "urql-stream"])
async def test_persisted_queries_go_by_their_hash_and_by_get_where_they_go_over_http(
    name: str, trusting: Scene, open_client: Open
) -> None:
    before = await answered(trusting.url)
    client = await open_client(name, trusting, persisted=True)
    assert await (await client.start(NAME, home=trusting.home)).data() == {"home": {"name": "home-1"}}
    requests = await answered(trusting.url) - before
    assert requests == ({} if name == "urql-socket" else {("GET", "200"): 1})
    assert await (await client.start(LOAD, home=trusting.home)).data() == {"home": {"load": 1}}
    (refused,) = await (await client.start("{ communities { id } }")).errors()
    assert refused["extensions"]["code"] in ("PERSISTED_QUERY_NOT_FOUND", "DOCUMENT_NOT_TRUSTED")


@pytest.mark.parametrize("name", ["apollo", "urql"])
async def test_the_document_is_sent_where_its_hash_is_not_known(name: str, scene: Scene, open_client: Open) -> None:
    before = await answered(scene.url)
    client = await open_client(name, scene, persisted=True)
    assert await (await client.start(NAME, home=scene.home)).data() == {"home": {"name": "home-1"}}
    again = "POST" if name == "apollo" else "GET"
    assert await answered(scene.url) - before == {("GET", "400"): 1, (again, "200"): 1}
