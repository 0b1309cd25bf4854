"""Reasons for which readings are refused: what each means, and what to do about it, for whoever looks after meters."""

from collections.abc import Mapping
from typing import Final

EXPLANATIONS: Final[Mapping[str, str]] = {
    "too_large": "The message is larger than a reading can be. Look at what the gateway sends.",
    "malformed_json": "The message is not JSON. Look at what the gateway sends.",
    "missing_field": "A field is missing that every reading has. Look at how the gateway is set up.",
    "wrong_type": "A field holds what it cannot hold, such as text for a number. Look at how the gateway is set up.",
    "not_finite": "A number is infinite or none at all. The meter or its gateway had nothing to read.",
    "invalid_time": "The time is no date-time with its offset. Look at the clock and the time format of the gateway.",
    "invalid_id": "An id holds characters that ids cannot have. Look at the subject or topic of the meter.",
    "negative": "A register or power is below zero. Signed values are to be split into import and export.",
    "out_of_range": "A value is beyond what a meter can show. Often a wrong unit: kWh sent as Wh, or W as kW.",
    "meter_mismatch": "The meter named in the reading is not the one of its subject. Two gateways may be mixed up.",
    "unknown_community": "No community with this id is registered. Look at the subject or topic of the meter.",
    "unknown_meter": "The registry has no such meter. Register it, or correct the subject or topic that it uses.",
    "future": "The reading is ahead of the clock. Set the clock of the meter or gateway.",
    "too_old": "The reading is older than the first interval of the community. Nothing is to be done.",
    "interval_final": "The reading came after its interval had become final. It cannot count any more.",
    "flood": "Too many readings lie within a second of the meter's own clock. Look at how often it is set to send.",
    "refused_at_gateway": "Its gateway could not use what the meter sent. Look at the cable, and at the gateway's log.",
    "conflict": "Another value is known for the same time. If the new one is right, it is to be sent as a correction.",
    "unknown_epoch": "The reading names a meter generation that is not known for its time. Look at the serial number.",
    "register_fell": "The register fell, which it never does. After an exchange of the meter its epoch must change.",
    "register_leapt": "The register rose by more than the connection can carry. Often a wrong unit, or a wrong meter.",
}
"""By reason, as the aggregator names it; a newer aggregator may have others."""


def explain(reason: str) -> str | None:
    """Return what a reason means, None for one that is not known."""
    return EXPLANATIONS.get(reason)
