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


AT_GATEWAY: Final[Mapping[str, str]] = {
    "cut": "It ended in the middle. Now and then is harmless; often: look at the cable and at the speed of the line.",
    "garbage": "Bytes came that no such meter sends. Look at the speed of the line, and at what is plugged in.",
    "checksum": "Its checksum does not match: bits were lost. Look for a loose plug, a long cable, a slipped head.",
    "no_checksum": "Its checksum is missing. The dongle takes it out: have it send telegrams as they are.",
    "too_large": "It is longer than anything a meter sends. Look at the speed of the line, and what is plugged in.",
    "duplicate": "A value was there twice, as where two telegrams run together. Look at the cable.",
    "encrypted": "It is encrypted, or under another key. Ask the grid operator for the meter's key.",
    "malformed": "It is whole, and not as its format says. Look at which device, or which topic, it is.",
    "missing_field": "It has no register of energy. Enter the meter's PIN, or look at how the device is set up.",
    "wrong_type": "A value is no number. The detail names it: look at how the device is set up.",
    "unknown_unit": "A value is in a unit that is none of energy or power. The detail names it.",
    "not_finite": "A value is infinite or none at all. The device had nothing to read.",
    "negative": "A register or power is below zero. The detail names it: look at signs in the device's set-up.",
    "out_of_range": "A value is beyond what a meter can show. Often a wrong unit: kWh sent as Wh, or W as kW.",
    "invalid_time": "The meter's time is none: its clock is not set. It sets it when it reaches its grid operator.",
    "no_time": "It was recorded, and says no time. Such a meter can only be read as it speaks.",
    "unconfirmed": "Another serial number, said once and without a checksum. Said twice it counts as another meter.",
    "flood": "The device sent more than its gateway takes in a second. Have it send less often.",
}
"""By what a gateway calls it, for `refused_at_gateway`, whose text begins with that."""


def explain(reason: str, detail: str = "") -> str | None:
    """Return what a reason means, None for one that is not known; of a gateway's refusal what its text begins with."""
    if reason == "refused_at_gateway":
        said = detail.partition(":")[0]
        if text := AT_GATEWAY.get(said) or EXPLANATIONS.get(said):
            return text
    return EXPLANATIONS.get(reason)
