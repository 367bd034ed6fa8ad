"""What the process that runs SWMM is told, and where in the run's work folder it finds and leaves what."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

COPY = "run.inp"
REPORT = "run.rpt"
OUTPUT = "run.out"
LOG = "run.log"
JOB = "run.json"
RAIN = "rain.npy"
HYDROGRAPHS = "hydrographs.npz"
STEP_S = 60
SHARE = b"done "
"""How a line of the process begins that says how far it is."""
FAILED = 3
"""The process's exit code when what it wrote last is for the user."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a conduit lets through from `begins_s` until `until_s` (None: to the end), as a share of its full flow."""

    link: str
    begins_s: float
    until_s: float | None
    open_share: float


@dataclass(frozen=True, slots=True)
class Stop:
    """A pump that stands still; a rule in the copy sees to it, but nothing in it starts the pump again."""

    link: str
    begins_s: float
    until_s: float | None


@dataclass(frozen=True)
class Job:
    """`gage_of`: the gage of each subcatchment that has one. `keeps_ponds`: whether water ponds where the file has a
    ponded area, too; `ponds` are in square metres."""

    steps: int
    gages: tuple[str, ...]
    gage_of: dict[str, str]
    keeps_ponds: bool
    ponds: dict[str, float]
    limits: tuple[Limit, ...]
    stops: tuple[Stop, ...]

    def save(self, work: Path) -> None:
        (work / JOB).write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, work: Path) -> Job:
        said = json.loads((work / JOB).read_text(encoding="utf-8"))
        limits = tuple(Limit(**one) for one in said.pop("limits"))
        stops = tuple(Stop(**one) for one in said.pop("stops"))
        return cls(**{**said, "gages": tuple(said["gages"])}, limits=limits, stops=stops)
