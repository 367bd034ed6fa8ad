"""积水点: a water-depth gauge at a low point of a road or in an underpass."""

from enum import IntEnum

from underfoot.families.declaration import Family, measured, state
from underfoot.families.power import PoweredValues


class Place(IntEnum):
    """Where the gauge stands: an underpass is closed at a depth at which a street is merely wet."""

    road = 0
    underpass = 1


class RoadValues(PoweredValues):
    depth_cm: float | None = measured(
        "积水深度", "cm", -5, 1000, 0.1, about="a little below 0 is a dry sensor's drift, not an error"
    )
    place: Place | None = state("位置类型", about="0 road 路段, 1 underpass 下穿; filled from the ledger when absent")


ROAD = Family("road", "积水点", RoadValues, default_interval_s=900, asset_kinds=("21",))
