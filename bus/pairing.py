"""What pairing keeps in NATS: requests of devices that wait for a member, and the devices of each home.

Two buckets, so that any process may answer any request; all writes are by compare-and-set. It
knows no rules: what a request becomes, and when, is decided elsewhere.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal, TypeVar

import msgspec
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from bus.client import Bus, Message, connection_of
from bus.errors import BusError, ConflictError, UnavailableError
from bus.identifiers import check_id
from bus.stored import Stored
from bus.streams import REGISTRY

PAIRING: Final = "pairing"
DEVICES: Final = "devices"

MAX_REQUESTS: Final = 10_000
"""Requests that NATS holds; it refuses more. Each is gone 20 min after it was last written."""

_KEPT_S: Final = 1200.0  # twice as long as a request lives: so long a device is told that it has expired
_TRIES: Final = 10
_FULL: Final = "(10077)"  # nats-server's code for max_msgs

Answer = TypeVar("Answer")


class FullError(BusError):
    """Raised when as many requests wait as are kept."""

    def __init__(self) -> None:
        super().__init__(f"{MAX_REQUESTS:,} pairings are kept, and no more; the oldest are gone within minutes")


class PairingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A device that asks for a token. Times are in ms since 1970 UTC."""

    secret: str
    """The hex sha256 of what only the device knows."""
    client: str
    """What the device calls itself."""
    begun_ms: int
    expires_ms: int
    state: Literal["pending", "approved", "denied"] = "pending"
    interval_s: int
    """The least time between two polls."""
    polled_ms: int = 0
    """When the device polled last; 0: never."""
    community: str = ""
    home: str = ""
    device: str = ""
    """The id of the device that it became, once it is approved."""


class PairedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a home. Times are in ms since 1970 UTC."""

    id: str
    """Also the id of its token."""
    name: str
    member: str
    """The subject of the member who approved it, and of its token."""
    approved_ms: int
    paired_ms: int = 0
    """When it took its token; 0: not yet."""
    expires_ms: int
    """When its token ends."""


Devices = tuple[PairedDevice, ...]

_encode: Final = msgspec.json.encode
_decode_request: Final = msgspec.json.Decoder(PairingRequest).decode
_decode_devices: Final = msgspec.json.Decoder(Devices).decode


class Pairings:
    """The two buckets. All of it raises UnavailableError while NATS does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._there = False

    async def request(self, code: str) -> PairingRequest | None:
        """Return the request with a user code; None if there is none."""
        return (await self._request(code))[0]

    async def add_request(self, code: str, request: PairingRequest) -> None:
        """Write a new request; raise ConflictError where the code is in use, or FullError."""
        await self._write(f"{PAIRING}.{check_id(code)}", _encode(request), 0)

    async def change_request(
        self, code: str, change: Callable[[PairingRequest | None], PairingRequest]
    ) -> PairingRequest:
        """Replace a request by what `change` makes of it, and return that; by the same one, nothing is written.

        It is called again where another was faster; what it raises ends the change. Raises
        ConflictError after 10 such.
        """

        async def attempt() -> PairingRequest:
            request, revision = await self._request(code)
            changed = change(request)
            if changed is not request:
                await self._write(f"{PAIRING}.{check_id(code)}", _encode(changed), revision)
            return changed

        return await _until_alone(attempt)

    async def devices(self, community: str, home: str) -> Devices:
        """Return the devices of a home, in the order in which they were added."""
        return (await self._devices(community, home))[0]

    async def change_devices(self, community: str, home: str, change: Callable[[Devices], Devices]) -> None:
        """Replace the devices of a home by what `change` makes of them, as `change_request` does."""

        async def attempt() -> None:
            devices, revision = await self._devices(community, home)
            changed = change(devices)
            if changed is not devices:
                await self._write(f"{DEVICES}.{check_id(community)}.{check_id(home)}", _encode(changed), revision)

        await _until_alone(attempt)

    async def _request(self, code: str) -> tuple[PairingRequest | None, int]:
        stored = await self._last(PAIRING, check_id(code))
        return (None, 0) if stored is None else (_decode_request(stored.data), stored.sequence)

    async def _devices(self, community: str, home: str) -> tuple[Devices, int]:
        stored = await self._last(DEVICES, f"{check_id(community)}.{check_id(home)}")
        return ((), 0) if stored is None else (_decode_devices(stored.data), stored.sequence)

    async def _last(self, bucket: str, key: str) -> Stored | None:
        return await self._with_buckets(lambda: self._bus.last(f"KV_{bucket}", f"$KV.{bucket}.{key}"))

    async def _write(self, key: str, data: bytes, after: int) -> None:
        try:
            await self._with_buckets(lambda: self._bus.publish(Message(f"$KV.{key}", data, after)))
        except UnavailableError as error:
            if _FULL in str(error):
                raise FullError from None
            raise

    async def _with_buckets(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer; make the buckets where they are not there, such as after NATS lost its memory."""
        if not self._bus.connected:  # else it would be asked, and written, once NATS is back and nobody waits
            raise UnavailableError("NATS is not connected")
        if self._there:
            try:
                return await ask()
            except UnavailableError as error:
                if not isinstance(error.__cause__, NoRespondersError):
                    raise
        await self._ensure()
        self._there = True
        return await ask()

    async def _ensure(self) -> None:
        try:
            await self._bus._answered(self._create_missing())
        except (NatsError, OSError) as error:
            raise UnavailableError(f"JetStream did not answer: {error!r}") from error

    async def _create_missing(self) -> None:
        js = connection_of(self._bus).jetstream()
        replicas = (await js.stream_info(f"KV_{REGISTRY}")).config.num_replicas or 1
        for config in buckets(replicas):
            assert config.name is not None
            try:
                await js.stream_info(config.name)
            except NotFoundError:
                try:
                    await js.add_stream(config)
                except BadRequestError:  # another process was faster
                    await js.stream_info(config.name)


async def _until_alone(attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    for number in range(_TRIES - 1):
        with suppress(ConflictError):
            return await attempt()
        await asyncio.sleep(0.005 * number)  # a replica that was read may be behind
    return await attempt()


def buckets(replicas: int) -> list[StreamConfig]:
    """Return the configuration of both buckets.

    Requests live in memory: they are written with each poll, and a device whose request is lost
    with NATS begins anew.
    """

    def bucket(name: str, storage: StorageType) -> StreamConfig:
        return StreamConfig(
            name=f"KV_{name}",
            subjects=[f"$KV.{name}.>"],
            max_msgs_per_subject=1,
            storage=storage,
            num_replicas=replicas,
            allow_direct=True,
            allow_rollup_hdrs=True,
            deny_delete=True,
            discard=DiscardPolicy.NEW,
        )

    requests = bucket(PAIRING, StorageType.MEMORY)
    requests.max_msgs = MAX_REQUESTS
    requests.max_age = _KEPT_S
    return [requests, bucket(DEVICES, StorageType.FILE)]
