"""One run of EPA SWMM over a network: rain and faults in, hydrographs out. Between the rain and the devices.

SWMM runs in a process of its own that ends with this one. In `work` stay the copy of the file that was run (SWMM's
own programs open it: it has the rain in it) and SWMM's report.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO

import numpy as np

from simulators.faults.struck import Blockage, PumpFailure
from simulators.hydraulics.hydrographs import Hydrographs, Series
from simulators.hydraulics.inp import HydraulicsError, inp_text, run_copy
from simulators.hydraulics.job import COPY, FAILED, HYDROGRAPHS, LOG, OUTPUT, RAIN, SHARE, STEP_S, Job, Limit, Stop

__all__ = ["HydraulicsError", "run_hydraulics"]


def run_hydraulics(
    inp: Path,
    work: Path,
    rain: Series,
    gages: Sequence[str],
    seconds: float,
    blockages: Sequence[Blockage] = (),
    pump_failures: Sequence[PumpFailure] = (),
    on_progress: Callable[[float], None] | None = None,
    *,
    ponds: Mapping[str, float] | None = None,
    starts: datetime | None = None,
) -> Hydrographs:
    """What water does in the network of `inp` for `seconds`, looked at each minute.

    `rain`: mm/h, a row a minute from 0 and a column for each of `gages`, which are the file's own, all of them.
    `ponds`: the area in m² over which water stands above a node; at other nodes what leaves is gone, unless the file
    itself allows ponding there. `starts`: the local time at which the run begins, for what the file gives by the hour;
    without it the file's own. `on_progress` is told the share that is done.
    """
    steps = math.ceil(seconds / STEP_S)
    _check(rain, gages, steps, ponds or {}, blockages, (*blockages, *pump_failures))
    copy = run_copy(inp_text(inp), inp.resolve().parent, rain[:steps], gages, steps * STEP_S, pump_failures, starts)
    job = Job(
        steps=steps,
        gages=tuple(gages),
        gage_of=copy.gage_of,
        keeps_ponds=copy.ponds,
        ponds=dict(ponds or {}),
        limits=tuple(
            Limit(link=one.link, begins_s=one.begins_s, until_s=_ending(one.until_s), open_share=one.open_share)
            for one in blockages
        ),
        stops=tuple(Stop(link=one.link, begins_s=one.begins_s, until_s=_ending(one.until_s)) for one in pump_failures),
    )
    work.mkdir(parents=True, exist_ok=True)
    (work / COPY).write_text(copy.text, encoding="utf-8", newline="\n")
    np.save(work / RAIN, np.ascontiguousarray(_with_last(rain, steps), dtype=np.float32))
    job.save(work)
    try:
        _run(inp, work, on_progress)
        return Hydrographs.load(work / HYDROGRAPHS)
    finally:
        for name in (RAIN, OUTPUT, HYDROGRAPHS):
            (work / name).unlink(missing_ok=True)


def _with_last(rain: Series, steps: int) -> Series:
    """A row for the run's end, too: dry if none is given."""
    missing = steps + 1 - len(rain)
    return rain[: steps + 1] if missing <= 0 else np.vstack([rain, np.zeros((missing, rain.shape[1]), np.float32)])


def _run(inp: Path, work: Path, on_progress: Callable[[float], None] | None) -> None:
    command = [sys.executable, "-m", "simulators.hydraulics.swmm", str(work)]
    log = work / LOG
    with log.open("w+b") as said, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as process:
        try:
            _follow(process.stdout, on_progress)
            code = process.wait()
        finally:
            process.kill()
    told = log.read_text(encoding="utf-8", errors="replace").strip()
    if code == FAILED:
        raise HydraulicsError(f"{inp.name}: {told}")
    if code:
        raise HydraulicsError(f"{inp.name}: SWMM's process ended with code {code}: {told[-2000:] or 'it said nothing'}")


def _follow(shares: IO[bytes] | None, on_progress: Callable[[float], None] | None) -> None:
    for line in shares or ():
        if on_progress is not None and line.startswith(SHARE):
            on_progress(float(line.removeprefix(SHARE)))


def _check(
    rain: Series,
    gages: Sequence[str],
    steps: int,
    ponds: Mapping[str, float],
    blockages: Sequence[Blockage],
    faults: Sequence[Blockage | PumpFailure],
) -> None:
    if steps < 1:
        raise HydraulicsError("seconds: a run lasts a minute at least")
    if rain.ndim != 2 or rain.shape[0] < steps or rain.shape[1] != len(gages):
        raise HydraulicsError(f"rain: {rain.shape}, but {steps} minutes or more by {len(gages)} gages are wanted")
    wrong = np.argwhere(~(np.isfinite(rain) & (rain >= 0)))
    if len(wrong):
        minute, gage = wrong[0]
        raise HydraulicsError(f"rain: {rain[minute, gage]:g} mm/h at gage {gages[gage]} in minute {minute}")
    for name, area_m2 in ponds.items():
        if not (math.isfinite(area_m2) and area_m2 > 0):
            raise HydraulicsError(f"ponds: {area_m2:g} m² at {name}: an area is wanted")
    for blockage in blockages:
        if not 0 <= blockage.open_share <= 1:
            raise HydraulicsError(f"{blockage.link}: open_share {blockage.open_share:g}: from 0 to 1")
    for fault in faults:
        if not 0 <= fault.begins_s < fault.until_s:
            raise HydraulicsError(f"{fault.link}: a fault from {fault.begins_s:g} s until {fault.until_s:g} s")


def _ending(until_s: float) -> float | None:
    return until_s if math.isfinite(until_s) else None
