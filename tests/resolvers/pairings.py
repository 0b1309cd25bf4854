"""What tests of pairing need: empty buckets, a clock, tokens that are written down, and viewers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nats.js.errors import NotFoundError

from bus.client import Bus, connection_of
from bus.community import Member
from bus.pairing import Pairings, buckets
from bus.registry import Registry
from resolvers.access import Viewer
from resolvers.directory import Directory, SeenBy
from resolvers.grants import Grants
from resolvers.pairing import Pairing
from tests.resolvers.frames import community, eventually, register

MEMBERS = (
    Member(id="ada", homes=("home-1", "home-2")),
    Member(id="bob", homes=("home-2",)),
    Member(id="eve"),
    Member(id="olga", role="operator"),
)
COMMUNITY = community("demo", members=MEMBERS)


class Clock:
    """Tells what it was set to, in ms since 1970 UTC."""

    def __init__(self) -> None:
        self.now_ms = 1_900_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def pass_s(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


class Office:
    """Issues tokens, of which it knows what they say, and revokes them."""

    def __init__(self) -> None:
        self.issued: dict[str, dict[str, Any]] = {}
        self.revoked: dict[str, int] = {}

    def issue(self, **claims: Any) -> str:
        token = f"token-{len(self.issued)}"
        self.issued[token] = claims
        return token

    async def revoke(self, token_id: str, expires_ms: int) -> None:
        await asyncio.sleep(0)
        self.revoked[token_id] = expires_ms

    def viewer(self, token: str) -> Viewer:
        """Return whom a token makes of its bearer."""
        claims = self.issued[token]
        return Viewer(
            claims["subject"], claims["role"], claims["community"], frozenset(claims["homes"]), True, claims["token_id"]
        )


class Desk:
    """Both sides of pairing, as one process has them, and a directory of COMMUNITY that it follows."""

    def __init__(self, bus: Bus, directory: Directory, clock: Clock, office: Office) -> None:
        self.directory = directory
        self.grants = Grants(Pairings(bus), issue=office.issue, now_ms=clock)
        self.pairing = Pairing(Pairings(bus), revoke=office.revoke, now_ms=clock)

    def seen_by(self, subject: str, **claims: Any) -> tuple[SeenBy, Viewer]:
        viewer = Viewer(subject, **claims)
        return self.directory.seen_by(viewer), viewer


async def remove_buckets(bus: Bus) -> None:
    """Forget all requests and devices."""
    for config in buckets(1):
        assert config.name is not None
        with contextlib.suppress(NotFoundError):
            await connection_of(bus).jetstream().delete_stream(config.name)


@asynccontextmanager
async def following(bus: Bus) -> AsyncIterator[Directory]:
    """Have a directory of COMMUNITY that follows the registry."""
    await register(bus, COMMUNITY)
    directory = Directory(Registry(), now_ms=Clock())
    task = asyncio.create_task(directory.follow(bus))

    async def is_loaded() -> bool:
        return directory.loaded

    await eventually(is_loaded)
    try:
        yield directory
    finally:
        task.cancel()
        await asyncio.wait([task])
