"""Strays: readings that belong to no community of this process, refused once all the same.

Nobody's fold sees them, so their position in READINGS and what REJECTED holds of them are kept
in a checkpoint of their own, without a state. Of many within a minute the first are refused whole, the
others counted, and told of together at a tick of a later minute.
"""

from aggregator.checkpoint import Checkpoint
from aggregator.flood import MOST_OF_STRANGERS, Refusals, Withheld
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
        self._refusals = Refusals(0)

    @property
    def refusals(self) -> Refusals:
        """What was refused in this minute; belongs into the checkpoint."""
        return self._refusals

    async def open(self, saved: Checkpoint | None) -> None:
        """Go on where a checkpoint stands. Waits for NATS."""
        if saved is not None:
            self.position = saved.position
            self._refusals = saved.strays or self._refusals
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
        known = self._refusals
        if known.told >= MOST_OF_STRANGERS:
            count = sum(one.count for one in known.withheld.values()) + 1
            last = Withheld(count, stored.sequence, stored.time_ms, stored.subject, detail)
            known.withheld = {reason: last}
            return
        known.told += 1
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

    def tick(self, stored: Stored) -> None:
        """Take a tick: at the first of a minute tell of what was only counted in the one before."""
        minute = stored.time_ms // 60_000
        if stored.sequence <= self.position or minute <= self._refusals.minute:
            return
        self.position = stored.sequence
        for reason, last in self._refusals.withheld.items():
            detail = f"{last.count} more of no community in a minute, the last at sequence {last.sequence} of READINGS"
            self._outputs.append(
                Rejected(
                    reason=reason,
                    detail=f"{detail}: {last.detail}",
                    subject=last.subject,
                    # The tick's, so that these, too, come in the order of READINGS.
                    sequence=stored.sequence,
                    received_at=last.received_at,
                    payload="",
                    count=last.count,
                )
            )
        self._refusals = Refusals(minute)

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
