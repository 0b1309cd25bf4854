"""Look-ups of many messages at once: runs of a subject from a place on, and the last message of each of many subjects.

Direct gets in batches (ADR-31): they make no consumer, and leave nothing behind. A subject may
hold wildcards. All of it raises UnavailableError, and RefusedError where NATS does not allow it.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bus.client import Bus, connection_of
from bus.errors import UnavailableError
from bus.stored import Stored, from_direct_get

MAX_RUN: Final = 1000
"""Messages of one run at most."""

_SUBJECTS: Final = 500
"""Subjects of one request; nats-server answers for 1,024."""
_MOST_BYTES: Final = 8 * 1024 * 1024
"""Of one answer; it ends with the message that goes beyond."""
_TIMEOUT_S: Final = 5.0
_MORE: Final = "Nats-Num-Pending"


class Run(NamedTuple):
    """Messages of a subject in stream order, and how many of it follow them."""

    messages: list[Stored]
    more: int


async def run_of(
    bus: Bus, stream: str, subject: str, *, sequence: int = 1, since_ms: int | None = None, most: int = 1
) -> Run:
    """Return the first messages of a subject from a stream sequence on, or from a JetStream time on.

    At most `most` of them, up to MAX_RUN; fewer, but not none, where they are large.
    """
    if not 1 <= most <= MAX_RUN:
        raise ValueError(f"{most} messages in a run; 1 to {MAX_RUN} are allowed")
    place: dict[str, Any] = {"seq": max(1, sequence)}
    if since_ms is not None:
        place = {"start_time": datetime.fromtimestamp(since_ms / 1000, UTC).isoformat()}
    replies = await _asked(bus, stream, place | {"next_by_subj": subject, "batch": most})
    messages = [stored for reply in replies if (stored := from_direct_get(reply)) is not None]
    return Run(messages, int((replies[-1].headers or {}).get(_MORE, 0)) if messages else 0)


async def last_of_each(bus: Bus, stream: str, subjects: Sequence[str]) -> dict[str, Stored]:
    """Return the last message of each of these subjects that has one."""
    found: dict[str, Stored] = {}
    for start in range(0, len(subjects), _SUBJECTS):
        left = list(subjects[start : start + _SUBJECTS])
        from_sequence = 1
        while left:
            replies = await _asked(bus, stream, {"seq": from_sequence, "multi_last": left, "batch": len(left)})
            messages = [stored for reply in replies if (stored := from_direct_get(reply)) is not None]
            found |= {stored.subject: stored for stored in messages}
            if not messages or not int((replies[-1].headers or {}).get(_MORE, 0)):
                break
            from_sequence = messages[-1].sequence + 1  # the answer was cut off at its size
    return found


async def _asked(bus: Bus, stream: str, question: dict[str, Any]) -> list[Msg]:
    """Return all replies to a direct get, the one that ends them included."""
    if not bus.connected:
        raise UnavailableError("NATS is not connected")
    subject = f"$JS.API.DIRECT.GET.{stream}"
    try:
        return await bus._answered(
            _collected(bus, subject, json.dumps(question | {"max_bytes": _MOST_BYTES}).encode()), subject
        )
    except TimeoutError:
        raise UnavailableError(f"JetStream did not answer within {_TIMEOUT_S:g} s") from None
    except (NatsError, OSError) as error:
        raise UnavailableError(f"JetStream did not answer: {error!r}") from error


async def _collected(bus: Bus, subject: str, question: bytes) -> list[Msg]:
    connection = connection_of(bus)
    replies: list[Msg] = []
    ended = asyncio.Event()

    async def take(reply: Msg) -> None:
        replies.append(reply)
        if "Status" in (reply.headers or {}):  # no message: the end of them, or that there is none
            ended.set()

    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox, cb=take)
    try:
        await connection.publish(subject, question, reply=inbox)
        async with asyncio.timeout(_TIMEOUT_S):
            await ended.wait()
    finally:
        if connection.is_connected:
            await subscription.unsubscribe()
    status = (replies[-1].headers or {})["Status"]
    if status not in ("204", "404"):
        raise UnavailableError(f"JetStream answered {status} {(replies[-1].headers or {}).get('Description', '')}")
    return replies
