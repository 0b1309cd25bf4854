"""Devices that publish topics of their own: their credentials, and the gateway that hears them."""

from typing import NamedTuple

from bus.accounts import Login
from commonwatt.meter_access import Access
from commonwatt.settings import SettingsError
from meters.gateways.devices import Device, device_of


class Credentials(NamedTuple):
    """What a device signs in with; None: it has its password already, shown when that was made."""

    login: Login | None
    user: str


def checked_device(
    kind: str | None, topic: str | None, channel: str | None, community: str, meter: str
) -> Device | None:
    """Return the device that options name; None where they name none. Raises SettingsError, OptionError."""
    if kind is None and topic is None and channel is None:
        return None
    if kind is None or topic is None:
        raise SettingsError(
            "--device and --topic are given together; without them the meter publishes readings of ours"
        )
    if kind not in ("shelly", "tasmota"):
        raise SettingsError(f"--device {kind!r}; expected shelly or tasmota")
    more = {} if channel is None else {"channel": channel}
    return device_of(kind=kind, topic=topic, community=community, meter=meter, **more)


def give_credentials(access: Access, device: Device, *, rotate: bool) -> Credentials:
    """Give a device a password for its topics; one that has one keeps it, for another of its channels, too.

    Raises AccountsError where its topic lies above or below another device's.
    """
    name = device_name(access, device)
    user = f"device.{device.community}.{name}"
    if access.has(user) and not rotate:
        return Credentials(None, user)
    return Credentials(access.accounts.add_device(device.community, name, device.prefixes, renew=rotate), user)


def device_name(access: Access, device: Device) -> str:
    """Return what its user is called: by the first of its meters; its further channels are found by their topic."""
    wanted = {prefix.replace("/", ".") for prefix in device.prefixes}
    for user in access.accounts.users:
        if user.role == "device" and set(user.below) == wanted and user.communities == (device.community,):
            return user.name.rpartition(".")[2]
    return device.meter


def gateway_line(access: Access, device: Device) -> str:
    """Have a gateway of its community among the users; return the command that hears this device as it."""
    gateways = [
        user
        for user in access.accounts.users
        if user.role == "gateway" and (not user.communities or device.community in user.communities)
    ]
    if gateways:
        seed = access.accounts.seed(gateways[0].name)
    else:
        seed = access.accounts.add_gateway(device.community, [device.community])
    channel = f" --channel {device.channel}" if device.channel else ""
    return (
        f"commonwatt gateway {device.kind} --community {device.community} --meter {device.meter} "
        f"--topic {device.topic}{channel} --nats-url {access.settings.nats_url} --nats-nkey-seed {seed}"
    )
