"""MQTT topics of devices: which are allowed, and as which NATS subjects nats-server hands them on.

nats-server turns `/` into `.`; what a topic may hold besides is narrower here than in MQTT, so that
the two always stand for each other: it turns a dot into two slashes and refuses spaces, and the
characters `*` and `>`, which mean nothing in a topic, are wildcards of subjects.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from nats.aio.msg import Msg

from bus.client import Bus, connection_of
from bus.errors import ConfigurationError

_level = r"[A-Za-z0-9_:-]{1,64}"
_matches: Final = re.compile(rf"{_level}(?:/{_level}){{0,7}}").fullmatch

_OURS: Final = ("readings", "live", "intervals", "alerts", "rejected", "history")


class TopicError(ConfigurationError, ValueError):
    """Raised when an MQTT topic cannot be used; the text says what may be in it."""


def check_topic(topic: str) -> str:
    """Return `topic` if it is one that devices may use or be read by; raise TopicError otherwise."""
    if _matches(topic) is None:
        raise TopicError(
            f"{topic[:80]!r} is no topic of a device here: up to 8 levels with '/' between, each of 1 to 64 of the "
            "characters a-z, A-Z, 0-9, '_', '-' and ':'; enter another one in the device"
        )
    return topic


def check_prefix(prefix: str) -> str:
    """Return the topic below which a device publishes; raise TopicError where it is none, or reserved."""
    first = check_topic(prefix).partition("/")[0]
    if first in _OURS or first.startswith("_"):  # and no inbox of anybody's
        raise TopicError(f"{prefix!r} begins with {first!r}, which is not for devices: enter another one in the device")
    return prefix


def subject_of(topic: str) -> str:
    """Return the NATS subject on which nats-server hands on what is published on a topic; raise TopicError."""
    return check_topic(topic).replace("/", ".")


def topic_of(subject: str) -> str:
    """Return the topic that a subject came from."""
    return subject.replace(".", "/")


async def listen(bus: Bus, topic: str, take: Callable[[str, bytes], None]) -> Callable[[], Awaitable[None]]:
    """Call `take` with topic and payload of what is published on `topic`, or below it where it ends in `/#`.

    Returns what ends it. Nothing is kept for who does not listen, and while `take` runs nothing more is
    read. A connection that comes back listens again by itself.
    """

    async def hand_on(message: Msg) -> None:
        take(topic_of(message.subject), message.data)

    subscription = await connection_of(bus).subscribe(_filter(topic), cb=hand_on)

    async def end() -> None:
        if not connection_of(bus).is_closed:
            await subscription.unsubscribe()

    return end


def _filter(topic: str) -> str:
    above = topic.removesuffix("/#")
    return subject_of(above) + ("" if above == topic else ".>")
