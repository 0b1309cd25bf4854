"""A source of readings that starts while NATS is away waits for it."""

import asyncio
import io
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from bus.client import Bus
from bus.errors import UnavailableError
from bus.settings import NatsSettings
from meters.patience import patiently
from meters.replay import ReplayOptions, run_replay
from meters.simulator import SimulationOptions, run_simulation
from tests.meters.recording import held, write_folder

if TYPE_CHECKING:
    from tests.conftest import NatsServer


async def test_it_asks_again_until_there_is_an_answer(bus: Bus) -> None:
    away = iter(["away", "still away"])

    async def ask() -> int:
        if reason := next(away, None):
            raise UnavailableError(reason)
        return 42

    assert await patiently(bus, ask) == 42


async def test_another_error_is_not_waited_for(bus: Bus) -> None:
    async def ask() -> int:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await patiently(bus, ask)


@pytest.mark.slow
async def test_simulation_and_replay_begin_when_nats_comes(own_nats: "NatsServer", tmp_path: Path) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    own_nats.kill()
    options = SimulationOptions(homes=2, speed=0, duration=timedelta(minutes=1))
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(run_simulation(bus, options))
        tasks.create_task(run_replay(bus, ReplayOptions(write_folder(tmp_path)), Console(file=io.StringIO())))
        await asyncio.sleep(0)
        own_nats.start()
    assert len(await held(bus, "demo")) >= 2
    assert len(await held(bus, "citylearn")) == 4
    await bus.close()
