"""What a speech is: how one report of a device becomes bytes under a topic, and which of its values have words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from simulators.site import Site

Values = Mapping[str, Any]

Damage = Literal["json", "cut", "bit"]
"""How it breaks on its way: as JSON does, cut short, or with one bit turned over."""


class Said(NamedTuple):
    """A report as its device says it, before it is written. `ts_ms` is the device's own clock, `sent_ms` everybody
    else's, when it is sent."""

    site: Site
    ts_ms: int
    sent_ms: int
    seq: int | None
    values: Values


@dataclass(frozen=True)
class Writer:
    """One way to write a report.

    `carries`: the fields it has words for, by family; what else a device measures is left out. `steps`: where it is
    coarser than the field's own resolution, how coarse (in the field's unit). `step_ms`: of its time.
    """

    name: str
    carries: Mapping[str, tuple[str, ...]]
    topic: Callable[[Site], str]
    write: Callable[[Said], bytes]
    steps: Mapping[str, float] = field(default_factory=dict)
    step_ms: int = 1
    timed: bool = True
    """Its messages have a time: without one they are filed under the time of receipt."""
    own_clock: bool = True
    """That time is the device's own, and as wrong as its clock; else its platform's."""
    push: bool = False
    """Pushed over HTTP, under the mapping of its name."""
    damage: Damage = "json"

    def speakable(self, site: Site, values: Values) -> dict[str, Any]:
        """What of these values it can say."""
        known = self._known.get(site.device.family, frozenset())
        return {name: value for name, value in values.items() if name in known and value is not None}

    @cached_property
    def _known(self) -> dict[str, frozenset[str]]:
        return {family: frozenset(fields) for family, fields in self.carries.items()}
