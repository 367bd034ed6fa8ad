"""Case: how far the city's platform is with it, and its two clocks. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from alerts.cases.clocks import Reading, reading_of
from alerts.cases.states import CaseState, Need, state_said
from api.page.words import at, left
from api.rows import Row

_LEVELS = ("一般", "重要", "重大")


@dataclass(frozen=True, slots=True)
class Clock:
    """`until`: while it runs, for the countdown. `state`: running, late, kept (in time), missed."""

    name: str
    by: str
    said: str
    state: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class CaseView:
    state: str
    number: str
    what: str
    clocks: tuple[Clock, ...]
    flags: tuple[str, ...]
    need: str


def case_view(row: Row | None, now: datetime) -> CaseView | None:
    if row is None:
        return None
    number = row["platform_no"] or "平台尚未回编号"
    if row["duplicate_of"]:
        number = f"与市民上报案件 {row['duplicate_of']} 合并办理"
    return CaseView(
        state=state_said(CaseState(row["state"]), row["ended_how"]),
        number=number,
        what=f"{row['code_name'] or row['code']} · {row['condition_name']} · {_LEVELS[row['level']]}",
        clocks=tuple(
            clock
            for clock in (
                _clock("到场处置安全", reading_of(row, "arrive", now), row["arrived_at"], now),
                _clock("修复完成", reading_of(row, "repair", now), row["handled_at"], now),
            )
            if clock is not None
        ),
        flags=tuple(
            said
            for said, so in (
                ("督办", row["supervised"]),
                ("挂账", row["suspended_since"] is not None),
                (f"返工 {row['rework']} 次", row["rework"] > 0),
            )
            if so
        ),
        need=Need(row["needs_person"]).label if row["needs_person"] in set(Need) else row["needs_person"] or "",
    )


def _clock(name: str, reading: Reading | None, done_at: datetime | None, now: datetime) -> Clock | None:
    if reading is None:
        return None
    by = reading.clock.by
    limit = f"{at(by, now)} 前"
    if done_at is not None:
        in_time = done_at <= by
        return Clock(
            name, limit, f"{at(done_at, now)} 完成{'' if in_time else '，超时'}", "kept" if in_time else "missed"
        )
    if reading.done_at is not None:
        return Clock(name, limit, "案件已结束", "kept")
    if reading.stopped_since is not None:
        return Clock(name, limit, "挂账，暂停计时", "kept")
    return Clock(name, limit, left(by, now), "running" if by > now else "late", by)
