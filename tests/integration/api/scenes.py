"""What happens in a quarter on one night, each an alarm whose page is looked at. Times are before `quarter.now`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.integration.api.quarter import Quarter
from underfoot.alarms import Reason, Severity, SubjectKind


def open_cover(quarter: Quarter, manholes: Sequence[int]) -> int:
    """A cover opened 23 minutes ago; its gas is not well."""
    asset = quarter.asset("0103", "雨水井0312", 30, 62, "人民大道文峰路口东北角")
    quarter.pipe("Y1-x", manholes[13], asset, length_m=40)
    device = quarter.device("cover", asset, 86_400)
    raised = quarter.ago(minutes=23)
    rows: list[tuple[datetime, dict[str, Any]]] = [
        (raised - timedelta(hours=hours), {"tilt_deg": 3.2, "open": False, "ch4_lel_pct": 4.0}) for hours in (47, 23)
    ]
    rows.append((raised, {"tilt_deg": 78.2, "open": True, "ch4_lel_pct": 14.0}))
    quarter.reports("cover", device, rows)
    quarter.ask.execute(
        "INSERT INTO latest_cover (device_key, ts, received_at, quality, tilt_deg, open, ch4_lel_pct, h2s_mg_m3,"
        " o2_vol_pct) VALUES (%s, %s, %s, 0, 78.2, true, 14.0, 3.0, 20.6)",
        [device, raised, raised],
    )
    values = {"tilt_deg": 78.2, "open": True}
    episode = quarter.raised(
        "cover.open", device, Severity.red, raised,
        field="open", label="井盖打开", unit="", value=1.0, limit=1.0, values=values,
    )  # fmt: skip
    quarter.told(episode)
    return episode


def neighbours(quarter: Quarter, manholes: Sequence[int]) -> None:
    """Others about there that have alarms of their own."""
    for number, (rule, family, severity) in enumerate(
        (
            ("cover.tilt", "cover", Severity.yellow),
            ("pipe.surcharge", "pipe", Severity.orange),
            ("cover.vibration", "cover", Severity.blue),
        )
    ):
        device = quarter.device(family, manholes[10 + number * 6], 3600)
        quarter.raised(rule, device, severity, quarter.ago(hours=1), label="读数", value=1.0, unit="")


def underpass(quarter: Quarter) -> int:
    """Water rises in an underpass; it was acknowledged by nobody; the platform has the case."""
    asset = quarter.asset("2100", "东风路铁路桥下", 0, 0, "东风路铁路桥下")
    device = quarter.device("road", asset, 60)
    begin = quarter.ago(hours=3)
    rows = []
    for minute in range(180):
        depth = max(0.0, (minute - 110) * 0.46) + (minute % 7) * 0.08
        rows.append((begin + timedelta(minutes=minute), {"depth_cm": round(depth, 1), "place": 1}))
    quarter.reports("road", device, rows)
    for severity, depth in ((Severity.orange, 15.2), (Severity.red, 25.1)):
        at = next(moment for moment, values in rows if values["depth_cm"] >= depth)
        proof: dict[str, Any] = {
            "field": "depth_cm",
            "label": "积水深度",
            "unit": "cm",
            "value": depth,
            "values": {"depth_cm": depth, "place": 1},
        }
        limit = 15.0 if severity is Severity.orange else 25.0
        if severity is Severity.orange:
            quarter.raised("road.underpass", device, severity, at, limit=limit, **proof)
        else:
            quarter.records(
                "road.underpass", device, SubjectKind.device, Reason.severity_rose, at, 3, 4, proof | {"limit": limit}
            )
    episode = quarter.episode("road.underpass", device)
    quarter.told(episode)
    return episode


def blockage(quarter: Quarter, manholes: Sequence[int]) -> int:
    """The sewer between two manholes lets nothing through."""
    pipe = quarter.one("SELECT pipe_key, from_asset, to_asset FROM pipes WHERE pipe_id = 'Y2-3'")
    begin = quarter.ago(hours=4)
    for asset, low, high in ((pipe["from_asset"], 0.18, 1.32), (pipe["to_asset"], 0.2, 0.12)):
        device = quarter.device("pipe", asset, 300)
        rows = []
        for step in range(48):
            share = max(0.0, (step - 18) / 30)
            rows.append((begin + timedelta(minutes=5 * step), {"level_m": round(low + (high - low) * share**0.6, 3)}))
        quarter.reports("pipe", device, rows)
    episode = quarter.raised(
        "drainage.blockage", pipe["pipe_key"], Severity.orange, quarter.ago(minutes=41), kind=SubjectKind.pipe,
        label="壅水超出正常", unit="m", value=0.92, pipe_id="Y2-3",
        words={
            "place": "雨水井203→雨水井204",
            "reading": "上游满管、下游0.1m，已25分钟",
            "act": "带疏通车查雨水井204，禁止下井",
        },
    )  # fmt: skip
    quarter.told(episode)
    return episode


def lamps(quarter: Quarter) -> tuple[int, list[int]]:
    """Ten lamps on one cabinet, told in one message: the first, and the others."""
    found = []
    for number in range(10):
        asset = quarter.asset("0118", f"路灯{number + 21:04}", -200 + number * 35, 20 + (number % 2) * 14, "洹滨北路")
        device = quarter.device("lamp", asset, 900)
        begin = quarter.ago(hours=3)
        rows = [
            (begin + timedelta(minutes=15 * step), {"on": True, "current_a": 0.44 if step < 8 else 0.01})
            for step in range(12)
        ]
        if number == 0:
            quarter.reports("lamp", device, rows)
        found.append(
            quarter.raised(
                "lamp.out", device, Severity.yellow, quarter.ago(minutes=29),
                field="current_a", label="电流为额定值的百分比", unit="%", value=2.2, limit=20.0,
                values={"on": True, "current_a": 0.01},
            )
        )  # fmt: skip
    first, *others = found
    message = quarter.delivery(first, "li-qiang")
    for other in others:
        key = quarter.delivery(other, "li-qiang")
        quarter.ask.execute("UPDATE outbox SET told_with = %s WHERE delivery_key = %s", [message, key])
    return first, others


def storm(quarter: Quarter) -> int:
    """An incident with seventeen members: two underpasses, open covers, sewers over their crown."""
    incident = quarter.one(
        "INSERT INTO incidents (kind, area_code, catchment, title, began_at, catchment_name)"
        " VALUES ('storm', '410502', 'outfall:1', '暴雨险情', %s, '洹河南岸') RETURNING incident_key",
        quarter.ago(minutes=50),
    )["incident_key"]
    kinds = (
        ("road.underpass", "road", Severity.red, "2100", "depth_cm", "积水深度", "cm", 42.0, 25.0),
        ("cover.open", "cover", Severity.red, "0103", "open", "井盖打开", "", 1.0, None),
        ("road.ponding", "road", Severity.orange, "2100", "depth_cm", "积水深度", "cm", 29.0, 27.0),
        ("pipe.surcharge", "pipe", Severity.orange, "0103", "fill_ratio", "充满度", "", 2.1, 2.0),
        ("cover.vibration", "cover", Severity.yellow, "0103", "vibration", "异常振动", "", 1.0, None),
    )
    names = ("东风路铁路桥下", "中华路立交", "人民大道", "文峰大道", "灯塔路")
    for number in range(17):
        rule, family, severity, kind, field, label, unit, value, limit = kinds[(0, 1, 2, 2, 3, 3, 3, 4)[number % 8]]
        name = names[number % 5]
        asset = quarter.asset(
            kind, f"{name}{number + 1}号", -900 + (number * 617) % 1800, -600 + (number * 449) % 1200, name
        )
        device = quarter.device(family, asset, 60)
        episode = quarter.raised(
            rule, device, severity, quarter.ago(minutes=50 - number * 2), field=field, label=label, unit=unit,
            value=value if limit is None else value + number * 0.3, limit=limit, values={field: value},
        )  # fmt: skip
        if number % 3 == 1:
            quarter.acknowledged(episode, "li", quarter.ago(minutes=10))
        row = quarter.one("SELECT alarm_key, episode FROM episodes WHERE episode_key = %s", episode)
        quarter.ask.execute(
            "INSERT INTO incident_members (incident_key, alarm_key, episode, joined_at, alone)"
            " VALUES (%s, %s, %s, %s, %s)",
            [incident, row["alarm_key"], row["episode"], quarter.ago(minutes=45), severity is Severity.red],
        )
    return quarter.raised(
        "storm.incident", incident, Severity.red, quarter.ago(minutes=48), kind=SubjectKind.incident,
        label="文峰区洹河南岸 红4橙11",
    )  # fmt: skip


def ended(quarter: Quarter) -> int:
    """A tilted cover, acknowledged by a crew, set right again."""
    asset = quarter.asset("0102", "污水井0077", 120, -40, "文明大道德隆街口西南角")
    device = quarter.device("cover", asset, 1800, {"tilt_deg": 2.0})
    raised = quarter.ago(minutes=95)
    tilts = [(130, 2.1), (110, 2.2), (95, 34.0), (80, 34.5), (60, 33.8), (50, 2.4), (40, 2.3)]
    quarter.reports("cover", device, [(quarter.ago(minutes=m), {"tilt_deg": t, "open": False}) for m, t in tilts])
    proof: dict[str, Any] = {
        "field": "tilt_deg",
        "label": "倾角与基准之差",
        "unit": "°",
        "limit": 30.0,
        "values": {"tilt_deg": 34.0},
    }
    episode = quarter.raised("cover.tilt", device, Severity.red, raised, value=32.0, **proof)
    quarter.acknowledged(episode, "link:wenfeng", quarter.ago(minutes=91))
    quarter.cleared("cover.tilt", device, Severity.red, quarter.ago(minutes=50), value=0.4, **proof)
    quarter.told(episode)
    return episode
