"""Devices heard by MQTT: nats-server is the broker, and hands on as subjects what they publish on topics.

What nobody hears is not kept: while this does not listen, messages of devices are lost. Registers
go on counting meanwhile, so energy is not.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from bus.client import Bus
from bus.errors import UnavailableError
from bus.reading import Reading, RefusalError, parse
from bus.settings import NatsSettings
from bus.topics import check_topic, listen, subject_of
from meters.errors import OptionError
from meters.gateways import shelly, tasmota
from meters.gateways.devices import Device, Devices
from meters.gateways.documents import document_of
from meters.gateways.measured import Channel
from meters.gateways.source import Given, Refusal, Register, SourceLostError

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 2000
"""Messages that wait to be taken; then the oldest is dropped: a later one says its registers, too."""

_PATIENCE_S: Final = 10.0
_MOST_CHANNELS: Final = 100
_SHELLY: Final = re.compile(r"(.+)/(status/[a-z0-9]+:\d{1,3}|events/rpc)")
_OWN: Final = ("readings",)
_UNITS: Final = {"import_wh": "Wh", "export_wh": "Wh", "power_import_w": "W", "power_export_w": "W"}

Now = Callable[[], datetime]
_Message = tuple[str, bytes, datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DeviceSource:
    """The devices of a gateway, all behind one connection; their readings are told apart by `Device.key`."""

    def __init__(self, name: str, settings: NatsSettings, devices: Sequence[Device], *, now: Now = _utc_now) -> None:
        self.name = name
        self._settings = settings
        self._devices = devices
        self._now = now

    async def read(self) -> AsyncIterator[Given]:
        """Yield readings and refusals; what only says the power is remembered. SourceLostError: NATS is not there."""
        prefixes = dict.fromkeys(f"{prefix}/#" for device in self._devices for prefix in device.prefixes)
        known = Devices(self._devices)
        async with AsyncExitStack() as stack:
            async for topic, payload, received in _heard(stack, self._settings, prefixes, self._now):
                for given in known.given(topic, payload, received):
                    if given.reading is not None or given.refusal is not None:
                        yield given


class TopicSource:
    """One topic and what is below it, of whatever device; or the readings of a meter, as READINGS holds them."""

    def __init__(self, topic: str, settings: NatsSettings, *, now: Now = _utc_now) -> None:
        """Raises OptionError for what is no topic."""
        try:
            self._topic = check_topic(topic.removesuffix("/#").removesuffix("/"))
        except ValueError as error:
            raise OptionError(str(error)) from None
        self.name = f"mqtt:{topic}"
        self._settings = settings
        self._now = now
        self._channels: dict[str, Channel] = {}

    async def read(self) -> AsyncIterator[Given]:
        """Yield what is published from now on; of readings the last one that is stored first."""
        async with AsyncExitStack() as stack:
            if self._topic.split("/")[0] in _OWN:
                async for given in _stored(stack, self._settings, subject_of(self._topic)):
                    yield given
                return
            whole = self._topic.endswith("/SENSOR") or _SHELLY.fullmatch(self._topic)
            wanted = self._topic if whole else f"{self._topic}/#"
            async for topic, payload, received in _heard(stack, self._settings, [wanted], self._now):
                for given in self.given(topic, payload, received):
                    yield given

    def given(self, topic: str, payload: bytes, received: datetime) -> Iterable[Given]:
        """Return what a message becomes; nothing where it is one of a device that says nothing of energy."""
        if topic.endswith("/SENSOR"):
            return [self._channel(topic).take(payload, tasmota.measured(payload), received)]
        if found := _SHELLY.fullmatch(topic):
            measured = shelly.measured(found[2], payload)
            return [self._channel(f"{found[1]} {one.channel}").take(payload, one, received) for one in measured]
        document = document_of(payload)
        if isinstance(document, dict) and "import_wh" in document:
            return [reading_given(payload, topic)]
        return ()

    def _channel(self, key: str) -> Channel:
        if key not in self._channels:
            if len(self._channels) >= _MOST_CHANNELS:
                self._channels.clear()
            # The first is the source itself: mostly it is the only one.
            self._channels[key] = Channel(key if self._channels else "", "0")
        return self._channels[key]


def reading_given(payload: bytes, device: str = "") -> Given:
    """Return what a payload in our own form becomes."""
    try:
        reading = parse(payload)
    except RefusalError as error:
        return Given(payload, None, Refusal(error.reason, str(error)), device=device)
    return Given(payload, reading, None, tuple(_shown(reading)), _doubts(reading), device)


def _shown(reading: Reading) -> Iterable[Register]:
    for name, unit in _UNITS.items():
        value: Any = getattr(reading, name)
        if value is not None:
            yield Register(name, f"{value:g}" if isinstance(value, float) else str(value), name, f"{value} {unit}")


def _doubts(reading: Reading) -> tuple[str, ...]:
    if reading.power_import_w and reading.power_export_w:
        return ("power is imported and exported at once: a meter that adds up its phases says one of them only",)
    return ()


async def _heard(
    stack: AsyncExitStack, settings: NatsSettings, topics: Iterable[str], now: Now
) -> AsyncIterator[_Message]:
    """Yield messages on some topics as they come."""
    bus = await _connected(stack, settings)
    waiting: asyncio.Queue[_Message] = asyncio.Queue(MOST_WAITING)
    dropped = 0

    def take(topic: str, payload: bytes) -> None:
        nonlocal dropped
        if waiting.full():
            waiting.get_nowait()
            dropped += 1
            if dropped == 1 or dropped % MOST_WAITING == 0:
                log.warning("messages of devices dropped, there are too many", count=dropped)
        waiting.put_nowait((topic, payload, now()))

    for topic in topics:
        await listen(bus, topic, take)
    while True:
        yield await waiting.get()


async def _stored(stack: AsyncExitStack, settings: NatsSettings, subject: str) -> AsyncIterator[Given]:
    """Yield the readings on a subject, from the last one that is stored on."""
    bus = await _connected(stack, settings)
    reader = bus.read("READINGS", [subject], last_per_subject=True)
    stack.push_async_callback(reader.close)
    async for batch in reader:
        for stored in batch:
            yield reading_given(stored.data)


async def _connected(stack: AsyncExitStack, settings: NatsSettings) -> Bus:
    try:
        bus = await Bus.connect(settings, name="gateway", patience_s=_PATIENCE_S)
    except UnavailableError as error:
        raise SourceLostError(str(error)) from None
    stack.push_async_callback(bus.close)
    return bus
