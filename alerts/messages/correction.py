"""What people read when late data has changed a past that they were told of. Chinese, 70 characters, then the link."""

from __future__ import annotations

from alerts.history.correction import Finding
from alerts.messages.places import fitted
from alerts.messages.wording import LONGEST, city, clock, cut, plain
from alerts.record.snapshot import CorrectionShown, Snapshot
from underfoot.alarms import Severity

_LONGEST_TITLE = 16


def correction(snapshot: Snapshot, place: tuple[str, str]) -> str:
    """The text up to where the link follows. `place`: address and name as people say them."""
    head = f"【更正】{cut(plain(snapshot['title']), _LONGEST_TITLE)}｜"
    what = corrected(snapshot)
    where = fitted(*place, max(LONGEST - len(f"{head}，{what}。查看▸"), 0))
    return f"{head}{where}{'，' if where else ''}{what}。查看▸"


def corrected(snapshot: Snapshot) -> str:
    """What it was in truth."""
    shown = (snapshot["proof"] or {}).get("correction")
    if shown is None:
        raise ValueError(f"alarm {snapshot['alarm_key']}: a notice of a correction that says none")
    told = clock(city(snapshot["raised_at"]), city(snapshot["event_at"]))
    match Finding(shown["verdict"]):
        case Finding.unfounded:
            return f"据迟到数据，{told}的告警不成立，无需处置"
        case Finding.merged:
            return f"据迟到数据，{told}的告警与另一次是同一险情"
        case Finding.missed | Finding.changed:
            return f"据迟到数据，实为{_span(snapshot, shown)}，最高{Severity(shown['worst_severity'] or 1).label}级"


def _span(snapshot: Snapshot, shown: CorrectionShown) -> str:
    today = city(snapshot["event_at"])
    begin = clock(city(shown["raised_at"] or snapshot["raised_at"]), today)
    end = shown["cleared_at"] or snapshot["cleared_at"]
    return f"{begin}起未解除" if end is None else f"{begin}至{clock(city(end), today)}"
