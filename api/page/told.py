"""Told: who was told of the alarm, when, and who could not be reached. Pure; the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from alerts.deliver.verdict import VERDICT_LABELS, Verdict
from api.page.facts import Named
from api.page.reader import who
from api.page.words import at
from api.rows import Row

State = Literal["delivered", "waiting", "failed", "needless"]

_NOTICES = {
    "raise": "告警",
    "change": "级别变化",
    "clear": "解除",
    "correct": "更正",
    "escalate": "升级通知",
    "cancel": "撤案",
    "progress": "办理进展",
    "case": "案件进展",
}
_CHANNELS = {
    "platform": "平台接口",
    "wecom": "企业微信",
    "dingtalk": "钉钉",
    "feishu": "飞书",
    "mail": "邮件",
    "sms": "短信",
    "webhook": "接口",
}
_STATES: dict[str, tuple[State, str]] = {
    "delivered": ("delivered", "已送达"),
    "owed": ("waiting", "待送达"),
    "dead": ("failed", "发送失败"),
    "dropped": ("needless", "无需通知"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """One message owed to one receiver. `note`: why it waits, or was not sent."""

    when: str
    whom: str
    by: str
    what: str
    state: State
    state_said: str
    note: str


def told(rows: Sequence[Row], named: Named, now: datetime, *, sees_names: bool) -> tuple[Told, ...]:
    found = []
    for row in rows:
        state, said = _STATES[row["state"]]
        moment = row["settled_at"] or row["created_at"]
        by = _CHANNELS.get(row["channel"], str(row["channel"]))
        whom = who(row["sink"], named, sees_names=sees_names)
        found.append(
            Told(
                when=at(moment, now),
                whom=whom if whom != row["sink"] else by,
                by=by,
                what=_NOTICES.get(row["notice"], str(row["notice"])),
                state=state,
                state_said=said,
                note=_note(row, now),
            )
        )
    return tuple(found)


def _note(row: Row, now: datetime) -> str:
    """No address and no answer of the receiver's server: who reads this can do nothing with them."""
    if row["state"] == "owed":
        if row["attempts"] == 0:
            return ""
        again = f"，{at(row['next_attempt_at'], now)} 再发" if row["next_attempt_at"] else ""
        return f"已试 {row['attempts']} 次未成{again}"
    if row["state"] == "dead":
        return "请改用电话通知"
    if row["state"] == "dropped" and row["verdict"] in set(Verdict):
        return VERDICT_LABELS[Verdict(row["verdict"])]
    number = (row["receipt"] or {}).get("platform_no")
    return f"平台编号 {number}" if number else ""
