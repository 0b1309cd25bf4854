"""`commonwatt gateway shelly` and `tasmota`: devices with topics of their own, heard through nats-server."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bus.accounts import FOLDER, Accounts
from bus.settings import NatsSettings
from commonwatt.gateway import run_gateway
from commonwatt.options import with_nats
from commonwatt.settings import Settings

if TYPE_CHECKING:
    from meters.gateways.devices import Device
    from meters.gateways.feed import Feed
    from meters.gateways.source import Source

_MANY: Final = "one by options, or as many as a file names, of both kinds"
_KEY: Final = (
    "It signs in with the key of a gateway, which hears devices: the one given, or that of the users in the data "
    "directory.\n\n**Examples**\n\n"
)

SHELLY_HELP: Final = (
    f"Hear Shelly devices of the second generation and later ({_MANY}).\n\n{_KEY}"
    "    commonwatt gateway shelly --community sonnenhang --meter bakery-grid --topic shellypro3em-0cb815fd1234\n\n"
    "    commonwatt gateway shelly --config devices.toml --nats-url tls://nats.example.org --nats-nkey-seed attic.nk"
)
TASMOTA_HELP: Final = (
    f"Hear Tasmota devices ({_MANY}).\n\n{_KEY}"
    "    commonwatt gateway tasmota --community sonnenhang --meter mill-grid --topic tasmota_4C11AE\n\n"
    "    commonwatt gateway tasmota --config devices.toml"
)

_Community = Annotated[str | None, typer.Option(help="Id of the meter's community.", show_default=False)]
_Meter = Annotated[str | None, typer.Option(help="Id of the meter.", show_default=False)]
_Epoch = Annotated[str | None, typer.Option(help="Its epoch.", show_default="the topic")]
_Reverse = Annotated[bool, typer.Option("--reverse", help="What it calls drawn was fed in: photovoltaics.")]
_Config = Annotated[
    Path | None, typer.Option(help="A TOML file with many devices instead (docs/meters.md).", show_default=False)
]
_DataDir = Annotated[
    Path | None,
    typer.Option(help="Below it, in gateways/, is what waits for NATS.", show_default="the user's data directory"),
]
_MetricsPort = Annotated[
    int | None, typer.Option("--metrics-port", help="Port of the metrics; 0: none.", show_default="0")
]


@with_nats
def shelly(
    settings: Settings,
    community: _Community = None,
    meter: _Meter = None,
    topic: Annotated[str | None, typer.Option(help="Its MQTT prefix.", show_default=False)] = None,
    channel: Annotated[str | None, typer.Option(help="em:0, em1:1, pm1:0, switch:0, …", show_default="em:0")] = None,
    epoch: _Epoch = None,
    reverse: _Reverse = False,
    config: _Config = None,
    data_dir: _DataDir = None,
    gateway_metrics_port: _MetricsPort = None,
) -> None:
    """Hear Shelly devices."""
    given = {"community": community, "meter": meter, "topic": topic, "channel": channel, "epoch": epoch}
    _run(settings, "shelly", given, config, reverse=reverse)


@with_nats
def tasmota(
    settings: Settings,
    community: _Community = None,
    meter: _Meter = None,
    topic: Annotated[str | None, typer.Option(help="Its topic.", show_default=False)] = None,
    epoch: _Epoch = None,
    reverse: _Reverse = False,
    config: _Config = None,
    data_dir: _DataDir = None,
    gateway_metrics_port: _MetricsPort = None,
) -> None:
    """Hear Tasmota devices."""
    given = {"community": community, "meter": meter, "topic": topic, "epoch": epoch}
    _run(settings, "tasmota", given, config, reverse=reverse)


def topic_source(settings: Settings, topic: str) -> "Source":
    """Return the source that is an MQTT topic; raise OptionError for what is none."""
    from meters.gateways.mqtt import TopicSource

    return TopicSource(topic, settings.nats if topic.startswith("readings/") else hearing(settings))


def hearing(settings: Settings, communities: Sequence[str] = ()) -> NatsSettings:
    """Return how to sign in as one who hears the devices of these communities (none: of any).

    As the settings say; where they say nothing, with the key of a gateway among the users in the data directory.
    """
    nats = settings.nats
    if nats.nkey_seed or nats.credentials or nats.user:
        return nats
    accounts = Accounts(settings.data_dir / FOLDER)
    for user in accounts.users:
        fits = not user.communities or set(communities) <= set(user.communities)
        if user.role == "gateway" and fits and accounts.seed(user.name).is_file():
            return nats.model_copy(update={"nkey_seed": accounts.seed(user.name)})
    return nats


def _run(settings: Settings, kind: str, given: dict[str, str | None], config: Path | None, *, reverse: bool) -> None:
    if config is not None:
        if any(given.values()) or reverse:
            raise typer.BadParameter("the file says it all: leave out the device and its meter", param_hint="--config")
    elif not (given["community"] and given["meter"] and given["topic"]):
        raise typer.BadParameter("expected --community, --meter and --topic; or --config with many devices")

    def make_feeds() -> "Sequence[Feed]":
        from meters.gateways.devices import device_of, load_devices

        if config is not None:
            return _feeds(settings, f"devices:{config}", load_devices(config))
        device = device_of(kind=kind, reverse=reverse, **{key: value for key, value in given.items() if value})
        return _feeds(settings, f"{kind}:{device.topic}", [device])

    name = config.stem if config is not None else f"{given['community']}.{given['meter']}"
    run_gateway(settings, name, make_feeds)


def _feeds(settings: Settings, name: str, devices: "Sequence[Device]") -> "list[Feed]":
    from meters.gateways.feed import Feed
    from meters.gateways.mqtt import DeviceSource

    signing_in = hearing(settings, [device.community for device in devices])
    places = {device.key: device.place for device in devices}
    return [Feed(DeviceSource(name, signing_in, devices), places)]
