"""多功能灯杆: the controller of a street lamp and what else its pole carries."""

from underfoot.families.declaration import Family, Values, measured, state


class LampValues(Values):
    on: bool | None = state("开灯指令", about="what the lamp was told to be")
    dimming_pct: float | None = measured("调光", "%", 0, 100, 1)
    voltage_v: float | None = measured("电压", "V", 0, 1000, 0.1)
    current_a: float | None = measured("电流", "A", 0, 200, 0.001)
    power_w: float | None = measured("功率", "W", 0, 50_000, 0.1)
    energy_kwh: float | None = measured("累计电量", "kWh", 0, 1e9, 0.01, precise=True)
    leakage_ma: float | None = measured("漏电流", "mA", 0, 30_000, 0.1)
    touch_voltage_v: float | None = measured("接触电压", "V", 0, 1000, 0.1)
    tilt_deg: float | None = measured("倾角", "°", 0, 90, 0.1)
    door_open: bool | None = state("检修门打开")
    pm2_5_ug_m3: float | None = measured("PM2.5", "µg/m³", 0, 2000, 1)
    noise_db: float | None = measured("噪声", "dB", 0, 200, 0.1)


LAMP = Family("lamp", "多功能灯杆", LampValues, default_interval_s=900, asset_kinds=("0117", "0118"))
