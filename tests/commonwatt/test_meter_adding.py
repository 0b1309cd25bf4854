"""`commonwatt meter add` and `meter exchange` against a nats-server that asks who is there."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner, Result

from bus.client import Bus, Message
from bus.community import Community, load_community
from bus.reading import Reading, parse
from bus.registry import apply, load_history
from commonwatt.cli import app
from commonwatt.meter_exchange import next_epoch, plan
from commonwatt.settings import SettingsError
from tests.aggregator.harness import Bench, Said, community, home, ticks
from tests.bus.strict import StrictNats
from tests.commonwatt.tree import environment
from tests.conftest import absent

Commonwatt = Callable[..., Result]
EXAMPLE = Path(__file__).parents[2] / "examples" / "community.toml"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

_T = TypeVar("_T")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictNats]:
    """The server, with MQTT, its streams, and the community of the example."""
    strict = StrictNats(tmp_path_factory.mktemp("nats"), mqtt=True)
    strict.start()
    do(strict, "administrator", lambda bus: apply(bus, load_community(EXAMPLE), now=datetime.now(UTC)))
    yield strict
    strict.end()


@pytest.fixture
def commonwatt(monkeypatch: pytest.MonkeyPatch, server: StrictNats) -> Commonwatt:
    """Run `commonwatt meter` in this process, with the server's own users."""
    monkeypatch.setattr("commonwatt.running.configure", lambda *_: None)
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "COMMONWATT_NATS_URL": server.url})
    return lambda *words: runner.invoke(app, ["meter", *words, "--dir", str(server.directory)])


def do(server: StrictNats, role: str, work: Callable[[Bus], Coroutine[Any, Any, _T]]) -> _T:
    """Do something as a role."""

    async def connected() -> _T:
        bus = await Bus.connect(server.settings(role), name="registry" if role == "operator" else "test", patience_s=10)
        try:
            return await work(bus)
        finally:
            await bus.close()

    return asyncio.run(connected())


def registered(server: StrictNats) -> Community:
    history = do(server, "operator", lambda bus: load_history(bus, "sonnenhang"))
    assert history is not None
    return history.latest.community


def last(server: StrictNats, meter: str) -> bytes | None:
    stored = do(server, "administrator", lambda bus: bus.last("READINGS", f"readings.sonnenhang.{meter}"))
    return None if stored is None else stored.data


def entered(done: Result) -> dict[str, Any]:
    """Return what a command with --json said."""
    assert done.exit_code == 0, done.output
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def mosquitto_pub(server: StrictNats, said: dict[str, Any], topic: str, payload: bytes) -> int:
    """Publish with QoS 1 by a stock client; return its exit code."""
    words = ["-h", said["host"], "-p", said["port"], "-u", said["user"], "-P", said["password"]]
    try:
        done = subprocess.run(
            ["mosquitto_pub", *words, "-q", "1", "-t", topic, "-s"],
            input=payload,
            capture_output=True,
            timeout=20,
            env=environment(),
        )
    except FileNotFoundError:
        absent("mosquitto_pub is not there")
        raise
    return done.returncode


def reading(imported: int, *, epoch: str = "0", at: datetime | None = None) -> bytes:
    return Reading(at=at or datetime.now(UTC), epoch=epoch, import_wh=imported, export_wh=0).to_bytes()


# --- add ---


def test_a_meter_is_registered_and_its_device_publishes_with_what_is_printed(
    commonwatt: Commonwatt, server: StrictNats
) -> None:
    said = entered(commonwatt("add", "--community", "sonnenhang", "--home", "bakery", "--meter", "oven", "--json"))
    assert (said["host"], said["port"]) == ("127.0.0.1", str(server.mqtt_port))
    assert said["topic"] == "readings/sonnenhang/oven"
    assert registered(server).home_of_meter["oven"][0].id == "bakery"
    assert mosquitto_pub(server, said, said["topic"], reading(5)) == 0
    stored = last(server, "oven")
    assert stored is not None
    assert parse(stored).import_wh == 5
    assert mosquitto_pub(server, said, "readings/sonnenhang/home-03-grid", reading(6)) == 0  # as MQTT 3.1.1 has it
    assert last(server, "home-03-grid") is None
    assert server.violations()[-1] == ("Publish", "readings.sonnenhang.home-03-grid")


def test_it_says_from_when_on_and_what_is_to_be_known(commonwatt: Commonwatt, server: StrictNats) -> None:
    done = commonwatt("add", "--community", "sonnenhang", "--home", "bakery", "--meter", "cellar", "--role", "pv")
    assert done.exit_code == 0, done.output
    today = datetime.now(registered(server).zone).date()
    assert f"cellar (PV) is part of home bakery from {today} 00:00 on (Europe/Vienna). It counts at once" in done.output
    assert 'Put { id = "cellar", role = "PV" } into home bakery' in done.output
    assert "password" in done.output
    again = commonwatt("add", "--community", "sonnenhang", "--home", "bakery", "--meter", "cellar", "--role", "pv")
    assert again.exit_code == 2
    assert "--rotate makes new ones" in again.output
    renewed = entered(
        commonwatt(
            *("add", "--community", "sonnenhang", "--home", "bakery", "--meter", "cellar", "--role", "PV"),
            *("--rotate", "--json"),
        )
    )
    assert renewed["notes"] == ["cellar is registered already, in home bakery as PV."]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--home", "nowhere"), "'sonnenhang' has no home 'nowhere', but"),
        (
            ("--meter", "bakery-grid", "--home", "home-03"),
            "'bakery-grid' already, in home 'bakery' as GRID",
        ),
        (("--role", "SOLAR"), "--role 'SOLAR'; expected GRID, PV or BATTERY"),
        (("--community", "nowhere"), "no community 'nowhere' is registered"),
        (("--meter", "A B"), "'A B' is not an identifier"),
        (("--device", "shelly"), "--device and --topic are given together"),
        (("--device", "toaster", "--topic", "x"), "--device 'toaster'; expected shelly or tasmota"),
        (("--device", "shelly", "--topic", "a.b"), "'a.b' is no topic of a device here"),
        (("--device", "shelly", "--topic", "readings/sonnenhang"), "begins with 'readings', which is not for devices"),
        (("--mqtt", "somewhere"), "expected HOST:PORT"),
        (("--valid-from", "soon"), "expected a day such as"),
        (("--valid-from", "2020-01-01"), "versions are dated in order"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_changed(
    commonwatt: Commonwatt, server: StrictNats, words: tuple[str, ...], says: str
) -> None:
    before = registered(server), server.accounts.users
    given = {"--community": "sonnenhang", "--home": "bakery", "--meter": "other"}
    given |= dict(zip(words[::2], words[1::2], strict=True))
    done = commonwatt("add", *(word for pair in given.items() for word in pair))
    assert done.exit_code == 2
    assert says in done.output
    assert (registered(server), server.accounts.users) == before


def test_until_a_day_to_come_its_readings_are_refused_and_that_is_said(commonwatt: Commonwatt) -> None:
    words = ("--home", "home-03", "--meter", "later", "--valid-from", "2099-01-01", "--json")
    done = commonwatt("add", "--community", "sonnenhang", *words)
    (since, _) = entered(done)["notes"]
    assert "from 2099-01-01 00:00 on" in since
    assert "Until then what it sends is refused as unknown_meter" in since


def test_a_device_gets_its_own_topics_and_a_gateway_that_hears_them(commonwatt: Commonwatt, server: StrictNats) -> None:
    words = ("add", "--community", "sonnenhang", "--home", "bakery", "--device", "shelly", "--topic", "shellypro2em-ab")
    said = entered(commonwatt(*words, "--meter", "shop", "--channel", "em1:0", "--json"))
    assert (said["user"], said["topic"]) == ("device.sonnenhang.shop", "shellypro2em-ab")
    assert said["notes"][-1].startswith("  commonwatt gateway shelly --community sonnenhang --meter shop --topic")
    assert server.accounts.seed("gateway-sonnenhang").is_file()
    second = entered(commonwatt(*words, "--meter", "roof", "--role", "PV", "--channel", "em1:1", "--json"))
    assert "password" not in second
    assert any("signs in as device.sonnenhang.shop, as before" in note for note in second["notes"])
    taken = commonwatt(*words[:-1], "shellypro2em-ab/more", "--meter", "attic")
    assert taken.exit_code == 2
    assert "device.sonnenhang.shop publishes below 'shellypro2em-ab'" in taken.output


# --- exchange ---


def test_an_exchange_publishes_both_ends_and_locks_the_old_meter_out(
    commonwatt: Commonwatt, server: StrictNats
) -> None:
    old = entered(commonwatt("add", "--community", "sonnenhang", "--home", "bakery", "--meter", "kiln", "--json"))
    before = datetime.now(UTC) - timedelta(hours=1)
    mosquitto_pub(server, old, old["topic"], reading(1_000_000, at=before))
    done = commonwatt(
        *("exchange", "--community", "sonnenhang", "--meter", "kiln", "--old-import", "1000.75"),
        *("--new-import", "0.4", "--json"),
    )
    new = entered(done)
    assert (new["topic"], new["epoch"]) == (old["topic"], "1")
    assert "ended at 1000.750 kWh drawn and 0.000 kWh fed in, '1' begins at 0.400" in new["notes"][0]
    assert mosquitto_pub(server, old, old["topic"], reading(1_000_900)) != 0
    assert mosquitto_pub(server, new, new["topic"], reading(600, epoch="1")) == 0

    async def all_of_it(bus: Bus) -> list[Reading]:
        reader = bus.read("READINGS", ["readings.sonnenhang.kiln"])
        found: list[Reading] = []
        while len(found) < 4:
            found += [parse(stored.data) for stored in await reader.next_batch(10)]
        await reader.close()
        return found

    found = do(server, "administrator", all_of_it)
    said = [(one.epoch, one.import_wh) for one in found]
    assert said == [("0", 1_000_000), ("0", 1_000_750), ("1", 400), ("1", 600)]
    (kiln,) = [user for user in server.accounts.users if user.name == "sonnenhang.kiln"]
    assert kiln.mqtt_only


def test_a_meter_behind_a_gateway_has_no_credentials_afterwards_either(
    commonwatt: Commonwatt, server: StrictNats
) -> None:
    do(server, "administrator", lambda bus: bus.publish(Message("readings.sonnenhang.bakery-pv", reading(7))))
    words = ("exchange", "--community", "sonnenhang", "--meter", "bakery-pv", "--epoch", "serial-2", "--json")
    said = entered(commonwatt(*words))
    assert "password" not in said
    assert "must say epoch 'serial-2' from now on" in said["notes"][-1]
    assert not [user for user in server.accounts.users if user.name == "sonnenhang.bakery-pv"]
    stored = last(server, "bakery-pv")
    assert stored is not None
    assert (parse(stored).epoch, parse(stored).import_wh) == ("serial-2", 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--meter", "nothing"), "has no meter 'nothing'"),
        (("--meter", "home-03-grid"), "'home-03-grid' has sent nothing yet"),
        (("--old-import", "1,5"), "--old-import '1,5'; expected kWh"),
        (("--at", "2026-01-01T00:00:00"), "expected a time with its offset"),
        (("--at", "2099-01-01T00:00:00Z"), "is yet to come"),
    ],
)
def test_an_exchange_that_cannot_be_is_one_line(
    commonwatt: Commonwatt, server: StrictNats, words: tuple[str, ...], says: str
) -> None:
    before = server.accounts.users
    done = commonwatt(
        "exchange", "--community", "sonnenhang", *(() if "--meter" in words else ("--meter", "oven")), *words
    )
    assert done.exit_code == 2
    assert says in done.output
    assert server.accounts.users == before


# --- the plan of an exchange ---

BEFORE = Reading(at=NOW - timedelta(hours=2), epoch="0", import_wh=5_000_000, export_wh=1000)


def planned(old: tuple[int | None, int | None] = (None, None), at: datetime = NOW, epoch: str | None = None) -> Any:
    return plan(BEFORE, old, (0, 0), epoch, at, 10_000)


@pytest.mark.parametrize(
    ("old", "says"),
    [
        ((4_999_999, None), "--old-import is 4999.999 kWh; the meter sent 5000.000 kWh at 2026-11-23 10:00:00 UTC"),
        ((5_000_000_000, None), "its connection of 10000 W carries 20.100 kWh at the most since then"),
        ((None, 30_000), "--old-export is 30.000 kWh"),
    ],
)
def test_registers_that_cannot_be_are_refused_such_as_wh_for_kwh(old: tuple[int | None, int | None], says: str) -> None:
    with pytest.raises(SettingsError) as error:
        planned(old)
    assert says in str(error.value)


def test_the_new_meter_is_never_taken_for_the_old_one() -> None:
    with pytest.raises(SettingsError, match="and not the old meter's"):
        planned(epoch="0")
    with pytest.raises(SettingsError, match="the meter sent a reading of"):
        planned(at=BEFORE.at - timedelta(minutes=5))
    assert planned(at=BEFORE.at).end.at > BEFORE.at


@pytest.mark.parametrize(
    ("epoch", "following"), [("0", "1"), ("9", "10"), ("1EBZ01", "1EBZ01.2"), ("1EBZ01.2", "1EBZ01.3"), ("", ".2")]
)
def test_an_epoch_is_followed_by_another(epoch: str, following: str) -> None:
    assert next_epoch(epoch) == following


def test_the_aggregator_counts_on_over_an_exchange() -> None:
    start = 1_782_302_400_000  # a full hour
    meters = community(home("a"))

    def said(at: int, one: Reading) -> Said:
        return Said(at, "a-grid", one.to_bytes())

    def at(minutes: float) -> datetime:
        return datetime.fromtimestamp(start / 1000 + 60 * minutes, UTC)

    first = Reading(at=at(0), import_wh=1_000_000, export_wh=0)
    done = plan(first, (1_000_600, None), (40, 0), None, at(10), 50_000)
    after = Reading(at=at(15), epoch="1", import_wh=340, export_wh=0)
    later = Reading(at=at(30), epoch="1", import_wh=1240, export_wh=0)
    readings = [(0, first), (10, done.end), (10, done.begin), (15, after), (30, later)]
    told = [said(start + 60_000 * minutes, one) for minutes, one in readings]
    bench = Bench(meters).run(ticks(start - 1000, start)).run(told).run(ticks(start + 1_800_000, start + 7_200_000))
    assert bench.reasons == []
    assert [row.import_wh for row in bench.rows("a").values()][:2] == [600 + 300, 900]
    assert bench.total("a") == 1800


def test_a_device_that_is_exchanged_gets_a_new_password_and_its_gateway_a_new_epoch(
    commonwatt: Commonwatt, server: StrictNats
) -> None:
    device = ("--device", "shelly", "--topic", "shellypro3em-old")
    words = ("add", "--community", "sonnenhang", "--home", "bakery", "--meter", "counter", *device, "--json")
    old = entered(commonwatt(*words))
    do(server, "administrator", lambda bus: bus.publish(Message("readings.sonnenhang.counter", reading(9_000))))
    device = ("--device", "shelly", "--topic", "shellypro3em-new")
    new = entered(commonwatt("exchange", "--community", "sonnenhang", "--meter", "counter", *device, "--json"))
    assert new["topic"] == "shellypro3em-new"
    assert new["password"] != old["password"]
    assert new["notes"][-1].endswith("--epoch 1")
    below = {user.name: user.below for user in server.accounts.users if user.role == "device"}
    assert below["device.sonnenhang.counter"] == ("shellypro3em-new",)
    assert not [user for user in server.accounts.users if user.name == "sonnenhang.counter"]
