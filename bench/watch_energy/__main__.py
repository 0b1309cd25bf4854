"""What each way of bringing live figures to a wrist costs: bytes, wake-ups, joules, errors.

    python -m bench.watch_energy [--quick] [--json] [--plot FILE] [--citylearn DIR]
    python -m bench.watch_energy --real-seconds 60

An hour and a day of two traces; `--quick` an hour of both. `--plot` draws the last of CityLearn's tables.
`--real-seconds` runs so much of the hour twice, in virtual and in real time, and fails where a byte, a message or a
figure differs.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from bench.watch_energy.figures import COLUMNS, Table, cells, missed, worst
from bench.watch_energy.measuring import check, measure_all, named
from bench.watch_energy.plot import draw
from bench.watch_energy.trace import FOLDER


def show(tables: list[Table], console: Console) -> None:
    """Print the tables, their ratios, and what is missed."""
    for one in tables:
        grid = Grid(title=f"{named(one.trace, one.seconds == 3600)}: per hour", title_justify="left")
        for number, column in enumerate(COLUMNS):
            grid.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for each in one.rows:
            grid.add_row(*cells(each))
        console.print(grid)
        console.print(", ".join(f"{name} {value:g}" for name, value in one.ratios.items()))
        changes = ", ".join(f"{name} {value:g}" for name, value in one.causes.items())
        console.print(f"changes of the foreground's face an hour: {changes}")
        needed = ", ".join(f"{name} {value:g}" for name, value in one.needed.items())
        console.print(f"updates an hour for an error of at most a step: {needed}")
        liveliest = max(range(len(one.by_hour)), key=lambda hour: one.by_hour[hour]["wakeups"])
        if len(one.by_hour) > 1:
            counts = one.by_hour[liveliest]
            console.print(
                f"the liveliest hour, {liveliest}:00: {counts['wakeups']} wake-ups of the foreground; "
                f"{counts['fewest']} updates are needed"
            )
        for line in missed(one):
            console.print(f"missed: {line}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="an hour only, without the ways that take longest")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw an SVG")
    parser.add_argument("--citylearn", type=Path, default=FOLDER, metavar="DIR", help="the CityLearn 2022 folder")
    parser.add_argument("--real-seconds", type=int, metavar="N", help="check N seconds against real time")
    arguments = parser.parse_args()
    if arguments.real_seconds:
        differing = check(arguments.real_seconds, arguments.citylearn)
        sys.exit("\n".join(differing) or 0)
    tables = measure_all(Console(stderr=True), quick=arguments.quick, folder=arguments.citylearn)
    if arguments.plot:
        drawn = next(one for one in reversed(tables) if one.trace == "CityLearn")
        title = f"What live figures cost a watch: {named(drawn.trace, drawn.seconds == 3600)}"
        arguments.plot.write_text(draw(drawn.rows, title), encoding="utf-8")
    if arguments.json:
        print(json.dumps({"ratios": worst(one.ratios for one in tables), "runs": [asdict(one) for one in tables]}))
    else:
        show(tables, Console(width=None if sys.stdout.isatty() else 160))


if __name__ == "__main__":
    main()
