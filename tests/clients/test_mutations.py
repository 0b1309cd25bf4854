"""Mutations by published clients, over whatever they send them: a member pairs a device, which then signs in."""

import httpx
import pytest

from tests.clients.conftest import ALL, Open
from tests.clients.signing import Signing
from tests.clients.stand import Scene
from tests.server.pairing import Device

APPROVE = "mutation Approve($code: String!, $home: ID!) { approveDevice(code: $code, home: $home) { home name } }"
NAME = "query Name($home: ID!) { home(id: $home) { name } }"

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("name", ALL)
async def test_a_mutation_pairs_a_device_whose_token_opens_its_home(
    name: str, scene: Scene, signing: Signing, open_client: Open
) -> None:
    member = await open_client(name, scene, token=signing.household(scene.community))
    async with httpx.AsyncClient(base_url=scene.url) as http:
        device = Device(http)
        code = (await device.begin())["user_code"]
        operation = await member.start(APPROVE, code=code, home=scene.home)
        assert await operation.data() == {"approveDevice": {"home": scene.home, "name": "watch"}}
        await operation.completed()
        (unknown,) = await (await member.start(APPROVE, code=code, home=scene.home)).errors()
        assert unknown["extensions"]["code"] == "PAIRING_CODE_UNKNOWN"
        token = (await device.poll()).json()["access_token"]
    watch = await open_client(name, scene, token=token)
    assert await (await watch.start(NAME, home=scene.home)).data() == {"home": {"name": "home-1"}}
