"""What we can tell a city's platform: each of our fields by name, its meaning, and what it is in a delivery.

A city's configuration (`template.py`) puts these under the platform's own names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, get_args

from alerts.channels.platform.coordinates import Place, System, converted
from alerts.messages.notice import asset_place, description
from alerts.record.snapshot import Notice, PictureShown, Snapshot
from underfoot.alarms import REASON_LABELS, Reason, Severity
from underfoot.families import FAMILIES

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


def _time(name: Literal["event_at", "raised_at", "raised_received_at", "cleared_at"]) -> Callable[[Facts], Any]:
    def of(facts: Facts) -> datetime | None:
        return _moment(facts.snapshot[name])

    return of


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _case_code(facts: Facts, digits: slice) -> str | None:
    code = facts.of("case", "code")
    return code[digits] if code else None


_SEVERITIES = tuple(int(severity) for severity in Severity)

FIELDS: dict[str, Field] = {
    # which event
    "push_id": Field("推送编号：同一条推送每次重发都相同", lambda f: f.push_id),
    "event_id": Field(
        "事件编号：告警号-次数，同一次告警的各条推送相同",
        lambda f: f"{f.snapshot['alarm_key']}-{f.snapshot['episode']}",
    ),
    "event_ids": Field("事件编号，作为列表", lambda f: [f"{f.snapshot['alarm_key']}-{f.snapshot['episode']}"], "list"),
    "alarm": Field("告警号", lambda f: str(f.snapshot["alarm_key"])),
    "episode": Field("该告警的第几次", lambda f: f.snapshot["episode"], "number"),
    "transition_no": Field("该告警的第几次变化", lambda f: f.snapshot["transition_no"], "number"),
    "notice": Field(
        "推送类型：raise 发生、change 变化、clear 解除、correct 更正、escalate 升级",
        lambda f: f.snapshot["notice"],
        values=get_args(Notice),
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
    # as a case
    "case_type": Field(
        "案件类型：component 部件、event 事件", lambda f: f.of("case", "type"), values=("component", "event")
    ),
    "case_code": Field("案件大小类代码，4 位", lambda f: f.of("case", "code")),
    "case_class": Field("案件大类代码，2 位", lambda f: _case_code(f, slice(2))),
    "case_small_class": Field("案件小类代码，2 位", lambda f: _case_code(f, slice(2, None))),
    "code_scheme": Field("部件编码标准", lambda f: f.asset("code_scheme")),
    # where
    "location": Field("位置：地址和部件名称", lambda f: asset_place(f.snapshot)),
    "address": Field("地址", lambda f: f.asset("address")),
    "lon": Field("经度，按本配置的坐标系", lambda f: f.place[0], "number"),
    "lat": Field("纬度，按本配置的坐标系", lambda f: f.place[1], "number"),
    "area_code": Field("行政区划代码", lambda f: f.of("area", "code")),
    "area_name": Field("行政区划名称", lambda f: f.of("area", "name")),
    "district": Field("区县代码，6 位", lambda f: f.of("area", "district")),
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
