"""What a stream holds, for tests that look at it."""

from collections.abc import Sequence

from bus.client import Bus
from bus.stored import Stored


async def stored(bus: Bus, stream: str, subjects: Sequence[str] = ()) -> list[Stored]:
    """Return every message that a stream holds now, in its order."""
    _, last = await bus.stream_bounds(stream)
    found: list[Stored] = []
    reader = bus.read(stream, subjects, buffer=5000)
    while reader.position < last:
        batch = await reader.next_batch(1.0)
        if not batch and reader.pending == 0:
            break
        found += batch
    await reader.close()
    return found


async def at_least(bus: Bus, stream: str, count: int) -> None:
    """Wait until a stream has taken in `count` messages."""
    reader = bus.read(stream, buffer=5000)
    async for batch in reader:
        if batch[-1].sequence >= count:
            break
    await reader.close()
