"""Sources that give what a test has written down, and the readings for it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

from bus.reading import Reading
from meters.gateways.source import Given, Refusal, SourceLostError

START = datetime(2026, 11, 1, tzinfo=UTC)


def reading(second: int, wh: int | None = None, **more: object) -> Reading:
    """Return a meter's reading, some seconds after the start; its register counts them."""
    fields = {"at": START + timedelta(seconds=second), "import_wh": second if wh is None else wh, "export_wh": 0}
    return Reading(**{**fields, **more})  # type: ignore[arg-type]


def given(second: int, device: str = "", **more: object) -> Given:
    """Return what a source gives of it."""
    one = reading(second, **more)  # type: ignore[arg-type]
    return Given(one.to_bytes(), one, device=device)


def untimed(second: int, device: str = "") -> Given:
    """Return what a source gives that says no time of its own."""
    return given(second, device)._replace(timed=False)


def refused(reason: str = "crc", detail: str = "CRC 1234, expected 5678", raw: bytes = b"/broken!") -> Given:
    """Return something received that is no reading."""
    return Given(raw, refusal=Refusal(reason, detail))


Step = Given | Exception | None
"""What comes, what is raised, or None: the source ends."""


class Scripted:
    """A source that gives steps as they are put into it."""

    def __init__(self, steps: Iterable[Step] = (), name: str = "scripted") -> None:
        self.name = name
        self.opened = 0
        self.closed = 0
        self._steps: asyncio.Queue[Step] = asyncio.Queue()
        self.put(*steps)

    def put(self, *steps: Step) -> None:
        """Have these come next."""
        for step in steps:
            self._steps.put_nowait(step)

    async def read(self) -> AsyncIterator[Given]:
        self.opened += 1
        try:
            while (step := await self._steps.get()) is not None:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.closed += 1


LOST = SourceLostError("10.0.0.5:2001 closed the connection")
