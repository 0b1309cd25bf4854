"""The messages that the aggregator sends: frames, settled intervals, alerts, refused readings.

Encoded as JSON with msgspec. Field names carry their unit; times are milliseconds since
1970-01-01 UTC. What a home or community lacks is null, never 0.

A home's state and energies of today are arrays, in the order of their fields here: in a frame
there are a thousand of them, and names would be two thirds of it. New fields go to the end,
with a default, so that readers and writers of different age understand each other.
"""

from typing import Final, Literal

import msgspec

Light = Literal["GREEN", "YELLOW", "RED", "UNKNOWN"]
Trend = Literal["RISING", "STEADY", "FALLING"]
IntervalStatus = Literal["PROVISIONAL", "FINAL"]
AlertKind = Literal[
    "SURPLUS_STARTED", "SURPLUS_ENDED", "METER_SILENT", "METER_BACK", "IMPORT_PEAK_STARTED", "IMPORT_PEAK_ENDED"
]
Quality = Literal["MEASURED", "SUBSTITUTED", "ESTIMATED", "MISSING", "STALE"]


class Today(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
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


class HomeState(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
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


class IntervalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One home in one settled interval. Energy in whole Wh; money and CO2 are exact decimals as text."""

    home: str
    start: str
    end: str
    import_wh: int
    """C: drawn from the grid."""
    export_wh: int
    """G: injected."""
    pv_wh: int
    load_wh: int
    charge_wh: int
    discharge_wh: int
    allocated_wh: int
    """A: of the community's production, used by this home."""
    residual_import_wh: int
    """C - A."""
    residual_export_wh: int
    """R: of this home's injection, not used by the community."""
    saving: str
    """What the home saved as a consumer, in minor units of the currency."""
    credit: str
    """What the home earned more as a producer, in minor units of the currency."""
    co2_avoided_g: str
    quality: Quality


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """One settlement interval of a community at one revision, whole. Times are RFC 3339 in UTC.

    (community, start, revision) is its identity. `shared_wh` is what the community shared:
    the sum of the rows' allocated_wh, or min(production, demand) where the key is VIRTUAL.
    """

    community: str
    start: str
    end: str
    revision: int
    status: IntervalStatus
    currency: str
    shared_wh: int
    rows: list[IntervalRow]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An event that must not be missed. `key` is its identity; `at` and `value` say when and how much."""

    key: str
    kind: AlertKind
    community: str
    home: str
    at: int
    value: float | None
    limit: float | None
    meter: str | None = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A refused reading, whole: `payload` is its text as it came (bytes that are no UTF-8 escaped).

    With a `count` over 1 it stands for so many that were refused for one reason within a minute, and
    names the last of them; its payload is empty.
    """

    reason: str
    detail: str
    subject: str
    sequence: int
    received_at: int
    payload: str
    count: int = 1


_encoder: Final = msgspec.json.Encoder()
_frames: Final = msgspec.json.Decoder(Frame)
_homes: Final = msgspec.json.Decoder(HomeState)
_intervals: Final = msgspec.json.Decoder(Interval)
_alerts: Final = msgspec.json.Decoder(Alert)
_rejected: Final = msgspec.json.Decoder(Rejected)


def encode(message: msgspec.Struct) -> bytes:
    """Return a message's JSON."""
    return _encoder.encode(message)


def decode_frame(payload: bytes) -> Frame:
    """Return the frame in `payload`, homes still encoded; raise msgspec.DecodeError if it is none."""
    return _frames.decode(payload)


def decode_home(raw: msgspec.Raw) -> HomeState:
    """Return one home of a frame; raise msgspec.DecodeError if it is none."""
    return _homes.decode(raw)


def decode_interval(payload: bytes) -> Interval:
    """Return the interval in `payload`; raise msgspec.DecodeError if it is none."""
    return _intervals.decode(payload)


def decode_alert(payload: bytes) -> Alert:
    """Return the alert in `payload`; raise msgspec.DecodeError if it is none."""
    return _alerts.decode(payload)


def decode_rejected(payload: bytes) -> Rejected:
    """Return the refused reading in `payload`; raise msgspec.DecodeError if it is none."""
    return _rejected.decode(payload)
