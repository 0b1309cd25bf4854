"""A direct-get reply becomes a stored message."""

from unittest.mock import Mock

import pytest
from nats.aio.msg import Msg

from bus.stored import from_direct_get


@pytest.mark.parametrize(
    ("stamp", "time_ms"),
    [
        ("2026-01-31T12:00:00Z", 1_769_860_800_000),
        ("2026-01-31T12:00:00.5Z", 1_769_860_800_500),
        ("2026-01-31T12:00:00.04Z", 1_769_860_800_040),
        ("2026-01-31T12:00:00.123456Z", 1_769_860_800_123),
        ("2026-01-31T12:00:00.123456789Z", 1_769_860_800_123),
    ],
)
def test_its_time_is_read_with_however_many_digits_the_server_writes(stamp: str, time_ms: int) -> None:
    headers = {"Nats-Subject": "readings.c.m", "Nats-Sequence": "7", "Nats-Time-Stamp": stamp}
    found = from_direct_get(Msg(Mock(), data=b"x", headers=headers))
    assert found is not None
    assert found == ("readings.c.m", 7, time_ms, b"x")


def test_a_reply_without_a_sequence_is_no_message() -> None:
    assert from_direct_get(Msg(Mock(), headers={"Status": "404"})) is None
    assert from_direct_get(Msg(Mock())) is None
