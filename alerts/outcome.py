"""What a batch changes: transitions to record, and what the evaluator's memory takes over with them."""

from __future__ import annotations

from dataclasses import dataclass, field

from alerts.rules import Rule
from alerts.transition import Proof, State
from underfoot.alarms import Condition, Reason, SubjectKind


@dataclass(frozen=True, slots=True)
class RuleInForce:
    rule: Rule
    version: int


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


@dataclass
class Outcome:
    """What a batch would change: recorded in its transaction, applied to memory with it.

    `late_found` may be on record already, which only the database knows: `raise_late` makes transitions of what is not.
    `late` is, by slot, the rules that late reports have left unanswered; none: the late hazard is over.
    """

    transitions: list[Transition] = field(default_factory=list)
    states: dict[tuple[str, int], State] = field(default_factory=dict)
    offline: dict[int, bool] = field(default_factory=dict)
    late_found: list[LateFound] = field(default_factory=list)
    late: dict[int, frozenset[str]] = field(default_factory=dict)
    windows: dict[tuple[str, int], list[tuple[int, float]]] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    latest_rows: list[int] = field(default_factory=list)
    late_rows: list[int] = field(default_factory=list)
