"""SWMM as the simulators run it: rain that is booked, faults that change the water, files that are wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulators.faults.struck import FOREVER, Blockage, PumpFailure
from simulators.hydraulics.hydrographs import Hydrographs, Series
from simulators.hydraulics.inp import HydraulicsError, inp_text, run_copy
from simulators.hydraulics.job import COPY, FAILED, RAIN, Job
from simulators.hydraulics.run import run_hydraulics
from simulators.hydraulics.swmm import lost
from tests.integration.sewer import sewer

GAGES = ("G1", "G2")
HOUR = 3600.0
Run = Callable[..., Hydrographs]


def rained(mm_h: float, minutes: int = 30, of: int = 60) -> Series:
    rain = np.zeros((of + 1, 2), dtype=np.float32)
    rain[5 : 5 + minutes] = mm_h
    return rain


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def runs(text: str | bytes, rain: Series | None = None, seconds: float = HOUR, **changes: Any) -> Hydrographs:
        inp = tmp_path / "sewer.inp"
        inp.write_bytes(text if isinstance(text, bytes) else text.encode())
        fallen = rained(40, of=int(seconds // 60)) if rain is None else rain
        return run_hydraulics(inp, tmp_path / "work", fallen, GAGES, seconds, **changes)

    return runs


def column(hydrographs: Hydrographs, series: str, name: str) -> Series:
    names = hydrographs.nodes if len(getattr(hydrographs, series)[0]) == len(hydrographs.nodes) else hydrographs.links
    found: Series = getattr(hydrographs, series)[:, names.index(name)]
    return found


# rain ---------------------------------------------------------------------------------------------------------------


def test_rain_runs_off_through_the_pipes(run: Run, tmp_path: Path) -> None:
    shares: list[float] = []
    water = run(sewer(), on_progress=shares.append)
    assert water.nodes == ("M1", "M2", "M3", "OUT")
    assert water.links == ("C1", "C2", "C3")
    assert water.seconds == HOUR
    assert {series.dtype for series in (water.depth_m, water.flow_m3_s, water.setting, water.rain_mm_h)} == {
        np.dtype("f4")
    }
    assert column(water, "flow_m3_s", "C1").max() == pytest.approx(3e4 * 0.8 * 0.040 / 3600, rel=0.25)
    assert column(water, "flow_m3_s", "C3").max() > 1.5 * column(water, "flow_m3_s", "C1").max()
    assert (water.setting == 1).all()
    assert not water.ponding_m.any()
    assert abs(water.routing_error_pct) < 2
    assert water.warnings == ()
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"run.json", "run.inp", "run.rpt", "run.log"}


def test_rain_falls_on_the_gage_that_it_is_meant_for(run: Run) -> None:
    rain = rained(40)
    rain[:, 1] = 0
    water = run(sewer(), rain)
    upper = column(water, "flow_m3_s", "C1")
    assert column(water, "flow_m3_s", "C2").max() == pytest.approx(upper.max(), rel=0.1), "nothing came in at M2"
    assert (water.rain_mm_h == rain).all()


def test_without_rain_a_storm_sewer_is_dry(run: Run) -> None:
    water = run(sewer(), rained(0))
    assert water.depth_m.max() < 0.001
    assert water.flow_m3_s.max() < 1e-4


def test_a_file_in_us_units_gives_the_same_water(run: Run) -> None:
    metric = run(sewer(pumped=True), ponds={"M1": 300}, blockages=[Blockage("C1", "p", 600, FOREVER, 0.1)])
    us = run(sewer(us=True, pumped=True), ponds={"M1": 300}, blockages=[Blockage("C1", "p", 600, FOREVER, 0.1)])
    assert metric.ponding_m.max() > 0.5
    for series, tolerance in (("depth_m", 0.01), ("ponding_m", 0.01), ("fill_m", 0.01), ("flow_m3_s", 0.005)):
        assert np.abs(getattr(metric, series) - getattr(us, series)).max() < tolerance, series


def test_rain_that_swmm_does_not_book_is_an_error(tmp_path: Path) -> None:
    rain = rained(40)
    copy = run_copy(sewer(), tmp_path, rain, GAGES, HOUR, (), None)
    halved = "\n".join(line for line in copy.text.splitlines() if not line.startswith("underfoot_rain_2 0:1"))
    (tmp_path / COPY).write_text(halved)
    np.save(tmp_path / RAIN, rain)
    Job(60, GAGES, copy.gage_of, False, {}, (), ()).save(tmp_path)
    command = [sys.executable, "-m", "simulators.hydraulics.swmm", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == FAILED
    assert ended.stderr == "20.00 mm fell on gage G2, but SWMM booked 13.33 mm on S2"


def test_rain_that_no_subcatchment_takes_is_told(run: Run) -> None:
    text = sewer()
    bare = text[: text.index("[SUBCATCHMENTS]")] + text[text.index("[JUNCTIONS]") :]
    assert run(bare).warnings == ("it rained, but the network has no subcatchment for rain to run off from",)
    assert run(bare, rained(0)).warnings == ()


def test_water_that_swmm_lost_is_told() -> None:
    assert list(lost(-9.9, 10)) == []
    assert list(lost(0, -12.34)) == [
        "SWMM's continuity error in flow routing is -12.3 %: levels are in doubt above 10 %"
    ]


def test_rain_that_leaks_into_foul_sewers_is_the_same_rain(run: Run) -> None:
    leaky = ["[HYDROGRAPHS]", "UH1 G1", "UH1 ALL SHORT 0.3 0.5 2 0 0 0", "[RDII]", "M1 UH1 5"]
    water = run(sewer(sections=leaky))
    assert column(water, "flow_m3_s", "C1").max() > 1.1 * column(run(sewer()), "flow_m3_s", "C1").max()


def test_flow_against_a_pipes_direction_is_negative(run: Run) -> None:
    turned = run(sewer().replace("C2 M2 M3", "C2 M3 M2"))
    assert column(turned, "flow_m3_s", "C2").min() < -0.3
    assert column(turned, "flow_m3_s", "C3").min() >= 0


def test_what_would_replace_the_rain_is_left_out(run: Run, tmp_path: Path) -> None:
    plain = run(sewer())
    hampered = run(
        sewer(
            options=["IGNORE_RAINFALL YES", "THREADS 4", "REPORT_START_DATE 01/01/2020"],
            sections=[
                "[FILES]",
                "USE RUNOFF other.rof",
                "SAVE OUTFLOWS mine.txt",
                "[ADJUSTMENTS]",
                "RAINFALL 3 3 3 3 3 3 3 3 3 3 3 3",
                "[EVENTS]",
                "01/01/2020 0:00 01/02/2020 0:00",
            ],
        )
    )
    assert (plain.depth_m == hampered.depth_m).all()
    assert not list(tmp_path.rglob("mine.txt")), "nothing of the user's is written over"


def test_rain_goes_on_into_the_second_day(run: Run) -> None:
    minutes = 26 * 60
    rain = np.zeros((minutes + 1, 2), dtype=np.float32)
    rain[25 * 60 : 25 * 60 + 20] = 40
    flow = column(run(sewer(), rain, minutes * 60), "flow_m3_s", "C3")
    assert flow[: 25 * 60].max() < 1e-3
    assert flow[25 * 60 :].max() > 0.3


def test_the_hour_at_which_a_run_begins_brings_its_own_dry_weather_flow(run: Run) -> None:
    night = [f"{'0' if hour < 12 else '2'}" for hour in range(24)]
    text = sewer(sections=["[DWF]", "M1 FLOW 0.02 day", "[PATTERNS]", f"day HOURLY {' '.join(night)}"])
    by_file = run(text, rained(0))
    by_night = run(text, rained(0), starts=datetime(2021, 7, 20, 3, 0))  # noqa: DTZ001 - local, as SWMM's
    assert column(by_file, "flow_m3_s", "C3")[-1] == pytest.approx(0.04, rel=0.02)
    assert column(by_night, "flow_m3_s", "C3")[-1] < 0.001


# faults -------------------------------------------------------------------------------------------------------------


def test_a_blocked_pipe_fills_what_is_above_and_empties_what_is_below(run: Run) -> None:
    rain = rained(20, 85, 90)
    sound = run(sewer(), rain, 5400)
    blocked = run(sewer(), rain, 5400, blockages=[Blockage("C2", "W2-W3", 1800, 3600, 0.05)])
    above, below = column(blocked, "depth_m", "M2"), column(blocked, "depth_m", "M3")
    assert (blocked.depth_m[:30] == sound.depth_m[:30]).all(), "before it everything is the same"
    assert above[45] > column(sound, "depth_m", "M2")[45] + 1
    assert below[45] < column(sound, "depth_m", "M3")[45] * 0.5
    full_flow = 0.8 ** (8 / 3) * np.sqrt(0.005) / 0.013 * 0.3117  # Manning, running full
    held = column(blocked, "flow_m3_s", "C2")
    assert held[31:60] == pytest.approx(0.05 * full_flow, rel=0.001)
    assert held[70] == pytest.approx(column(sound, "flow_m3_s", "C2")[70], rel=0.05), "it is open again"
    assert column(blocked, "setting", "C2")[[29, 30, 59, 60]].tolist() == pytest.approx([1, 0.05, 0.05, 1])


def test_a_shut_pipe_lets_nothing_through(run: Run) -> None:
    water = run(sewer(), blockages=[Blockage("c2", "", 0, FOREVER, 0)])
    assert np.abs(column(water, "flow_m3_s", "C2")).max() <= 2e-6
    assert column(water, "depth_m", "M3").max() < 0.001
    assert not column(water, "setting", "C2").any()


def test_a_limit_of_the_files_own_comes_back_after_a_blockage(run: Run) -> None:
    text = sewer().replace("C2 M2 M3 60.000000 0.013 0 0", "C2 M2 M3 60.000000 0.013 0 0 0 0.1")
    flow = column(run(text, rained(40, 50), blockages=[Blockage("C2", "", 1200, 1800, 0.02)]), "flow_m3_s", "C2")
    assert flow[19] == pytest.approx(0.1, rel=0.01)
    assert flow[25] < 0.03
    assert flow[40] == pytest.approx(0.1, rel=0.01)


def test_water_ponds_where_it_is_said_to_and_is_gone_where_not(run: Run) -> None:
    blockage = [Blockage("C1", "", 0, FOREVER, 0)]
    gone = run(sewer(), rained(80), blockages=blockage)
    ponds = run(sewer(), rained(80), blockages=blockage, ponds={"M1": 1000})
    assert column(gone, "depth_m", "M1").max() == pytest.approx(2.5, abs=0.001)
    assert column(gone, "flooding_m3_s", "M1").max() > 0.1
    assert not gone.ponding_m.any()
    over = column(ponds, "ponding_m", "M1")
    left = column(ponds, "flooding_m3_s", "M1").sum(dtype=np.float64) * 60
    assert over[-1] == pytest.approx(left / 1000, rel=0.05), "its depth is the volume over the area"
    assert over[-1] == pytest.approx(column(ponds, "depth_m", "M1")[-1] - 2.5, abs=1e-5)


def test_a_ponded_area_of_the_file_counts_only_where_the_file_allows_ponding(run: Run) -> None:
    own = sewer().replace("M1 10.000000 2.500000 0 0 0", "M1 10.000000 2.500000 0 0 1000")
    blockage = [Blockage("C1", "", 0, FOREVER, 0)]
    assert not run(own, rained(80), blockages=blockage).ponding_m.any()
    allowed = own.replace("FLOW_ROUTING", "ALLOW_PONDING YES\nFLOW_ROUTING")
    assert run(allowed, rained(80), blockages=blockage).ponding_m.max() > 0.1


def test_a_sealed_manhole_rises_far_over_its_rim(run: Run) -> None:
    sealed = sewer().replace("M1 10.000000 2.500000 0 0 0", "M1 10.000000 2.500000 0 60 0")
    water = run(sealed, rained(200), blockages=[Blockage("C1", "", 0, FOREVER, 0)])
    assert water.depth_m.max() > 30


def test_a_failed_pump_lets_its_forebay_rise(run: Run) -> None:
    sound = run(sewer(pumped=True), rained(0, of=120), 7200)
    failed = run(sewer(pumped=True), rained(0, of=120), 7200, pump_failures=[PumpFailure("P1", 1800, 5400)])
    assert column(sound, "depth_m", "WET").max() < 1.6
    assert column(failed, "depth_m", "WET")[90] > 3
    assert not column(failed, "flow_m3_s", "P1")[31:90].any()
    assert not column(failed, "setting", "P1")[31:90].any()
    assert column(failed, "flow_m3_s", "P1")[91:].max() > 0.1, "it runs again"
    assert column(failed, "depth_m", "WET")[-1] < 2


def test_no_rule_of_the_file_starts_a_failed_pump(run: Run) -> None:
    rules = [
        "[CONTROLS]",
        "RULE start",
        "IF NODE WET DEPTH > 1",
        "THEN PUMP P1 STATUS = ON",
        "ELSE PUMP P1 STATUS = OFF",
        "PRIORITY 100",
    ]
    text = sewer(pumped=True, options=["RULE_STEP 00:05:00"], sections=rules)
    water = run(text, rained(0), pump_failures=[PumpFailure("p1", 600, FOREVER)])
    assert not column(water, "flow_m3_s", "P1")[11:].any()
    assert column(run(text, rained(0)), "flow_m3_s", "P1")[11:].max() > 0.1


def test_a_pump_that_has_no_levels_and_no_rules_starts_again_after_its_failure(run: Run) -> None:
    text = sewer(pumped=True).replace("P1 WET OUT lift ON 1.500000 0.500000", "P1 WET OUT lift ON")
    flow = column(run(text, rained(0), pump_failures=[PumpFailure("P1", 630, 1830)]), "flow_m3_s", "P1")
    assert flow[5] > 0.01
    assert not flow[12:30].any()
    assert flow[32] > 0.1


# the same again -----------------------------------------------------------------------------------------------------


def test_the_same_input_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    saved = []
    for number in range(2):
        water = run(sewer(pumped=True), rained(90), ponds={"M1": 500}, blockages=[Blockage("C2", "", 900, 2000, 0.1)])
        water.save(tmp_path / f"{number}.npz")
        saved.append((tmp_path / f"{number}.npz").read_bytes())
    assert saved[0] == saved[1]
    again = Hydrographs.load(tmp_path / "0.npz")
    assert again.nodes == ("M1", "M2", "M3", "OUT", "WET")
    assert again.routing_error_pct == water.routing_error_pct


# files --------------------------------------------------------------------------------------------------------------


def test_chinese_names_are_read_in_any_encoding(run: Run, tmp_path: Path) -> None:
    text = sewer(m2="文峰路雨水井2号").replace("[OPTIONS]", "[TITLE]\n安阳 管网\n[OPTIONS]")
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"):
        (tmp_path / "named.inp").write_bytes(text.encode(encoding))
        assert inp_text(tmp_path / "named.inp") == text, encoding
    water = run(text.encode("gbk"), blockages=[Blockage("C2", "", 0, FOREVER, 0.1)])
    assert water.nodes[1] == "文峰路雨水井2号"
    assert column(water, "depth_m", "文峰路雨水井2号").max() > 0.5


def test_latin_names_are_read_too(tmp_path: Path) -> None:
    text = sewer(m2="Straße_1").replace("[OPTIONS]", "; Kanäle für Übung\n[OPTIONS]")
    (tmp_path / "named.inp").write_bytes(text.encode("latin-1"))
    assert inp_text(tmp_path / "named.inp") == text


BROKEN = {
    "unknown section": (
        ("[OUTFALLS]", "[OUTFLOWS]"),
        "ERROR 205: invalid keyword at line {} of input file: [OUTFLOWS]",
    ),
    "missing node": (
        ("C2 M2 M3", "C2 M2 M9"),
        "ERROR 209: undefined object M9 at line {} of [CONDUIT] section: C2 M2 M9",
    ),
    "bad number": (("M3 9.40", "M3 9x40"), "ERROR 211: invalid number 9x400000 at line {} of [JUNC] section: M3 9x40"),
    "too short": (
        ("C3 CIRCULAR 0.8", "C3 CIRCULAR;"),
        "ERROR 203: too few items at line {} of [XSECT] section: C3 CIRCULAR",
    ),
    "unknown unit": (
        ("FLOW_UNITS CMS", "FLOW_UNITS TUBS"),
        "ERROR 205: invalid keyword TUBS at line {} of [OPTION] section",
    ),
    "missing gage": (
        ("S2 G2 M2", "S2 G7 M2"),
        "ERROR 209: undefined object G7 at line {} of [SUBCATCHMENT] section: S2",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_swmms_own_words_and_line_are_told(run: Run, what: str) -> None:
    (before, after), said = BROKEN[what]
    text = sewer().replace(before, after)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith(after))
    with pytest.raises(HydraulicsError) as told:
        run(text)
    assert str(told.value).startswith(f"sewer.inp: {said.format(line)}")


def test_every_error_of_a_file_is_told_at_once(run: Run) -> None:
    """And text in no encoding at all is no hindrance."""
    with pytest.raises(HydraulicsError) as told:
        run(sewer().replace("M3 9.4", "M3 9x4").replace("M1 10.0", "M1 1o.0").encode() + b"; \xff\xfe\x80")
    assert "invalid number 1o.000000" in str(told.value)
    assert "invalid number 9x400000" in str(told.value)


def test_a_network_that_water_cannot_leave_is_refused_by_swmm(run: Run) -> None:
    with pytest.raises(HydraulicsError, match="ERROR 145: Drainage system has no acceptable outlet nodes"):
        run(sewer().replace("[OUTFALLS]\nOUT 9.100000 FREE NO", "[JUNCTIONS]\nOUT 9.1 0 0 0 0"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "rain is given for G1, G2, which the network does not have"),
        ("hello world\n", "rain is given for G1, G2"),
        (sewer().replace("G2 VOLUME", "G3 VOLUME"), "rain is given for G2, which"),
        (
            sewer().replace("[SUBCATCHMENTS]", "G3 INTENSITY 1:00 1.0 TIMESERIES x\n[SUBCATCHMENTS]"),
            "no rain is given for the gages G3",
        ),
        (sewer(options=["START_DATE 2021-07-20"]), r"\[OPTIONS\] START_DATE 2021-07-20: not a date"),
        (sewer(options=["ROUTING_STEP quick"]), r"\[OPTIONS\] ROUTING_STEP quick"),
    ],
)
def test_a_file_that_does_not_fit_the_run_is_refused(run: Run, text: str, said: str) -> None:
    with pytest.raises(HydraulicsError, match=said):
        run(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"blockages": [Blockage("C9", "", 0, 60, 0)]}, "C9: the network has no link"),
        ({"blockages": [Blockage("P1", "", 0, 60, 0)]}, "P1: only a conduit can be blocked"),
        ({"blockages": [Blockage("C1", "", 0, 60, 1.5)]}, "C1: open_share 1.5"),
        ({"blockages": [Blockage("C1", "", 60, 60, 0)]}, "C1: a fault from 60 s until 60 s"),
        ({"pump_failures": [PumpFailure("C1", 0, 60)]}, "C1: the network has no pump"),
        ({"ponds": {"WET": 10}}, "WET: water ponds over junctions only, and this is: storage"),
        ({"ponds": {"X": 10}}, "X: the network has no node"),
        ({"ponds": {"M1": 0}}, "ponds: 0 m² at M1"),
        ({"rain": rained(-1)}, "rain: -1 mm/h at gage G1 in minute 5"),
        ({"rain": rained(1, of=20)}, r"rain: \(21, 2\), but 60 minutes or more by 2 gages"),
        ({"seconds": 0}, "seconds: a run lasts a minute"),
    ],
)
def test_what_cannot_be_run_is_named(run: Run, given: dict[str, Any], said: str) -> None:
    with pytest.raises(HydraulicsError, match=said):
        run(sewer(pumped=True), **given)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HydraulicsError, match=r"none\.inp: No such file"):
        inp_text(tmp_path / "none.inp")


def test_a_run_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """A starter that is killed leaves no SWMM behind that goes on for nobody."""
    (tmp_path / "sewer.inp").write_text(sewer())
    starter = f"""
import numpy as np
from pathlib import Path
from simulators.hydraulics.run import run_hydraulics
from simulators.hydraulics.swmm import lost
minutes = 3 * 24 * 60
rain = np.full((minutes + 1, 2), 1.0, dtype=np.float32)
folder = Path({str(tmp_path)!r})
inp, work = folder / "sewer.inp", folder / "work"
run_hydraulics(inp, work, rain, ("G1", "G2"), minutes * 60, on_progress=lambda share: print(share, flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
    assert len(children) == 1
    deadline = time.monotonic() + 10
    while Path(f"/proc/{children[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{children[0]}").exists()
