"""Strays: readings that belong to no community of this process, refused once all the same.

Nobody's fold sees them, so their position in READINGS and what REJECTED holds of them are kept
in a checkpoint of their own, without a state.
"""

from aggregator.checkpoint import Checkpoint
from aggregator.fold import Output
from aggregator.outbox import Outbox
from bus.client import Bus
from bus.identifiers import is_id
from bus.messages import Rejected
from bus.stored import Stored


class Strays:
    """The desk for what belongs nowhere."""

    def __init__(self, bus: Bus) -> None:
        self.position = 0
        """READINGS sequence up to which strays were refused."""
        self._bus = bus
        self._outbox = Outbox(bus, None, {})
        self._outputs: list[Output] = []

    async def open(self, saved: Checkpoint | None) -> None:
        """Go on where a checkpoint stands. Waits for NATS."""
        if saved is not None:
            self.position = saved.position
            self._outbox = Outbox(self._bus, None, saved.positions)
        await self._outbox.open()

    def take(self, stored: Stored) -> None:
        """Refuse a message whose community is not registered where it stands in the log."""
        if stored.sequence <= self.position:
            return
        self.position = stored.sequence
        tokens = stored.subject.split(".")
        if len(tokens) != 3 or not all(is_id(token) for token in tokens[1:]):
            reason, detail = "invalid_id", wrong_subject(stored.subject)
        else:
            reason, detail = "unknown_community", f"no community {tokens[1]!r} is registered"
        self._outputs.append(
            Rejected(
                reason=reason,
                detail=detail,
                subject=stored.subject,
                sequence=stored.sequence,
                received_at=stored.time_ms,
                payload=stored.data.decode("utf-8", "backslashreplace"),
            )
        )

    async def flush(self) -> list[Output]:
        """Publish what was refused and return it. Waits for NATS."""
        outputs, self._outputs = self._outputs, []
        if outputs:
            await self._outbox.send(outputs)
        return outputs

    def stand(self, position: int) -> tuple[int, dict[str, int]]:
        """Return what a checkpoint holds: all up to `position` was read, and flushed."""
        self.position = max(self.position, position)
        return self.position, self._outbox.positions


def wrong_subject(subject: str) -> str:
    """Say what is wrong with the subject of a reading."""
    return f"{subject[:200]!r} is not readings.<community>.<meter>"
