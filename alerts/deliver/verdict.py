"""Why somebody was told, or was not: a pure function of what is known when a delivery's turn comes.

The platform gets every raise and clear. A crew is not sent to what is over, and what it was told always has its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.record.snapshot import Notice, Snapshot

LATE = timedelta(minutes=10)
WAIT_FOR_BACKLOG = timedelta(seconds=60)


class Verdict(StrEnum):
    """Kept with the delivery (column `verdict`); shown by `VERDICT_LABELS`."""

    tell = "tell"
    wait_for_backlog = "wait_for_backlog"
    wait_for_quiet = "wait_for_quiet"
    overtaken = "overtaken"
    told_already = "told_already"
    already_over = "already_over"
    over_in_backlog = "over_in_backlog"
    end_of_never_told = "end_of_never_told"
    answered_meanwhile = "answered_meanwhile"
    suppressed_meanwhile = "suppressed_meanwhile"
    sink_removed = "sink_removed"

    @property
    def drops(self) -> bool:
        return self not in (Verdict.tell, Verdict.wait_for_backlog, Verdict.wait_for_quiet)


VERDICT_LABELS: dict[Verdict, str] = {
    Verdict.tell: "已通知",
    Verdict.wait_for_backlog: "迟到上报，等待后续上报 60 秒",
    Verdict.wait_for_quiet: "免打扰时段，结束时汇总通知",
    Verdict.overtaken: "此后已有红色告警通知说明，不再单独通知",
    Verdict.told_already: "本人刚收到该告警，不再重复上报",
    Verdict.already_over: "轮到通知时险情已解除，不派人前往",
    Verdict.over_in_backlog: "迟到上报，后续上报显示已解除，不派人前往",
    Verdict.end_of_never_told: "此前未通知，解除也不通知",
    Verdict.answered_meanwhile: "轮到通知时已有人确认或已送达，不再上报",
    Verdict.suppressed_meanwhile: "轮到通知时告警已搁置、检修或由险情说明，不再上报",
    Verdict.sink_removed: "推送目标已移除",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """`over`: the episode has ended. `told`: this receiver has, or may have, an earlier notice of the episode.
    `behind`: how far behind its receipt the thing lay. `owed_for`: how long the delivery has been owed.
    `answered`: what an escalation waits for has come: an acknowledgement, or the receipt. `suppressed`: nobody is to be
    told for now. `quiet`: its receiver is told of red only now, and this is about nothing red. `overtaken`: a later
    notice, a red one, went ahead of it. `at_once`: an escalation of what has just been raised.
    """

    to_crew: bool
    notice: Notice
    over: bool
    told: bool
    behind: timedelta
    owed_for: timedelta
    answered: bool = False
    suppressed: bool = False
    quiet: bool = False
    overtaken: bool = False
    at_once: bool = False


def judge(facts: Facts) -> Verdict:
    found = _judged(facts)
    return Verdict.wait_for_quiet if found is Verdict.tell and facts.quiet and facts.to_crew else found


def _judged(facts: Facts) -> Verdict:
    if facts.notice == "escalate":
        return _of_escalation(facts)
    if not facts.to_crew or facts.notice == "case":
        return Verdict.tell
    if facts.notice in ("clear", "correct"):
        return Verdict.tell if facts.told else Verdict.end_of_never_told
    late = facts.behind > LATE
    if facts.over:
        return Verdict.over_in_backlog if late and not facts.told else Verdict.already_over
    if facts.overtaken:
        return Verdict.overtaken
    if late and not facts.told and facts.owed_for < WAIT_FOR_BACKLOG:
        return Verdict.wait_for_backlog
    return Verdict.tell


def _of_escalation(facts: Facts) -> Verdict:
    if facts.over:
        return Verdict.already_over
    if facts.answered:
        return Verdict.answered_meanwhile
    if facts.told and facts.at_once:
        return Verdict.told_already
    return Verdict.suppressed_meanwhile if facts.suppressed else Verdict.tell


def behind(snapshot: Snapshot) -> timedelta:
    """How far behind its receipt the thing lay that this notice tells."""
    if snapshot["notice"] == "raise":
        happened, received = snapshot["raised_at"], snapshot["raised_received_at"]
    else:
        happened = snapshot["event_at"]
        received = (snapshot["proof"] or {}).get("received_at", happened)
    return datetime.fromisoformat(received) - datetime.fromisoformat(happened)
