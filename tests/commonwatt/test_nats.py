"""`commonwatt nats`: what it prints and writes; and every process with its own key against a strict nats-server."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from bus.accounts import Accounts
from bus.broker import free_port
from bus.client import Bus
from bus.configuration import server_configuration
from bus.errors import UnavailableError
from bus.nkey import public_nkey
from bus.settings import NatsSettings
from commonwatt.cli import app
from tests.bus.strict import StrictNats
from tests.commonwatt.tree import command, environment
from tests.meters.recording import write_folder
from tests.resolvers.frames import eventually
from tests.server.served import ask

Commonwatt = Callable[..., Result]
EXAMPLE = Path(__file__).parents[2] / "examples" / "community.toml"


@pytest.fixture
def commonwatt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commonwatt:
    """Run `commonwatt nats` in this process, with a data directory of the test's own."""
    monkeypatch.setattr("commonwatt.running.configure", lambda *_: None)
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "COMMONWATT_DATA_DIR": str(tmp_path / "data")})
    return lambda *words: runner.invoke(app, ["nats", *words])


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """The users of that data directory."""
    return Accounts(tmp_path / "data" / "nats-users")


# --- the commands ---


def test_keys_are_made_once_and_renewed_where_asked_for(commonwatt: Commonwatt, accounts: Accounts) -> None:
    words = ("keys", "aggregator", "server", "--simulate", "demo")
    made = commonwatt(*words)
    names = ("aggregator", "server", "simulator")
    assert made.stdout.splitlines() == [f"new  {accounts.seed(name)}" for name in names]
    assert commonwatt("keys", "aggregator", "server", "--simulate", "demo").stdout == made.stdout.replace(
        "new ", "kept"
    )
    keys = {name: public_nkey(accounts.seed(name)) for name in names}
    assert commonwatt("keys", "server", "--rotate").stdout == f"new  {accounts.seed('server')}\n"
    assert {name for name in names if public_nkey(accounts.seed(name)) != keys[name]} == {"server"}
    assert [user.communities for user in accounts.users] == [(), (), ("demo",)]


def test_a_role_that_there_is_not_is_refused(commonwatt: Commonwatt, accounts: Accounts) -> None:
    done = commonwatt("keys", "aggregators")
    assert done.exit_code == 2
    assert done.stderr.startswith("commonwatt: 'aggregators' is no role of a process: known are aggregator, server,")
    assert accounts.users == ()


def test_a_configuration_is_written_once_and_left_to_its_owner(commonwatt: Commonwatt, accounts: Accounts) -> None:
    options = ("config", "--listen", "127.0.0.1:4222", "--store", "/var/lib/nats")
    path = accounts.directory / "nats-server.conf"
    assert commonwatt(*options).stdout.splitlines()[-1] == f"nats-server --config {path}"
    text = server_configuration(listen="127.0.0.1:4222", store="/var/lib/nats")
    assert path.read_text("utf-8") == text
    path.write_text(text + "max_payload: 1MB\n", "utf-8")
    assert "kept" in commonwatt(*options).stdout.splitlines()[-1]
    assert path.read_text("utf-8") == text + "max_payload: 1MB\n"
    commonwatt(*options, "--overwrite")
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize("options", [("--tls-cert", "a"), ("--tls-key", "a"), ("--tls-client-ca", "a")])
def test_half_of_tls_is_refused(commonwatt: Commonwatt, accounts: Accounts, options: tuple[str, ...]) -> None:
    done = commonwatt("config", *options)
    assert (done.exit_code, accounts.users) == (2, ())
    assert "--tls-cert and --tls-key are given together" in done.stderr


def test_a_meters_password_is_shown_once_with_all_that_its_device_needs(commonwatt: Commonwatt) -> None:
    first = commonwatt("meter", "sunfield", "m1", "--nats-url", "tls://nats.example.org", "--json")
    said = json.loads(first.stdout)
    assert said == {
        "host": "nats.example.org",
        "port": "4222",
        "user": "sunfield.m1",
        "password": said["password"],
        "subject": "readings.sunfield.m1",
        "inbox_prefix": "_INBOX_sunfield_m1",
        "mqtt_topic": "readings/sunfield/m1",
    }
    again = commonwatt("meter", "sunfield", "m1")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "--rotate" in again.stderr
    renewed = commonwatt("meter", "sunfield", "m1", "--rotate").stdout
    assert "readings.sunfield.m1" in renewed
    assert "commonwatt nats reload" in renewed
    assert said["password"] not in renewed


def test_users_are_listed_without_secrets_and_removed(commonwatt: Commonwatt, accounts: Accounts) -> None:
    commonwatt("keys", "server")
    password = json.loads(commonwatt("meter", "sunfield", "m1", "--json").stdout)["password"]
    assert str(accounts.seed("gateway-attic")) in commonwatt("gateway", "attic", "sunfield", "riverside").stdout
    listed = commonwatt("users").stdout
    assert all(name in listed for name in ("server", "sunfield.m1", "gateway-attic", "sunfield, riverside", "METERS"))
    assert password not in listed
    assert accounts.seed("server").read_text().strip() not in listed
    assert commonwatt("remove", "sunfield.m1").exit_code == 0
    assert "sunfield.m1" not in commonwatt("users").stdout
    assert commonwatt("remove", "sunfield.m1").exit_code == 2


def test_without_a_key_nothing_is_reloaded(commonwatt: Commonwatt, accounts: Accounts) -> None:
    done = commonwatt("reload")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"commonwatt: there is no key {accounts.seed('reloader')}: name it with")


def test_a_nats_server_that_runs_reads_its_users_again(commonwatt: Commonwatt, tmp_path: Path) -> None:
    server = StrictNats(tmp_path / "nats")
    server.start()
    try:
        done = commonwatt("reload", "--nats-url", server.url, "--dir", str(server.directory))
        assert (done.exit_code, done.stdout) == (0, "commonwatt read its configuration again\n"), done.stderr
        assert "Reloaded server configuration" in server.log
    finally:
        server.end()


# --- every process with its own key ---


class Processes:
    """Processes of ours, each with the key of a role and no other."""

    def __init__(self, server: StrictNats, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str, *words: str) -> None:
        """Start a process, which writes to a log of its name."""
        with (self.directory / f"{words[0]}.log").open("ab") as log:
            self._running[words[0]] = subprocess.Popen(
                self._command(role, words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment()
            )

    def run(self, role: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(self._command(role, words), capture_output=True, text=True, timeout=60, env=environment())

    def logs(self) -> str:
        return "".join((self.directory / f"{name}.log").read_text("utf-8") for name in self._running)

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].wait(10)

    def end(self) -> None:
        for name in self._running:
            self.kill(name)

    def _command(self, role: str, words: tuple[str, ...]) -> list[str]:
        seed = str(self.server.accounts.seed(role))
        return command(*words, "--nats-url", self.server.url, "--nats-nkey-seed", seed)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """A strict server, and the aggregator working with it."""
    server = StrictNats(tmp_path / "nats")
    server.start()
    running = Processes(server, tmp_path)
    running.start("aggregator", "aggregate")
    yield running
    running.end()
    server.end()


async def reporting(url: str, community: str) -> int:
    """Return how many homes of a community report; 0 while the server does not answer."""
    try:
        answer = await ask(url, "query Q($id: ID!) { community(id: $id) { live { homesReporting } } }", id=community)
    except (httpx.TransportError, ValueError):  # nobody is there, or waits for NATS
        return 0
    live = ((answer.get("data") or {}).get("community") or {}).get("live") or {}
    return int(live.get("homesReporting", 0))


@pytest.mark.slow
async def test_every_process_does_all_its_work_with_its_own_key(processes: Processes) -> None:
    applied = processes.run("operator", "registry", "apply", str(EXAMPLE))
    assert applied.returncode == 0, applied.stderr
    port = free_port()
    processes.start(
        *("server", "serve", "--sign-in", "off", "--development", "--port", str(port)),
        *("--data-dir", str(processes.directory / "data")),
    )
    processes.start("history", "history", "--file", str(processes.directory / "history.duckdb"))
    processes.start("simulator", "simulate", "--homes", "3", "--rate", "1")
    folder = write_folder(processes.directory / "recording", hours=100)
    replayed = processes.run("simulator", "replay", str(folder), "--community", "recorded")
    assert replayed.returncode == 0, replayed.stderr

    async def is_live() -> bool:
        return await reporting(f"http://127.0.0.1:{port}", "demo") == 3

    await eventually(is_live, timeout=60)
    processes.kill("aggregate")
    processes.start("aggregator", "aggregate")

    async def is_settled() -> bool:
        audited = processes.run("operator", "audit", "--community", "recorded")
        return audited.returncode == 0 and int(audited.stdout.split()[0]) == 99

    await eventually(is_settled, timeout=60)
    await eventually(is_live, timeout=60)

    async def is_kept() -> bool:
        return '"history ready"' in processes.logs()

    await eventually(is_kept, timeout=30)
    assert processes.run("operator", "token", "revoke", "of-nobody").returncode == 0
    assert processes.run("operator", "registry", "show").returncode == 0
    assert "refuses" not in processes.logs()
    # Who comes before the aggregator tries to make the streams itself, and then waits.
    assert {subject for _, subject in processes.server.violations()} <= {
        f"$JS.API.STREAM.CREATE.{name}" for name in ("READINGS", "LIVE", "INTERVALS", "ALERTS", "KV_registry")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "words", "subject"),
    [
        ("server", ("registry", "apply", str(EXAMPLE)), r"\$KV\.registry\.sonnenhang"),
        ("history", ("registry", "show"), r"\$JS.API.STREAM.INFO.READINGS"),
        ("simulator", ("token", "revoke", "any"), r"\$JS.API.STREAM.INFO.KV_revoked"),
        ("aggregator", ("token", "revoke", "any"), r"\$JS.API.STREAM.INFO.KV_revoked"),
        ("simulator", ("audit",), r"\$JS.API.STREAM.INFO.INTERVALS"),
    ],
)
def test_a_command_with_the_key_of_another_role_ends_with_one_line_that_says_why(
    processes: Processes, role: str, words: tuple[str, ...], subject: str
) -> None:
    done = processes.run(role, *words)
    nkey = public_nkey(processes.server.accounts.seed(role))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    line = done.stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"commonwatt: nkey {nkey} \(.*{role}/nats\.nk\) may not publish to {subject}: give this process .*", line
    )


# --- up ---


class ClosedUp:
    """`commonwatt up` that lets nobody in without credentials."""

    def __init__(self, directory: Path) -> None:
        self._out = directory / "up.out"
        words = ("up", "--port", "0", "--nats-port", "0", "--homes", "2", "--data-dir", str(directory / "data"))
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                command(*words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(COMMONWATT_NATS_OPEN="false"),
            )

    @property
    def said(self) -> str:
        return self._out.read_text("utf-8")

    @property
    def nats_url(self) -> str | None:
        """The address of its NATS, once it is up."""
        found = re.search(r"^NATS +(\S+)", self.said, re.MULTILINE)
        return found and found[1]

    def show_registry(self, seed: Path) -> str:
        """Return what `commonwatt registry show` prints with a key."""
        words = command("registry", "show", "--nats-url", str(self.nats_url), "--nats-nkey-seed", str(seed))
        return subprocess.run(words, capture_output=True, text=True, timeout=30, env=environment()).stdout


@pytest.fixture
def closed_up(tmp_path: Path) -> Iterator[ClosedUp]:
    up = ClosedUp(tmp_path)
    yield up
    up.process.terminate()
    up.process.wait(20)


@pytest.mark.slow
async def test_a_closed_up_works_and_lets_in_who_has_a_key(closed_up: ClosedUp, accounts: Accounts) -> None:
    async def is_up() -> bool:
        return closed_up.nats_url is not None

    await eventually(is_up, timeout=60)
    with pytest.raises(UnavailableError, match="Authorization Violation"):
        await Bus.connect(NatsSettings(url=str(closed_up.nats_url)), name="test", patience_s=1)
    assert "Demo community" in closed_up.show_registry(accounts.seed("operator"))
    assert "refuses" not in closed_up.said
