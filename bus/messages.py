"""The messages that the aggregator sends: frames, refused readings.

Encoded as JSON with msgspec. Field names carry their unit; times are milliseconds since
1970-01-01 UTC. What a home or community lacks is null, never 0.
"""

from typing import Final, Literal

import msgspec

Light = Literal["GREEN", "YELLOW", "RED", "UNKNOWN"]
Trend = Literal["RISING", "STEADY", "FALLING"]
Quality = Literal["MEASURED", "SUBSTITUTED", "ESTIMATED", "MISSING", "STALE"]


class Today(msgspec.Struct, frozen=True, kw_only=True):
    """Energy since local midnight in whole Wh, and what sharing saved in minor units of the currency."""

    import_wh: int
    export_wh: int
    produced_wh: int
    consumed_wh: int
    shared_wh: int
    saved: str
    """Exact decimal, in minor units (cents); consumers' savings plus producers' credit."""
    currency: str
    since: int
    status: Literal["PROVISIONAL"] = "PROVISIONAL"


class HomeState(msgspec.Struct, frozen=True, kw_only=True):
    """A home at one moment. Powers in W, unsigned unless said, rounded to 0.1 W; ratios 0..1."""

    home: str
    measured_at: int | None
    power_import_w: float | None
    power_export_w: float | None
    net_power_w: float | None
    """+ import, - export."""
    pv_power_w: float | None
    battery_power_w: float | None
    """+ discharging, - charging."""
    battery_charge: float | None
    load_w: float | None
    shared_power_w: float | None
    """What it uses of others' export now."""
    shared_out_power_w: float | None
    """What of its export others use now."""
    self_sufficiency: float | None
    self_consumption: float | None
    light: Light
    quality: Quality
    today: Today | None


class CommunityState(msgspec.Struct, frozen=True, kw_only=True):
    """A community at one moment: sums over its homes that report. Powers in W, ratios 0..1."""

    community: str
    measured_at: int | None
    power_import_w: float
    power_export_w: float
    surplus_power_w: float
    """Export - import: + the community gives to the grid."""
    shared_power_w: float
    pv_power_w: float | None
    load_w: float
    self_sufficiency: float | None
    self_consumption: float | None
    light: Light
    trend: Trend
    homes_reporting: int
    homes_total: int
    today: Today | None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """A community and all its homes at one moment: all that a late joiner needs.

    `number` grows by one from frame to frame. `changed` lists the homes that differ from the
    frame before; where numbers have a gap, all may differ. Homes stay encoded until someone
    asks for one (`decode_home`).
    """

    number: int
    at: int
    state: CommunityState
    changed: list[str]
    homes: dict[str, msgspec.Raw]


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A refused reading, whole: `payload` is its text as it came (bytes that are no UTF-8 escaped)."""

    reason: str
    detail: str
    subject: str
    sequence: int
    received_at: int
    payload: str


_encoder: Final = msgspec.json.Encoder()
_frames: Final = msgspec.json.Decoder(Frame)
_homes: Final = msgspec.json.Decoder(HomeState)


def encode(message: msgspec.Struct) -> bytes:
    """Return a message's JSON."""
    return _encoder.encode(message)


def decode_frame(payload: bytes) -> Frame:
    """Return the frame in `payload`, homes still encoded; raise msgspec.DecodeError if it is none."""
    return _frames.decode(payload)


def decode_home(raw: msgspec.Raw) -> HomeState:
    """Return one home of a frame; raise msgspec.DecodeError if it is none."""
    return _homes.decode(raw)
