"""管网: a level and flow gauge in a sewer."""

from enum import IntEnum

from underfoot.families.declaration import Family, measured, state
from underfoot.families.power import PoweredValues


class Network(IntEnum):
    """What the pipe carries. A storm sewer runs full by design, a foul one must not."""

    foul = 0
    storm = 1


class PipeValues(PoweredValues):
    level_m: float | None = measured("液位", "m", -1, 50, 0.001)
    fill_ratio: float | None = measured("充满度 h/D", "", -0.2, 50, 0.01, about="above 1: water stands over the crown")
    flow_m3_h: float | None = measured("流量", "m³/h", -100_000, 100_000, 0.1, about="negative: backflow")
    velocity_m_s: float | None = measured("流速", "m/s", -20, 20, 0.01, about="negative: backflow")
    network: Network | None = state("管网类型", about="0 foul 污水, 1 storm 雨水; filled from the ledger when absent")


PIPE = Family("pipe", "管网", PipeValues, default_interval_s=900, asset_kinds=("0102", "0103"))
