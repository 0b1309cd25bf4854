"""The CityLearn 2022 folder as recorded meters: hourly load and PV become registers and mean powers.

Source: intelligent-environments-lab/CityLearn, data set citylearn_challenge_2022_phase_all. Per
building a CSV file with `non_shiftable_load` in kWh per hour and `solar_generation` in W per kW
of PV; `schema.json` gives the PV systems' kW. The files have no timestamps: 8760 rows, the
first labelled hour 24 of 31 July, in standard time all year round.

The first row is the hour that begins at the start, and hours follow one another in UTC. The
default start, 2021-08-01T00:00 in America/Los_Angeles, is daylight saving time, and so the very
hour that the file calls 24 of 31 July (a Saturday in 2021, as the file has it).
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from bus.community import Community, Home, Member, Meter, Tariff
from bus.reading import Reading
from meters.errors import RecordingError

DEFAULT_START: Final = "2021-08-01T00:00"
TIMEZONE: Final = "America/Los_Angeles"
HOUR: Final = timedelta(hours=1)

_MAX_KWH: Final = Decimal(10_000)
_ZERO: Final = Decimal(0)


@dataclass(frozen=True)
class Building:
    """A building's hours: what it drew from and gave to the grid, and its PV, in exact kWh."""

    number: int
    pv_kw: Decimal
    import_kwh: tuple[Decimal, ...]
    export_kwh: tuple[Decimal, ...]
    pv_kwh: tuple[Decimal, ...]

    @property
    def home(self) -> str:
        """The building's home id."""
        return f"building-{self.number:02}"


@dataclass(frozen=True)
class CityLearn:
    """The folder, read and checked."""

    buildings: tuple[Building, ...]
    price: Decimal
    """Mean price in $ per kWh."""
    carbon: Decimal
    """Mean intensity in kg CO2 per kWh."""

    @property
    def hours(self) -> int:
        """Hours recorded; one reading more per meter, at each border of them."""
        return len(self.buildings[0].pv_kwh)

    @cached_property
    def meters(self) -> tuple[str, ...]:
        """The meters' ids, in the order of their readings."""
        return tuple(f"{building.home}-{role}" for building in self.buildings for role in ("grid", "pv"))

    def community(self, id: str) -> Community:
        """Return the community to register: the folder knows one price, from which the others follow.

        Trading within the community is at two thirds of it, feeding in at one third.
        """
        cent = Decimal("0.0001")
        return Community(
            id=id,
            name="CityLearn 2022",
            timezone=TIMEZONE,
            settlement_interval=HOUR,
            allocation_key="DYNAMIC",
            clock="event",
            grid_carbon_intensity=(self.carbon * 1000).quantize(Decimal("0.1")),
            tariff=Tariff(
                currency="USD",
                supplier_price=self.price.quantize(cent),
                community_price=(self.price * 2 / 3).quantize(cent),
                feed_in_price=(self.price / 3).quantize(cent),
            ),
            homes=tuple(
                Home(
                    id=building.home,
                    name=f"Building {building.number}",
                    meters=(
                        Meter(id=f"{building.home}-grid", role="GRID"),
                        Meter(id=f"{building.home}-pv", role="PV"),
                    ),
                )
                for building in self.buildings
            ),
            members=(
                *(Member(id=f"member-{b.number:02}", homes=(b.home,)) for b in self.buildings),
                Member(id="operator", role="operator"),
            ),
        )

    def readings(self, start: datetime, first: int = 0) -> Iterator[list[Reading]]:
        """Yield the readings of all `meters` at one hour's border after another, from border `first` on.

        Border 0 is the start: registers 0 and no power. Registers are the exact sums so far,
        rounded to whole Wh; powers the means of the hour that ends, in W.
        """
        begin = start.astimezone(UTC)
        flows = [pair for b in self.buildings for pair in ((b.import_kwh, b.export_kwh), (None, b.pv_kwh))]
        sums = [[_ZERO, _ZERO] for _ in flows]
        for border in range(self.hours + 1):
            if border:
                for total, (imports, exports) in zip(sums, flows, strict=True):
                    total[0] += imports[border - 1] if imports else _ZERO
                    total[1] += exports[border - 1]
            if border < first:
                continue
            at = begin + border * HOUR
            yield [
                Reading(
                    at=at,
                    import_wh=_whole_wh(total[0]),
                    export_wh=_whole_wh(total[1]),
                    power_import_w=_watts(imports[border - 1] if imports else _ZERO) if border else None,
                    power_export_w=_watts(exports[border - 1]) if border else None,
                )
                for total, (imports, exports) in zip(sums, flows, strict=True)
            ]


def load_citylearn(folder: Path) -> CityLearn:
    """Read the folder; raise RecordingError with file, line and column where it is not as expected."""
    numbered = sorted(
        (int(digits), path)
        for path in folder.glob("Building_*.csv")
        if (digits := path.stem.removeprefix("Building_")).isdigit()
    )
    if not numbered:
        raise RecordingError(f"{folder}: no Building_1.csv and so on; expected the CityLearn 2022 folder")
    kilowatts = _pv_kw(folder / "schema.json")
    buildings = []
    for number, path in numbered:
        pv_kw = kilowatts.get(path.name)
        if pv_kw is None:
            raise RecordingError(f"{folder / 'schema.json'}: no building with energy_simulation {path.name!r}")
        load, sun = _columns(path, "non_shiftable_load", "solar_generation")
        pv = [value * pv_kw / 1000 for value in sun]
        net = [used - made for used, made in zip(load, pv, strict=True)]
        buildings.append(
            Building(
                number,
                pv_kw,
                import_kwh=tuple(max(value, _ZERO) for value in net),
                export_kwh=tuple(max(-value, _ZERO) for value in net),
                pv_kwh=tuple(pv),
            )
        )
        hours = len(buildings[0].pv_kwh)
        if len(net) != hours:
            raise RecordingError(f"{path}: {len(net)} rows; {numbered[0][1].name} has {hours}: all need the same hours")
    (prices,) = _columns(folder / "pricing.csv", "electricity_pricing")
    (carbon,) = _columns(folder / "carbon_intensity.csv", "carbon_intensity")
    return CityLearn(tuple(buildings), price=_mean(prices), carbon=_mean(carbon))


def _pv_kw(path: Path) -> dict[str, Decimal]:
    """Return each building file's PV in kW."""
    try:
        schema: Any = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        systems = {
            str(building["energy_simulation"]): Decimal(building["pv"]["attributes"]["nominal_power"])
            for building in schema["buildings"].values()
        }
    except (OSError, ValueError, InvalidOperation) as error:
        raise RecordingError(f"{path}: not readable: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordingError(
            f"{path}: expected buildings.<name>.energy_simulation and .pv.attributes.nominal_power; {error!r}"
        ) from None
    for name, pv_kw in systems.items():
        if not (pv_kw.is_finite() and 0 <= pv_kw <= _MAX_KWH):
            raise RecordingError(f"{path}: nominal_power of {name} is {pv_kw}; expected 0 to {_MAX_KWH} kW")
    return systems


def _columns(path: Path, *names: str) -> list[list[Decimal]]:
    """Return the named columns of a CSV file as exact numbers, each at least 0."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            missing = [name for name in names if name not in header]
            if missing:
                raise RecordingError(f"{path}, line 1: column {missing[0]!r} is missing; found {', '.join(header)!r}")
            places = [header.index(name) for name in names]
            columns: list[list[Decimal]] = [[] for _ in names]
            for row in rows:
                for name, place, column in zip(names, places, columns, strict=True):
                    column.append(_number(path, rows.line_num, name, row[place] if place < len(row) else ""))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: not readable: {error}") from None
    except csv.Error as error:
        raise RecordingError(f"{path}, line {rows.line_num}: not CSV: {error}") from None
    if not columns[0]:
        raise RecordingError(f"{path}: no rows below the header")
    return columns


def _number(path: Path, line: int, column: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not (value.is_finite() and 0 <= value <= _MAX_KWH):
        raise RecordingError(
            f"{path}, line {line}, column {column!r}: {text[:60]!r}; expected a number from 0 to {_MAX_KWH}"
        )
    return value


def _mean(values: list[Decimal]) -> Decimal:
    return sum(values, _ZERO) / len(values)


def _whole_wh(kwh: Decimal) -> int:
    return int((kwh * 1000).to_integral_value(ROUND_HALF_EVEN))


def _watts(kwh_per_hour: Decimal) -> float:
    return round(float(kwh_per_hour) * 1000, 1)
