"""A nats-server that asks who is there: with the generated accounts, keys and permissions."""

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import Error

from bus.accounts import Accounts, Login
from bus.broker import find_binary, free_port
from bus.configuration import Tls, server_configuration
from bus.nkey import public_nkey
from bus.permissions import PROCESSES, inbox_of
from bus.settings import NatsSettings
from tests.resolvers.frames import eventually

VIOLATION = re.compile(r'(Publish|Subscription) Violation - .*?Subject "([^"]+)"')


class StrictNats:
    """One such server, on free ports, with a key for each role."""

    def __init__(self, directory: Path, *, tls: Tls | None = None, mqtt: bool = False) -> None:
        self.directory = directory
        self.port = free_port()
        self.mqtt_port = free_port() if mqtt else None
        self.accounts = Accounts(directory)
        self.accounts.keep(PROCESSES, simulate=())
        self.meters: dict[str, Login] = {}
        self.url = f"{'tls' if tls else 'nats'}://127.0.0.1:{self.port}"
        self._log = directory / "nats-server.log"
        self.configuration = directory / "nats-server.conf"
        self.configuration.write_text(
            server_configuration(
                listen=f"127.0.0.1:{self.port}",
                monitor=f"127.0.0.1:{free_port()}",
                store=str(directory / "store"),
                tls=tls,
                mqtt=f"127.0.0.1:{self.mqtt_port}" if mqtt else None,
            ),
            "utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [find_binary(), "--config", str(self.configuration), "--log", str(self._log)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def violations(self) -> list[tuple[str, str]]:
        """Return what was refused so far: Publish or Subscription, and the subject."""
        return VIOLATION.findall(self.log)

    async def reload(self) -> None:
        """Have it read its configuration again, and wait until it has."""
        assert self._process is not None

        async def is_ready() -> bool:
            return self._log.exists() and "Server is ready" in self.log

        await eventually(is_ready, timeout=10)
        before = self.log.count("Reloaded server configuration")
        self._process.send_signal(signal.SIGHUP)

        async def has() -> bool:
            return self.log.count("Reloaded server configuration") > before

        await eventually(has, timeout=10)

    def settings(self, name: str) -> NatsSettings:
        """Return how a process of ours signs in."""
        return NatsSettings(url=self.url, nkey_seed=self.accounts.seed(name))

    @asynccontextmanager
    async def connected(self, who: str | Login, *, own_inbox: bool = True) -> AsyncIterator["Peer"]:
        """Connect by nats-py alone, as a role or as a meter."""
        if isinstance(who, Login):
            peer = Peer(who.inbox if own_inbox else "_INBOX")
            await peer.connect(self.url, user=who.user, password=who.password)
        else:
            seed = self.accounts.seed(who)
            peer = Peer(inbox_of(public_nkey(seed)) if own_inbox else "_INBOX")
            await peer.connect(self.url, nkeys_seed=str(seed))
        try:
            yield peer
        finally:
            await peer.client.close()


class Peer:
    """A connection by nats-py alone that remembers what NATS refused it."""

    def __init__(self, inbox: str) -> None:
        self.client = Client()
        self.inbox = inbox
        self.refused: list[str] = []

    async def connect(self, url: str, *, patient: bool = False, **credentials: Any) -> None:
        """Connect, waiting for the server to be there; `patient`: and to know who this is."""

        async def remember(error: Exception) -> None:
            self.refused.append(str(error))

        async with asyncio.timeout(10):
            while True:
                try:
                    await self.client.connect(
                        url, error_cb=remember, inbox_prefix=self.inbox, allow_reconnect=False, **credentials
                    )
                    break
                except (OSError, Error):
                    if self.client._transport is not None:
                        self.client._transport.close()  # type: ignore[no-untyped-call]  # nats-py has no type for it
                    if not patient and "authorization" in "".join(self.refused).lower():
                        raise
                    self.client = Client()
                    await asyncio.sleep(0.05)
        self.refused.clear()

    async def may_publish(self, subject: str, data: bytes = b"{}") -> bool:
        """Publish, and say whether NATS let it."""
        return await self._may(self.client.publish(subject, data), "publish", subject)

    async def may_subscribe(self, subject: str) -> bool:
        """Subscribe, and say whether NATS let it."""
        return await self._may(self.client.subscribe(subject), "subscription", subject)

    async def _may(self, doing: object, what: str, subject: str) -> bool:
        self.refused.clear()
        await doing  # type: ignore[misc]  # a coroutine of either kind
        # NATS answers in order, so a refusal comes before a pong. But nats-py may send the first ping too early.
        await self.client.flush(5)
        await self.client.flush(5)
        return not any(f'permissions violation for {what} to "{subject.lower()}"' in text for text in self.refused)


async def allowed(peer: Peer, subjects: Sequence[str]) -> list[str]:
    """Return those of the subjects to which a peer may publish."""
    return [subject for subject in subjects if await peer.may_publish(subject)]
