"""The compose file's services, run without Docker: from a meter's credentials to a subscription."""

import asyncio
import json
import shutil
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

from tests.bus.certificates import Authority
from tests.bus.mqtt import MqttDevice
from tests.bus.strict import Peer
from tests.compose import ROOT, Containers
from tests.resolvers.frames import eventually

pytestmark = pytest.mark.slow

HOME = 'subscription { home(id: "sonnenhang.bakery") { powerImport } }'
DEMO = 'subscription { community(id: "demo") { homesReporting } }'


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    """The services of the compose file, none of them started."""
    services = Containers(tmp_path)
    yield services
    services.end()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the certificate of NATS."""
    return Authority(tmp_path, "ca")


@pytest.fixture
def encrypted(tmp_path: Path, authority: Authority) -> Iterator[Containers]:
    """The same as deploy/compose.meters.yml changes them, with a folder of certificates."""
    folder = tmp_path / "tls"
    folder.mkdir()
    pair = authority.sign("server")
    for source, name in ((authority.cert, "ca.pem"), (pair.cert, "server.pem"), (pair.key, "server.key")):
        shutil.copy(source, folder / name)
    services = Containers(tmp_path, tls=folder)
    yield services
    services.end()


@asynccontextmanager
async def subscribed(containers: Containers, community: str, document: str) -> AsyncIterator[AsyncIterator[Any]]:
    """Subscribe with a token that the server's container issues; the value is the values of the one field."""
    token = containers.run("server", "token", "issue", "--role", "operator", "--community", community).strip()
    transport = WebsocketsTransport(
        containers.url.replace("http", "ws") + "/graphql",
        subprotocols=["graphql-transport-ws"],
        init_payload={"token": token},
    )
    async with Client(transport=transport) as session:
        stream = session.subscribe(gql(document))
        try:
            yield (value async for result in stream for root in result.values() for value in root.values())
        finally:
            await stream.aclose()


async def until(values: AsyncIterator[Any], least: float) -> None:
    async with asyncio.timeout(30):
        async for value in values:
            if value is not None and value >= least:
                return


def reading(power_w: float) -> bytes:
    values = {"import_wh": 1000, "export_wh": 0, "power_import_w": power_w, "power_export_w": 0}
    return json.dumps({"at": datetime.now(UTC).isoformat(), **values}).encode()


async def started(containers: Containers) -> None:
    """Start what `docker compose up` starts, and register a community, as its first lines say."""
    containers.run("setup")
    for service in ("nats", "aggregator", "server", "history"):
        containers.start(service)
    async with httpx.AsyncClient(base_url=containers.url) as http:

        async def is_ready() -> bool:
            with suppress(httpx.TransportError):
                return (await http.get("/ready")).status_code == 200
            return False

        await eventually(is_ready, timeout=30)
    file = (ROOT / "examples" / "community.toml").read_text("utf-8")
    containers.run("operator", "registry", "apply", "/dev/stdin", stdin=file)


def added(containers: Containers) -> dict[str, str]:
    """Add a meter, as docs/nats.md says; return what its device has to know."""
    said = containers.run("setup", "nats", "meter", "sonnenhang", "bakery-grid", "--dir", "/srv/commonwatt", "--json")
    meter: dict[str, str] = json.loads(said)
    containers.signal("nats", signal.SIGHUP)
    return meter


async def test_a_reading_published_with_a_meters_credentials_arrives_at_a_subscription(containers: Containers) -> None:
    await started(containers)
    meter = added(containers)
    peer = Peer(meter["inbox_prefix"])
    await peer.connect(containers.nats_url, patient=True, user=meter["user"], password=meter["password"])
    async with subscribed(containers, "sonnenhang", HOME) as values:
        answer = await peer.client.request(meter["subject"], reading(420), timeout=5)
        assert json.loads(answer.data)["stream"] == "READINGS"
        await until(values, 420)
    await peer.client.close()

    async def is_kept() -> bool:
        return "history ready" in containers.log("history")

    await eventually(is_kept, timeout=30)
    assert containers.path("history", "/var/lib/commonwatt/history/history.duckdb").is_file()
    assert all("refuses" not in containers.log(service) for service in ("aggregator", "server", "history"))


async def test_an_installer_adds_a_meter_and_its_device_publishes_by_mqtt(containers: Containers) -> None:
    await started(containers)
    words = ("--community", "sonnenhang", "--home", "bakery", "--meter", "oven", "--json")
    said = json.loads(containers.run("installer", "meter", "add", *words))
    assert said["topic"] == "readings/sonnenhang/oven"
    roof = ("--meter", "roof", "--role", "PV", "--device", "shelly", "--topic", "shellypro3em-ab", "--json")
    containers.run("installer", "meter", "add", "--community", "sonnenhang", "--home", "bakery", *roof)
    assert containers.path("setup", "/srv/commonwatt/gateways/sonnenhang/nats.nk").is_file()
    device = MqttDevice(containers.mqtt_port, said["user"], said["password"])
    async with subscribed(containers, "sonnenhang", HOME) as values, device:
        await device.publish(said["topic"], reading(423))
        await until(values, 423)
    assert all("refuses" not in containers.log(service) for service in ("aggregator", "server"))


async def test_with_meters_let_in_all_of_it_goes_over_tls_and_mqtt_too(
    encrypted: Containers, authority: Authority
) -> None:
    await started(encrypted)
    meter = added(encrypted)
    trust = ssl.create_default_context(cafile=str(authority.cert))
    peer = Peer(meter["inbox_prefix"])
    await peer.connect(encrypted.nats_url, patient=True, user=meter["user"], password=meter["password"], tls=trust)
    async with subscribed(encrypted, "sonnenhang", HOME) as values:
        await peer.client.request(meter["subject"], reading(421), timeout=5)
        await until(values, 421)
        async with MqttDevice(encrypted.mqtt_port, meter["user"], meter["password"], trust=trust) as device:
            await device.publish(meter["mqtt_topic"], reading(422))
            await until(values, 422)
    await peer.client.close()
    assert all("refuses" not in encrypted.log(service) for service in ("aggregator", "server"))


async def test_the_simulated_community_runs_with_a_key_for_that_community_alone(containers: Containers) -> None:
    await started(containers)
    containers.start("simulator")

    async def is_registered() -> bool:
        return "demo" in containers.run("simulator", "registry", "show")

    await eventually(is_registered, timeout=30)
    async with subscribed(containers, "demo", DEMO) as values:
        await until(values, 15)  # some of the 20 are silent at times
    assert "refuses" not in containers.log("simulator")


async def test_setting_up_again_keeps_keys_and_meters(containers: Containers) -> None:
    containers.run("setup")
    containers.run("setup", "nats", "meter", "sonnenhang", "bakery-grid", "--dir", "/srv/commonwatt")
    before = {path: path.read_bytes() for path in containers.path("setup", "/srv").rglob("*") if path.is_file()}
    containers.run("setup")
    assert before == {path: path.read_bytes() for path in before}
