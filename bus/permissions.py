"""What each role may publish to NATS, and what it may subscribe to: what its work needs, and nothing else.

Roles live in three accounts, which hear nothing of each other but what is exported: METERS for
what stands in other people's houses, COMMONWATT for our own processes and the streams, SYSTEM
for nats-server itself. Whoever connects listens for answers below an inbox of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bus.identifiers import TICK_SUBJECT, check_id, reading_subject
from bus.streams import CHECKPOINTS, REGISTRY, REVOKED, Retention, configurations

Role = Literal[
    "aggregator",
    "server",
    "history",
    "simulator",
    "operator",
    "administrator",
    "anybody",
    "gateway",
    "meter",
    "device",
    "reloader",
]
Account = Literal["COMMONWATT", "METERS", "SYSTEM"]

PROCESSES: Final[tuple[Role, ...]] = ("aggregator", "server", "history", "operator", "administrator", "reloader")
"""Roles of which a deployment has one each; a simulator, gateways and meters are added by name."""

METERS_IMPORTS: Final = (
    "readings.*.*",
    "$JS.API.DIRECT.GET.READINGS.readings.*.*",
)
"""What METERS reaches of COMMONWATT at all; permissions choose from it. The answers come back."""

_REGISTRY: Final = f"KV_{REGISTRY}"
_CHECKPOINTS: Final = f"KV_{CHECKPOINTS}"
_REVOKED: Final = f"KV_{REVOKED}"
_PAIRING: Final = ("pairing", "devices")

_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "aggregate": ("READINGS", "LIVE", "INTERVALS", "ALERTS", "REJECTED", _REGISTRY, _CHECKPOINTS),
    "serve": ("READINGS", "LIVE", "INTERVALS", "ALERTS", "REJECTED", _REGISTRY, _REVOKED),
    "history": ("INTERVALS", _REGISTRY),
    "simulate": ("READINGS", _REGISTRY),
    "replay": ("READINGS", _REGISTRY),
    "registry": ("READINGS", _REGISTRY),
    "audit": ("READINGS", "INTERVALS", _REGISTRY),
    "token": (_REVOKED,),
    "statement": (_REGISTRY,),
    "export": (_REGISTRY,),
    "gateway": (),
}


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that may be published to and subscribed to; all others are denied."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False
    """May publish one answer to each request that it receives, within two minutes."""


def account_of(role: Role) -> Account:
    """Return the account that a role lives in."""
    if role in ("gateway", "meter", "device"):
        return "METERS"
    return "SYSTEM" if role == "reloader" else "COMMONWATT"


def streams_of(process: str) -> tuple[str, ...]:
    """Return the streams that a process of this name reads or writes: all of them where the name is not known."""
    if process in _NEEDED:
        return _NEEDED[process]
    return tuple(str(config.name) for config in configurations(Retention()))


def inbox_of(name: str) -> str:
    """Return the prefix of a user's inbox, from its name or public nkey: one subject token, no other user's."""
    return f"_INBOX_{name.replace('.', '_')}"


def meter_user(community: str, meter: str) -> str:
    """Return the user name of a meter."""
    return f"{check_id(community)}.{check_id(meter)}"


def device_user(community: str, device: str) -> str:
    """Return the user name of a device that speaks topics of its own: three parts, where a meter's has two."""
    return f"device.{check_id(community)}.{check_id(device)}"


def permissions_of(
    role: Role, inbox: str, communities: Sequence[str] = (), meter: str = "", below: Sequence[str] = ()
) -> Permissions | None:
    """Return what a role may do whose inbox has this prefix; None: everything in its account.

    `communities` are those that a simulator or gateway publishes for (none: all of them), and
    the one of a `meter`. `below` are subjects: of a device those below which it publishes, of a gateway
    those below which it hears devices.
    """
    own = (f"{inbox}.>",)
    devices = tuple(f"{subject}.>" for subject in below)
    match role:
        case "device":
            return Permissions(devices, own)
        case "meter":
            return Permissions((reading_subject(communities[0], meter),), own)
        case "gateway":
            readings = _readings(communities)
            return Permissions((*readings, *(_last("READINGS", one) for one in readings)), (*own, *devices))
        case "simulator":
            return Permissions(_simulating(communities), own)
        case "aggregator":
            return Permissions(_aggregating(), own)
        case "server":
            buckets = [f"KV_{name}" for name in _PAIRING]
            return Permissions(
                (
                    *_reads("ALERTS", "INTERVALS", _REGISTRY, _REVOKED),
                    *(_info(stream) for stream in ("LIVE", "READINGS", "REJECTED", *buckets)),
                    *(_get(stream) for stream in ("READINGS", "REJECTED")),
                    _last("LIVE", "live.*"),
                    *(_create(stream) for stream in (_REVOKED, *buckets)),
                    *(_last(f"KV_{name}", f"$KV.{name}.>") for name in _PAIRING),
                    *(f"$KV.{name}.>" for name in (*_PAIRING, REVOKED)),
                    "history.>",
                    "$SRV.*.history",
                ),
                (*own, "live.*"),
            )
        case "history":
            asked = ("history.>", "$SRV.*", "$SRV.*.history", "$SRV.*.history.*")
            return Permissions(_reads("INTERVALS", _REGISTRY), (*own, *asked), answers=True)
        case "operator":
            return Permissions(
                (
                    *_reads("READINGS", "INTERVALS", _REGISTRY, _REVOKED),
                    *(_create(stream) for stream in ("READINGS", "INTERVALS", _REGISTRY, _REVOKED)),
                    f"$KV.{REGISTRY}.*",
                    f"$KV.{REVOKED}.*",
                    TICK_SUBJECT,
                    "history.>",
                ),
                own,
            )
        case "reloader":
            return Permissions(("$SYS.REQ.SERVER.*.RELOAD",), own)
        case "administrator" | "anybody":
            return None


def _aggregating() -> tuple[str, ...]:
    streams = ("READINGS", "INTERVALS", "ALERTS", "REJECTED", _REGISTRY)
    return (
        "live.*",
        "intervals.*",
        "alerts.*.*",
        "rejected.*.*",
        TICK_SUBJECT,
        f"$KV.{CHECKPOINTS}.>",
        *_reads(*streams),
        *(_info(stream) for stream in ("LIVE", _CHECKPOINTS)),
        _last(_CHECKPOINTS, f"$KV.{CHECKPOINTS}.>"),
        *(_create(stream) for stream in (*streams, "LIVE", _CHECKPOINTS)),
    )


def _simulating(communities: Sequence[str]) -> tuple[str, ...]:
    """Readings, and what registers a community that is not there yet."""
    return (
        *_readings(communities),
        *(f"$KV.{REGISTRY}.{community}" for community in _chosen(communities)),
        TICK_SUBJECT,
        *_reads("READINGS", _REGISTRY),
    )


def _chosen(communities: Sequence[str]) -> tuple[str, ...]:
    return tuple(check_id(community) for community in communities) or ("*",)


def _readings(communities: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"readings.{community}.*" for community in _chosen(communities))


def _reads(*streams: str) -> tuple[str, ...]:
    """All that reads a stream: by a consumer, by sequence, and the last message of a subject."""
    return tuple(
        subject
        for stream in streams
        for subject in (
            _info(stream),
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
            _get(stream),
            f"$JS.API.DIRECT.GET.{stream}.>",
        )
    )


def _info(stream: str) -> str:
    return f"$JS.API.STREAM.INFO.{stream}"


def _create(stream: str) -> str:
    return f"$JS.API.STREAM.CREATE.{stream}"


def _get(stream: str) -> str:
    """Messages by sequence or time, of a subject, one or several; no consumer."""
    return f"$JS.API.DIRECT.GET.{stream}"


def _last(stream: str, subject: str) -> str:
    return f"$JS.API.DIRECT.GET.{stream}.{subject}"
