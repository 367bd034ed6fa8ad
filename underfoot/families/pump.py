"""泵站: a pump of a drainage pump station and its forebay."""

from underfoot.families.declaration import Family, Values, measured, state


class PumpValues(Values):
    running: bool | None = state("运行")
    current_a: float | None = measured("电流", "A", 0, 5000, 0.1)
    forebay_level_m: float | None = measured("前池液位", "m", -10, 50, 0.01)
    fault: bool | None = state("故障")
    fault_code: int | None = measured("故障码", "", 0, 32767, 1)


PUMP = Family("pump", "泵站", PumpValues, default_interval_s=60, asset_kinds=("2115",))
