"""How cases go on the stand-in: how long its people take, how often they send back, rework, forget; and its bad days.

A course is a YAML file, or told over HTTP. Times are seconds; a case's own fate follows from the seed and the case.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Annotated, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.platform.behaviour import Behaviour
from simulators.platform.cases import BEFORE_DISPATCH, FINAL, Case, CaseState

Seconds = Annotated[float, Field(ge=0, le=10_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
_S = CaseState


class CourseError(ValueError):
    """A course that cannot be followed: says which field, and why."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Takes(_Strict):
    """How long a case rests in a stage before somebody takes the next step."""

    verify_s: Seconds = 1
    register_s: Seconds = 1
    dispatch_s: Seconds = 1
    begin_s: Seconds = 1
    handle_s: Seconds = 3
    suspend_s: Seconds = 5
    check_s: Seconds = 1
    close_s: Seconds = 1
    spread: Share = 0.3
    """Each time is this much shorter or longer, at most."""


class Limits(_Strict):
    """After how long a stage is overdue (超时), and after how much longer it is under supervision (督办)."""

    register_s: Seconds = 900
    dispatch_s: Seconds = 900
    handle_s: Seconds = 21_600
    check_s: Seconds = 1800
    supervise_after_s: Seconds = 3600


class Fates(_Strict):
    """How often it does not go straight on. `overdue`: handling takes until after its limit."""

    verified: Share = 0
    not_real: Share = 0
    not_accepted: Share = 0
    duplicate: Share = 0
    """A citizen has reported the same: 作废, and the citizen's case goes on instead."""
    returned: Share = 0
    suspended: Share = 0
    rework: Share = 0
    most_rework: Annotated[int, Field(ge=1, le=10)] = 2
    overdue: Share = 0


class Callbacks(_Strict):
    """What happens to what the platform tells back. `rename`: other names for its fields, as cities have them."""

    lost: Share = 0
    repeated: Share = 0
    late: Share = 0
    """Overtaken: it comes `late_s` after its time, behind what was told later."""
    late_s: Seconds = 2
    bad_signature: Share = 0
    expired: Share = 0
    """Signed with a time of an hour ago."""
    replayed: Share = 0
    """Its very bytes come again, signature and all."""
    together: Annotated[int, Field(ge=1, le=1000)] = 1
    """What waits for the same receiver goes in one body, so many at a time at most: `{"callbacks": […]}`."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    retry_s: Seconds = 1
    token: str | None = None
    """Callbacks are signed (`x-tif-*`) with it."""
    rename: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.token is None and (self.bad_signature or self.expired or self.replayed):
            raise ValueError("token: is needed for bad_signature, expired and replayed: without it nothing is signed")
        return self


class Outage(_Strict):
    """`behaviour` begins so many seconds after the course does; how long it lasts is its own `seconds` or `count`."""

    after_s: Seconds
    behaviour: Behaviour

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.behaviour.seconds is None and self.behaviour.count is None:
            raise ValueError(f"behaviour {self.behaviour.kind}: an outage on a script needs seconds or count")
        return self


class Course(_Strict):
    name: str = "none"
    title: str = ""
    goes_on: bool = True
    """False: cases stay as reported until somebody takes a step by hand."""
    takes: Takes = Takes()
    limits: Limits = Limits()
    fates: Fates = Fates()
    callbacks: Callbacks = Callbacks()
    outages: tuple[Outage, ...] = ()
    clear_cancels: bool = True
    """An alarm that is over before anybody was sent makes its case void."""


def shipped_courses() -> list[str]:
    folder = files("simulators.platform") / "courses"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_course(name: str) -> Course:
    """A shipped course by its name, or one from a YAML file."""
    if name in shipped_courses():
        text = (files("simulators.platform") / "courses" / f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise CourseError(f"{name!r}: no such file, and no shipped course: {', '.join(shipped_courses())}")
    try:
        return Course.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise CourseError(f"{name}: no YAML: {error}") from None
    except ValidationError as error:
        lines = (
            f"{name}: {'.'.join(map(str, item['loc']))} = {item['input']!r}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        raise CourseError("\n".join(lines)) from None


class Coming(NamedTuple):
    """The step that comes by itself, after how long; `duplicate_of`: a citizen's case that goes on instead."""

    after_s: float
    state: CaseState
    note: str
    duplicate_of: str | None = None


class Fate:
    """What becomes of one case, step by step; the same seed and case meet the same fate."""

    def __init__(self, course: Course, seed: int, case: Case) -> None:
        self.course = course
        self._random = Random(f"course {seed} {case.key}")

    def next(self, case: Case) -> Coming | None:
        """None where nothing comes by itself."""
        if case.state in FINAL or not self.course.goes_on:
            return None
        takes, fates = self.course.takes, self.course.fates
        if case.cleared and self.course.clear_cancels and case.state in BEFORE_DISPATCH:
            return Coming(self._after(takes.register_s), _S.cancelled, "险情已自行消除")
        match case.state:
            case _S.reported:
                state = _S.pending_verify if self._falls(fates.verified) else _S.pending_register
                return Coming(self._after(0), state, "")
            case _S.pending_verify:
                if self._falls(fates.not_real):
                    return Coming(self._after(takes.verify_s), _S.not_accepted, "现场核实：未发现该问题")
                return Coming(self._after(takes.verify_s), _S.pending_register, "现场核实：属实")
            case _S.pending_register:
                if self._falls(fates.not_accepted):
                    return Coming(self._after(takes.register_s), _S.not_accepted, "不属于立案范围")
                if self._falls(fates.duplicate):
                    other = f"SM{self._random.randrange(10**8):08d}"
                    return Coming(self._after(takes.register_s), _S.cancelled, f"与市民上报案件{other}重复", other)
                return Coming(self._after(takes.register_s), _S.accepted, "")
            case _S.accepted:
                return Coming(0.0, _S.pending_dispatch, "")
            case _S.pending_dispatch:
                return Coming(self._after(takes.dispatch_s), _S.dispatched, "")
            case _S.dispatched:
                if case.returns == 0 and self._falls(fates.returned):
                    return Coming(self._after(takes.begin_s), _S.returned, "非我单位职责，退回重新派遣")
                return Coming(0.0, _S.pending_handle, "")
            case _S.pending_handle:
                return Coming(self._after(takes.begin_s), _S.handling, "")
            case _S.handling:
                return self._handling(case)
            case _S.suspended:
                return Coming(self._after(takes.suspend_s), _S.handling, "恢复处置")
            case _S.returned:
                return Coming(self._after(takes.dispatch_s), _S.pending_dispatch, "")
            case _S.handle_finish:
                return Coming(0.0, _S.pending_check, "")
            case _S.pending_check:
                return Coming(self._after(takes.check_s), _S.checking, "")
            case _S.checking:
                if case.rework < fates.most_rework and self._falls(fates.rework):
                    return Coming(self._after(takes.check_s), _S.check_not_pass, "核查：未修复到位，返工")
                return Coming(self._after(takes.check_s), _S.check_pass, "核查：已修复")
            case _S.check_not_pass:
                return Coming(0.0, _S.pending_handle, "返工")
            case _S.check_pass:
                return Coming(0.0, _S.pending_close, "")
            case _:
                return Coming(self._after(takes.close_s), _S.closed, "结案")

    def _handling(self, case: Case) -> Coming:
        takes, fates = self.course.takes, self.course.fates
        was_suspended = any(step["state"] == _S.suspended for step in case.history)
        if not was_suspended and self._falls(fates.suspended):
            return Coming(self._after(takes.handle_s / 2), _S.suspended, "需协调占道手续，挂账")
        if self._falls(fates.overdue):
            return Coming(
                self.course.limits.handle_s + self._after(takes.handle_s), _S.handle_finish, "处置完成（超时）"
            )
        return Coming(self._after(takes.handle_s), _S.handle_finish, "处置完成")

    def _after(self, seconds: float) -> float:
        spread = self.course.takes.spread
        return seconds * self._random.uniform(1 - spread, 1 + spread)

    def _falls(self, share: float) -> bool:
        return self._random.random() < share
