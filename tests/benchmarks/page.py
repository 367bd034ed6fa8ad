"""How long an alarm's page takes, from the call to the last byte, beside the same alarm as JSON from the same server.

A city of 2 000 gauges in 2 000 assets on a net of sewers, each with a day of reports; what is looked at are red alarms
of gauges that report each minute, with neighbours that have alarms, a case, and messages owed.
"""

from __future__ import annotations

import json
import math
import time
from datetime import datetime, timedelta
from typing import Any

import httpx

from deploy.ports import any_free
from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.rig import Rig, rig, underfoot, wait_for
from tests.integration.api.quarter import LAT, LON, Quarter
from underfoot.alarms import Severity

GAUGES = 2_000
SIDE = 50
APART_M = 40
LOOKED_AT = 40
ROUNDS = 5

_CITY = """
INSERT INTO assets (asset_code, kind, name, area_code, address, lon, lat, maintenance_unit)
SELECT 'bench-' || n, '2100', '积水点' || n, '410502001', '人民大道' || n || '号', %(lon)s + (n %% %(side)s) * %(east)s,
    %(lat)s + (n / %(side)s) * %(north)s, '文峰养护所'
FROM generate_series(0, %(gauges)s - 1) n;
"""
_SEWERS = """
INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)
SELECT 'P' || a.asset_key, a.asset_key, b.asset_key, 'storm', 600, %(apart)s, 58.2, 58.1
FROM assets a JOIN assets b ON b.asset_code = 'bench-' || (substr(a.asset_code, 7)::int + 1)
WHERE a.asset_code LIKE 'bench-%%' AND substr(a.asset_code, 7)::int %% %(side)s < %(side)s - 1;
"""
_DEVICES = """
INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)
SELECT asset_code, 'road', '410502', asset_key, 60 FROM assets WHERE asset_code LIKE 'bench-%';
"""
_REPORTS = """
INSERT INTO report_road (device_key, ts, digest, received_at, quality, depth_cm, place)
SELECT d.device_key, t, 0, t + interval '2 s', 0,
    greatest(0, 60 * sin(extract(epoch FROM t) / 9000 + d.device_key))::real, 1
FROM generate_series(%(now)s::timestamptz - interval '1 day', %(now)s, make_interval(secs => %(every)s)) t, devices d
WHERE d.device_id LIKE 'bench-%%' AND (d.device_key %% (%(gauges)s / %(looked)s) = 0) = %(minutely)s;
"""


def figures() -> list[Figure]:
    with rig(1) as made:
        quarter = Quarter(made.database_url)
        links, episodes = _city(made, quarter)
        made.asking.execute("VACUUM ANALYZE")
        pages, plain = _looked_at(made, links, episodes)
        quarter.close()
    return [
        Figure("page.server_ms", percentile(pages, 0.95), "ms", "alarm_json_ms", percentile(plain, 0.95)),
        Figure("page.server_p50_ms", percentile(pages, 0.5), "ms", "alarm_json_p50_ms", percentile(plain, 0.5)),
    ]


def _city(made: Rig, quarter: Quarter) -> tuple[list[str], list[int]]:
    """The links and the episodes of the alarms that are looked at."""
    metre = 1 / 111_320
    params = {
        "gauges": GAUGES,
        "side": SIDE,
        "apart": APART_M,
        "lon": LON,
        "lat": LAT,
        "east": APART_M * metre / math.cos(math.radians(LAT)),
        "north": APART_M * metre,
        "looked": LOOKED_AT,
        "now": quarter.now,
    }
    made.asking.execute(_CITY, params)
    made.asking.execute(_SEWERS, params)
    made.asking.execute(_DEVICES)
    for minutely, every in ((True, 60), (False, 300)):
        made.asking.execute(_REPORTS, params | {"minutely": minutely, "every": every})
    reports = made.value("SELECT count(*) FROM report_road")
    assert reports > 500_000, reports
    keys = [
        key
        for (key,) in made.asking.execute(
            "SELECT device_key FROM devices WHERE device_id LIKE 'bench-%%' AND device_key %% %s IN (0, 1) ORDER BY 1",
            [GAUGES // LOOKED_AT],
        )
    ]
    looked = [key for key in keys if key % (GAUGES // LOOKED_AT) == 0]
    episodes = [_raised(quarter, key, quarter.ago(minutes=20 + key % 30)) for key in keys]
    of = dict(zip(keys, episodes, strict=True))
    return [quarter.link(of[key], "wenfeng") for key in looked], [of[key] for key in looked]


def _raised(quarter: Quarter, device: int, at: datetime) -> int:
    proof: dict[str, Any] = {
        "field": "depth_cm",
        "label": "积水深度",
        "unit": "cm",
        "values": {"depth_cm": 31.0, "place": 1},
    }
    quarter.raised(
        "road.underpass", device, Severity.orange, at - timedelta(minutes=9), value=16.0, limit=15.0, **proof
    )
    return quarter.raised("road.underpass", device, Severity.red, at, value=31.0, limit=25.0, **proof)


def _looked_at(made: Rig, links: list[str], episodes: list[int]) -> tuple[list[float], list[float]]:
    """Milliseconds of each page, and of the same alarm as JSON, by turns over one connection that stays open."""
    port = any_free()
    key = json.loads(made.call("keys", "create", "bench", "--role", "operator", "--json"))["secret"]
    pages: list[float] = []
    plain: list[float] = []
    with (
        made.run(underfoot(), "api", log="api", UNDERFOOT_API_PORT=str(port), UNDERFOOT_API_BURST="100000"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        wait_for(lambda: _is_up(client), 60, "the API")
        for _ in range(ROUNDS + 1):
            for link, episode in zip(links, episodes, strict=True):
                pages.append(_timed(client, link, {}))
                plain.append(_timed(client, f"/api/v1/alarms/{episode}", {"Authorization": f"Bearer {key}"}))
    # The first round is the caches' and the templates'.
    return pages[len(links) :], plain[len(links) :]


def _timed(client: httpx.Client, path: str, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    answer = client.get(path, headers=headers)
    took = (time.perf_counter() - began) * 1e3
    assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
    return took


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
