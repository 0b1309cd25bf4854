"""Devices that publish topics of their own: which there are, and what their messages become.

The file of devices is TOML, one `[[device]]` for each channel that is a meter.
"""

import tomllib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bus.community import describe
from bus.identifiers import Id
from bus.topics import check_prefix
from meters.errors import OptionError
from meters.gateways import shelly, tasmota
from meters.gateways.feed import Place
from meters.gateways.measured import Channel, Measured
from meters.gateways.source import Given

Kind = Literal["shelly", "tasmota"]

MOST_DEVICES: Final = 500

_CHANNEL: Final = r"^(em|em1|pm1|switch|cover|light):\d{1,3}$"

Path_ = Annotated[str, Field(pattern=r"^[^.]{1,64}(\.[^.]{1,64}){0,4}$")]


class Device(BaseModel):
    """A device's channel that is a meter. `topic`: of a Shelly its MQTT prefix, of a Tasmota device its topic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    topic: Annotated[str, AfterValidator(check_prefix)]
    community: Id
    meter: Id
    channel: Annotated[str, Field(pattern=_CHANNEL)] | None = None
    """Of a Shelly: `em:0`, `em1:1`, `pm1:0`, `switch:0`; default `em:0`."""
    epoch: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The meter's generation; default: the topic."""
    reverse: bool = False
    """What it calls drawn was fed in: a meter of photovoltaics that counts what passes it."""
    import_kwh: tuple[Path_, ...] = ()
    """Of a Tasmota device whose names are its script's own: where the registers are, such as `SML.Total_in`."""
    export_kwh: tuple[Path_, ...] = ()
    power_w: tuple[Path_, ...] = ()

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.kind == "tasmota" and self.channel is not None:
            raise ValueError("a Tasmota device has no channel: name its registers with import_kwh and export_kwh")
        if self.kind == "shelly" and (self.import_kwh or self.export_kwh or self.power_w):
            raise ValueError("a Shelly has no import_kwh, export_kwh and power_w: name its channel")
        if self.power_w and not (self.import_kwh or self.export_kwh):
            raise ValueError("power_w without import_kwh or export_kwh: name the registers, too")
        return self

    @property
    def key(self) -> str:
        """What its readings are told apart by: topic and channel."""
        return self.topic if self.kind == "tasmota" else f"{self.topic} {self.channel or 'em:0'}"

    @property
    def place(self) -> Place:
        """Where its readings belong."""
        return Place(self.community, self.meter, self.epoch)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The MQTT topics below which it publishes."""
        return prefixes_of(self.kind, self.topic)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Annotated[tuple[Device, ...], Field(min_length=1, max_length=MOST_DEVICES)]

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        seen: dict[str, str] = {}
        for one in self.device:
            for what in (one.key, one.place.name):
                if what in seen:
                    raise ValueError(f"{what!r} occurs twice; a channel is one meter, and a meter one channel")
                seen[what] = what
        return self


def prefixes_of(kind: Kind, topic: str) -> tuple[str, ...]:
    """Return the MQTT topics below which a device publishes: of a Tasmota device by either order of its full topic."""
    if kind == "shelly":
        return (topic,)
    return tuple(f"{first}/{second}" for name in ("tele", "stat") for first, second in ((name, topic), (topic, name)))


def load_devices(path: Path) -> tuple[Device, ...]:
    """Read a file of devices; raise OptionError with the line or the key that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: not readable: {error}") from None
    try:
        return _File.model_validate(tomllib.loads(text)).device
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise OptionError("\n".join(f"{path}: {line}" for line in describe(error))) from None


def device_of(**values: object) -> Device:
    """Return a device from options of these names; raise OptionError with the one that is wrong."""
    try:
        return Device.model_validate(values)
    except ValidationError as error:
        raise OptionError("\n".join(f"--{line}" for line in describe(error))) from None


class Devices:
    """Turns messages of devices into readings; remembers what each channel said last."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._tasmota: dict[str, tuple[Channel, tasmota.Names]] = {}
        self._shelly: dict[str, dict[str, Channel]] = {}
        for one in devices:
            channel = Channel(one.key, one.topic[-64:], reverse=one.reverse)
            if one.kind == "shelly":
                self._shelly.setdefault(one.topic, {})[one.channel or "em:0"] = channel
            else:
                names = tasmota.Names(one.import_kwh, one.export_kwh, one.power_w)
                for prefix in (f"tele/{one.topic}", f"{one.topic}/tele"):
                    self._tasmota[f"{prefix}/SENSOR"] = (channel, names)

    def given(self, topic: str, payload: bytes, received: datetime) -> Iterator[Given]:
        """Yield what a message becomes; nothing where it is none of measurements, or of a channel that is no meter."""
        if found := self._tasmota.get(topic):
            channel, names = found
            yield channel.take(payload, tasmota.measured(payload, names), received)
            return
        for prefix, channels in self._shelly.items():
            if topic.startswith(f"{prefix}/"):
                for measured in shelly.measured(topic.removeprefix(f"{prefix}/"), payload):
                    yield from _of_channels(channels, payload, measured, received)
                return


def _of_channels(
    channels: dict[str, Channel], payload: bytes, measured: Measured, received: datetime
) -> Iterator[Given]:
    if channel := channels.get(measured.channel):
        yield channel.take(payload, measured, received)
    elif not measured.channel:  # nobody knows whose it is, and somebody must be told
        yield next(iter(channels.values())).take(payload, measured, received)
