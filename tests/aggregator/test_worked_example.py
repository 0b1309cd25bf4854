"""The numbers of docs/energy-communities.md are those that the aggregator computes."""

from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from aggregator.frames import Framer
from bus.community import LightRule, Tariff
from bus.messages import HomeState, decode_frame, decode_home
from tests.aggregator.harness import MINUTE, NOON, QUARTER, Bench, Said, community, home, merged, said

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "energy-communities.md"

Table = list[dict[str, str]]


def _tables() -> list[Table]:
    """Return the tables of the worked example, in order."""
    lines = DOCUMENT.read_text(encoding="utf-8").partition("## A worked example")[2].splitlines()
    found = []
    for is_table, group in groupby(lines, lambda line: line.startswith("|")):
        if is_table:
            head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in group]
            found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


COUNTED, SHARED, WORTH, HOMES, WHOLE = _tables()


def _bench(key: str) -> Bench:
    """Fold the example's quarter: registers at both its ends, and the powers that the document gives."""
    homes = [home(row["home"], *(("GRID", "PV") if row["PV"] != "0" else ("GRID",)), key=row["key"]) for row in COUNTED]
    one = community(
        *homes,
        allocation_key=key,
        grid_carbon_intensity=Decimal(200),
        light=LightRule(hold=timedelta(0)),
        tariff=Tariff(
            supplier_price=Decimal("0.28"),
            community_price=Decimal("0.16"),
            feed_in_price=Decimal("0.08"),
            grid_fee_reduction=Decimal("0.03"),
        ),
    )
    streams: list[list[Said]] = []
    for row, live in zip(COUNTED, HOMES, strict=True):
        imported, exported, made = int(row["drew C"]), int(row["injected G"]), int(row["PV"])
        power: dict[str, Any] = {"power_import_w": float(live["import"]), "power_export_w": float(live["export"])}
        sun: dict[str, Any] = {"power_export_w": float(live["PV"].replace("–", "0"))}
        for at, part in ((NOON, 0), (NOON + QUARTER, 1), (NOON + QUARTER + 5 * MINUTE, 1)):
            streams.append([said(f"{row['home']}-grid", at, imported * part, exported * part, **power)])
            if made:
                streams.append([said(f"{row['home']}-pv", at, 0, made * part, **sun)])
    return Bench(one).run(merged(*streams))


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


@pytest.mark.parametrize("expected", SHARED, ids=lambda row: row["key"])
def test_each_key_shares_the_quarter_as_the_document_says(expected: dict[str, str]) -> None:
    interval = _bench(expected["key"]).latest[NOON]
    rows = {row.home: row for row in interval.rows}
    computed = {f"{name} A": str(row.allocated_wh) for name, row in rows.items()}
    computed |= {"anna R": str(rows["anna"].residual_export_wh), "shared": str(interval.shared_wh)}
    assert {"key": expected["key"], **computed} == expected
    assert {row.quality for row in interval.rows} == {"MEASURED"}


def test_all_five_keys_are_in_the_document() -> None:
    assert [row["key"] for row in SHARED] == ["DYNAMIC", "STATIC", "STATIC_ROUNDS", "HYBRID", "VIRTUAL"]


def test_it_is_worth_what_the_document_says() -> None:
    for row, expected in zip(_bench("DYNAMIC").latest[NOON].rows, WORTH, strict=True):
        assert expected == {
            "home": row.home,
            "load Wh": str(row.load_wh),
            "saving ct": row.saving,
            "credit ct": row.credit,
            "CO₂ avoided g": row.co2_avoided_g,
        }


def test_the_watches_show_what_the_document_says() -> None:
    frame = decode_frame(Framer().frame(_bench("DYNAMIC").fold))
    for expected in HOMES:
        state: HomeState = decode_home(frame.homes[expected["home"]])
        assert expected == {
            "home": state.home,
            "import": _shown(state.power_import_w),
            "export": _shown(state.power_export_w),
            "PV": _shown(state.pv_power_w),
            "load": _shown(state.load_w),
            "net": _shown(state.net_power_w),
            "from others": _shown(state.shared_power_w),
            "to others": _shown(state.shared_out_power_w),
            "self-sufficiency": _shown(state.self_sufficiency),
            "self-consumption": _shown(state.self_consumption),
        }
    whole = frame.state
    assert [
        {
            "surplus": _shown(whole.surplus_power_w),
            "shared": _shown(whole.shared_power_w),
            "load": _shown(whole.load_w),
            "self-sufficiency": _shown(whole.self_sufficiency),
            "self-consumption": _shown(whole.self_consumption),
            "light": whole.light,
        }
    ] == WHOLE
