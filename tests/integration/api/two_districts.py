"""The small city of city.sql with one of everything in each of its two districts: what a caller of one of them must see
nothing of in the other."""

from __future__ import annotations

from pathlib import Path

from tests.integration.api.served import Served

WENFENG, BEIGUAN = "410502", "410503"

THINGS = {
    WENFENG: {
        "code": "410502001", "asset_key": "1", "device_id": "cover-0312", "episode_key": "2", "incident_key": "1",
        "order": "WO-W", "pipe_id": "W1", "case_key": "1", "newcomer": "N-W",
    },
    BEIGUAN: {
        "code": "410503", "asset_key": "3", "device_id": "cover-0099", "episode_key": "4", "incident_key": "2",
        "order": "WO-B", "pipe_id": "B1", "case_key": "4", "newcomer": "N-B",
    },
}  # fmt: skip

MARKS = {
    WENFENG: ("文峰", "宝莲寺", "东关", "0312", "东风路", "WO-W", "N-W", "W1", "甲所", "险情甲", "案甲"),
    BEIGUAN: ("北关", "0099", "0007", "安漳", "洹滨", "路灯所", "WO-B", "N-B", "B1", "乙所", "险情乙", "案乙"),
}
"""What an answer may contain only for who may see that district."""


def build(served: Served) -> None:
    for name in ("city.sql", "two_districts.sql"):
        served.run((Path(__file__).parent / name).read_text(encoding="utf-8"))
