"""What a batch changes: transitions to record, and what the evaluator's memory takes over with them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from alerts.judge.means import KeptMeans
from alerts.judge.slopes import Kept
from alerts.judge.transition import Flapped, Proof, State
from alerts.rules import Rule
from alerts.rules.override import CITY, Scope, earliness
from underfoot.alarms import Condition, Reason, SubjectKind


@dataclass(frozen=True, slots=True)
class Variant:
    """A rule as an override makes it within its scope: complete, or not judged there at all (`enabled` false)."""

    scope: Scope
    rule: Rule
    version: int
    enabled: bool = True

    @property
    def precedence(self) -> tuple[object, ...]:
        """Of several that hold for a device the greatest counts: the narrowest; of two tags the one that alarms
        earlier, and never one that doesn't judge at all."""
        return (*self.scope.precedence, self.enabled, tuple(-part for part in earliness(self.rule)), self.scope.name)


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """`variants` by precedence: of those whose scope holds for a device the last counts; none holds: the rule.

    All scopes of a rule share one count of versions. `scope`: whose numbers these are, where it is a variant's own."""

    rule: Rule
    version: int
    variants: tuple[Variant, ...] = ()
    scope: Scope = CITY

    def within(self, variant: Variant) -> RuleInForce:
        """The rule as that variant has it: what an alarm within its scope is of."""
        return RuleInForce(variant.rule, variant.version, scope=variant.scope)

    def variant_for(self, *, device_id: str, area_code: str, tags: Collection[str]) -> Variant | None:
        """What counts for this device; None: the city's rule."""
        holding = (
            v for v in reversed(self.variants) if v.scope.holds(device_id=device_id, area_code=area_code, tags=tags)
        )
        return next(holding, None)


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of one alarm's condition, ready to be recorded. Severity 0: no episode."""

    subject_kind: SubjectKind
    subject_key: int
    rule: RuleInForce
    reason: Reason
    before: Condition
    after: Condition
    severity_before: int
    severity: int
    at_us: int
    received_us: int
    proof: Proof


@dataclass(frozen=True, slots=True)
class LateFound:
    """A late report of a device reaches a limit of `of_rule`, which has no open episode."""

    slot: int
    of_rule: str
    proof: Proof


@dataclass(frozen=True, slots=True)
class Flapping:
    """A device's alarm has begun to flap, or does so no longer: its suppression region, to be recorded after the
    transitions of the same batch."""

    slot: int
    rule_id: str
    change: Flapped


@dataclass
class Outcome:
    """What a batch would change: recorded in its transaction, applied to memory with it.

    `late_found` may be on record already, which only the database knows: `raise_late` makes transitions of what is not.
    `late` is, by slot, the rules that late reports have left unanswered; none: the late hazard is over.
    `failing`: rules that could not judge this batch, and why; nothing of them is in here. `working`: they can again.
    """

    transitions: list[Transition] = field(default_factory=list)
    states: dict[tuple[str, int], State] = field(default_factory=dict)
    offline: dict[int, bool] = field(default_factory=dict)
    late_found: list[LateFound] = field(default_factory=list)
    late: dict[int, frozenset[str]] = field(default_factory=dict)
    flapping: list[Flapping] = field(default_factory=list)
    failing: dict[str, str] = field(default_factory=dict)
    working: set[str] = field(default_factory=set)
    windows: dict[tuple[str, int], list[tuple[int, float]]] = field(default_factory=dict)
    slopes: dict[tuple[str, float], Kept] = field(default_factory=dict)
    means: dict[tuple[str, float], KeptMeans] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    latest_rows: list[int] = field(default_factory=list)
    late_rows: list[int] = field(default_factory=list)
