"""The streams and buckets of Commonwatt, and how they are kept.

Creating them is idempotent: every process ensures what it needs, and settings that an operator
changed by hand (replicas, age) are left as they are.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError, ServerError

_DAY: Final = 86_400.0

REGISTRY: Final = "registry"
CHECKPOINTS: Final = "checkpoints"
REVOKED: Final = "revoked"

REVOKED_DAYS: Final = 401
"""Days that revoked tokens are remembered: longer than any token lasts."""
_MOST_REVOKED: Final = 250_000  # of them a server holds about 40 MiB

_NO_STORE: Final = 10049
"""nats-server's code for a store that it cannot make: for a moment after a stream of that name was deleted, too."""
_TRIES: Final = 20
_RETRY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Retention:
    """How long streams keep their messages, in days, and on how many servers."""

    readings_days: float = 35
    alerts_days: float = 90
    rejected_days: float = 35
    replicas: int = 1


def configurations(keep: Retention) -> list[StreamConfig]:
    """Return the configuration of every stream, buckets included."""

    def stream(name: str, *subjects: str, days: float | None = None) -> StreamConfig:
        return StreamConfig(
            name=name,
            subjects=list(subjects),
            max_age=None if days is None else days * _DAY,
            storage=StorageType.FILE,
            num_replicas=keep.replicas,
            allow_atomic=True,
            allow_direct=True,
            discard=DiscardPolicy.OLD,
            max_msg_size=1024 * 1024,
        )

    def bucket(name: str, per_key: int, *, days: float | None = None, most: int | None = None) -> StreamConfig:
        return StreamConfig(
            name=f"KV_{name}",
            subjects=[f"$KV.{name}.>"],
            max_msgs_per_subject=per_key,
            max_msgs=most,
            max_age=None if days is None else days * _DAY,
            storage=StorageType.FILE,
            num_replicas=keep.replicas,
            allow_direct=True,
            allow_rollup_hdrs=True,
            deny_delete=True,
            discard=DiscardPolicy.NEW,
        )

    live = StreamConfig(
        name="LIVE",
        subjects=["live.*"],
        max_msgs_per_subject=1,
        storage=StorageType.MEMORY,
        num_replicas=keep.replicas,
        allow_direct=True,
    )
    return [
        stream("READINGS", "readings.>", days=keep.readings_days),
        live,
        stream("INTERVALS", "intervals.*"),
        stream("ALERTS", "alerts.*.*", days=keep.alerts_days),
        stream("REJECTED", "rejected.*.*", days=keep.rejected_days),
        # Versions of a community are never overwritten: the bucket keeps every one of them.
        bucket(REGISTRY, -1),
        bucket(CHECKPOINTS, 1),
        bucket(REVOKED, 1, days=REVOKED_DAYS, most=_MOST_REVOKED),
    ]


async def ensure_streams(js: JetStreamContext, keep: Retention, names: Collection[str] | None = None) -> None:
    """Create the streams that are missing, of those named; raises nats errors when JetStream is not there."""
    for config in configurations(keep):
        assert config.name is not None
        if names is not None and config.name not in names:
            continue
        try:
            await js.stream_info(config.name)
        except NotFoundError:
            await _add(js, config)


async def _add(js: JetStreamContext, config: StreamConfig) -> None:
    for left in reversed(range(_TRIES)):
        try:
            await js.add_stream(config)
        except BadRequestError:  # another process was faster
            await js.stream_info(str(config.name))
        except ServerError as error:
            if error.err_code != _NO_STORE or not left:
                raise
            await asyncio.sleep(_RETRY_S)
            continue
        return
