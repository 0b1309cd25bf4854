"""An aggregator that dies, or takes nats-server with it, at a moment that is chosen beforehand.

Run as `python -m tests.aggregator.service.failing --nats-url URL`. FAIL_AT is `<point>:<n>`: the n-th time
at this point; FAIL_PID the process to kill, its own by default. Checkpoints come thick and fast,
messages in small batches, and no ticks are written, so that little work holds many moments.
"""

import argparse
import asyncio
import os
import signal
import sys
from typing import Any, Final

from aggregator import service
from aggregator.checkpoint import Checkpoint, Checkpoints
from aggregator.metrics import Metrics
from aggregator.outbox import FencedError
from aggregator.service import Aggregator, AggregatorOptions
from bus.client import Bus, connection_of
from bus.reader import Reader
from bus.settings import NatsSettings
from bus.stored import Stored

POINTS: Final = ("take", "sending", "sent", "saving", "saved")
"""Before a message is folded; in the middle of a batch of outputs; after its acknowledgement; around a checkpoint."""


class Moment:
    """The moment at which to fail."""

    def __init__(self, at: str, pid: int) -> None:
        self._point, _, times = at.partition(":")
        self._left = int(times or 0)
        self._pid = pid

    def at(self, point: str) -> None:
        """Pass a point; kill if it is the one, and the time."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(self._pid, signal.SIGKILL)


class FailingBus(Bus):
    """A bus that passes points."""

    moment: Moment

    async def publish_batch(self, messages: Any, *, timeout: float = 10.0) -> int:
        if self.moment_is_near("sending") and len(messages) > 1:
            batch = self._names.next().decode()
            for number, message in enumerate(messages[:-1], 1):
                headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                await connection_of(self).publish(message.subject, message.data, headers=headers)
            await connection_of(self).flush()
        self.moment.at("sending")
        last = await super().publish_batch(messages, timeout=timeout)
        self.moment.at("sent")
        return last

    def moment_is_near(self, point: str) -> bool:
        return self.moment._point == point and self.moment._left == 1

    def read(self, stream: str, subjects: Any = (), **how: Any) -> Reader:
        return super().read(stream, subjects, **(how | {"buffer": 60 if stream == "READINGS" else 1000}))


class FailingCheckpoints(Checkpoints):
    """Checkpoints that pass points."""

    moment: Moment

    async def save(self, key: str, checkpoint: Checkpoint) -> None:
        self.moment.at("saving")
        await super().save(key, checkpoint)
        self.moment.at("saved")


class FailingAggregator(Aggregator):
    """An aggregator that passes points."""

    moment: Moment

    def _take(self, stored: Stored) -> Any:
        self.moment.at("take")
        return super()._take(stored)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nats-url", required=True)
    parser.add_argument("--log-format")
    url = parser.parse_args().nats_url
    moment = Moment(os.environ.get("FAIL_AT", ""), int(os.environ.get("FAIL_PID", os.getpid())))
    FailingBus.moment = FailingCheckpoints.moment = FailingAggregator.moment = moment
    setattr(service, "Checkpoints", FailingCheckpoints)  # noqa: B010 - what the module imported, not what it exports
    setattr(service, "_CHECKPOINT_S", 0.02)  # noqa: B010 - a constant to all others
    bus = await FailingBus.connect(NatsSettings(url=url), name="failing")
    await FailingAggregator(bus, AggregatorOptions(tick_s=0), Metrics()).run()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except* FencedError:
        sys.exit(3)
