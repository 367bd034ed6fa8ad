"""The process that runs SWMM, once: `python -m simulators.hydraulics.swmm WORK`, started by `run_hydraulics`.

SWMM keeps its one simulation in global variables and is not made for a second one in the same process. What it does
is looked at every few seconds and kept as float32, the mean of every simulated minute; on standard output goes how far
it is, a share a line.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from pyswmm import Simulation
from pyswmm.toolkitapi import LinkResults, NodeResults

from simulators.hydraulics.hydrographs import Hydrographs, Series
from simulators.hydraulics.inp import HydraulicsError
from simulators.hydraulics.job import COPY, FAILED, HYDROGRAPHS, OUTPUT, RAIN, REPORT, SHARE, STEP_S, Job, Limit, Stop
from simulators.hydraulics.water import BlockedPipe, StoppedPump, Water

BOOKED_WITHIN = 0.01
BOOKED_WITHIN_MM = 0.1
LOST_WITHIN_PCT = 10.0
MOST_BYTES = 2 * 1024**3
WARNINGS_KEPT = 20
LOOK_S = 5
"""SWMM's levels jump from step to step about the moment at which a pipe runs full; a gauge averages, and so a minute is
the mean of what is seen every so often."""
_Fault = TypeVar("_Fault", Limit, Stop)
_ERROR = re.compile(r"^\s*(ERROR \d+:.*?)\s*$")
_WARNING = re.compile(r"^\s*(WARNING \d+:.*?)\s*$")


def main() -> None:
    work = Path(sys.argv[1])
    try:
        simulate(work, Job.load(work)).save(work / HYDROGRAPHS)
    except HydraulicsError as error:
        sys.stderr.write(str(error))
        sys.exit(FAILED)


def simulate(work: Path, job: Job) -> Hydrographs:
    rain: Series = np.load(work / RAIN)
    try:
        with Simulation(str(work / COPY), str(work / REPORT), str(work / OUTPUT)) as simulation:
            water = Water()
            record = Record(water, job.steps)
            errors: list[float] = []
            simulation.add_after_end(lambda: errors.extend((simulation.runoff_error, simulation.flow_routing_error)))
            water.let_pond(job.ponds, keep=job.keeps_ponds)
            simulation.start()
            watch(simulation, water, job, record)
            booked_as_it_fell(water, job, rain)
            ponding_m = water.ponding(record.depth_m)
    except HydraulicsError:
        raise
    except Exception as error:
        raise HydraulicsError(what_swmm_says(work, error)) from error
    runoff_error, routing_error = (round(one, 4) for one in errors)
    return Hydrographs(
        step_s=STEP_S,
        nodes=water.nodes,
        links=water.links,
        gages=job.gages,
        depth_m=record.depth_m,
        flooding_m3_s=record.flooding_m3_s,
        ponding_m=ponding_m,
        fill_m=record.fill_m,
        flow_m3_s=record.flow_m3_s,
        setting=record.setting,
        rain_mm_h=rain,
        runoff_error_pct=runoff_error,
        routing_error_pct=routing_error,
        warnings=(*lost(runoff_error, routing_error), *fell_beside(job, rain), *_said(work, _WARNING)[:WARNINGS_KEPT]),
    )


class Record:
    def __init__(self, water: Water, steps: int) -> None:
        def series(names: tuple[str, ...]) -> Series:
            return np.zeros((steps + 1, len(names)), dtype=np.float32)

        bytes_needed = 4 * (steps + 1) * (2 * len(water.nodes) + 3 * len(water.links))
        if bytes_needed > MOST_BYTES:
            raise HydraulicsError(
                f"{steps} minutes of {len(water.nodes)} nodes and {len(water.links)} links would take"
                f" {bytes_needed / 1e9:.1f} GB of memory, and more than {MOST_BYTES / 1e9:.1f} are not taken"
            )
        self.water = water
        self.depth_m, self.flooding_m3_s = series(water.nodes), series(water.nodes)
        self.fill_m, self.flow_m3_s, self.setting = series(water.links), series(water.links), series(water.links)
        self._looks: list[tuple[list[float], ...]] = []

    def look(self) -> None:
        water = self.water
        self._looks.append(
            (
                water.of_nodes(NodeResults.newDepth),
                water.of_nodes(NodeResults.overflow),
                water.of_links(LinkResults.newDepth),
                water.of_links(LinkResults.newFlow),
            )
        )

    def note(self, step: int, blocked: list[BlockedPipe]) -> None:
        """The mean of what was looked at since the last note; a setting is what it is now."""
        water = self.water
        depth, overflow, fill, flow = (np.mean(looks, axis=0) for looks in zip(*self._looks, strict=True))
        self._looks = []
        self.depth_m[step], self.flooding_m3_s[step] = depth * water.metre, overflow * water.flow
        self.fill_m[step], self.flow_m3_s[step] = fill * water.metre, flow * water.flow
        self.setting[step] = water.of_links(LinkResults.setting)
        for pipe in blocked:
            self.setting[step, pipe.link] = pipe.share_at(step * STEP_S)


def watch(simulation: Simulation, water: Water, job: Job, record: Record) -> None:
    """From look to look, and from one fault's beginning or end to the next."""
    blocked = [BlockedPipe(water, name, limits) for name, limits in _by_link(job.limits).items()]
    stopped = [StoppedPump(water, name, stops) for name, stops in _by_link(job.stops).items()]
    faults: list[BlockedPipe | StoppedPump] = [*blocked, *stopped]
    record.look()
    record.note(0, blocked)
    for begins, ends in pairwise(_moments(job)):
        for fault in faults:
            fault.hold(begins)
        simulation.step_advance(ends - begins)
        with contextlib.suppress(StopIteration):  # the last step ends so, and every step is looked at below
            next(simulation)
        reached = (simulation.current_time - simulation.start_time).total_seconds()
        if abs(reached - ends) > 1:
            raise HydraulicsError(f"SWMM stopped at {reached:g} s of simulated time, on its way to {ends} s")
        if ends % LOOK_S == 0:
            record.look()
        if ends % STEP_S == 0:
            record.note(ends // STEP_S, blocked)
            tell(ends / (job.steps * STEP_S))


def _moments(job: Job) -> list[int]:
    last = job.steps * STEP_S
    faults: list[Limit | Stop] = [*job.limits, *job.stops]
    moments = (math.ceil(moment) for one in faults for moment in (one.begins_s, one.until_s) if moment is not None)
    return sorted({*range(0, last + 1, LOOK_S), *(moment for moment in moments if 0 < moment < last)})


def tell(share: float) -> None:
    """Fails as soon as nobody listens any more: whoever started this run is gone."""
    sys.stdout.buffer.write(SHARE + f"{share:.6f}\n".encode())
    sys.stdout.buffer.flush()


def booked_as_it_fell(water: Water, job: Job, rain: Series) -> None:
    """SWMM loses rain without a word where its steps are too long for it: what it has booked must be what fell."""
    fallen = dict(zip((gage.upper() for gage in job.gages), rain[:-1].sum(axis=0, dtype=np.float64) / 60, strict=True))
    for subcatchment, gage in job.gage_of.items():
        fell, booked = fallen[gage.upper()], water.precipitation_mm(subcatchment)
        if abs(booked - fell) > max(BOOKED_WITHIN * fell, BOOKED_WITHIN_MM):
            raise HydraulicsError(
                f"{fell:.2f} mm fell on gage {gage}, but SWMM booked {booked:.2f} mm on {subcatchment}"
            )


def lost(runoff_error: float, routing_error: float) -> Iterator[str]:
    for what, error in (("runoff", runoff_error), ("flow routing", routing_error)):
        if abs(error) > LOST_WITHIN_PCT:
            yield f"SWMM's continuity error in {what} is {error:.1f} %: levels are in doubt above {LOST_WITHIN_PCT:g} %"


def fell_beside(job: Job, rain: Series) -> Iterator[str]:
    if rain.any() and not job.gage_of:
        yield "it rained, but the network has no subcatchment for rain to run off from"


def what_swmm_says(work: Path, error: Exception) -> str:
    """Its errors with their lines; the first are what matters, as later ones often follow from them."""
    return "\n".join(_said(work, _ERROR)) or str(error).strip() or type(error).__name__


def _said(work: Path, what: re.Pattern[str]) -> list[str]:
    """Messages of SWMM's report; the line of the file of which it speaks stands in the report's next line."""
    if not (work / REPORT).exists():
        return []
    lines = (work / REPORT).read_text(encoding="utf-8", errors="replace").splitlines()
    said = []
    for number, line in enumerate(lines):
        if found := what.match(line):
            text = " ".join(found[1].split())
            after = lines[number + 1].strip() if number + 1 < len(lines) else ""
            said.append(f"{text} {after}" if text.endswith(":") and after else text)
    return said


def _by_link(faults: tuple[_Fault, ...]) -> dict[str, list[_Fault]]:
    by_link: dict[str, list[_Fault]] = defaultdict(list)
    for fault in faults:
        by_link[fault.link].append(fault)
    return by_link


if __name__ == "__main__":
    main()
