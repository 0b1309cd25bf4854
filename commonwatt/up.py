"""`commonwatt up`: everything in one process tree, for a demonstration or a small community."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final, NamedTuple

from bus.accounts import FOLDER
from bus.broker import Broker, BrokerError, free_port, is_free
from bus.client import Bus
from bus.identifiers import home_key
from bus.registry import load_history
from bus.settings import NatsSettings
from commonwatt.settings import Settings, SettingsError
from commonwatt.signing import tokens_of
from commonwatt.supervisor import Child, ChildError, Supervisor
from meters.demo import simulated_communities
from meters.simulator import DEFAULT_HOMES
from resolvers.access import HOUSEHOLD, OPERATOR
from server.run import listen

DEFAULT_NATS_PORT: Final = 4222
DEFAULT_MQTT_PORT: Final = 1883
_COMMUNITY: Final = "demo"
_PATIENCE_S: Final = 10.0
_READY_S: Final = 60.0
_LEFT_BEHIND_S: Final = 6.0
_TOKENS_LAST_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How to run everything. `nats_port` None: 4222, or any free port if that is taken; `mqtt_port`: 1883 likewise.

    `homes` None: as many as earlier runs registered, or 20.
    """

    data_dir: Path
    host: str
    port: int
    nats_port: int | None
    homes: int | None
    seed: int
    rate: float
    fresh: bool
    log_level: str
    log_format: str
    mqtt_port: int | None = None
    nats_open: bool = True
    """Whether clients without credentials may do everything on its NATS."""


class Demo(NamedTuple):
    """What somebody needs to look at the simulated community: its first home, and tokens; empty, none are asked for."""

    home: str
    """Its id, as clients name it."""
    member: str = ""
    """A token of whoever lives in that home."""
    operator: str = ""


class DataDirectory:
    """The directory that holds everything that `up` keeps; one `up` at a time uses it.

    Its lock is a file that stays open, here and in the nats-server that writes below it: should
    this process be killed, the directory is free when that nats-server has ended, not before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def lock(self) -> int:
        """The file descriptor of the lock; to be kept open by whoever writes into the directory."""
        assert self._lock is not None
        return self._lock.fileno()

    async def take(self, *, fresh: bool) -> None:
        """Create it, lock it, and empty it if asked; raise SettingsError when that cannot be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("a+", encoding="ascii")
        except OSError as error:
            raise SettingsError(
                f"data directory {self.path} is not writable ({error.strerror}): choose another with --data-dir"
            ) from None
        await self._acquire(self._lock)
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        if fresh:
            for name in ("nats", "history"):
                shutil.rmtree(self.path / name, ignore_errors=True)

    async def _acquire(self, lock: IO[str]) -> None:
        """Wait only for what an `up` that was killed left behind: it is ending already."""
        deadline = time.monotonic() + _LEFT_BEHIND_S
        while True:
            with contextlib.suppress(OSError):
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.seek(0)
            holder = lock.read().strip()
            if _runs(holder) or time.monotonic() > deadline:
                raise SettingsError(
                    f"data directory {self.path} is in use by another `commonwatt up` "
                    f"(process {holder}): end that one, or choose another with --data-dir"
                )
            await asyncio.sleep(0.1)


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:  # it runs, as someone else
        return True
    return True


class Addresses(NamedTuple):
    """Where everything listens: the server, NATS, and NATS for devices that speak MQTT."""

    url: str
    nats: str
    mqtt: str


async def run_up(options: UpOptions, show: Callable[[Addresses, str], None]) -> None:
    """Run until cancelled. When all is ready, `show` gets the addresses, and the first home of the simulated community.

    Raises SettingsError, BrokerError, ListenError or ChildError for what cannot work.
    """
    directory = DataDirectory(options.data_dir)
    await directory.take(fresh=options.fresh)
    with listen(options.host, options.port) as listener:
        port = listener.getsockname()[1]
    broker = Broker(
        directory.path / "nats",
        _port(options.nats_port, DEFAULT_NATS_PORT, "NATS", "--nats-port"),
        mqtt_port=_port(options.mqtt_port, DEFAULT_MQTT_PORT, "MQTT", "--mqtt-port"),
        users=directory.path / FOLDER,
        closed=not options.nats_open,
    )
    supervisor = Supervisor(_children(options, broker, port, directory.lock))
    host = f"[{options.host}]" if ":" in options.host else options.host
    addresses = Addresses(f"http://{host}:{port}", broker.url, broker.mqtt_url)

    async def greet() -> None:
        await _until_ready(addresses, options.host, port)
        show(addresses, await _first_home(broker, options))

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(greet())
        try:
            await supervisor.run()
        finally:
            waiting.cancel()


def demo_of(settings: Settings, home: str) -> Demo:
    """Return what leads to a home of the simulated community, with tokens that last a day; raise KeysError."""
    key = home_key(_COMMUNITY, home)
    if settings.sign_in == "off":
        return Demo(key)
    issue = partial(tokens_of(settings).issue, community=_COMMUNITY, ttl_s=_TOKENS_LAST_S)
    return Demo(key, issue(subject=HOUSEHOLD + home, role="member"), issue(subject=OPERATOR, role="operator"))


async def _first_home(broker: Broker, options: UpOptions) -> str:
    """Return the first home of the simulated community: as it is registered, or as the simulator is about to."""
    bus = await Bus.connect(
        NatsSettings(url=broker.url, nkey_seed=broker.seed("operator")), name="registry", patience_s=_PATIENCE_S
    )
    try:
        history = await load_history(bus, _COMMUNITY)
    finally:
        await bus.close()
    if history is not None:
        return history.latest.community.homes[0].id
    return simulated_communities(options.homes or DEFAULT_HOMES, options.seed)[0].homes[0].id


def _port(wanted: int | None, default: int, what: str, option: str) -> int:
    if wanted is None:
        return default if is_free(default) else free_port()
    if wanted == 0:
        return free_port()
    if not is_free(wanted):
        raise BrokerError(f"port {wanted} for {what} is in use: choose another with {option}, or 0 for any free one")
    return wanted


def _children(options: UpOptions, broker: Broker, port: int, lock: int) -> list[Child]:
    logs = ["--log-level", options.log_level, "--log-format", options.log_format]
    nats = ["--nats-url", broker.url, *logs]
    this = [sys.executable, "-m", "commonwatt"]
    kept = ["--data-dir", str(options.data_dir)]
    where = ["--host", options.host, "--port", str(port), *kept]
    simulation = ["--community", _COMMUNITY, "--seed", str(options.seed), "--rate", str(options.rate)]
    if options.homes is not None:
        simulation += ["--homes", str(options.homes)]
    return [
        Child("nats-server", broker.command(), last=True, keeps=(lock,)),
        Child("aggregate", [*this, "aggregate", *nats], environment=_key(broker, "aggregator")),
        # Whoever stops all of it by Ctrl-C does not wait for clients to be told one after the other.
        Child(
            "serve",
            [*this, "serve", *nats, *where, "--development"],
            environment={"COMMONWATT_DRAIN": "0"} | _key(broker, "server"),
        ),
        Child("history", [*this, "history", *nats, *kept], environment=_key(broker, "history")),
        Child("simulate", [*this, "simulate", *nats, *simulation], environment=_key(broker, "simulator")),
    ]


def _key(broker: Broker, role: str) -> dict[str, str]:
    """Return what has a process sign in to NATS as a role."""
    return {"COMMONWATT_NATS_NKEY_SEED": str(broker.seed(role))}


async def _until_ready(addresses: Addresses, host: str, port: int) -> None:
    deadline = time.monotonic() + _READY_S
    while not await _is_ready(host, port):
        if time.monotonic() > deadline:
            raise ChildError(
                f"the server on {addresses.url} was not ready within {_READY_S:g} s; the log above says why"
            )
        await asyncio.sleep(0.1)


async def _is_ready(host: str, port: int) -> bool:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
    except (OSError, TimeoutError):
        return False
    try:
        writer.write(f"GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return (await asyncio.wait_for(reader.readline(), 2)).startswith(b"HTTP/1.1 200")
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
