"""The overview's map: drawn from our own ledger, looking at the same place at every refresh, asking nobody outside."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deploy.grafana import fields
from deploy.grafana.fields import Json
from deploy.grafana.parts import Box, panel, query

# One transparent pixel for every tile: Grafana's own base maps are fetched from outside, and it has no "none".
_NO_BASE_MAP = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@dataclass(frozen=True)
class View:
    """Where the map looks: it stays there at every refresh."""

    lon: float
    lat: float
    zoom: int

    @classmethod
    def of_extent(cls, lon: float, lat: float, width: float, height: float) -> View:
        """The closest zoom, 15 at most, at which an extent (degrees) fits a map of about 900 × 500 pixels."""
        # At zoom z the world is 256 · 2^z pixels wide; Mercator stretches heights by 1 / cos(latitude).
        tall = height / max(math.cos(math.radians(lat)), 0.01)
        zoom = min(
            math.log2(900 / 256 * 360 / width) if width > 0 else 15,
            math.log2(500 / 256 * 360 / tall) if tall > 0 else 15,
        )
        return cls(round(lon, 6), round(lat, 6), max(3, min(15, math.floor(zoom))))


DEFAULT_VIEW = View(114.337, 36.103, 12)
"""安阳, where the demo city lies."""


def city_map(box: Box, view: View) -> Json:
    depth = {**fields.named("road", "depth_cm", low=0, high=60), "color": {"mode": "continuous-blues"}}
    return panel(
        "geomap",
        "地图",
        box,
        [
            query("grafana_overview.map_assets", "A"),
            query("grafana_overview.map_depths", "B"),
            query("grafana_overview.map_alarms", "C"),
        ],
        about="底图由台账中的设备位置构成（灰点，至多 5000 个），不取外部地图；蓝色为积水，越大越深；其上为告警。",
        fields={
            "severity": {
                "displayName": "级别",
                "mappings": fields.severities(),
                "color": {"mode": "thresholds"},
                "thresholds": fields.severity_steps(),
            },
            "depth_cm": depth,
            "place": {"displayName": "位置"},
            "asset_name": {"displayName": "部件"},
            "device_id": {"displayName": "设备"},
            "family": {"displayName": "设备类别", "mappings": fields.families()},
            "state": {"displayName": "状态", "mappings": fields.texts(fields.DEVICE_STATES)},
            "title": {"displayName": "告警"},
            "proof": {"displayName": "依据"},
            "raised_at": {"displayName": "开始", "unit": "time:MM-DD HH:mm:ss"},
            "ts": {"displayName": "上报时间", "unit": "time:MM-DD HH:mm:ss"},
        },
        options={
            "view": {
                "id": "coords",
                "lat": view.lat,
                "lon": view.lon,
                "zoom": view.zoom,
                "allLayers": True,
                "shared": False,
            },
            "controls": {
                "showZoom": True,
                "mouseWheelZoom": True,
                "showAttribution": False,
                "showScale": True,
                "showMeasure": False,
                "showDebug": False,
            },
            "tooltip": {"mode": "details"},
            "basemap": {"type": "xyz", "name": "无底图", "config": {"url": _NO_BASE_MAP, "attribution": ""}},
            "layers": [
                _markers("设备", "A", color={"fixed": "gray"}, size={"fixed": 2, "min": 2, "max": 15}, opacity=0.5),
                _markers(
                    "积水",
                    "B",
                    color={"field": "depth_cm"},
                    size={"field": "depth_cm", "min": 4, "max": 16},
                    opacity=0.7,
                ),
                _markers(
                    "告警",
                    "C",
                    color={"field": "severity"},
                    size={"field": "severity", "min": 5, "max": 11},
                    opacity=0.9,
                ),
            ],
        },
    )


def _markers(name: str, ref: str, *, color: Json, size: Json, opacity: float) -> Json:
    return {
        "type": "markers",
        "name": name,
        "filterData": {"id": "byRefId", "options": ref},
        "location": {"mode": "coords", "latitude": "lat", "longitude": "lon"},
        "tooltip": True,
        "config": {
            "showLegend": False,
            "style": {
                "color": {"fixed": "gray", **color},
                "size": {"fixed": 5, **size},
                "opacity": opacity,
                "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
            },
        },
    }
