"""Meters, wired: simulated ones and recordings, connected to NATS."""

import sys
from datetime import datetime
from typing import Literal

from rich.console import Console

from commonwatt.running import connected
from commonwatt.settings import Settings
from meters.errors import OptionError
from meters.replay import ReplayOptions, run_replay
from meters.simulator import SimulationOptions, run_simulation


async def simulate(settings: Settings, options: SimulationOptions) -> None:
    """Run simulated meters."""
    async with connected(settings, "simulate") as bus:
        await run_simulation(bus, options)


async def replay(settings: Settings, options: ReplayOptions) -> None:
    """Replay a recording and say what was done."""
    console = Console(stderr=True)
    async with connected(settings, "replay") as bus:
        report = await run_replay(bus, options, console)
    rate = report.stored / report.seconds if report.seconds else 0.0
    Console(highlight=False, file=sys.stdout).print(
        f"{report.community}: {report.stored} readings stored, {report.skipped} were stored before; "
        f"{report.meters} meters, {report.first_at.isoformat()} to {report.last_at.isoformat()}, "
        f"{report.seconds:.1f} s ({rate:,.0f} readings/s)",
        soft_wrap=True,
    )


def recording_format(name: str) -> Literal["citylearn"]:
    """Return a format of recordings; raise OptionError for one that is not known."""
    if name != "citylearn":
        raise OptionError(f"format is {name!r}; expected citylearn")
    return "citylearn"


def parse_start(text: str | None) -> datetime | None:
    """Return the time that `--start` gives; raise OptionError if it is none."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise OptionError(f"start is {text!r}; expected a date or time such as 2025-08-01T00:00") from None
