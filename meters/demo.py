"""The demo community: a registry for any number of simulated homes, the same for the same seed."""

from decimal import Decimal
from typing import Final

from bus.community import MAX_HOMES, Community, Home, Member, Meter, MeterRole, Tariff
from meters.chance import dice
from meters.errors import OptionError

_UNITS: Final = 10**6
"""Keys are drawn in millionths, so that they add up to exactly 1."""

_STREETS: Final = ("Lindenweg", "Birkenweg", "Ahornweg", "Buchenweg", "Eschenweg", "Ulmenweg", "Erlenweg", "Weidenweg")


def simulated_communities(homes: int, seed: int, id: str = "demo", *, event_clock: bool = False) -> list[Community]:
    """Return communities that have `homes` together, `demo`, `demo-2` and so on, evenly filled."""
    if homes < 1:
        raise OptionError(f"{homes} homes; a community has at least 1: choose --homes 1 or more")
    count = -(-homes // MAX_HOMES)
    sizes = [homes // count + (1 if number < homes % count else 0) for number in range(count)]
    return [
        simulated_community(size, seed, id if number == 1 else f"{id}-{number}", event_clock=event_clock)
        for number, size in enumerate(sizes, 1)
    ]


def simulated_community(homes: int, seed: int, id: str = "demo", *, event_clock: bool = False) -> Community:
    """Return a community of 1 to 1,000 homes: some consume only, some have PV, some a battery too.

    Homes are `home-01` and so on, their meters `home-01-grid`, `home-01-pv`, `home-01-battery`;
    members are `member-01` and so on, one per home, and `operator`.
    """
    if not 1 <= homes <= MAX_HOMES:
        raise OptionError(
            f"{homes} homes in one community; 1 to {MAX_HOMES} are allowed: spread more over several communities"
        )
    draw = dice(seed, id, "community")
    width = max(2, len(str(homes)))
    numbers = [f"{number:0{width}}" for number in range(1, homes + 1)]
    roles = _roles(homes)
    draw.shuffle(roles)
    parts = [draw.randint(50, 150) for _ in numbers]
    keys = [part * _UNITS // sum(parts) for part in parts]
    for index in range(_UNITS - sum(keys)):
        keys[index % homes] += 1
    return Community(
        id=id,
        name=f"{id.replace('-', ' ').title()} community",
        timezone="Europe/Vienna",
        clock="event" if event_clock else "wall",
        grid_carbon_intensity=Decimal(180),
        show_totals_to_members=True,
        tariff=Tariff(
            supplier_price=Decimal("0.28"),
            community_price=Decimal("0.16"),
            feed_in_price=Decimal("0.08"),
            grid_fee_reduction=Decimal("0.03"),
        ),
        homes=tuple(
            Home(
                id=f"home-{number}",
                name=f"{_STREETS[index % len(_STREETS)]} {index // len(_STREETS) + 1}",
                key=Decimal(keys[index]) / _UNITS,
                meters=tuple(Meter(id=f"home-{number}-{role.lower()}", role=role) for role in roles[index]),
            )
            for index, number in enumerate(numbers)
        ),
        members=(
            *(Member(id=f"member-{number}", homes=(f"home-{number}",)) for number in numbers),
            Member(id="operator", role="operator"),
        ),
    )


def _roles(homes: int) -> list[tuple[MeterRole, ...]]:
    """Return each home's meters: of twenty homes six have PV and a battery, six PV alone, eight neither."""
    kinds: tuple[tuple[MeterRole, ...], ...] = (("GRID", "PV", "BATTERY"), ("GRID",), ("GRID", "PV"))
    return [kinds[index % 3] if index % 20 != 18 else ("GRID",) for index in range(homes)]
