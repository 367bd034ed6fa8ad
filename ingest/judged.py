"""Judged: what the shard's holder has judged goes on record, in all regions of its alarms, with the batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Outcome, Transition
from alerts.record.failing import FAILING, rule_failures
from alerts.record.flaps import of_devices, record_flapping
from alerts.record.locked import ENGINE
from alerts.record.recorder import Recorder, put_conditions
from ingest.tenure import Tenure
from underfoot.clock import CLOCK


def record_judged(
    tenure: Tenure,
    judged: Sequence[tuple[Evaluator, Outcome]],
    transitions: Iterable[Transition] | None = None,
    actor: str = ENGINE,
) -> None:
    """Their transitions (or those that a command has made), the rules that failed, what flaps, and what the engine is
    to remember."""
    if transitions is None:
        transitions = [change for _, outcome in judged for change in outcome.transitions]
    failures: list[Transition] = []
    for _, outcome in judged:
        failures += rule_failures(
            tenure.connection,
            tenure.shard,
            tenure.rules[FAILING],
            {name: why for name, why in outcome.failing.items() if name not in tenure.failing},
            outcome.working & tenure.failing,
            CLOCK.now_us(),
        )
        tenure.failing = (tenure.failing | outcome.failing.keys()) - outcome.working
    changed, flapping = [*transitions, *failures], of_devices(judged)
    if changed or flapping or any(outcome.states for _, outcome in judged):
        with tenure.connection.pipeline():  # what needs no answer waits for none
            Recorder(tenure.connection).record(changed, actor)
            record_flapping(tenure.connection, flapping)
            put_conditions(tenure.connection, tenure.shard, judged)
