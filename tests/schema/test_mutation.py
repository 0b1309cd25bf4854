"""Pairing over the schema: what is asked for, what comes back, and the codes of errors."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from bus.client import Bus
from resolvers.access import Viewer
from resolvers.directory import Directory
from schema.build import Schema, build_schema
from schema.context import Context
from tests.resolvers.pairings import Clock, Desk, Office, following, remove_buckets

APPROVE = """
    mutation ($code: String!, $home: ID!, $name: String) {
        approveDevice(code: $code, home: $home, name: $name) { id name home approvedAt pairedAt expiresAt }
    }
"""
DENY = "mutation ($code: String!) { denyDevice(code: $code) }"
REVOKE = "mutation ($id: ID!) { revokeDevice(id: $id) }"
DEVICES = "query ($home: ID!) { devices(home: $home) { id name pairedAt } }"
REQUEST = "query ($code: String!) { deviceRequest(code: $code) { code client requestedAt expiresAt } }"
NOBODY = "ZZZZ-ZZZZ"
ADA = Viewer("ada")


class Asker:
    """Asks the schema as somebody."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._schema: Schema = build_schema(make_reference=lambda: "ref-1")

    async def ask(self, query: str, viewer: Viewer | None = ADA, **variables: Any) -> Any:
        """Return the data of an answer without errors."""
        data, errors = await self._answer(query, viewer, variables)
        assert errors == []
        return data

    async def code(self, query: str, viewer: Viewer | None = ADA, **variables: Any) -> str:
        """Return the code of the only error."""
        _, ((code, _),) = await self._answer(query, viewer, variables)
        return code

    async def message(self, query: str, viewer: Viewer | None = ADA, **variables: Any) -> str:
        """Return the text of the only error."""
        _, ((_, message),) = await self._answer(query, viewer, variables)
        return message

    async def _answer(
        self, query: str, viewer: Viewer | None, variables: dict[str, Any]
    ) -> tuple[Any, list[tuple[str, str]]]:
        directory: Directory = self.desk.directory
        view = directory if viewer is None else directory.seen_by(viewer)
        pairing = None if viewer is None else self.desk.pairing
        context = Context(view, cast(Any, None), cast(Any, None), viewer, pairing)
        result = await self._schema.execute(query, variables, context)
        return result.data, [((error.extensions or {}).get("code", ""), error.message) for error in result.errors or ()]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def asker(bus: Bus, clock: Clock) -> AsyncIterator[Asker]:
    await remove_buckets(bus)
    async with following(bus) as directory:
        yield Asker(Desk(bus, directory, clock, Office()))


async def test_a_device_is_looked_at_approved_listed_and_removed(asker: Asker, clock: Clock) -> None:
    begun = await asker.desk.grants.begin("commonwatt-watch")
    assert await asker.ask(REQUEST, code=begun.user_code.lower()) == {
        "deviceRequest": {
            "code": begun.user_code,
            "client": "commonwatt-watch",
            "requestedAt": "2030-03-17T17:46:40Z",
            "expiresAt": "2030-03-17T17:56:40Z",
        }
    }
    approved = (await asker.ask(APPROVE, code=begun.user_code, home="demo.home-1", name=" Wrist "))["approveDevice"]
    assert approved == {
        "id": approved["id"],
        "name": "Wrist",
        "home": "demo.home-1",
        "approvedAt": "2030-03-17T17:46:40Z",
        "pairedAt": None,
        "expiresAt": "2031-03-17T17:46:40Z",
    }
    clock.pass_s(5)
    await asker.desk.grants.redeem(begun.device_code, "commonwatt-watch")
    assert await asker.ask(DEVICES, home="demo.home-1") == {
        "devices": [{"id": approved["id"], "name": "Wrist", "pairedAt": "2030-03-17T17:46:45Z"}]
    }
    assert await asker.ask(REVOKE, id=approved["id"]) == {"revokeDevice": True}
    assert await asker.ask(DEVICES, home="demo.home-1") == {"devices": []}
    assert await asker.code(REVOKE, id=approved["id"]) == "NOT_FOUND"


async def test_a_device_is_refused_once(asker: Asker) -> None:
    begun = await asker.desk.grants.begin("watch")
    assert await asker.ask(DENY, code=begun.user_code) == {"denyDevice": True}
    assert await asker.code(DENY, code=begun.user_code) == "PAIRING_CODE_UNKNOWN"


async def test_a_name_that_is_empty_is_none(asker: Asker) -> None:
    begun = await asker.desk.grants.begin("watch")
    approved = await asker.ask(APPROVE, code=begun.user_code, home="demo.home-1", name="  ")
    assert approved["approveDevice"]["name"] == "watch"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x" * 61, "name has 61 characters; at most 60 are allowed"),
        ("a\nb", "cannot be seen"),
        ("\u202eb", "cannot be"),
    ],
)
async def test_a_name_that_is_too_long_or_cannot_be_seen_is_refused(asker: Asker, name: str, text: str) -> None:
    begun = await asker.desk.grants.begin("watch")
    assert text in await asker.message(APPROVE, code=begun.user_code, home="demo.home-1", name=name)
    await asker.ask(APPROVE, code=begun.user_code, home="demo.home-1", name="Ⓐ" * 60)


async def test_a_wrong_code_is_an_error_that_says_what_to_do(asker: Asker) -> None:
    for query in (REQUEST, DENY, APPROVE):
        assert await asker.code(query, code=NOBODY, home="demo.home-1") == "PAIRING_CODE_UNKNOWN"
    message = await asker.message(DENY, code=NOBODY)
    assert message.startswith("no device waits with the code 'ZZZZ-ZZZZ': compare it with what the device shows")


async def test_after_ten_wrong_codes_no_more_are_taken(asker: Asker) -> None:
    for _ in range(10):
        await asker.code(DENY, code=NOBODY)
    assert await asker.code(DENY, code=NOBODY) == "TOO_MANY_CODES"
    assert "try again in 6 min" in await asker.message(REQUEST, code=NOBODY)


async def test_what_somebody_may_not_see_and_what_does_not_exist_are_the_same_error(asker: Asker) -> None:
    begun = await asker.desk.grants.begin("watch")
    approved = (await asker.ask(APPROVE, code=begun.user_code, home="demo.home-1"))["approveDevice"]
    bob = Viewer("bob")
    begun = await asker.desk.grants.begin("watch")
    for home in ("demo.home-1", "demo.home-9"):
        refused = f"there is no home '{home}'"
        assert await asker.message(DEVICES, bob, home=home) == refused
        assert await asker.message(APPROVE, bob, code=begun.user_code, home=home) == refused
    for id in (approved["id"], "demo.home-1.x", "demo.home-9.x"):
        assert await asker.code(REVOKE, bob, id=id) == "NOT_FOUND"
        assert await asker.message(REVOKE, bob, id=id) == f"there is no device '{id}'"


@pytest.mark.parametrize(
    ("viewer", "text"),
    [
        (None, "pairing needs sign-in, which is off on this server"),
        (Viewer("ada", role="device", homes=frozenset({"home-1"})), "a device cannot pair, list or remove devices"),
    ],
    ids=["without sign-in", "as a device"],
)
async def test_pairing_is_refused(asker: Asker, viewer: Viewer | None, text: str) -> None:
    begun = await asker.desk.grants.begin("watch")
    values = {"code": begun.user_code, "home": "demo.home-1", "id": "demo.home-1.x"}
    for query in (APPROVE, DENY, REVOKE, DEVICES, REQUEST):
        assert await asker.code(query, viewer, **values) == "PAIRING_REFUSED"
        assert text in await asker.message(query, viewer, **values)


async def test_while_nats_is_away_the_error_says_to_ask_again(asker: Asker, bus: Bus) -> None:
    await bus.close()
    values: dict[str, Any] = {"code": NOBODY, "home": "demo.home-1", "id": "demo.home-1.x"}
    for query in (APPROVE, DENY, REVOKE, DEVICES, REQUEST):
        assert await asker.code(query, **values) == "UNAVAILABLE"
