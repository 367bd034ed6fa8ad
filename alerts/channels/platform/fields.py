"""What we can tell a city's platform: each of our fields by name, its meaning, and what it is in a delivery.

A city's configuration (`template.py`) puts these under the platform's own names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from alerts.cases.events import EVENT_LABELS
from alerts.cases.states import ENDED_LABELS, CaseState
from alerts.channels.platform.coordinates import Place, System, converted
from alerts.duty.calendar import TimeKind
from alerts.messages.notice import asset_place, deadline, description, headline, message
from alerts.record.snapshot import Notice, PictureShown, Snapshot
from underfoot.alarms import REASON_LABELS, Reason, Severity
from underfoot.families import FAMILIES

if TYPE_CHECKING:
    from alerts.upward.indicators import Indicators, Name

Kind = Literal["text", "number", "time", "list"]

PictureKind = Literal["near", "far", "before", "after"]


@dataclass(frozen=True)
class Facts:
    """One delivery, and what of it the edge decides: coordinates are converted here, times where they are written."""

    snapshot: Snapshot
    push_id: str
    link: str
    callback_url: str | None = None
    system: System = "cgcs2000"
    decimals: int = 6
    picture: PictureShown | None = None
    """The one that a list of pictures is at."""
    step: Mapping[str, Any] | None = None
    """The case's step that is told upward."""
    indicators: Indicators | None = None
    """Of the day that is told upward; then there is no event."""
    beside: tuple[Snapshot, ...] = ()
    """What else the message tells, where it is about several alarms."""

    @cached_property
    def place(self) -> tuple[float | None, float | None]:
        asset = self.snapshot["asset"]
        return self._edge(asset["lon"], asset["lat"]) if asset else (None, None)

    @property
    def pictures(self) -> list[PictureShown]:
        return self.snapshot.get("pictures", [])

    def asset(self, name: str) -> Any:
        found: Mapping[str, Any] = self.snapshot["asset"] or {}
        return found.get(name)

    def of(self, part: Literal["case", "device", "area", "crew", "proof"], name: str) -> Any:
        found: Mapping[str, Any] = self.snapshot[part] or {}
        return found.get(name)

    def of_step(self, name: str) -> Any:
        return (self.step or {}).get(name)

    def of_picture(self, name: str) -> Any:
        given: Mapping[str, Any] = self.picture or {}
        return given.get(name)

    @cached_property
    def picture_place(self) -> tuple[float | None, float | None]:
        return self._edge(self.of_picture("lon"), self.of_picture("lat"))

    def _edge(self, lon: float | None, lat: float | None) -> tuple[float | None, float | None]:
        if lon is None or lat is None:
            return None, None
        place = converted(Place(lon, lat), self.system)
        return round(place.lon, self.decimals), round(place.lat, self.decimals)


@dataclass(frozen=True)
class Field:
    meaning: str
    of: Callable[[Facts], Any]
    kind: Kind = "text"
    values: tuple[Any, ...] = field(default=())
    """All that it can be, where these are few. A map over it must know them all."""
    stands_for: Mapping[str, str] = field(default_factory=dict)
    """… but these, which came later: where a map does not know one, it is to the platform as the other."""


def _time(name: Literal["event_at", "raised_at", "raised_received_at", "cleared_at"]) -> Callable[[Facts], Any]:
    def of(facts: Facts) -> datetime | None:
        return _moment(facts.snapshot[name])

    return of


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _state_label(state: str | None) -> str | None:
    return CaseState(state).label if state else None


def _act_label(event: str | None) -> str | None:
    return EVENT_LABELS.get(event, event) if event else None


def _link_key(link: str) -> str:
    return link.rpartition("/")[2]


def _halved(key: str) -> tuple[str, str]:
    """For a template whose variables are shorter than a key: neither half is empty, whatever the key's length."""
    middle = (len(key) + 1) // 2
    return key[:middle], key[middle:]


def _case_code(facts: Facts, digits: slice) -> str | None:
    code = facts.of("case", "code")
    return code[digits] if code else None


def _area_code(facts: Facts, digits: int) -> str | None:
    """Of the area of so many digits that the thing lies in, as far as the ledger says."""
    code: str | None = facts.of("area", "code")
    return code[:digits] if code is not None and len(code) >= digits else None


def _flag(said: bool | None) -> int | None:
    return None if said is None else int(said)


def _suspended(facts: Facts) -> int | None:
    state = facts.of("case", "state")
    return None if state is None else int(state == CaseState.suspended)


def _limit(clock: Literal["arrive", "repair"], said: str) -> dict[str, Field]:
    """A time limit as its 立案条件 has it: so much of a kind of time."""

    def kind(facts: Facts) -> TimeKind | None:
        found = facts.of("case", f"{clock}_kind")
        return TimeKind(found) if found else None

    def label(facts: Facts) -> str | None:
        found = kind(facts)
        return found.label if found is not None else None

    kinds = tuple(one.value for one in TimeKind)
    return {
        f"{clock}_kind": Field(f"{said}时限的计时方式", lambda f: f.of("case", f"{clock}_kind"), values=kinds),
        f"{clock}_kind_label": Field(f"{said}时限的计时方式，中文：紧急工作时、工作时、工作日、自然日", label),
        f"{clock}_amount": Field(f"{said}时限的数量", lambda f: f.of("case", f"{clock}_amount"), "number"),
    }


def event_id(snapshot: Snapshot) -> str:
    """What the platform knows the case by. An episode of which a case was merged has another one later."""
    case = snapshot["case"]
    again = f"-{case['again']}" if case is not None and case.get("again") else ""
    return f"{snapshot['alarm_key']}-{snapshot['episode']}{again}"


STANDS_FOR: dict[Notice, Notice] = {"cancel": "clear", "progress": "change"}
"""To a platform whose configuration was written before there were these: a cancelled case is over, one that went on has
changed."""


def _case_level(facts: Facts) -> int:
    """Of what nobody has filed, as most are filed: 红 2, 橙 1."""
    level = facts.of("case", "level")
    return int(level) if level is not None else max(facts.snapshot["severity"] - 2, 0)


_SEVERITIES = tuple(int(severity) for severity in Severity)

FIELDS: dict[str, Field] = {
    # which event
    "push_id": Field("推送编号：同一条推送每次重发都相同", lambda f: f.push_id),
    "event_id": Field(
        "事件编号：告警号-次数，同一次告警的各条推送相同",
        lambda f: event_id(f.snapshot),
    ),
    "event_ids": Field("事件编号，作为列表", lambda f: [event_id(f.snapshot)], "list"),
    "alarm": Field("告警号", lambda f: str(f.snapshot["alarm_key"])),
    "episode": Field("该告警的第几次", lambda f: f.snapshot["episode"], "number"),
    "transition_no": Field("该告警的第几次变化", lambda f: f.snapshot["transition_no"], "number"),
    "notice": Field(
        "推送类型：raise 发生、change 变化、clear 解除、correct 更正、escalate 升级、cancel 撤案、progress 进展",
        lambda f: f.snapshot["notice"],
        values=tuple(notice for notice in get_args(Notice) if notice != "case"),  # that is told to crews alone
        stands_for={str(later): str(before) for later, before in STANDS_FOR.items()},
    ),
    "reason": Field("变化原因代码", lambda f: f.snapshot["reason"]),
    "reason_label": Field("变化原因", lambda f: REASON_LABELS[Reason(f.snapshot["reason"])]),
    "rule_id": Field("规则", lambda f: f.snapshot["rule_id"]),
    "installation_id": Field("本系统安装编号", lambda f: f.snapshot["installation_id"]),
    # what
    "title": Field("告警名称", lambda f: f.snapshot["title"]),
    "description": Field("问题描述，一句话", lambda f: description(f.snapshot)),
    "severity": Field("级别：1 蓝、2 黄、3 橙、4 红", lambda f: f.snapshot["severity"], "number", _SEVERITIES),
    "severity_label": Field(
        "级别：蓝、黄、橙、红",
        lambda f: Severity(f.snapshot["severity"]).label,
        values=tuple(s.label for s in Severity),
    ),
    "worst_severity": Field("本次最高级别，1 至 4", lambda f: f.snapshot["worst_severity"], "number", _SEVERITIES),
    "value": Field("监测值", lambda f: f.of("proof", "value"), "number"),
    "limit": Field("限值", lambda f: f.of("proof", "limit"), "number"),
    "unit": Field("监测值单位", lambda f: f.of("proof", "unit")),
    "reading_label": Field("监测项", lambda f: f.of("proof", "label")),
    "first_act": Field("先期处置", lambda f: f.of("crew", "act")),
    "deadline": Field("控险时限，时刻，如 22:08", lambda f: deadline(f.snapshot) or None),
    "headline": Field("告警名称，含处数或解除，如 灯具不亮10处", lambda f: headline(f.snapshot, f.beside)),
    "message": Field("通知文字，至多 70 字，不含链接", lambda f: message(f.snapshot, f.link, f.beside).text),
    # as a case
    "case_type": Field(
        "案件类型：component 部件、event 事件", lambda f: f.of("case", "type"), values=("component", "event")
    ),
    "case_code": Field("案件大小类代码，4 位", lambda f: f.of("case", "code")),
    "case_class": Field("案件大类代码，2 位", lambda f: _case_code(f, slice(2))),
    "case_small_class": Field("案件小类代码，2 位", lambda f: _case_code(f, slice(2, None))),
    "code_scheme": Field("部件编码标准", lambda f: f.asset("code_scheme")),
    "case_no": Field("本系统案件号", lambda f: f.of("case", "case_key"), "number"),
    "case_scheme": Field("案件编码标准", lambda f: f.of("case", "code_scheme")),
    "case_code_name": Field("案件小类名称", lambda f: f.of("case", "code_name")),
    "condition_name": Field("立案条件", lambda f: f.of("case", "condition_name")),
    "case_level": Field("案件等级：0 一般、1 重要、2 重大", _case_level, "number", values=(0, 1, 2)),
    "case_state": Field("案件状态", lambda f: f.of("case", "state"), values=tuple(state.value for state in CaseState)),
    "case_state_label": Field("案件状态，中文", lambda f: _state_label(f.of("case", "state"))),
    "ended_how": Field("案件怎样结束", lambda f: f.of("case", "ended_how"), values=tuple(ENDED_LABELS)),
    "arrive_by": Field("到场期限", lambda f: _moment(f.of("case", "arrive_by")), "time"),
    "repair_by": Field("处置期限", lambda f: _moment(f.of("case", "repair_by")), "time"),
    **_limit("arrive", "到场"),
    **_limit("repair", "处置"),
    "supervised": Field("督办：1 是、0 否", lambda f: _flag(f.of("case", "supervised")), "number", values=(0, 1)),
    "suspended": Field("挂账：1 是、0 否", _suspended, "number", values=(0, 1)),
    "rework": Field("返工次数", lambda f: f.of("case", "rework"), "number"),
    "case_act": Field(
        "对案件做了什么（cancel、progress）：verified 核实、arrived 到场、handled 处置完成、suspended 挂账、resumed"
        " 恢复、supervised 督办、cancelled 撤销、merged 并案、duplicate 重复、false_alarm 误报",
        lambda f: f.of("case", "act"),
    ),
    "case_act_label": Field("对案件做了什么，中文", lambda f: _act_label(f.of("case", "act"))),
    "case_note": Field("对案件操作的说明", lambda f: f.of("case", "note")),
    "duplicate_of": Field("与之重复的市民上报案件编号", lambda f: f.of("case", "duplicate_of")),
    "merged_into": Field("并入的险情案件的事件编号", lambda f: f.of("case", "merged_into")),
    "platform_no": Field("市平台的案件编号", lambda f: f.of("case", "platform_no")),
    # the case's step, on the upward link
    "step_no": Field("案件的第几步（仅上联）", lambda f: f.of_step("step_no"), "number"),
    "step_event": Field("案件发生了什么（仅上联）", lambda f: f.of_step("event")),
    "step_at": Field("发生时间（仅上联）", lambda f: f.of_step("at"), "time"),
    "step_by": Field("由谁（仅上联）", lambda f: f.of_step("actor")),
    "step_note": Field("说明（仅上联）", lambda f: f.of_step("note")),
    # where
    "location": Field("位置：地址和部件名称", lambda f: asset_place(f.snapshot)),
    "address": Field("地址", lambda f: f.asset("address")),
    "lon": Field("经度，按本配置的坐标系", lambda f: f.place[0], "number"),
    "lat": Field("纬度，按本配置的坐标系", lambda f: f.place[1], "number"),
    "area_code": Field("行政区划代码", lambda f: f.of("area", "code")),
    "area_name": Field("行政区划名称", lambda f: f.of("area", "name")),
    "district": Field("区县代码，6 位", lambda f: f.of("area", "district")),
    "street_code": Field("街道代码，9 位", lambda f: _area_code(f, 9)),
    "street_name": Field("街道名称", lambda f: f.of("area", "street")),
    "community_code": Field("社区代码，12 位", lambda f: _area_code(f, 12)),
    "community_name": Field("社区名称", lambda f: f.of("area", "name") if _area_code(f, 12) else None),
    # whose
    "asset_code": Field("部件标识码", lambda f: f.asset("asset_code")),
    "asset_name": Field("部件名称", lambda f: f.asset("name")),
    "asset_kind": Field("部件大小类代码", lambda f: f.asset("kind")),
    "owner_unit": Field("权属单位", lambda f: f.asset("owner_unit")),
    "maintenance_unit": Field("养护单位", lambda f: f.asset("maintenance_unit")),
    "device_id": Field("设备号", lambda f: f.of("device", "device_id")),
    "family": Field("设备类别", lambda f: f.of("device", "family"), values=tuple(FAMILIES)),
    "vendor": Field("设备厂商", lambda f: f.of("device", "vendor")),
    # when
    "event_at": Field("本次变化的时间", _time("event_at"), "time"),
    "raised_at": Field("告警发生时间", _time("raised_at"), "time"),
    "received_at": Field("告警收到时间", _time("raised_received_at"), "time"),
    "cleared_at": Field("告警解除时间", _time("cleared_at"), "time"),
    # our side
    "link": Field("告警页面的地址", lambda f: f.link),
    "link_key": Field("告警页面地址的末段，至多 64 字", lambda f: _link_key(f.link)),
    "link_head": Field("告警页面地址末段的前一半，至多 32 字", lambda f: _halved(_link_key(f.link))[0]),
    "link_rest": Field("告警页面地址末段的后一半，至多 32 字", lambda f: _halved(_link_key(f.link))[1]),
    "callback_url": Field("平台回传处置情况的地址", lambda f: f.callback_url),
}

PICTURE_FIELDS: dict[str, Field] = {
    "picture_kind": Field(
        "照片类型：near 近景、far 远景、before 处置前、after 处置后",
        lambda f: f.of_picture("kind"),
        values=get_args(PictureKind),
    ),
    "picture_url": Field("照片地址", lambda f: f.of_picture("url")),
    "picture_base64": Field("照片内容，Base64", lambda f: f.of_picture("base64")),
    "picture_name": Field("照片文件名", lambda f: f.of_picture("name")),
    "picture_at": Field("拍摄时间", lambda f: _moment(f.of_picture("taken_at")), "time"),
    "picture_lon": Field("拍摄经度", lambda f: f.picture_place[0], "number"),
    "picture_lat": Field("拍摄纬度", lambda f: f.picture_place[1], "number"),
}


def _indicator(name: Name, what: Literal["numerator", "denominator", "rate", "percent", "excluded"]) -> Field:
    """One number of one indicator, or what was left out of it, in words."""

    def said(facts: Facts) -> Any:
        if facts.indicators is None:
            return None
        one = facts.indicators[name]
        match what:
            case "rate":
                return None if one.rate is None else round(one.rate, 6)
            case "percent":
                return None if one.rate is None else round(100 * one.rate, 2)
            case "excluded":
                return one.excluded_text()
        return getattr(one, what)

    meanings = {
        "numerator": "分子",
        "denominator": "分母",
        "rate": "0–1",
        "percent": "百分数",
        "excluded": "不计入的数量，文字",
    }
    return Field(f"{_INDICATOR_LABELS[name]}：{meanings[what]}", said, "text" if what == "excluded" else "number")


_INDICATOR_LABELS: dict[Name, str] = {
    "online": "设备在线率",
    "handled": "告警处置率",
    "on_time": "按期处置率",
    "intact": "设施完好率",
}

INDICATOR_FIELDS: dict[str, Field] = {
    "push_id": FIELDS["push_id"],
    "day": Field("日期", lambda f: f.indicators.period.name if f.indicators is not None else None),
    "reckoned_until": Field("统计到", lambda f: f.indicators.until if f.indicators is not None else None, "time"),
    **{
        f"{name}_{what}": _indicator(name, what)
        for name in _INDICATOR_LABELS
        for what in ("numerator", "denominator", "rate", "percent", "excluded")
    },
}
"""Of a day's indicators, on the upward link."""
