"""City: the thread of `underfoot alerts` that does what there is one of in a city, on what ingest has committed.

A tick goes through named steps. Each is a transaction of its own that begins by checking the epoch: who has lost the
lock of `alerts` writes nothing any more. A step that fails is rolled back and named, and stops no other; when it fails
again, it is an alarm of its own. Nothing is remembered here that the database does not know: a restart loses nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from alerts.cases import due, swallow
from alerts.city import blockages, gateways
from alerts.city.blockages import Blockages
from alerts.city.causes import release
from alerts.city.composite import Composite
from alerts.city.concerned import Concerned
from alerts.city.conditioned import Conditioned
from alerts.city.devices import Places
from alerts.city.doubts import Doubts
from alerts.city.gateways import ExplainOffline, judge_gateways
from alerts.city.judging import Afterwards, ExplainOwn, Judge, Rulebook, RuleStep
from alerts.city.late import Late
from alerts.city.memory import BY_CONDITION, BY_LIMIT, Reasons
from alerts.city.network import Network
from alerts.city.overloads import Overloads
from alerts.city.stuck import Stuck
from alerts.city.weather import Districts
from alerts.city.weather_step import WeatherStep
from alerts.duty import escalation
from alerts.health import figures as health
from alerts.record.recorder import Recorder, failure
from alerts.regions import realarm, shelves
from alerts.rulebook.book import install_shipped, rule_as_last_known
from alerts.rules import (
    BlockageRule,
    CompositeRule,
    ConditionedRule,
    DoubtRule,
    GatewayOutageRule,
    OverloadRule,
    StuckRule,
)
from alerts.storm import incidents
from alerts.telling import casework, nobody
from underfoot.alarms import Reason, SubjectKind
from underfoot.audit.sealer import Sealer
from underfoot.clock import CLOCK
from underfoot.reports import microseconds, moment
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

STEP_FAILING = "city.step_failing"
STEPS = "city.steps"
"""Steps have their keys among the rules', as if somebody of this name judged them."""
_FAILURES_TO_ALARM = 2
"""One may be a deadlock that the database resolved, or a statement that took too long in a busy minute."""

_AGAIN_AFTER_S = 5.0
_LEAST_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """What is done each tick, in its own transaction; `now` is our clock's (it does not jump while we work)."""

    name: str
    run: Callable[[Connection, datetime], None]


class FencedError(Exception):
    """Another process holds the lock of `alerts` now."""


@dataclass
class _Figures:
    """Of one step, since the installation began; the API exports them."""

    runs: int = 0
    failures: int = 0
    seconds: float = 0.0
    last_s: float = 0.0


class City:
    """The steps, under one epoch, over one connection (autocommit: each step begins its own transaction)."""

    def __init__(self, connection: Connection, epoch: int, steps: Sequence[Step]) -> None:
        self._connection = connection
        self._epoch = epoch
        self._steps = steps
        self._in_a_row: dict[str, int] = {}
        with connection.transaction():
            state = self._check_epoch()
            install_shipped(connection)
            params = {"judge": STEPS, "rule_id": STEP_FAILING}
            self._failing = {name for (name,) in connection.execute(statement("failing.open"), params)}
        known = state.get("steps", {})
        self._figures = {step.name: _Figures(**known.get(step.name, {})) for step in steps}

    def run(self, stop: threading.Event, settings: Settings) -> None:
        """Tick until `stop`. Raises FencedError when another holds the lock."""
        while not stop.is_set():
            began = time.monotonic()
            CLOCK.look(settings.clock_settles_s)
            self.tick(moment(CLOCK.now_us()))
            interval_s = CLOCK.machine_s(settings.city_interval_s, _LEAST_INTERVAL_S)
            stop.wait(max(interval_s - (time.monotonic() - began), 0.05))

    def tick(self, now: datetime) -> None:
        for step in self._steps:
            self._take(step, now)
        with self._connection.transaction():
            self._check_epoch()
            figures = {name: asdict(one) for name, one in self._figures.items()}
            self._connection.execute(statement("city.note_steps"), {"steps": Jsonb(figures)})

    def _take(self, step: Step, now: datetime) -> None:
        figures = self._figures[step.name]
        began = time.perf_counter()
        error: Exception | None = None
        try:
            with self._connection.transaction():
                self._check_epoch()
                step.run(self._connection, now)
        except FencedError:
            raise
        except Exception as failed:
            if self._connection.closed:
                raise
            if not self._in_a_row.get(step.name):
                log.exception("city: step %s failed; it is tried again each tick", step.name)
            error = failed
        figures.runs += 1
        figures.last_s = time.perf_counter() - began
        figures.seconds += figures.last_s
        figures.failures += error is not None
        self._tell(step, now, error)

    def _tell(self, step: Step, now: datetime, error: Exception | None) -> None:
        """Raise or end the alarm of a step. An alarm that can't be recorded stops nothing either: it comes up again."""
        self._in_a_row[step.name] = self._in_a_row.get(step.name, 0) + 1 if error is not None else 0
        try:
            if error is None and step.name in self._failing:
                self._say(step, now, raised=False, detail=step.name)
            elif self._in_a_row[step.name] >= _FAILURES_TO_ALARM and step.name not in self._failing:
                self._say(step, now, raised=True, detail=f"{step.name}：{type(error).__name__}")
        except FencedError:
            raise
        except Exception:
            if self._connection.closed:
                raise
            log.exception("city: the alarm of step %s could not be recorded", step.name)

    def _say(self, step: Step, now: datetime, *, raised: bool, detail: str) -> None:
        now_us = microseconds(now)
        with self._connection.transaction():
            self._check_epoch()
            rule = rule_as_last_known(self._connection, STEP_FAILING)
            reason = Reason.rule_failing if raised else Reason.rule_working
            params = {"rule_ids": [step.name], "judge": STEPS}
            [(_, key)] = self._connection.execute(statement("failing.keys"), params).fetchall()
            alarm = failure(SubjectKind.rule, key, rule, reason, raised=raised, at_us=now_us, detail=detail)
            Recorder(self._connection).record([alarm])
        (self._failing.add if raised else self._failing.discard)(step.name)

    def _check_epoch(self) -> dict[str, Any]:
        """Holds until this transaction ends: whoever takes over waits for it."""
        row = self._connection.execute(statement("city.check_epoch"), {"epoch": self._epoch}).fetchone()
        if row is None:
            raise FencedError(f"epoch {self._epoch} is over: another process holds the lock of alerts")
        state: dict[str, Any] = row[0]
        return state


def take_over(lock: Connection) -> int:
    """By the holder of the lock of `alerts`, once: from now on whoever held it before writes nothing. The new epoch."""
    [(epoch,)] = lock.execute(statement("city.raise_epoch")).fetchall()
    return int(epoch)


def run_city(settings: Settings, epoch: int, stop: threading.Event) -> None:
    """Tick until `stop`, or until another has taken over; the database's absence is waited out."""
    while not stop.is_set():
        try:
            with connect(settings.require_database(), "city", autocommit=True) as connection:
                City(connection, epoch, steps(settings)).run(stop, settings)
        except FencedError as error:
            log.error("city: %s", error)  # noqa: TRY400 - it is no fault of ours, and there is nothing to trace
            return
        except psycopg.OperationalError as error:
            log.warning("city: %s", str(error).strip())
            stop.wait(1)
        except Exception:
            log.exception("city: begins anew; timers and deliveries go on meanwhile")
            stop.wait(_AGAIN_AFTER_S)


def steps(settings: Settings) -> list[Step]:
    """What is done each tick, in this order: what a step finds, the ones after it see."""
    rulebook, places, network = Rulebook(), Places(), Network()
    districts = Districts(places)
    blocked, own = Blockages(rulebook, network), ExplainOwn(rulebook)

    def judging(kind: type, judge: Judge, reasons: Reasons, afterwards: Afterwards | None = None) -> RuleStep:
        return RuleStep(rulebook, kind, judge, reasons=reasons, afterwards=afterwards)

    return [
        Step("withdrawn", rulebook.end_withdrawn),
        Step("weather", WeatherStep(rulebook, districts)),
        Step("doubts", judging(DoubtRule, Doubts(network), BY_CONDITION, own)),
        Step("conditioned", judging(ConditionedRule, Conditioned(places), BY_LIMIT, own)),
        Step("composite", judging(CompositeRule, Composite(places), BY_CONDITION, own)),
        Step("stuck", judging(StuckRule, Stuck(places), BY_CONDITION)),
        Step("gateways", judging(GatewayOutageRule, judge_gateways, gateways.REASONS, ExplainOffline(rulebook))),
        Step("blockages", judging(BlockageRule, blocked, blockages.REASONS, blocked.explain)),
        Step("late", Late(Concerned(rulebook, places, network, districts))),
        Step("overloads", judging(OverloadRule, Overloads(places, network), BY_LIMIT)),
        Step("causes", release),
        Step("incidents", incidents.step),
        Step("swallow", swallow.step),
        Step("overdue", due.step),
        Step("realarm", partial(realarm.step, defaults_min=settings.realarm_min)),
        Step("nobody", nobody.step),
        Step("escalation", escalation.by_the_records_clock),
        Step("casework", casework.step),
        Step("shelves", shelves.step),
        Step("health", health.step),
        Step("seals", Sealer()),
    ]
