"""What every battery-powered NB-IoT unit says of itself, whatever it watches."""

from underfoot.families.declaration import Values, measured


class PoweredValues(Values):
    battery_v: float | None = measured("电池电压", "V", 0, 30, 0.01)
    battery_pct: float | None = measured("电池电量", "%", 0, 100, 1)
    rsrp_dbm: float | None = measured("信号强度 RSRP", "dBm", -156, -31, 1, about="3GPP TS 36.133: −156 to −31 dBm")
    temperature_c: float | None = measured("温度", "℃", -60, 120, 0.1)
