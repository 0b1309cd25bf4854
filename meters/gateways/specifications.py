"""The kinds of P1 telegrams that dsmr-parser knows, and how a telegram shows which it is.

The objects that make a reading have the same names and units in all of them; a kind says where the meter's clock is
and whether a checksum belongs to it.
"""

import re
from typing import Final, NamedTuple


class Specification(NamedTuple):
    """A kind of P1 telegram."""

    name: str
    zone: str = "Europe/Amsterdam"
    """Where such meters are, and so which local time they show."""
    checksum: bool = True
    """Whether a telegram must carry one."""
    signed: bool = False
    """Whether 1.7.0 may be below zero, which is then power to the grid."""


V2: Final = Specification("DSMR 2.2 or 3", checksum=False)
V4: Final = Specification("DSMR 4")
V5: Final = Specification("DSMR 5")
BELGIUM: Final = Specification("Belgium (Fluvius)", "Europe/Brussels")
LUXEMBOURG: Final = Specification("Luxembourg (Smarty)", "Europe/Luxembourg")
SWEDEN: Final = Specification("Sweden, or another with totals alone", "Europe/Stockholm")
HUNGARY: Final = Specification("Hungary (E.ON)", "Europe/Budapest")
AUSTRIA: Final = Specification("Sagemcom T210-D-R", "Europe/Vienna")
IRELAND: Final = Specification("Iskra IE", "Europe/Dublin")
Q3D: Final = Specification("EasyMeter Q3D", "Europe/Berlin", checksum=False, signed=True)

_OF_V2: Final = re.compile(r"1-0:[12]\.(?:8\.[12]|7\.0)|0-0:(?:96\.(?:1\.1|14\.0|3\.10|13\.[01])|17\.0\.0)")
_OF_Q3D: Final = re.compile(r"1-0:(?:0\.0\.0|[12]\.8\.0|(?:[12]|[246]1)\.7\.0|96\.5\.5)|0-0:96\.1\.255")
_OF_A_SUBMETER: Final = re.compile(r"0-[1-9]:(?:24\.[134]\.0|96\.1\.0)")


def specification(header: str, names: dict[str, str]) -> Specification:
    """Return the kind of a telegram, from its header without the `/` and the names of its objects."""
    if header.startswith("ESY5Q3"):
        return Q3D
    if header.startswith("FLU5") or "0-0:96.1.4" in names:
        return BELGIUM
    if "MIE5" in header[:10]:  # behind the maker, and \2 for the speed
        return IRELAND
    if "0-0:42.0.0" in names:
        return HUNGARY if "1-0:15.8.0" in names or header.startswith("SAG5") else LUXEMBOURG
    version = names.get("1-3:0.2.8", "")
    if header.startswith("EST5"):
        return AUSTRIA
    if version:
        return V4 if version.startswith("(4") else V5
    if "0-0:1.0.0" not in names:
        return V2
    return SWEDEN if "1-0:1.8.0" in names else V5


def is_whole(kind: Specification, names: dict[str, str]) -> bool:
    """Return whether a telegram of a kind without checksum shows what it must and nothing that it cannot.

    This is all that tells one of its own from a newer meter's that lost its checksum on the way.
    """
    if kind is Q3D:
        return all(_OF_Q3D.fullmatch(name) for name in names) and "1-0:1.8.0" in names
    return (
        all(_OF_V2.fullmatch(name) or _OF_A_SUBMETER.fullmatch(name) for name in names)
        and {"1-0:1.8.1", "1-0:1.8.2"} <= names.keys()
        and ("1-0:2.8.1" in names) == ("1-0:2.8.2" in names)
    )
