"""Which rule may tell of which hazard, read from tells.yaml: what the matching of alarms with truth goes by."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulators.truth import HazardKind
from underfoot.plain_yaml import read_yaml

_EARLY_S = 600.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Telling(_Strict):
    """How an alarm may tell of one kind: so long before it, and from which severity on."""

    early_s: float = Field(_EARLY_S, ge=0)
    least: int = Field(0, ge=0, le=4)


class RuleTells(_Strict):
    about: str = ""
    tells: dict[HazardKind, Telling] = Field(default_factory=dict)
    beside: dict[HazardKind, Telling] = Field(default_factory=dict)
    any_hazard: bool = False
    forecast: bool = False
    upstream: bool = False
    lies: tuple[str, ...] = ()
    apart: bool = False
    doubts: bool = False
    warns_above: tuple[HazardKind, ...] = ()

    @model_validator(mode="after")
    def _counted_somewhere(self) -> RuleTells:
        if self.apart == bool(self.about):
            raise ValueError(f"about {self.about!r}, apart {self.apart}: say one of them")
        return self

    def right_by(self, kind: HazardKind) -> Telling | None:
        """By what measure a hazard of this kind makes its alarm right; None: it does not."""
        found = self.tells.get(kind) or self.beside.get(kind)
        return Telling() if found is None and self.any_hazard else found


class Tells(_Strict):
    late_s: dict[HazardKind, float]
    rules: dict[str, RuleTells]

    @model_validator(mode="after")
    def _every_kind(self) -> Tells:
        missing = set(get_args(HazardKind)) - set(self.late_s)
        if missing:
            raise ValueError(f"late_s says nothing of {', '.join(sorted(missing))}")
        return self

    def of(self, rule_id: str) -> RuleTells | None:
        """What is written of a rule, by its name or by its pattern; None: nobody has said what makes it right."""
        exact = self.rules.get(rule_id)
        if exact is not None:
            return exact
        return next((tells for name, tells in self.rules.items() if "*" in name and fnmatchcase(rule_id, name)), None)

    @property
    def told(self) -> frozenset[HazardKind]:
        """Kinds of which some rule may tell."""
        return frozenset(kind for rule in self.rules.values() for kind in rule.tells)


@cache
def shipped_tells() -> Tells:
    file = files("simulators.score") / "tells.yaml"
    document = read_yaml(file.read_bytes(), "simulators/score/tells.yaml", at_most=100_000)
    return Tells.model_validate(document.value)
