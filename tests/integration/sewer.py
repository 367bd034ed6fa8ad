"""A small sewer as a SWMM file, for tests: three manholes one below the other, and if wanted a pump station.

M1 ─ C1 ─ M2 ─ C2 ─ M3 ─ C3 ─ OUT          rain on M1 and M2
M3 ─ C3 ─ WET ─ P1 ─ OUT                    with `pumped`: 1 wet well, a pump with levels, 30 L/s of foul water
"""

from __future__ import annotations

from collections.abc import Iterable

FEET = 0.3048
CFS = FEET**3


def sewer(
    *,
    us: bool = False,
    pumped: bool = False,
    options: Iterable[str] = (),
    sections: Iterable[str] = (),
    m2: str = "M2",
) -> str:
    """The same sewer in metric or in US units, byte for byte the same water; `m2` renames the second manhole."""

    def length(metres: float) -> str:
        return f"{metres / FEET if us else metres:.6f}"

    def flow(m3_s: float) -> str:
        return f"{m3_s / CFS if us else m3_s:.6f}"

    def depth(mm: float) -> str:
        return f"{mm / 25.4 if us else mm:.6f}"

    area = f"{3 * 2.47105381 if us else 3:.6f}"
    end = "WET" if pumped else "OUT"
    text = [
        "[OPTIONS]",
        f"FLOW_UNITS {'CFS' if us else 'CMS'}",
        "INFILTRATION HORTON",
        "FLOW_ROUTING KINWAVE",
        "START_DATE 07/20/2021",
        "START_TIME 16:00:00",
        "END_DATE 07/20/2021",
        "END_TIME 17:00:00",
        "WET_STEP 00:15:00",
        "DRY_STEP 01:00:00",
        "ROUTING_STEP 0:00:20",
        *options,
        "[RAINGAGES]",
        "G1 INTENSITY 1:00 1.0 TIMESERIES never",
        "G2 VOLUME 0:05 2.0 FILE nowhere.dat station MM",
        "[SUBCATCHMENTS]",
        f"S1 G1 M1 {area} 80 {length(150)} 0.5 0",
        f"S2 G2 {m2} {area} 80 {length(150)} 0.5 0",
        "[SUBAREAS]",
        *(f"{name} 0.013 0.15 {depth(1.5)} {depth(4)} 25 OUTLET" for name in ("S1", "S2")),
        "[INFILTRATION]",
        *(f"{name} {depth(50)} {depth(5)} 4 7 0" for name in ("S1", "S2")),
        "[JUNCTIONS]",
        f"M1 {length(10)} {length(2.5)} 0 0 0",
        f"{m2} {length(9.7)} {length(2.5)} 0 0 0",
        f"M3 {length(9.4)} {length(2.5)} 0 0 0",
        "[OUTFALLS]",
        f"OUT {length(9.1)} FREE NO",
        "[CONDUITS]",
        f"C1 M1 {m2} {length(60)} 0.013 0 0",
        f"C2 {m2} M3 {length(60)} 0.013 0 0",
        f"C3 M3 {end} {length(60)} 0.013 0 0",
        "[XSECTIONS]",
        *(f"C{number} CIRCULAR {length(0.8)} 0 0 0 1" for number in (1, 2, 3)),
    ]
    if pumped:
        text += [
            "[STORAGE]",
            f"WET {length(6)} {length(6)} {length(0.5)} FUNCTIONAL 0 0 {20 / FEET**2 if us else 20:.6f} 0 0",
            "[PUMPS]",
            f"P1 WET OUT lift ON {length(1.5)} {length(0.5)}",
            "[CURVES]",
            f"lift PUMP2 0 {flow(0.15)}",
            f"lift {length(10)} {flow(0.15)}",
            "[DWF]",
            f"M1 FLOW {flow(0.03)}",
        ]
    return "\n".join([*text, *sections, ""])
