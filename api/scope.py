"""What part of the city a caller sees and acts on: subtrees of areas × maintenance units (养护单位).

Both must hold. Null is all: who has no areas named has the whole city, who has no units named has every unit. What has
no area (or no unit) is only for who is not bound to areas (or units). Whatever answers about places asks here:
`params` for a list, `holds` for a single thing, which elsewhere is answered as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


class Asked:
    """Whether somebody has asked a scope what it holds."""

    def __init__(self) -> None:
        self.at_all = False


@dataclass(frozen=True, slots=True)
class Scope:
    """`codes` are all the areas that `areas` mean: these and what lies below them, by the ledger."""

    areas: tuple[str, ...] | None = None
    units: tuple[str, ...] | None = None
    codes: frozenset[str] | None = None
    asked: Asked = field(default_factory=Asked, compare=False, repr=False)

    @property
    def is_whole(self) -> bool:
        """Everything, also what has neither area nor unit."""
        self.asked.at_all = True
        return self.areas is None and self.units is None

    def holds(self, area: str | None, unit: str | None) -> bool:
        """Whether a thing of this area and this maintenance unit lies in it."""
        return self.holds_area(area) and (self.units is None or unit in self.units)

    def holds_area(self, area: str | None) -> bool:
        self.asked.at_all = True
        codes = self._codes
        return codes is None or area in codes

    def params(self, wanted: Iterable[str] | None = None) -> dict[str, list[str] | None]:
        """The parameters `areas` (codes; null: all) and `units` of a list; `wanted`: of these areas, those in it."""
        self.asked.at_all = True
        codes = self._codes
        if codes is None:
            within = None if wanted is None else list(wanted)
        else:
            within = sorted(codes if wanted is None else codes.intersection(wanted))
        return {"areas": within, "units": None if self.units is None else list(self.units)}

    @property
    def _codes(self) -> frozenset[str] | None:
        if self.areas is None:
            return None
        # Where nobody has looked the areas up in the ledger, what lies below them is not included.
        return frozenset(self.areas) if self.codes is None else self.codes

    def fresh(self) -> Scope:
        """The same, of which nobody has asked yet."""
        return Scope(self.areas, self.units, self.codes)


def whole_city() -> Scope:
    return Scope()
