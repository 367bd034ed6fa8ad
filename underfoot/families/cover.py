"""智慧井盖: a sensor under a manhole cover."""

from underfoot.families.declaration import Family, measured, state
from underfoot.families.power import PoweredValues


class CoverValues(PoweredValues):
    tilt_deg: float | None = measured("倾角", "°", 0, 180, 0.1, about="against the horizontal plane")
    open: bool | None = state("井盖打开")
    vibration: bool | None = state("异常振动")
    water_below_rim_m: float | None = measured(
        "水面距井口", "m", -5, 30, 0.01, about="0 at the rim, negative when water stands above it"
    )
    h2s_mg_m3: float | None = measured("硫化氢", "mg/m³", 0, 1500, 0.1)
    ch4_lel_pct: float | None = measured("甲烷", "%LEL", 0, 100, 0.1)
    co_mg_m3: float | None = measured("一氧化碳", "mg/m³", 0, 2500, 0.1)
    o2_vol_pct: float | None = measured("氧气", "%vol", 0, 30, 0.1)


COVER = Family("cover", "智慧井盖", CoverValues, default_interval_s=86_400, asset_kinds=("01",))
