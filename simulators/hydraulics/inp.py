"""The text of a SWMM file, and the copy of it that a run is made from: between the network and SWMM.

A line stays where it is, so that the line of which SWMM complains is the line of the user's file; what is changed
comes again at the end, where SWMM reads it last.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulators.hydraulics.hydrographs import Series

if TYPE_CHECKING:  # the process that runs SWMM needs no scenarios
    from simulators.faults.struck import PumpFailure

LONGEST_ROUTING_STEP_S = 30.0
_VARIABLE_STEP = 0.75
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NAMED_FILE = {"TEMP": 1, "TIMESERIES": 2, "FILE": 2}
"""Which token of a line in a section is the name of a file."""
_MADE_ANEW = ("RAINFALL", "RUNOFF", "RDII")
_METRIC = ("CMS", "LPS", "MLD")
_INCH_MM = 25.4
_BEFORE_ALL_RULES = 1_000_000_000
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_TOKEN = re.compile(r'"[^"]*"|[^\s"]+')
_DATES = ("%m/%d/%Y", "%m-%d-%Y", "%b/%d/%Y", "%b-%d-%Y")
_SWMM_BEGINS = datetime(2004, 1, 1)  # noqa: DTZ001 - SWMM knows no zones, and this is its default


class HydraulicsError(Exception):
    """What kept SWMM from running, in its own words where it has some."""


def inp_text(path: Path) -> str:
    """The file as text, whatever it was written in: UTF-8 with or without a mark, UTF-16, GBK, or Latin 1.

    What is not UTF-8 is GBK if its bytes above 127 come in pairs, as Chinese characters do, and Latin 1 if they come
    alone, as accents do.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise HydraulicsError(f"{path}: {error.strerror}") from error
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError as error:
                raise HydraulicsError(f"{path}: is marked as {encoding}, but byte {error.start} is none") from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        runs = [len(run) for run in _HIGH_BYTES.findall(raw)]
        if sum(length for length in runs if length % 2 == 0) * 2 > sum(runs):
            try:
                return raw.decode("gb18030")
            except UnicodeDecodeError:
                return raw.decode("latin-1")
        return raw.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Line:
    """A line with data in it: `number` counts from 0, `section` is as in `[SECTION]`, upper case."""

    number: int
    section: str
    tokens: tuple[str, ...]

    def of(self, section: str) -> bool:
        """SWMM knows a section by how its name begins."""
        return self.section.startswith(section)


def lines_of(text: str) -> Iterator[Line]:
    """The lines that say something, comments and headings left out; quotes around a token are taken off."""
    section = ""
    for number, line in enumerate(_split(text)):
        said = line.split(";", 1)[0].strip()
        if said.startswith("["):
            section = said.strip("[]").upper()
        elif said:
            yield Line(number, section, tuple(token.strip('"') for token in _TOKEN.findall(said)))


def _split(text: str) -> list[str]:
    """Lines as SWMM counts them: other signs at which Python would break one, it takes for part of a name."""
    return [line.rstrip("\r") for line in text.split("\n")]


@dataclass
class RunCopy:
    """What a run needs to know of a file beside its copy for SWMM. `ponds` says whether the file itself lets water
    pond; `gage_of`: the gage of each subcatchment that has one."""

    text: str
    starts: datetime
    ponds: bool
    gages: tuple[str, ...]
    gage_of: dict[str, str] = field(default_factory=dict)


def run_copy(
    text: str,
    folder: Path,
    rain: Series,
    gages: Sequence[str],
    seconds: float,
    pump_failures: Sequence[PumpFailure],
    starts: datetime | None,
) -> RunCopy:
    """The file as it is run: it lasts `seconds`, its gages measure `rain`, its failed pumps stand still.

    `folder` is where the user's file stands, for the files that it names.
    """
    kept = _split(text)
    options: dict[str, str] = {}
    names: dict[str, str] = {}
    gage_of: dict[str, str] = {}
    pumps: set[str] = set()
    for line in lines_of(text):
        tokens = line.tokens
        if line.of("OPTION") and len(tokens) > 1:
            options[tokens[0].upper()] = tokens[1]
        elif line.of("RAINGAGE") and len(tokens) > 4:
            names[tokens[0].upper()] = tokens[0]
            kept[line.number] = f"{_quoted(tokens[0])} INTENSITY 0:01 1.0 TIMESERIES {_series(len(names))}"
        elif line.of("SUBCATCHMENT") and len(tokens) > 1:
            gage_of[tokens[0]] = tokens[1].upper()
        elif line.of("PUMP"):
            pumps.add(tokens[0].upper())
        elif line.of("REPORT") or line.of("EVENT") or _of_another_run(line):
            kept[line.number] = f"; {kept[line.number]}"
        else:
            kept[line.number] = _with_absolute_file(line, kept[line.number], folder)
    columns = _columns(names, gages)
    for failure in pump_failures:
        if failure.link.upper() not in pumps:
            raise HydraulicsError(f"{failure.link}: the network has no pump of that name")
    begins = _starts(options) if starts is None else starts.replace(tzinfo=None)
    inches = options.get("FLOW_UNITS", "CFS").upper() not in _METRIC
    intensity = rain / _INCH_MM if inches else rain
    said = [
        *_options(options, begins, seconds, bool(pump_failures)),
        *("[REPORT]", "INPUT NO", "CONTROLS NO", "SUBCATCHMENTS NONE", "NODES NONE", "LINKS NONE"),
        "[TIMESERIES]",
        *(text for number, name in enumerate(names) for text in _rain(number + 1, intensity[:, columns[name]])),
        *([] if not pump_failures else ["[CONTROLS]"]),
        *(text for number, failure in enumerate(pump_failures) for text in _standing_still(number + 1, failure)),
    ]
    return RunCopy(
        text="\n".join([*kept, *said, ""]),
        starts=begins,
        ponds=options.get("ALLOW_PONDING", "NO").upper() == "YES",
        gages=tuple(names.values()),
        gage_of={name: names[gage] for name, gage in gage_of.items() if gage in names},
    )


def _columns(names: Mapping[str, str], gages: Sequence[str]) -> dict[str, int]:
    """Where in the rain each gage of the file is; every gage has its rain, and no rain is without a gage."""
    given = {gage.upper(): column for column, gage in enumerate(gages)}
    unknown = [gage for gage in gages if gage.upper() not in names]
    if unknown:
        raise HydraulicsError(f"rain is given for {', '.join(unknown)}, which the network does not have as gages")
    dry = [name for key, name in names.items() if key not in given]
    if dry:
        raise HydraulicsError(f"no rain is given for the gages {', '.join(dry)} of the network")
    return {key: given[key] for key in names}


def _of_another_run(line: Line) -> bool:
    """What would take the place of this run's own rain and runoff, or write over files of the user's."""
    first = line.tokens[0].upper()
    if line.of("FILE"):
        return first == "SAVE" or (len(line.tokens) > 1 and line.tokens[1].upper() in _MADE_ANEW)
    return line.of("ADJUSTMENT") and first == "RAINFALL"


def _with_absolute_file(line: Line, text: str, folder: Path) -> str:
    """The copy stands elsewhere than the file, so files that it names are named from the root."""
    place = next((place for section, place in _NAMED_FILE.items() if line.of(section)), None)
    if place is None or len(line.tokens) <= place:
        return text
    if not line.of("FILE") and line.tokens[place - 1].upper() != "FILE":
        return text
    named = (folder / line.tokens[place].replace("\\", "/")).resolve()
    return " ".join([*map(_quoted, line.tokens[:place]), f'"{named}"', *line.tokens[place + 1 :]])


def _options(said: Mapping[str, str], begins: datetime, seconds: float, pumps_fail: bool) -> list[str]:
    ends = begins + timedelta(seconds=seconds)
    every_minute = "00:01:00"
    told = {
        "FLOW_ROUTING": "DYNWAVE",
        "START_DATE": f"{begins:%m/%d/%Y}",
        "START_TIME": f"{begins:%H:%M:%S}",
        "REPORT_START_DATE": f"{begins:%m/%d/%Y}",
        "REPORT_START_TIME": f"{begins:%H:%M:%S}",
        "END_DATE": f"{ends:%m/%d/%Y}",
        "END_TIME": f"{ends:%H:%M:%S}",
        "WET_STEP": every_minute,
        "DRY_STEP": every_minute,
        "REPORT_STEP": every_minute,
        "ROUTING_STEP": f"{_routing_step(said.get('ROUTING_STEP')):g}",
        "VARIABLE_STEP": f"{_courant(said.get('VARIABLE_STEP')):g}",
        "ALLOW_PONDING": "YES",
        "SKIP_STEADY_STATE": "NO",
        "IGNORE_RAINFALL": "NO",
        "IGNORE_ROUTING": "NO",
        "IGNORE_SNOWMELT": "YES",
        "IGNORE_QUALITY": "YES",
        "THREADS": "1",
    }
    if pumps_fail:
        # A pump's own levels are looked at in every routing step; a rule that is to stand above them has to be, too.
        told["RULE_STEP"] = "00:00:00"
    return ["[OPTIONS]", *(f"{name} {value}" for name, value in told.items())]


def _routing_step(said: str | None) -> float:
    if said is None:
        return LONGEST_ROUTING_STEP_S
    try:
        seconds = _clock(said) if ":" in said else float(said)
    except ValueError as error:
        raise HydraulicsError(f"[OPTIONS] ROUTING_STEP {said}: neither seconds nor hours:minutes:seconds") from error
    return min(seconds, LONGEST_ROUTING_STEP_S) if seconds > 0 else LONGEST_ROUTING_STEP_S


def _courant(said: str | None) -> float:
    """Without a variable step SWMM falls into swings where a pipe fills in less time than a step."""
    try:
        factor = float(said) if said is not None else _VARIABLE_STEP
    except ValueError as error:
        raise HydraulicsError(f"[OPTIONS] VARIABLE_STEP {said}: not a number") from error
    return factor if factor > 0 else _VARIABLE_STEP


def _starts(said: Mapping[str, str]) -> datetime:
    """When the file's own run begins: what comes in by hour and weekday, dry weather flow above all, hangs on it."""
    day = said.get("START_DATE")
    date = _SWMM_BEGINS if day is None else next(filter(None, (_date(day, form) for form in _DATES)), None)
    if date is None:
        raise HydraulicsError(f"[OPTIONS] START_DATE {day}: not a date as SWMM writes it, month/day/year")
    moment = said.get("START_TIME", "0:00")
    try:
        seconds = _clock(moment) if ":" in moment else float(moment) * 3600
    except ValueError as error:
        raise HydraulicsError(f"[OPTIONS] START_TIME {moment}: not a time as SWMM writes it") from error
    return datetime.combine(date, time()) + timedelta(seconds=seconds)


def _date(said: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(said, form)  # noqa: DTZ007 - SWMM knows no zones
    except ValueError:
        return None


def _clock(said: str) -> float:
    hours, minutes, *seconds = (float(part) for part in said.split(":"))
    return hours * 3600 + minutes * 60 + sum(seconds)


def _rain(number: int, intensity: Series) -> Iterator[str]:
    """Only minutes in which it rains: between its records a gage of SWMM is dry."""
    name = _series(number)
    if not intensity[0]:
        yield f"{name} 0:00 0"
    for minute in np.flatnonzero(intensity):
        yield f"{name} {minute // 60}:{minute % 60:02d} {intensity[minute]:.7g}"


def _standing_still(number: int, failure: PumpFailure) -> Iterator[str]:
    """A rule that no rule of the file overrides: a setting from outside would last until the file's next rule only."""
    yield f"RULE underfoot_failure_{number}"
    yield f"IF SIMULATION TIME >= {failure.begins_s / 3600:.6f}"
    if np.isfinite(failure.until_s):
        yield f"AND SIMULATION TIME < {failure.until_s / 3600:.6f}"
    yield f"THEN PUMP {_quoted(failure.link)} STATUS = OFF"
    yield f"PRIORITY {_BEFORE_ALL_RULES}"


def _series(number: int) -> str:
    return f"underfoot_rain_{number}"


def _quoted(name: str) -> str:
    return f'"{name}"' if re.search(r"\s", name) else name
