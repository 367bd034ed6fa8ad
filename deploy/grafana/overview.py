"""The overview: what a city's operations centre has on its wall. One function a panel."""

from __future__ import annotations

from deploy.grafana import fields
from deploy.grafana.city_map import View, city_map
from deploy.grafana.fields import Json
from deploy.grafana.parts import (
    annotation,
    bars,
    choice,
    graph,
    hidden,
    link,
    override,
    query,
    stat,
    table,
    variable,
)
from underfoot.alarms import Severity
from underfoot.families import FAMILIES
from underfoot.storage.statements import statement

UID = "underfoot-overview"


def overview(api_url: str, view: View) -> Json:
    """The whole dashboard; `api_url` is where its links lead."""
    panels = [
        _online(),
        _open_alarms(),
        _deepest(),
        _behind(),
        _owed(),
        city_map((0, 5, 12, 13), view),
        _alarms(),
        _hydrograph(),
        _deepest_places(),
        _reports(),
        _delay(),
        _deliveries(),
        _quarantine(),
        _latest(),
    ]
    for number, made in enumerate(panels, start=1):
        made["id"] = number
    return {
        "uid": UID,
        "title": "脚底下的安全 · 总览",
        "description": "井盖、积水点、管网、泵站、雨量、灯杆：在线率、告警、积水、上报、推送与隔离区",
        "tags": ["underfoot"],
        "timezone": "Asia/Shanghai",
        "weekStart": "monday",
        "refresh": "30s",
        "timepicker": {"refresh_intervals": ["30s", "1m", "5m", "15m", "1h"]},
        "time": {"from": "now-6h", "to": "now"},
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": 42,
        "links": [],
        "templating": {
            "list": [
                variable("district", "区", "district", statement("grafana_overview.variable_district")),
                choice("family", "设备类别", "family", {family.name: family.label for family in FAMILIES.values()}),
                variable("device", "设备", "device_id", statement("grafana_overview.variable_device")),
                hidden("api", api_url.rstrip("/")),
            ]
        },
        "annotations": {"list": [annotation("橙色与红色告警", "grafana_overview.annotations", "red")]},
        "panels": panels,
    }


def _online() -> Json:
    return stat(
        "设备在线率",
        (0, 0, 5, 5),
        "grafana_overview.online",
        about="在线设备 / 在用设备（检修与停用的不计）。离线由离线规则判定；从未上报的设备不算在线。",
        fields={
            "online_pct": {"displayName": "在线率", "unit": "percent", "decimals": 1, "min": 0, "max": 100},
            "offline": {"displayName": "离线", "thresholds": fields.steps((None, "gray"), (1, "orange"))},
            "never_reported": {"displayName": "从未上报", "thresholds": fields.steps((None, "gray"), (1, "orange"))},
        },
    )


def _open_alarms() -> Json:
    return stat(
        "未恢复告警",
        (5, 0, 8, 5),
        "grafana_overview.open_alarms",
        about="条件仍成立的告警，按当前级别；与地点无关的系统告警总在内。",
        fields={
            severity.name: {
                "displayName": severity.label,
                "thresholds": fields.steps((None, "gray"), (1, fields.COLORS[severity])),
            }
            for severity in Severity
        },
    )


def _deepest() -> Json:
    made = stat(
        "最深积水",
        (13, 0, 4, 5),
        "grafana_overview.deepest",
        about="在用积水监测设备的最新深度之最大者。",
        fields={
            "depth_cm": {**fields.named("road", "depth_cm", low=0, high=60), "color": {"mode": "continuous-blues"}}
        },
    )
    made["options"]["reduceOptions"] = {"values": False, "calcs": ["max"], "fields": ""}
    return made


def _behind() -> Json:
    return stat(
        "处理滞后",
        (17, 0, 4, 5),
        "grafana_overview.behind",
        about="最慢分片已全部入库到多久以前；探测：一条消息从发布到入库的时间。滞后超过 1 分钟即不正常。",
        fields={
            "behind_s": {
                "displayName": "滞后",
                "unit": "suffix:秒",
                "decimals": 0,
                "thresholds": fields.steps((None, "green"), (60, "orange"), (300, "red")),
            },
            "probe_delay_ms": {"displayName": "探测", "unit": "suffix:毫秒", "decimals": 0},
        },
    )


def _owed() -> Json:
    return stat(
        "待推送",
        (21, 0, 3, 5),
        "grafana_overview.owed",
        about="尚未送达一网统管平台或班组的推送，及其中最久者。",
        fields={
            "owed": {"displayName": "条数", "thresholds": fields.steps((None, "green"), (1, "orange"))},
            "oldest_owed_s": {"displayName": "最久", "unit": "dthms"},
        },
    )


def _alarms() -> Json:
    return table(
        "告警",
        (12, 5, 12, 13),
        "grafana_overview.alarm_table",
        about="未恢复的，以及已恢复而无人确认的。点告警看经过、依据与通知；点设备只看该设备。",
        fields={
            "severity": {
                "displayName": "级别",
                "mappings": fields.severities(),
                "custom.width": 56,
                "custom.cellOptions": {"type": "color-background", "mode": "basic"},
            },
            "place": {"displayName": "位置", "custom.minWidth": 180},
            "title": {
                "displayName": "告警",
                "links": [link("经过、依据与通知", "${api}/api/v1/alarms/${__data.fields.episode_key}")],
            },
            "proof": {"displayName": "依据"},
            "state": {"displayName": "状态", "mappings": fields.texts(fields.ALARM_STATES)},
            "age_s": {"displayName": "时长", "unit": "dtdhms"},
            "raised_at": {"displayName": "开始", "unit": "time:MM-DD HH:mm:ss"},
            "maintenance_unit": {"displayName": "养护单位"},
            "device_id": {
                "displayName": "设备",
                "links": [
                    {
                        **link("只看该设备", f"/d/{UID}?var-device=${{__data.fields.device_id}}&${{__url_time_range}}"),
                        "targetBlank": False,
                    }
                ],
            },
            "episode_key": {"custom.hidden": True},
        },
    )


def _hydrograph() -> Json:
    limits = {
        "custom.lineStyle": {"fill": "dash", "dash": [8, 6]},
        "custom.lineWidth": 1,
        "custom.fillOpacity": 0,
        "custom.spanNulls": True,
    }
    rain = {
        **fields.scale("rain", "amount_mm"),
        "displayName": f"{fields.label('rain', 'amount_mm')}（各站平均）",
        "color": {"mode": "fixed", "fixedColor": "light-blue"},
        "custom.drawStyle": "bars",
        "custom.fillOpacity": 60,
        "custom.axisPlacement": "right",
        "custom.axisLabel": fields.label("rain", "amount_mm"),
    }
    return graph(
        "积水过程线",
        (0, 18, 16, 10),
        [
            query("grafana_overview.road_depth", "A"),
            query("grafana_overview.depth_limits", "B"),
            query("grafana_overview.rain", "C"),
        ],
        about="时段内有告警的与当前最深的，至多 10 处；虚线为现行规则的橙、红限值；柱为所选各区雨量站时段雨量的平均。",
        interval="5m",
        defaults={
            **fields.scale("road", "depth_cm"),
            "custom": {"axisLabel": fields.label("road", "depth_cm"), "axisSoftMin": 0},
        },
        overrides=[override("byFrameRefID", "B", limits), override("byFrameRefID", "C", rain)],
    )


def _deepest_places() -> Json:
    return bars(
        "最深的 8 处",
        (16, 18, 8, 10),
        "grafana_overview.deepest",
        about="在用积水监测设备的最新深度。失联的设备保留最后的深度。",
        fields={
            "depth_cm": {**fields.named("road", "depth_cm", low=0, high=60), "color": {"mode": "continuous-blues"}}
        },
    )


def _reports() -> Json:
    return graph(
        "每分钟上报",
        (0, 28, 12, 8),
        [query("grafana_overview.reports_per_minute")],
        about="账目：入库、重复、隔离，以及入库中的迟到。",
        defaults={"unit": "suffix:条/分", "decimals": 0, "min": 0},
        fields={
            "stored": {"displayName": "入库", "color": {"mode": "fixed", "fixedColor": "green"}},
            "duplicate": {"displayName": "重复", "color": {"mode": "fixed", "fixedColor": "gray"}},
            "quarantined": {"displayName": "隔离", "color": {"mode": "fixed", "fixedColor": "red"}},
            "late": {"displayName": "迟到", "color": {"mode": "fixed", "fixedColor": "orange"}},
        },
    )


def _delay() -> Json:
    return graph(
        "告警时延（P95）",
        (12, 28, 12, 8),
        [query("grafana_overview.commit_delay", "A"), query("grafana_overview.delivery_delay", "B")],
        about="自收到证明告警的上报起，到告警入库，到平台或班组应答。智能井盖标准要求从唤醒报警到应答 ≤ 30 秒。",
        defaults={"unit": "suffix:秒", "decimals": 1, "min": 0, "custom": {"showPoints": "auto"}},
        fields={"committed_s": {"displayName": "入库"}, "delivered_s": {"displayName": "送达"}},
    )


def _deliveries() -> Json:
    return table(
        "推送",
        (0, 36, 12, 8),
        "grafana_overview.deliveries",
        about="每个推送目标：现在欠多少、最久多久、死信多少；时段内送达与撤销多少。",
        fields={
            "name": {"displayName": "目标"},
            "channel": {"displayName": "渠道"},
            "audience": {"displayName": "对象", "mappings": fields.texts({"platform": "一网统管平台", "crew": "班组"})},
            "state": {"displayName": "状态", "mappings": fields.texts(fields.SINK_STATES)},
            "owed": {"displayName": "待推送"},
            "oldest_owed_s": {"displayName": "最久", "unit": "dthms"},
            "delivered": {"displayName": "送达"},
            "dead": {"displayName": "死信"},
            "dropped": {"displayName": "撤销"},
        },
    )


def _quarantine() -> Json:
    return table(
        "隔离区",
        (12, 36, 12, 8),
        "grafana_overview.quarantine",
        about="不能理解的上报，原样保存。按原因，取时段内最新的 5000 条。",
        fields={
            "reason": {"displayName": "原因", "mappings": fields.texts(fields.REJECTIONS)},
            "reports": {"displayName": "条数"},
            "devices": {"displayName": "设备数"},
            "newest": {"displayName": "最近", "unit": "time:MM-DD HH:mm:ss"},
        },
    )


def _latest() -> Json:
    return table(
        "设备最新值",
        (0, 44, 24, 9),
        "grafana_overview.latest_values",
        about="所选设备（至多 20 台，有告警的在前）的最新上报，一行一值；是为 1，否为 0。",
        fields={
            "device_id": {"displayName": "设备"},
            "place": {"displayName": "位置"},
            "field": {"displayName": "量", "mappings": fields.every_field()},
            "value": {"displayName": "值"},
            "ts": {"displayName": "上报时间", "unit": "time:YYYY-MM-DD HH:mm:ss"},
        },
    )
