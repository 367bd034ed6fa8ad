"""雨量: a rain gauge."""

from underfoot.families.declaration import Family, measured
from underfoot.families.power import PoweredValues


class RainValues(PoweredValues):
    amount_mm: float | None = measured("时段雨量", "mm", 0, 500, 0.1, about="fallen since the device's previous report")
    intensity_mm_h: float | None = measured("雨强", "mm/h", 0, 1500, 0.1)


RAIN = Family("rain", "雨量", RainValues, default_interval_s=300, asset_kinds=("21",))
