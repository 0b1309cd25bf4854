"""The root fields of mutations: pairing devices with homes."""

from typing import Annotated, Any, Final

import strawberry
from graphql import GraphQLError

from resolvers.pairing import MAX_DEVICES
from schema.context import Info
from schema.devices import Code, Device, pairing_of
from schema.query import HomeId

MAX_NAME: Final = 60

DeviceId = Annotated[strawberry.ID, strawberry.argument(description="The id of the device, as `Device.id` gives it.")]
Name = Annotated[
    str | None,
    strawberry.argument(
        description=f"What to call the device, at most {MAX_NAME} characters; without it, what it calls itself."
    ),
]


async def _approve_device(info: Info, code: Code, home: HomeId, name: Name = None) -> Any:
    called = _checked(name)
    pairing, view, viewer = pairing_of(info)
    return await pairing.approve(view, viewer, code, home, called)


async def _deny_device(info: Info, code: Code) -> bool:
    pairing, view, viewer = pairing_of(info)
    await pairing.deny(view, viewer, code)
    return True


async def _revoke_device(info: Info, id: DeviceId) -> bool:
    pairing, view, viewer = pairing_of(info)
    await pairing.revoke(view, viewer, id)
    return True


def _checked(name: str | None) -> str | None:
    name = (name or "").strip()
    if len(name) > MAX_NAME:
        raise GraphQLError(f"name has {len(name)} characters; at most {MAX_NAME} are allowed")
    if not name.isprintable():
        raise GraphQLError("name has characters that cannot be seen, such as a line break; leave them out")
    return name or None


@strawberry.type(description="What can be changed. All of it is for those who signed in, not for devices.")
class Mutation:
    approve_device: Device = strawberry.field(
        resolver=_approve_device,
        description="Let the device that shows a code show a home of yours: it gets a token of its own, which acts for "
        "you on this home alone. An error PAIRING_CODE_UNKNOWN if no device waits with the code, NOT_FOUND if there is "
        f"no such home that you may see, TOO_MANY_DEVICES if it has {MAX_DEVICES} devices already.",
    )
    deny_device: bool = strawberry.field(
        resolver=_deny_device,
        description="Refuse the device that shows a code, and return true; an error PAIRING_CODE_UNKNOWN if none does.",
    )
    revoke_device: bool = strawberry.field(
        resolver=_revoke_device,
        description="Take its token from a device, at once and for good, forget it, and return true; an error "
        "NOT_FOUND if there is no such device of a home that you may see.",
    )
