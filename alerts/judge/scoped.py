"""A rule in force over the devices of its family: which of its variants counts for which device."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from alerts.judge.outcome import RuleInForce
from alerts.rules.override import CITY, Scope
from alerts.rules.parts import AnyRule

Kind = TypeVar("Kind", bound=AnyRule)


class Scoped(Generic[Kind]):
    """The city's rule is variant 0. `variant_of` says by slot which one counts; without variants nobody asks."""

    def __init__(self, in_force: RuleInForce, rule: Kind) -> None:
        kind = type(rule)
        self.rule_id = rule.rule_id
        self.rules: list[Kind] = [rule]
        self.in_force = [in_force]
        self.scopes: list[Scope] = [CITY]
        self.enabled = [True]
        for variant in in_force.variants:
            if not isinstance(variant.rule, kind):
                raise TypeError(f"{rule.rule_id}: {variant.scope}: a {variant.rule.kind} rule is no {kind.__name__}")
            self.rules.append(variant.rule)
            self.in_force.append(in_force.within(variant))
            self.scopes.append(variant.scope)
            self.enabled.append(variant.enabled)
        self.variant_of = np.zeros(0, np.int16)

    def __len__(self) -> int:
        return len(self.rules)

    def grow(self, slots: int) -> None:
        if len(self) > 1:
            more = slots - len(self.variant_of)
            self.variant_of = np.concatenate([self.variant_of, np.zeros(more, np.int16)])

    def variant(self, slot: int) -> int:
        return int(self.variant_of[slot]) if len(self) > 1 else 0

    def rule_for(self, slot: int) -> Kind:
        return self.rules[self.variant(slot)]

    def in_force_for(self, slot: int) -> RuleInForce:
        return self.in_force[self.variant(slot)]

    def applies(self, slot: int) -> bool:
        return self.enabled[self.variant(slot)]

    def by_slot(self, numbers: list[float], slots: NDArray[np.integer]) -> float | NDArray[np.float64]:
        """A number of each variant, for these slots: one for all where there are no variants."""
        if len(self) == 1:
            return numbers[0]
        found: NDArray[np.float64] = np.array(numbers)[self.variant_of[slots]]
        return found
