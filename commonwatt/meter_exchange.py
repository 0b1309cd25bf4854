"""`commonwatt meter exchange`: a meter is replaced, and no energy is lost between the two.

Energy is counted within an epoch, from its first reading to its last. So the old meter's registers,
as its display shows them at the end, and the new one's at the beginning are readings like any other:
they are published here, in the meter's name, between two generations of its credentials.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, NamedTuple

import typer

from bus.accounts import Login
from bus.client import Bus, Message
from bus.identifiers import check_id
from bus.permissions import meter_user
from bus.reading import Reading
from bus.readings import ReadingsWriter
from bus.registry import load_history
from commonwatt.meter_access import Access, entries, show
from commonwatt.meter_adding import (
    ChannelOption,
    CommunityOption,
    DeviceOption,
    JsonOption,
    MeterOption,
    MqttOption,
    NatsOption,
    TopicOption,
)
from commonwatt.options import DataDirectory, UsersDirectory, with_nats
from commonwatt.running import run
from commonwatt.settings import Settings, SettingsError

HELP: Final = (
    "Exchange a meter: its registers go on where the old one's ended, and its device gets new credentials.\n\n"
    "Registers in kWh, as the displays show them: the old meter's at its end (by default what it sent last), the new "
    "one's at its beginning. The old meter can send nothing any more once this is done.\n\n**Examples**\n\n"
    "    commonwatt meter exchange --community sonnenhang --meter bakery-grid --old-import 48211.7 "
    "--old-export 1033.2\n\n"
    "    commonwatt meter exchange --community sonnenhang --meter bakery-grid --new-import 0.4 --epoch 1EBZ0102030405"
)

_PATIENCE_S: Final = 10.0
_AFTER: Final = timedelta(milliseconds=1)
_AHEAD: Final = timedelta(minutes=4)
_SLACK_WH: Final = 100
_MS_PER_HOUR: Final = 3_600_000

_LAST: Final = "what it sent last"


class Exchange(NamedTuple):
    """The last reading of the old meter, and the first of the new one."""

    end: Reading
    begin: Reading


@with_nats
def exchange(
    settings: Settings,
    community: CommunityOption,
    meter: MeterOption,
    old_import: Annotated[
        str | None, typer.Option(help="What the old meter had drawn at its end.", metavar="KWH", show_default=_LAST)
    ] = None,
    old_export: Annotated[
        str | None, typer.Option(help="What it had fed in.", metavar="KWH", show_default=_LAST)
    ] = None,
    new_import: Annotated[str, typer.Option(help="Where the new meter begins, drawn.", metavar="KWH")] = "0",
    new_export: Annotated[str, typer.Option(help="And fed in.", metavar="KWH")] = "0",
    epoch: Annotated[
        str | None,
        typer.Option(
            help="What the new meter's readings say it is; of P1 and SML its serial number.", show_default="one more"
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="When, as 2027-01-31T12:00:00+01:00.", metavar="TIME", show_default="now")
    ] = None,
    device: DeviceOption = None,
    topic: TopicOption = None,
    channel: ChannelOption = None,
    speaks_nats: NatsOption = False,
    mqtt: MqttOption = None,
    data_dir: DataDirectory = None,
    directory: UsersDirectory = None,
    as_json: JsonOption = False,
) -> None:
    """Exchange a meter."""

    async def work() -> None:
        from commonwatt.meter_device import checked_device, gateway_line, give_credentials

        its_device = checked_device(device, topic, channel, check_id(community), check_id(meter))
        old = _wh("old-import", old_import), _wh("old-export", old_export)
        new = _wh("new-import", new_import) or 0, _wh("new-export", new_export) or 0
        moment = _moment(at)
        access = Access(settings, directory)
        address = access.address(mqtt)
        had = access.has(meter_user(community, meter))
        keep = had and its_device is None
        bus = await access.connect()
        try:
            history = await load_history(bus, community)
            known = None if history is None else history.latest.community.home_of_meter.get(meter)
            if known is None:
                raise SettingsError(f"{community!r} has no meter {meter!r}: add it with commonwatt meter add")

            async def planned() -> Exchange:
                last = await ReadingsWriter(bus).last(community, meter)
                if last is None:
                    raise SettingsError(f"{meter!r} has sent nothing yet: there is no energy to keep")
                return plan(last, old, new, epoch, moment or datetime.now(UTC), known[1].connection_w)

            await planned()  # what cannot be is found before anything is changed
            login, done = await _exchange(access, community, meter, planned, keep=keep, nats=speaks_nats)
        finally:
            await bus.close()
        sentences = [_sentence(meter, done)]
        rows: dict[str, str] = {}
        if its_device is not None:
            given = give_credentials(access, its_device, rotate=True)
            await access.must_reload()
            assert given.login is not None
            rows = entries(given.login, address, its_device.topic)
            line = f"{gateway_line(access, its_device)} --epoch {done.begin.epoch}"
            sentences += ["Its gateway hears it on this topic, and says this epoch:", f"  {line}"]
        elif had:
            rows = entries(login, address, f"readings/{community}/{meter}") | {"epoch": done.begin.epoch}
            if speaks_nats:
                rows |= {"nats url": settings.nats_url, "subject": login.subject, "inbox prefix": login.inbox}
            sentences.append(f'Each reading of the new meter says "epoch": "{done.begin.epoch}".')
        else:
            sentences.append(
                f"Its gateway must say epoch {done.begin.epoch!r} from now on: by itself where that is the meter's "
                "serial number, else by its file."
            )
        show(rows, sentences, as_json=as_json)

    run("meter", settings, work)


def plan(
    last: Reading,
    old_wh: tuple[int | None, int | None],
    new_wh: tuple[int, int],
    epoch: str | None,
    at: datetime,
    connection_w: int,
) -> Exchange:
    """Return the two readings of an exchange at a time; raise SettingsError for registers that cannot be."""
    if at <= last.at:
        if last.at - at > _AHEAD:
            raise SettingsError(f"the exchange is at {_time(at)}, and the meter sent a reading of {_time(last.at)}")
        at = last.at + _AFTER
    end = [last.import_wh, last.export_wh]
    most = connection_w * int((at - last.at).total_seconds() * 1000) // _MS_PER_HOUR + _SLACK_WH
    for index, (name, register) in enumerate(zip(("old-import", "old-export"), old_wh, strict=True)):
        if register is None:
            continue
        if not 0 <= register - end[index] <= most:
            raise SettingsError(
                f"--{name} is {_kwh(register)} kWh; the meter sent {_kwh(end[index])} kWh at {_time(last.at)}, and its "
                f"connection of {connection_w} W carries {_kwh(most)} kWh at the most since then"
            )
        end[index] = register
    following = next_epoch(last.epoch) if epoch is None else epoch
    if following == last.epoch or not 0 < len(following) <= 64:
        raise SettingsError(f"--epoch {following[:70]!r}; expected 1 to 64 characters, and not the old meter's")
    return Exchange(
        Reading(at=at, epoch=last.epoch, import_wh=end[0], export_wh=end[1]),
        Reading(at=at + _AFTER, epoch=following, import_wh=new_wh[0], export_wh=new_wh[1]),
    )


def next_epoch(epoch: str) -> str:
    """Return the epoch after one: a number and one more, or the old one with a number behind it."""
    head, dot, number = epoch.rpartition(".")
    if epoch.isdecimal():
        return str(int(epoch) + 1)
    if dot and number.isdecimal():
        return f"{head}.{int(number) + 1}"
    return f"{epoch[:60]}.2"


async def _exchange(
    access: Access,
    community: str,
    meter: str,
    planned: Callable[[], Awaitable[Exchange]],
    *,
    keep: bool,
    nats: bool,
) -> tuple[Login, Exchange]:
    """Lock the old meter out, and store the two readings in its name with new credentials.

    They are kept if `keep` says so, for MQTT alone unless `nats`; else there are none afterwards.
    """
    login = access.accounts.add_meter(community, meter, renew=True)
    try:
        await access.must_reload()
        done = await planned()  # once more: it may have sent something until it was locked out
        bus = await Bus.connect(access.as_meter(login), name="gateway", patience_s=_PATIENCE_S)
        try:
            for reading in done:
                await bus.publish(Message(login.subject, reading.to_bytes()))
        finally:
            await bus.close()
    finally:
        if not keep:
            access.accounts.remove(login.user)
        elif not nats:
            access.accounts.restrict(login.user, mqtt_only=True)
        await access.must_reload()
    return login, done


def _sentence(meter: str, planned: Exchange) -> str:
    end, begin = planned
    return (
        f"{meter}: {end.epoch!r} ended at {_kwh(end.import_wh)} kWh drawn and {_kwh(end.export_wh)} kWh fed in, "
        f"{begin.epoch!r} begins at {_kwh(begin.import_wh)} and {_kwh(begin.export_wh)} kWh, at {_time(end.at)}. "
        "Its energy goes on from there."
    )


def _wh(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value < 10**9:
        raise SettingsError(f"--{name} {text[:40]!r}; expected kWh as the meter's display shows them, such as 48211.7")
    return int(value * 1000)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _kwh(energy_wh: int) -> str:
    return f"{energy_wh / 1000:.3f}"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SettingsError(f"--at {text[:60]!r}; expected a time with its offset, such as 2027-01-31T12:00:00+01:00")
    if moment > datetime.now(UTC) + _AHEAD:
        raise SettingsError(f"--at {text[:60]!r} is yet to come: say it when the meter is exchanged")
    return moment.astimezone(UTC)
