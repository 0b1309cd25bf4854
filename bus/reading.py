"""A reading: what a meter says at one moment, as it travels on READINGS.

The wire form is one JSON object. Who consumes it validates it here; what fails is refused with
a short reason code (`RefusalError.reason`) and a sentence that names the value and the limit.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import (
    AllowInfNan,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from bus.identifiers import Id

MAX_BYTES: Final = 4096
"""Largest payload of a reading; a larger one is refused unread."""

MAX_REGISTER_WH: Final = 10**12
"""Registers at or over this (1 TWh) are no meter's: a unit is wrong."""

MAX_POWER_W: Final = 10**8

MAX_REFUSED: Final = 10**6
"""Most refusals that one message of a gateway stands for."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(2200, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def _whole(value: Any) -> Any:
    """Let 1200.0 pass for 1200: some JSON writers know floats only. Booleans are no numbers."""
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("must be a JSON number")
    return value


def _moment(value: Any) -> Any:
    """Refuse bare numbers, as text too: whether they count seconds or milliseconds is a guess."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and "-" not in value[1:]):
        raise ValueError("must be a date-time in text")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_moment), Field(ge=_EPOCH, lt=_END)]
RegisterWh = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=MAX_REGISTER_WH, strict=True)]
PowerW = Annotated[float, BeforeValidator(_number), AllowInfNan(False), Field(ge=0, le=MAX_POWER_W)]
Share = Annotated[float, BeforeValidator(_number), AllowInfNan(False), Field(ge=0, le=1)]


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reading of one meter.

    `at` is the meter's own time. Registers are cumulative, in whole Wh, and never negative;
    powers are averages or samples in W, unsigned, one per direction. `epoch` names the
    meter's generation: registers are comparable within one epoch only. `correction` marks a
    reading that replaces an earlier one of the same meter and time. `parse` validates; the
    constructor leaves that to its caller.
    """

    meter: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,64}\Z")] | None = None
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    epoch: Annotated[str, msgspec.Meta(max_length=64)] = "0"
    import_wh: Annotated[int, msgspec.Meta(ge=0, lt=MAX_REGISTER_WH)]
    export_wh: Annotated[int, msgspec.Meta(ge=0, lt=MAX_REGISTER_WH)]
    power_import_w: Annotated[float, msgspec.Meta(ge=0, le=MAX_POWER_W)] | None = None
    power_export_w: Annotated[float, msgspec.Meta(ge=0, le=MAX_POWER_W)] | None = None
    state_of_charge: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    quality: Literal["MEASURED", "SUBSTITUTED", "ESTIMATED"] = "MEASURED"
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    correction: bool = False

    @property
    def at_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return (self.at - _EPOCH) // _MS

    def to_bytes(self) -> bytes:
        """Return the wire form: JSON without the fields that say nothing."""
        return msgspec.json.encode(self)


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway publishes in a reading's place: that it refused what the meter sent, and why.

    It stands in the log where the reading would have; `parse` refuses it as `refused_at_gateway`, so
    the aggregator puts it on REJECTED with everything else that was refused.
    """

    refused: Annotated[str, msgspec.Meta(max_length=64)]
    """The gateway's reason, a short code."""
    detail: Annotated[str, msgspec.Meta(max_length=500)]
    received_at: Annotated[datetime, msgspec.Meta(tz=True)]
    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes that were received."""
    payload: str
    """Their text, cut to what a reading may take; bytes that are no UTF-8 are escaped."""
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_REFUSED)] = 1
    """How many it stands for."""

    def to_bytes(self) -> bytes:
        """Return the wire form."""
        return msgspec.json.encode(self)


class _Judge(BaseModel):
    """The authority on what a reading is: lenient where a writer's habit is harmless, and able to say why not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    meter: Id | None = None
    at: Moment
    epoch: Annotated[str, Field(max_length=64, coerce_numbers_to_str=True)] = "0"
    import_wh: RegisterWh
    export_wh: RegisterWh
    power_import_w: PowerW | None = None
    power_export_w: PowerW | None = None
    state_of_charge: Share | None = None
    quality: Literal["MEASURED", "SUBSTITUTED", "ESTIMATED"] = "MEASURED"
    sequence: Annotated[int, Field(ge=0, lt=2**63, strict=True)] | None = None
    correction: Annotated[bool, Field(strict=True)] = False


_decode: Final = msgspec.json.Decoder(Reading).decode
_decode_refused: Final = msgspec.json.Decoder(Refused).decode


class RefusalError(ValueError):
    """Raised when a payload is not a reading. `reason` is one of REASONS; the text says why.

    `count` is how many it stands for, which a gateway may say of what it refused.
    """

    def __init__(self, reason: str, detail: str, count: int = 1) -> None:
        super().__init__(detail)
        self.reason = reason
        self.count = count


REASONS: Final = {
    "too_large": "the payload is larger than 4 KiB",
    "malformed_json": "the payload is not a JSON object",
    "missing_field": "a field that every reading needs is absent",
    "wrong_type": "a value has the wrong type",
    "not_finite": "a value is NaN or infinite",
    "negative": "a register or power is below zero",
    "out_of_range": "a value is beyond what a meter can show",
    "invalid_time": "the time is not an RFC 3339 date-time with an offset",
    "invalid_id": "community or meter is not an identifier",
    "meter_mismatch": "the meter in the payload is not the one in the subject",
    "unknown_community": "no community of this id is registered",
    "unknown_meter": "the community has no meter of this id",
    "future": "the reading's time is more than 5 minutes ahead of the community's clock",
    "interval_final": "the interval that the reading belongs to is final",
    "register_fell": "the register fell by more than the tolerance and no second reading agreed",
    "register_leapt": "the register rose by more than the connection can carry, unconfirmed",
    "too_old": "the reading is older than what the stream keeps",
    "unknown_epoch": "an older reading of an epoch that the meter never announced",
    "flood": "too many readings of the meter lie within one second of its own clock",
    "refused_at_gateway": "the gateway refused what the meter sent; the text begins with its reason",
    "conflict": "another value is stored for this meter and time, and this one is not marked as a correction",
}


def parse(payload: bytes) -> Reading:
    """Return the reading in `payload`; raise RefusalError with a reason code otherwise.

    A well-formed reading is decoded by msgspec in a tenth of the time that pydantic takes;
    what that does not take, pydantic judges, and explains (docs/decisions/008).
    """
    if len(payload) > MAX_BYTES:
        raise RefusalError("too_large", f"{len(payload)} bytes; a reading has at most {MAX_BYTES}")
    try:
        reading = _decode(payload)
        if _EPOCH <= reading.at < _END:
            return reading
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return Reading(**_Judge.model_validate_json(payload).model_dump())
    except ValidationError as error:
        raise _said(payload) or _refusal(error) from None


def _said(payload: bytes) -> RefusalError | None:
    """Return the refusal that a gateway tells of, if the payload is one."""
    try:
        refused = _decode_refused(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return RefusalError("refused_at_gateway", f"{refused.refused}: {refused.detail}", refused.count)


def _refusal(error: ValidationError) -> RefusalError:
    first = error.errors(include_url=False, include_context=False)[0]
    kind, value = first["type"], first["input"]
    field = ".".join(map(str, first["loc"])) or "payload"
    detail = f"{field}: {first['msg']} (got {_shown(value)})"
    if kind in ("json_invalid", "model_type"):
        return RefusalError("malformed_json", detail)
    if kind == "missing":
        return RefusalError("missing_field", f"{field} is missing")
    if isinstance(value, float) and not math.isfinite(value):
        return RefusalError("not_finite", detail)
    if field == "at":
        return RefusalError("invalid_time", f"{detail}; expected RFC 3339 with an offset, as 2026-01-31T12:00:00Z")
    if field == "meter":
        return RefusalError("invalid_id", detail)
    if kind == "greater_than_equal":
        return RefusalError("negative", detail)
    if kind in ("less_than_equal", "less_than", "string_too_long", "literal_error"):
        return RefusalError("out_of_range", detail)
    return RefusalError("wrong_type", detail)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
