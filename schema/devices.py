"""The types of pairing, and the queries for them. Device shows a `Device`, DeviceRequest a `Waiting`."""

from typing import Annotated, Any

import strawberry

from resolvers.access import Viewer
from resolvers.directory import View
from resolvers.errors import PairingError
from resolvers.grants import LIFE_S
from resolvers.pairing import MAX_DEVICES, Pairing
from resolvers.pairing import Device as HouseholdDevice
from schema.context import Info
from schema.fields import shows
from schema.query import HomeId
from schema.scalars import DateTime

Code = Annotated[
    str,
    strawberry.argument(
        description="The code that the device shows, in any case, with hyphen or without. "
        "After ten wrong ones within an hour there is an error TOO_MANY_CODES."
    ),
]


def _paired_at(root: Any) -> DateTime | None:
    device: HouseholdDevice = root
    return DateTime(device.entry.paired_ms) if device.entry.paired_ms else None


@strawberry.type(description="A device that was paired with a home, and shows it until its token ends or is revoked.")
class Device:
    id: strawberry.ID = shows("key", "The id of the device, opaque: pass it back as it is.")
    name: str = shows("entry.name", "What whoever approved it calls the device, else what it calls itself.")
    home: strawberry.ID = shows("household.key", "The id of the home that it shows.")
    approved_at: DateTime = shows("entry.approved_ms", "When it was approved.")
    paired_at: DateTime | None = strawberry.field(
        resolver=_paired_at,
        description=f"When it took its token; null until then. One that does not within {LIFE_S // 60} minutes is "
        "forgotten.",
    )
    expires_at: DateTime = shows("entry.expires_ms", "When its token ends.")


@strawberry.type(description="A device that waits for a member to approve it.")
class DeviceRequest:
    code: str = shows("code", "The code that it shows: compare them.")
    client: str = shows("client", "What it calls itself, which nobody has checked.")
    requested_at: DateTime = shows("begun_ms", "When it began to wait.")
    expires_at: DateTime = shows("expires_ms", "When it ceases to.")


def pairing_of(info: Info) -> tuple[Pairing, View, Viewer]:
    """Return what pairs devices, what whoever asks may see, and who that is; raise PairingError without sign-in."""
    context = info.context
    if context.pairing is None or context.viewer is None:
        raise PairingError("pairing needs sign-in, which is off on this server: without it no device needs a token")
    return context.pairing, context.directory, context.viewer


async def _devices(info: Info, home: HomeId) -> Any:
    pairing, view, viewer = pairing_of(info)
    return await pairing.devices(view, viewer, home)


async def _device_request(info: Info, code: Code) -> Any:
    pairing, view, viewer = pairing_of(info)
    return await pairing.request(view, viewer, code)


@strawberry.type
class DeviceQuery:
    devices: list[Device] = strawberry.field(
        resolver=_devices,
        description=f"The devices of a home, at most {MAX_DEVICES}, in the order of their approval; for those who "
        "signed in and see the home, not for devices.",
    )
    device_request: DeviceRequest | None = strawberry.field(
        resolver=_device_request,
        description="The device that waits with a code, to be looked at before it is approved; "
        "null, with an error PAIRING_CODE_UNKNOWN, if none does.",
    )
