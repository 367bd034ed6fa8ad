"""`underfoot score`: how well the alarms of a run told the truth.

run folder + alarms on record → matches → figures → table, JSON, picture; alarms.json and score.json in the run's folder
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from simulators.hydraulics.hydrographs import Hydrographs
from simulators.network.city import NetworkCity, load_city
from simulators.network.model import NetworkError
from simulators.score.alarms import Record, read_alarms
from simulators.score.errors import ScoreError
from simulators.score.figures import Score, figures
from simulators.score.matching import Matches, match
from simulators.score.picture import FORMATS, draw
from simulators.score.places import Places
from simulators.score.table import show
from simulators.score.tells import shipped_tells
from simulators.truth import Truth
from simulators.world.folder import RunFolder
from underfoot.settings import load as load_settings
from underfoot.terminal import connect_migrated

ALARMS, SCORE = "alarms.json", "score.json"

out = Console()
err = Console(stderr=True)

commands = typer.Typer()


@dataclass(frozen=True)
class Run:
    """What a run left in its folder. `speed`: how many times faster than life it was played."""

    folder: Path
    truth: Truth
    city: NetworkCity
    speed: float

    @property
    def played_from_ms(self) -> float:
        """When its first message was sent, by the machine's clock."""
        return self.truth.ends_ms - (self.truth.ends_ms - self.truth.begins_ms) / self.speed


@commands.command("score")
def score_run(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder that `underfoot simulate storm --run` left.", exists=True)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, for programs.")] = False,
    alarms: Annotated[
        Path | None,
        typer.Option(
            "--alarms",
            help="The alarms of the run as an earlier score wrote them. By default they are read from the database, or,"
            f" where none is set, from RUN/{ALARMS}.",
            dir_okay=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Draw water, limits and alarms into this file, .svg or .png.", dir_okay=False),
    ] = None,
    most: Annotated[
        int, typer.Option("--show", min=0, help="How many missed hazards and false alarms the table lists.")
    ] = 15,
) -> None:
    """Hold the alarms of a run against what really happened: recall, precision, lead time, false alarms, located pipes.

    What counts as what stands in docs/score.md. Alarms and figures are kept in the run's folder, so that a score can be
    repeated without the database.
    """
    with _plain_errors():
        if picture is not None and picture.suffix.lower() not in FORMATS:
            raise ScoreError(f"picture: {picture}: its name must end in {' or '.join(FORMATS)}")
        read = read_run(run)
        record = _alarms(read, alarms)
        score, matches = scored(read, record)
        text = score.model_dump_json(indent=1) + "\n"
        try:
            (run / SCORE).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ScoreError(f"{run / SCORE} cannot be written: {error.strerror}") from None
        if picture is not None:
            draw(picture, read.city, read.truth, _hydrographs(read.folder), matches, score)
    if as_json:
        typer.echo(text, nl=False)
    else:
        show(score, out, most)


def scored(run: Run, record: Record) -> tuple[Score, Matches]:
    """The figures of a run with these alarms."""
    tells = shipped_tells()
    matches = match(run.truth, record, tells, places_of(run.city))
    return figures(run.truth, record, matches, tells), matches


def read_run(folder: Path) -> Run:
    """What is needed of a run's folder; a file that is not there, or is none, is named."""
    if not (folder / "run.json").is_file():
        raise ScoreError(f"{folder / 'run.json'}: there is no such file: {folder} is not the folder of a finished run")
    paths = RunFolder(folder)
    try:
        truth = Truth.load(paths.truth)
        said: dict[str, Any] = json.loads(paths.run.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ScoreError(
            f"{error.filename}: there is no such file: {folder} is not the folder of a finished run"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ScoreError(f"{paths.truth}: {where}: {first['msg']}: no truth of a run") from None
    except ValueError as error:
        raise ScoreError(f"{paths.run}: is not JSON: {error}") from None
    speed = said.get("speed")
    if not isinstance(speed, int | float) or not speed > 0:
        raise ScoreError(f"{paths.run}: speed = {speed!r}; a number above 0")
    return Run(folder, truth, load_city(paths.city), float(speed))


def places_of(city: NetworkCity) -> Places:
    nodes = {site.device.device_id: site.node for site in city.sites}
    return Places(nodes, {pipe.pipe_id: (pipe.from_asset, pipe.to_asset) for pipe in city.pipes})


def _alarms(run: Run, file: Path | None) -> Record:
    """From the file that is named; from the database, and kept in the run's folder; or from what was kept."""
    kept = run.folder / ALARMS
    if file is not None:
        return Record.load(file)
    if load_settings().database_url is None:
        if not kept.exists():
            raise ScoreError(f"there are no alarms: no database is set (UNDERFOOT_DATABASE_URL), and no {kept}")
        return Record.load(kept)
    late_s = max(shipped_tells().late_s.values())
    devices = [site.device.device_id for site in run.city.sites]
    with connect_migrated("score") as connection:
        record = read_alarms(
            connection, run.truth.begins_ms, run.truth.ends_ms + round(late_s * 1000), devices, run.played_from_ms
        )
    record.save(kept)
    return record


def _hydrographs(folder: Path) -> Hydrographs:
    path = RunFolder(folder).hydrographs
    try:
        return Hydrographs.load(path)
    except FileNotFoundError:
        raise ScoreError(f"picture: {path}: there is no such file") from None


@contextmanager
def _plain_errors() -> Iterator[None]:
    """An expected failure is one red line, not a traceback."""
    try:
        yield
    except (NetworkError, ScoreError) as error:
        err.print(Text(str(error), style="red"), soft_wrap=True)
        raise typer.Exit(2) from None
