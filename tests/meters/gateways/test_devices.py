"""Devices: their file, and how messages of a device become readings of its meters."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_that
from hypothesis import strategies as st

from bus.reading import parse
from meters.errors import OptionError
from meters.gateways.devices import Device, Devices, load_devices
from meters.gateways.feed import Place
from meters.gateways.source import Given

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TOPIC = "shellypro3em-0cb815fd1234"
EM = Device(kind="shelly", topic=TOPIC, community="sunfield", meter="grid")
HEAD = Device(kind="tasmota", topic="tasmota_ABC", community="sunfield", meter="mill")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def took(devices: Devices, topic: str, document: Any, received: datetime = NOW) -> list[Given]:
    return list(devices.given(topic, json.dumps(document).encode(), received))


def power(watts: float) -> dict[str, float]:
    return {"id": 0, "total_act_power": watts}


def registers(imported: float, exported: float = 0.0) -> dict[str, float]:
    return {"id": 0, "total_act": imported, "total_act_ret": exported}


# --- readings ---


def test_registers_and_the_power_before_them_are_one_reading_at_the_registers_time() -> None:
    devices = Devices([EM])
    (first,) = took(devices, f"{TOPIC}/status/em:0", power(-420.5), after(0))
    (second,) = took(devices, f"{TOPIC}/status/emdata:0", registers(1000.9, 250.2), after(10))
    assert (first.reading, first.refusal) == (None, None)
    reading = second.reading
    assert reading is not None
    assert (reading.at, reading.epoch, reading.import_wh, reading.export_wh) == (after(10), TOPIC, 1000, 250)
    assert (reading.power_import_w, reading.power_export_w) == (0, 420.5)
    assert second.device == EM.key == f"{TOPIC} em:0"
    assert EM.place == Place("sunfield", "grid")
    assert parse(reading.to_bytes()) == reading


def test_power_of_more_than_a_minute_ago_is_left_out() -> None:
    devices = Devices([EM])
    took(devices, f"{TOPIC}/status/em:0", power(100), after(0))
    (given,) = took(devices, f"{TOPIC}/status/emdata:0", registers(1), after(61))
    assert given.reading is not None
    assert given.reading.power_import_w is None


def test_no_reading_repeats_registers_of_before_beside_new_power() -> None:
    devices = Devices([EM])
    took(devices, f"{TOPIC}/status/emdata:0", registers(1), after(0))
    (given,) = took(devices, f"{TOPIC}/status/em:0", power(100), after(1))
    assert given.reading is None


def test_a_message_that_is_delivered_twice_is_one_reading() -> None:
    devices = Devices([EM])
    took(devices, f"{TOPIC}/status/emdata:0", registers(1000), after(0))
    (again,) = took(devices, f"{TOPIC}/status/emdata:0", registers(1000), after(0.4))
    assert again.reading is None
    assert again.hints == ("the same again: delivered twice, and counted once",)
    (later,) = took(devices, f"{TOPIC}/status/emdata:0", registers(1000), after(60))
    assert later.reading is not None  # nothing was used for a minute, and that is news


def test_the_same_on_both_topics_is_one_reading() -> None:
    devices = Devices([EM])
    note = {"method": "NotifyStatus", "params": {"ts": after(0).timestamp(), "emdata:0": registers(5)}}
    (first,) = took(devices, f"{TOPIC}/events/rpc", note, after(0.1))
    (second,) = took(devices, f"{TOPIC}/status/emdata:0", registers(5), after(0.2))
    assert first.reading is not None
    assert first.reading.at == after(0)
    assert second.reading is None


def test_a_clock_that_is_not_set_gives_way_to_the_time_of_receipt() -> None:
    note = {"method": "NotifyStatus", "params": {"ts": 12.5, "emdata:0": registers(0)}}
    (given,) = took(Devices([EM]), f"{TOPIC}/events/rpc", note)
    assert given.reading is not None
    assert given.reading.at == NOW
    assert given.hints == (
        "the device's clock is not set, it says 1970-01-01 00:00:12 UTC: the time of receipt",
        "all registers are 0: is the device new, or has it just started?",
    )


def test_a_clock_that_is_wrong_is_believed_and_told_of() -> None:
    note = {"method": "NotifyStatus", "params": {"ts": after(-120).timestamp(), "emdata:0": registers(7)}}
    (given,) = took(Devices([EM]), f"{TOPIC}/events/rpc", note)
    assert given.reading is not None
    assert given.reading.at == after(-120)
    assert given.hints == ("the device's clock is 120 s behind: give it a time server",)


def test_a_meter_of_photovoltaics_that_counts_what_passes_is_turned_round() -> None:
    pv = EM.model_copy(update={"channel": "switch:0", "reverse": True})
    status = {"id": 0, "apower": 800, "aenergy": {"total": 5000.5}}
    (given,) = took(Devices([pv]), f"{TOPIC}/status/switch:0", status)
    reading = given.reading
    assert reading is not None
    assert (reading.import_wh, reading.export_wh, reading.power_import_w, reading.power_export_w) == (0, 5000, 0, 800)


def test_channels_of_one_device_are_meters_of_their_own() -> None:
    devices = Devices(
        [
            EM.model_copy(update={"channel": "em1:0"}),
            EM.model_copy(update={"channel": "em1:1", "meter": "pv"}),
        ]
    )
    for number in (0, 1, 2):
        status = {"id": number, "total_act_energy": 10 + number, "total_act_ret_energy": 0}
        found = [one.device for one in took(devices, f"{TOPIC}/status/em1data:{number}", status)]
        assert found == ([f"{TOPIC} em1:{number}"] if number < 2 else [])


@pytest.mark.parametrize("topic", ["tele/tasmota_ABC/SENSOR", "tasmota_ABC/tele/SENSOR"])
def test_tasmota_by_either_order_of_its_full_topic(topic: str) -> None:
    (given,) = took(Devices([EM, HEAD]), topic, {"SML": {"Total_in": 1.5, "Total_out": 0, "Power_curr": 10}})
    assert given.reading is not None
    assert (given.device, given.reading.import_wh, given.reading.power_import_w) == ("tasmota_ABC", 1500, 10)


@pytest.mark.parametrize("topic", ["tele/tasmota_ABC/STATE", "tele/other/SENSOR", f"{TOPIC}x/status/em:0", TOPIC])
def test_topics_of_others_and_of_other_things_are_nothing(topic: str) -> None:
    assert took(Devices([EM, HEAD]), topic, {"ENERGY": {"Total": 1}}) == []


def test_what_cannot_be_read_is_refused_in_the_name_of_a_meter_of_that_device() -> None:
    (given,) = Devices([EM]).given(f"{TOPIC}/events/rpc", b"{", NOW)
    assert given.device == EM.key
    assert given.refusal is not None


@given_that(st.binary(max_size=200), st.sampled_from(["status/em:0", "status/pm1:0", "status/emdata:0", "events/rpc"]))
def test_whatever_comes_becomes_a_reading_that_is_one_or_a_refusal(payload: bytes, tail: str) -> None:
    for given in Devices([EM, HEAD]).given(f"{TOPIC}/{tail}", payload, NOW):
        assert given.reading is None or parse(given.reading.to_bytes()) == given.reading
        assert given.reading is None or given.refusal is None


_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["total", "aenergy", "Total", "Power", "ts", "em:0", "emdata:0", "pm1:0", "apower", "ENERGY"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_FIELDS = "total_act total_act_ret total_act_power apower aenergy ret_aenergy errors method params Time ENERGY SML"
_TOPICS = [f"{TOPIC}/status/em:0", f"{TOPIC}/status/emdata:0", f"{TOPIC}/events/rpc", "tele/tasmota_ABC/SENSOR"]
_fields = st.sampled_from(_FIELDS.split())


@given_that(
    st.dictionaries(_fields, _values, max_size=6),
    st.sampled_from(
        [f"{TOPIC}/status/em:0", f"{TOPIC}/status/emdata:0", f"{TOPIC}/events/rpc", "tele/tasmota_ABC/SENSOR"]
    ),
)
def test_whatever_object_comes_nothing_crashes(document: dict[str, Any], topic: str) -> None:
    devices = Devices([EM, HEAD])
    for given in devices.given(topic, json.dumps(document).encode(), NOW):
        assert given.reading is None or parse(given.reading.to_bytes()) == given.reading


# --- the file ---


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "devices.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_file_names_devices_and_their_meters(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""
        [[device]]
        kind = "shelly"
        topic = "{TOPIC}"
        community = "sunfield"
        meter = "grid"

        [[device]]
        kind = "tasmota"
        topic = "tasmota_ABC"
        community = "sunfield"
        meter = "mill"
        epoch = "2"
        import_kwh = ["Haus.T1", "Haus.T2"]
        """,
    )
    first, second = load_devices(path)
    assert first == EM
    assert second.place == Place("sunfield", "mill", "2")
    assert second.prefixes == ("tele/tasmota_ABC", "tasmota_ABC/tele", "stat/tasmota_ABC", "tasmota_ABC/stat")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('topic = "a b"', "'a b' is no topic of a device here"),
        ('topic = "readings/sunfield"', "begins with 'readings', which is not for devices"),
        ('chanel = "em:0"', "device[0].chanel: unknown key"),
        ('channel = "em"', "device[0].channel"),
        ('meter = "A"', "device[0].meter"),
        ('import_kwh = ["a.b"]', "a Shelly has no import_kwh"),
        ('kind = "tasmota"\nchannel = "em:0"', "a Tasmota device has no channel"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_is_expected(tmp_path: Path, text: str, says: str) -> None:
    lines = {"kind": '"shelly"', "topic": '"t"', "community": '"c"', "meter": '"m"'}
    lines |= dict(line.split(" = ", 1) for line in text.splitlines())
    path = write(tmp_path, "[[device]]\n" + "\n".join(f"{key} = {value}" for key, value in lines.items()))
    with pytest.raises(OptionError) as error:
        load_devices(path)
    assert says in str(error.value)


def test_a_channel_is_one_meter_and_a_meter_one_channel(tmp_path: Path) -> None:
    one = f'[[device]]\nkind = "shelly"\ntopic = "{TOPIC}"\ncommunity = "c"\n'
    with pytest.raises(OptionError, match="occurs twice"):
        load_devices(write(tmp_path, f'{one}meter = "a"\n{one}meter = "b"\n'))
    with pytest.raises(OptionError, match="occurs twice"):
        load_devices(write(tmp_path, f'{one}meter = "a"\n{one}meter = "a"\nchannel = "em1:0"\n'))
