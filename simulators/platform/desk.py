"""The platform's people at work: takes events on as cases, carries each along its course, tells back, keeps the clocks.

One thread looks at what is due; whoever else takes a step (over HTTP, or an event that is over) does so under the lock.
Every step is recorded, so a platform that is started again goes on where it was; only the dice fall anew.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from simulators.platform.behaviour import Behaviours
from simulators.platform.callbacks import TOLD, Postman, Signing, body_of, line_of
from simulators.platform.cases import BEFORE_DISPATCH, Case, CaseState
from simulators.platform.course import Callbacks, Course, Fate
from simulators.platform.records import Record, Records, now_ms

_NOBODY = "平台"
_LIMITS: dict[CaseState, str] = {
    CaseState.reported: "register_s",
    CaseState.pending_verify: "register_s",
    CaseState.pending_register: "register_s",
    CaseState.accepted: "dispatch_s",
    CaseState.pending_dispatch: "dispatch_s",
    CaseState.dispatched: "handle_s",
    CaseState.pending_handle: "handle_s",
    CaseState.handling: "handle_s",
    CaseState.handle_finish: "check_s",
    CaseState.pending_check: "check_s",
    CaseState.checking: "check_s",
}
"""Which of the course's limits runs in a state; 挂账 stops the clock."""


@dataclass
class _Held:
    """A case and what is planned for it: an entry of an older `turn` is out of date."""

    case: Case
    fate: Fate
    dice: Random
    turn: int = 0
    clock: str | None = None
    """The limit that runs."""
    clock_turn: int = 0


@dataclass(order=True)
class _Entry:
    due: float
    number: int
    platform_no: str = field(compare=False)
    what: str = field(compare=False)
    turn: int = field(compare=False, default=0)
    state: CaseState | None = field(compare=False, default=None)
    note: str = field(compare=False, default="")
    duplicate_of: str | None = field(compare=False, default=None)
    behind: tuple[str, dict[str, Any], Signing] | None = field(compare=False, default=None)


class Desk:
    def __init__(self, records: Records, behaviours: Behaviours, course: Course, seed: int) -> None:
        self._records = records
        self._behaviours = behaviours
        self._seed = seed
        self._postman = Postman(records)
        self._changed = threading.Condition()
        self._held: dict[str, _Held] = {}
        self._numbers_held: list[str] = []
        """In order, for its lists."""
        self._due: list[_Entry] = []
        self._numbers = itertools.count()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self.course = course
        self._course_began = time.monotonic()

    # what comes in ---------------------------------------------------------------------------------------------------
    def told(self, platform_no: str, body: dict[str, Any], at_ms: float) -> None:
        """An event of which the platform has taken a notice: the first begins a case, its end may void it."""
        with self._changed:
            held = self._held.get(platform_no)
            if held is None:
                case = Case(
                    platform_no,
                    f"{body['alarm']}-{body['episode']}",
                    body["level"],
                    body["event_type"],
                    body["push_id"],
                    body.get("callback_url"),
                )
                held = self._held[platform_no] = _Held(
                    case, Fate(self.course, self._seed, case), Random(f"callback {self._seed} {case.key}")
                )
                bisect.insort(self._numbers_held, platform_no)
                case.history.append(
                    {"state": "reported", "label": "上报", "at_ms": at_ms, "by": "物联感知", "note": ""}
                )
                self._plan(held)
            case = held.case
            case.push_id, case.level = body["push_id"], body["level"]
            case.callback_url = body.get("callback_url") or case.callback_url
            if body["notice"] == "clear":
                case.cleared = True
                if case.state in BEFORE_DISPATCH:
                    self._plan(held)
            elif body["notice"] == "cancel" and case.state in BEFORE_DISPATCH:
                # Whoever reported it takes it back; once somebody is on the way, it goes on here.
                self._step(held, CaseState.cancelled, "物联感知", "上报方撤案")

    def act(
        self, platform_no: str, state: CaseState, by: str, note: str, duplicate_of: str | None = None
    ) -> dict[str, Any]:
        """A step by hand. KeyError: there is no such case; NotPossibleError: that is not on its way."""
        with self._changed:
            held = self._held[platform_no]
            self._step(held, state, by, note, duplicate_of)
            return held.case.shown()

    def supervise(self, platform_no: str) -> dict[str, Any]:
        """督办, by hand."""
        with self._changed:
            held = self._held[platform_no]
            self._flag(held, "supervised", "督办")
            return held.case.shown()

    def follow(self, course: Course) -> None:
        """From now on cases go by this course; its outages are counted from now."""
        with self._changed:
            self.course = course
            self._course_began = time.monotonic()
            self._due = [entry for entry in self._due if entry.what != "outage"]
            self._plan_outages()
            for held in self._held.values():
                held.fate = Fate(course, self._seed, held.case)
                held.clock = None
                if held.case.open:
                    self._plan(held)

    # what is asked ---------------------------------------------------------------------------------------------------
    def cases(self, state: str | None, push_id: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        with self._changed:
            found = (
                held.case.shown()
                for held in self._after(after)
                if state in (None, held.case.state) and push_id in (None, held.case.push_id)
            )
            return list(itertools.islice(found, limit))

    def listed(self, after: str, limit: int) -> list[dict[str, Any]]:
        """A page for whoever reported them, by number."""
        with self._changed:
            return [line_of(held.case) for held in itertools.islice(self._after(after), limit)]

    def certain(self, numbers: Iterable[str]) -> list[dict[str, Any]]:
        with self._changed:
            return [line_of(self._held[number].case) for number in numbers if number in self._held]

    def forget(self, platform_no: str) -> Case:
        """A case is gone, as after a backup was played back. KeyError: there is no such case."""
        with self._changed:
            held = self._held.pop(platform_no)
            self._numbers_held.remove(platform_no)
            held.turn += 1
            held.clock_turn += 1
            self._due = [entry for entry in self._due if entry.platform_no != platform_no]
            heapq.heapify(self._due)
            self._records.add("case", "forgotten", now_ms(), platform_no=platform_no, by="平台", note="")
            return held.case

    def _after(self, number: str) -> Iterator[_Held]:
        start = bisect.bisect_right(self._numbers_held, number)
        return (self._held[self._numbers_held[at]] for at in range(start, len(self._numbers_held)))

    def case(self, platform_no: str) -> dict[str, Any]:
        with self._changed:
            return self._held[platform_no].case.shown()

    def counts(self) -> dict[str, Any]:
        with self._changed:
            states: dict[str, int] = {}
            for held in self._held.values():
                states[held.case.state.value] = states.get(held.case.state.value, 0) + 1
            return {
                "states": dict(sorted(states.items())),
                "rework": sum(held.case.rework > 0 for held in self._held.values()),
                "overdue": sum(held.case.overdue for held in self._held.values()),
                "callbacks_waiting": self._postman.waiting,
            }

    # its life --------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        with self._changed:
            self._course_began = time.monotonic()
            self._plan_outages()
            self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._postman.close()

    def restore(self, earlier: Iterable[Record]) -> None:
        """Before it starts: what an earlier life of this platform had taken and done."""
        with self._changed:
            for record in earlier:
                if record["kind"] == "event" and record["outcome"] == "accepted":
                    self.told(record["platform_no"], record["body"], record["received_ms"])
                elif record["kind"] == "case" and record["outcome"] == "forgotten":
                    del self._held[record["platform_no"]]
                    self._numbers_held.remove(record["platform_no"])
                elif record["kind"] == "case" and record["platform_no"] in self._held:
                    case = self._held[record["platform_no"]].case
                    if record["outcome"] in ("overdue", "supervised"):
                        setattr(case, record["outcome"], True)
                    else:
                        said = record["by"], record["note"], record.get("duplicate_of")
                        case.become(CaseState(record["outcome"]), record["received_ms"], *said)
            for held in self._held.values():
                held.clock = None
                self._plan(held)

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                now = time.monotonic()
                if not self._due or self._due[0].due > now:
                    self._changed.wait(self._due[0].due - now if self._due else None)
                    continue
                entry = heapq.heappop(self._due)
                self._take(entry)

    def _take(self, entry: _Entry) -> None:
        if entry.what == "outage":
            self._behaviours.tell(self.course.outages[entry.turn].behaviour)
            return
        held = self._held[entry.platform_no]
        if entry.what == "late" and entry.behind is not None:
            url, body, signing = entry.behind
            self._postman.post(url, entry.platform_no, body, self.course.callbacks, signing)
        elif entry.what == "step" and entry.turn == held.turn and entry.state is not None:
            self._step(held, entry.state, _NOBODY, entry.note, entry.duplicate_of)
        elif entry.what == "overdue" and entry.turn == held.clock_turn:
            self._flag(held, "overdue", "超时")
            after_s = self.course.limits.supervise_after_s
            self._add(_Entry(self._at(after_s), 0, entry.platform_no, "supervised", held.clock_turn))
        elif entry.what == "supervised" and entry.turn == held.clock_turn:
            self._flag(held, "supervised", "督办")

    # a case goes on --------------------------------------------------------------------------------------------------
    def _step(self, held: _Held, state: CaseState, by: str, note: str, duplicate_of: str | None = None) -> None:
        at_ms = now_ms()
        step = held.case.become(state, at_ms, by, note, duplicate_of)
        more = {"duplicate_of": duplicate_of} if duplicate_of is not None else {}
        self._records.add("case", state.value, at_ms, platform_no=held.case.platform_no, by=by, note=note, **more)
        if state in TOLD:
            self._tell(held, step)
        self._plan(held)

    def _plan(self, held: _Held) -> None:
        """What comes next by itself, and which limit runs."""
        held.turn += 1
        case = held.case
        coming = held.fate.next(case)
        if coming is not None:
            what = coming.state, coming.note, coming.duplicate_of
            self._add(_Entry(self._at(coming.after_s), 0, case.platform_no, "step", held.turn, *what))
        limit = _LIMITS.get(case.state)
        if limit != held.clock or case.state is CaseState.pending_handle:
            held.clock = limit
            held.clock_turn += 1
            if limit is not None and self.course.goes_on:
                limit_s = float(getattr(self.course.limits, limit))
                self._add(_Entry(self._at(limit_s), 0, case.platform_no, "overdue", held.clock_turn))

    def _flag(self, held: _Held, flag: str, note: str) -> None:
        case = held.case
        if getattr(case, flag) or not case.open:
            return
        setattr(case, flag, True)
        at_ms = now_ms()
        self._records.add("case", flag, at_ms, platform_no=case.platform_no, by=_NOBODY, note=note)
        last = case.history[-1]
        self._tell(held, {**last, "at_ms": at_ms, "by": _NOBODY, "note": note})

    def _tell(self, held: _Held, step: dict[str, Any]) -> None:
        case, habits, dice = held.case, self.course.callbacks, held.dice
        if case.callback_url is None:
            return
        body = body_of(case, step, habits.rename)
        if dice.random() < habits.lost:
            self._records.add("callback", "lost", now_ms(), platform_no=case.platform_no, body=body)
            return
        signing = _signing(habits, dice)
        if dice.random() < habits.late:
            behind = (case.callback_url, body, signing)
            self._add(_Entry(self._at(habits.late_s), 0, case.platform_no, "late", behind=behind))
            return
        for _ in range(2 if dice.random() < habits.repeated else 1):
            self._postman.post(case.callback_url, case.platform_no, body, habits, signing)

    def _plan_outages(self) -> None:
        for number, outage in enumerate(self.course.outages):
            self._add(_Entry(self._course_began + outage.after_s, 0, "", "outage", number))

    def _add(self, entry: _Entry) -> None:
        entry.number = next(self._numbers)
        heapq.heappush(self._due, entry)
        self._changed.notify_all()

    @staticmethod
    def _at(after_s: float) -> float:
        return time.monotonic() + after_s


def _signing(habits: Callbacks, dice: Random) -> Signing:
    if dice.random() < habits.bad_signature:
        return "wrong"
    if habits.expired and dice.random() < habits.expired:
        return "expired"
    return "replayed" if habits.replayed and dice.random() < habits.replayed else "right"
