"""Scenario files: the shipped ones by name, anybody's by path, checked before anything runs."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from simulators.rain.chicago import sites
from simulators.scenario.faults import Fault
from simulators.scenario.model import ChicagoRain, CsvRain, Rain, Scenario
from underfoot.plain_yaml import Document, YamlError, read_yaml

_MOST_BYTES = 262_144
_SHOWN = 80


class ScenarioError(ValueError):
    """A scenario that cannot be used, one line a mistake: which file, line and field, what stands there, what may."""


@dataclass(frozen=True)
class ScenarioFile:
    """A scenario with the text it was read from, and the folder in which the files that it names are."""

    scenario: Scenario
    text: str
    folder: Path


def shipped() -> list[str]:
    """The names that need no file."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _shipped_folder().iterdir() if entry.name.endswith(".yaml")
    )


def load_scenario(name_or_path: str | Path) -> Scenario:
    return read_scenario(name_or_path).scenario


def read_scenario(name_or_path: str | Path) -> ScenarioFile:
    """A shipped scenario by its name, or one from a YAML file."""
    name = str(name_or_path)
    path = Path(_shipped_folder() / f"{name}.yaml") if name in shipped() else Path(name)
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ScenarioError(f"{name}: no such file, and no shipped scenario: {', '.join(shipped())}") from None
    except OSError as error:
        raise ScenarioError(f"{name}: {error.strerror}") from None
    scenario = parse_scenario(text, path.name)
    _named_files(scenario, path)
    return ScenarioFile(scenario, text.decode("utf-8-sig"), path.parent)


def parse_scenario(text: bytes, origin: str) -> Scenario:
    """`origin` names the file in what is told of it."""
    try:
        document = read_yaml(text, origin, at_most=_MOST_BYTES)
    except YamlError as error:
        raise ScenarioError(str(error)) from None
    if not isinstance(document.value, dict):
        raise ScenarioError(f"{origin}: {_shown(document.value)}: a scenario is fields: name, title, about, hours, …")
    try:
        scenario = Scenario.model_validate(document.value)
    except ValidationError as error:
        told = [_told(document, problem) for problem in error.errors(include_url=False)]
        raise ScenarioError("\n".join(dict.fromkeys(told))) from None
    for number, rain in enumerate(scenario.rain):
        if isinstance(rain, ChicagoRain) and rain.site not in sites():
            where = _as_written(("rain", number, "chicago", "site"), document.value)
            named = f"{document.origin} line {document.line(where)}: {'.'.join(map(str, where))} = {rain.site!r}"
            raise ScenarioError(f"{named}: {_one_of(rain.site, list(sites()))}")
    return scenario


def _shipped_folder() -> Path:
    return Path(str(files("simulators") / "scenario" / "shipped"))


def _named_files(scenario: Scenario, path: Path) -> None:
    for number, rain in enumerate(scenario.rain):
        if isinstance(rain, CsvRain) and not (path.parent / rain.file).is_file():
            raise ScenarioError(f"{path.name}: rain.{number}.file = {rain.file!r}: no such file in {path.parent}")


# what is told of a mistake --------------------------------------------------------------------------------------------
_KINDS: dict[str, tuple[str, Any]] = {"faults": ("fault", Fault), "rain": ("rain", Rain)}


def _told(document: Document, problem: Any) -> str:
    where = _as_written(problem["loc"], document.value)
    line = document.line(where)
    field = ".".join(map(str, where)) or "scenario"
    value, allowed = problem["input"], problem["msg"].removeprefix("Value error, ")
    kind = problem["type"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        word, union = _KINDS[str(where[0])]
        names = list(_by_name(union, word))
        field = f"{field}.{word}"
        if word not in value:
            return f"{document.origin} line {line}: {field}: is missing; there are {', '.join(names)}"
        value = value[word]
        allowed = _one_of(value, names)
    elif kind == "extra_forbidden":
        allowed = _one_of(where[-1], _fields_at(where[:-1], document.value))
        return f"{document.origin} line {line}: {field}: no such field; {allowed}"
    elif kind == "missing":
        return f"{document.origin} line {line}: {field}: is missing"
    elif isinstance(value, dict | BaseModel):
        return f"{document.origin} line {line}: {field}: {allowed}"
    return f"{document.origin} line {line}: {field} = {_shown(value)}: {allowed}"


def _as_written(loc: Sequence[str | int], value: Any) -> list[str | int]:
    """The path as the file has it: without the union's tags, and without a list around a single rain."""
    where: list[str | int] = []
    for place, part in enumerate(loc):
        if place == 1 and loc[0] == "rain" and isinstance(value.get("rain"), dict):
            continue
        if place == 2 and loc[0] in _KINDS and isinstance(loc[1], int):
            continue
        where.append(part)
    return where


def _one_of(value: object, names: list[str]) -> str:
    close = difflib.get_close_matches(str(value), names, n=1)
    meant = f"{close[0]} is meant? " if close else ""
    return f"{meant}there are {', '.join(names)}"


def _fields_at(where: list[str | int], value: Any) -> list[str]:
    """The fields that an object at this path may have."""
    model: Any = Scenario
    for part in where:
        value = value[part]
        if part in _KINDS:
            model = part
        elif isinstance(part, int) and isinstance(model, str):
            pass
        else:
            model = _inner(model.model_fields[part].annotation)
        if isinstance(model, str) and isinstance(value, dict):
            word, union = _KINDS[model]
            model = _by_name(union, word)[value[word]]
    return [info.alias or name for name, info in model.model_fields.items()]


def _inner(annotation: Any) -> Any:
    """The model of `Model | None`."""
    if isinstance(annotation, types.UnionType):
        return next(one for one in typing.get_args(annotation) if one is not type(None))
    return annotation


def _by_name(union: Any, word: str) -> dict[str, type[BaseModel]]:
    models = typing.get_args(typing.get_args(union)[0])
    return {typing.get_args(model.model_fields[word].annotation)[0]: model for model in models}


def faults_by_name() -> dict[str, type[BaseModel]]:
    return _by_name(Fault, "fault")


def rains_by_name() -> dict[str, type[BaseModel]]:
    return _by_name(Rain, "rain")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
