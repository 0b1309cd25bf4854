"""`commonwatt meter add`: a meter is registered, and its device gets credentials for its own topic."""

from datetime import UTC, date, datetime
from typing import Annotated, Final

import typer

from bus.community import Community, Meter, MeterRole, RegistryError, Version
from bus.identifiers import check_id
from bus.registry import apply, load_history
from commonwatt.meter_access import Access, entries, show
from commonwatt.options import DataDirectory, UsersDirectory, with_nats
from commonwatt.registry import parse_day
from commonwatt.running import run
from commonwatt.settings import Settings, SettingsError

HELP: Final = (
    "Register a meter, give its device credentials with which it may publish its own readings and nothing else, and "
    "say what to enter in it.\n\nFor a meter that is registered it makes credentials alone. "
    "A Shelly or Tasmota device publishes on topics of its own, and a gateway hears it.\n\n**Examples**\n\n"
    "    commonwatt meter add --community sonnenhang --home bakery --meter bakery-grid --role GRID\n\n"
    "    commonwatt meter add --community sonnenhang --home bakery --meter bakery-pv --role PV --device shelly "
    "--topic shellypro3em-0cb815fd1234 --channel em1:1\n\n"
    "    commonwatt meter add --community sonnenhang --home mill --meter mill-grid --device tasmota "
    "--topic tasmota_4C11AE --dir /etc/nats --nats-url tls://nats.example.org"
)

CommunityOption = Annotated[str, typer.Option(help="Id of the community.", show_default=False)]
MeterOption = Annotated[str, typer.Option(help="Id of the meter.", show_default=False)]
MqttOption = Annotated[
    str | None,
    typer.Option("--mqtt", help="Where devices reach NATS by MQTT.", metavar="HOST:PORT", show_default="as NATS says"),
]
DeviceOption = Annotated[str | None, typer.Option(help="shelly or tasmota: a device with topics of its own.")]
TopicOption = Annotated[
    str | None, typer.Option(help="Its topic: a Shelly's MQTT prefix, a Tasmota device's topic.", show_default=False)
]
ChannelOption = Annotated[str | None, typer.Option(help="Of a Shelly: em:0, em1:1, pm1:0, …", show_default="em:0")]
NatsOption = Annotated[bool, typer.Option("--nats", help="It may speak NATS's own protocol, too.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]

UNTOLD: Final = "nats-server knows it when it has read its users again: commonwatt nats reload, or SIGHUP."


@with_nats
def add(
    settings: Settings,
    community: CommunityOption,
    home: Annotated[str, typer.Option(help="Id of its home.", show_default=False)],
    meter: MeterOption,
    role: Annotated[str, typer.Option(help="GRID, PV or BATTERY.")] = "GRID",
    connection_w: Annotated[
        int | None, typer.Option(help="The most that its connection can carry, in W.", min=1, show_default="50000")
    ] = None,
    device: DeviceOption = None,
    topic: TopicOption = None,
    channel: ChannelOption = None,
    valid_from: Annotated[
        str | None, typer.Option(help="Day from whose local midnight it is part.", show_default="today")
    ] = None,
    speaks_nats: NatsOption = False,
    rotate: Annotated[bool, typer.Option("--rotate", help="A new password in the place of the one it has.")] = False,
    mqtt: MqttOption = None,
    data_dir: DataDirectory = None,
    directory: UsersDirectory = None,
    as_json: JsonOption = False,
) -> None:
    """Add a meter."""

    async def work() -> None:
        from commonwatt.meter_device import checked_device, gateway_line, give_credentials

        check_id(community)
        its_device = checked_device(device, topic, channel, check_id(community), check_id(meter))
        new = Meter.model_validate(
            {"id": meter, "role": _role(role)} | ({} if connection_w is None else {"connection_w": connection_w})
        )
        day = parse_day(valid_from)
        access = Access(settings, directory)
        address = access.address(mqtt)
        sentences = await _register(access, community, home, new, day)
        rows: dict[str, str] = {}
        if its_device is None:
            login = access.accounts.add_meter(community, meter, mqtt_only=not speaks_nats, renew=rotate)
            rows = entries(login, address, f"readings/{community}/{meter}")
            if speaks_nats:
                rows |= {"nats url": settings.nats_url, "subject": login.subject, "inbox prefix": login.inbox}
        else:
            if speaks_nats:
                raise SettingsError(f"--nats is for meters that publish readings of ours; a {device} speaks MQTT alone")
            given = give_credentials(access, its_device, rotate=rotate)
            if given.login is None:
                sentences.append(f"The device signs in as {given.user}, as before; --rotate makes a new password.")
            else:
                rows = entries(given.login, address, its_device.topic)
            sentences.append("A gateway turns what it says into readings. Start one, or add the device to its file:")
            sentences.append(f"  {gateway_line(access, its_device)}")
        if not await access.reload():
            sentences.append(UNTOLD)
        show(rows, sentences, as_json=as_json)

    run("meter", settings, work)


async def _register(access: Access, community: str, home: str, meter: Meter, day: date | None) -> list[str]:
    """Have the meter in the registry; return what whoever installs it is to know."""
    now = datetime.now(UTC)
    bus = await access.connect()
    try:
        history = await load_history(bus, community)
        if history is None:
            raise RegistryError(f"no community {community!r} is registered: it comes by commonwatt registry apply")
        changed = with_meter(history.latest.community, home, meter)
        version = None if changed is None else await apply(bus, changed, valid_from=day, now=now)
    finally:
        await bus.close()
    if version is None:
        return [f"{meter.id} is registered already, in home {home} as {meter.role}."]
    entry = f'{{ id = "{meter.id}", role = "{meter.role}" }}'
    return [
        since(home, meter, version, now),
        f"Put {entry} into home {home} of the community's file, too: applied without it, the file takes the meter out.",
    ]


def with_meter(community: Community, home_id: str, meter: Meter) -> Community | None:
    """Return a community with one more meter; None where it has it. Raises RegistryError where that cannot be."""
    home = community.homes_by_id.get(home_id)
    if home is None:
        known = ", ".join(list(community.homes_by_id)[:20])
        raise RegistryError(f"{community.id!r} has no home {home_id!r}, but {known}: homes come by registry apply")
    if known_at := community.home_of_meter.get(meter.id):
        if (known_at[0].id, known_at[1].role) == (home_id, meter.role):
            return None
        raise RegistryError(
            f"{community.id!r} has a meter {meter.id!r} already, in home {known_at[0].id!r} as {known_at[1].role}: "
            "choose another id"
        )
    grown = home.model_copy(update={"meters": (*home.meters, meter)})
    homes = [(grown if one.id == home_id else one).model_dump() for one in community.homes]
    # Made anew rather than copied, so that it checks itself, and forgets what it had worked out.
    return Community.model_validate({**community.model_dump(), "homes": homes})


def since(home: str, meter: Meter, version: Version, now: datetime) -> str:
    """Say from when on a meter is part of a home, and what that means until then."""
    what = f"{meter.id} ({meter.role}) is part of home {home} from {version.valid_from} 00:00 on ({_zone(version)})."
    if version.valid_from > now.astimezone(version.community.zone).date():
        return (
            f"{what} Until then what it sends is refused as unknown_meter: it is on REJECTED, and counts for nothing. "
            "Put it to work that day."
        )
    return (
        f"{what} It counts at once, from its first reading; today's intervals before that are without it, for what "
        "ran through it then is not known."
    )


def _zone(version: Version) -> str:
    return version.community.timezone


def _role(text: str) -> MeterRole:
    match text.upper():
        case "GRID" | "PV" | "BATTERY" as role:
            return role
    raise SettingsError(f"--role {text!r}; expected GRID, PV or BATTERY")
