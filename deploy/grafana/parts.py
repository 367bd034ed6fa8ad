"""The parts a dashboard is made of, as Grafana's classic dashboard JSON: panels, queries, variables, annotations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from deploy.grafana.fields import Json
from underfoot.storage.statements import statement

DATASOURCE: Json = {"type": "grafana-postgresql-datasource", "uid": "underfoot"}

Box = tuple[int, int, int, int]
"""Where a panel stands: x, y, width, height, on a grid 24 wide."""


def query(name: str, ref: str = "A") -> Json:
    """One query of a panel, by the name of its statement; one that yields a `time` is a time series."""
    sql = statement(name)
    series = re.search(r'AS "?time"?\b|\$__timeGroupAlias\(', sql) is not None
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "format": "time_series" if series else "table",
        "editorMode": "code",
        "rawQuery": True,
        "rawSql": sql,
    }


def panel(
    kind: str,
    title: str,
    box: Box,
    queries: Sequence[Json],
    *,
    options: Json,
    defaults: Json | None = None,
    fields: dict[str, Json] | None = None,
    about: str = "",
    interval: str | None = None,
) -> Json:
    """One panel. `defaults` is the config of every field; `fields` that of single ones, by the query's column name."""
    x, y, width, height = box
    made: Json = {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "targets": list(queries),
        "options": options,
        "fieldConfig": {
            "defaults": defaults or {},
            "overrides": [override("byName", name, config) for name, config in (fields or {}).items()],
        },
    }
    if interval is not None:
        made["interval"] = interval
    return made


def override(matcher: str, what: str, config: Json) -> Json:
    return {
        "matcher": {"id": matcher, "options": what},
        "properties": [{"id": name, "value": value} for name, value in config.items()],
    }


def stat(title: str, box: Box, name: str, *, fields: dict[str, Json], about: str, per_row: bool = False) -> Json:
    """Big numbers. `per_row`: one number a row, named by the row's text column; else one a column."""
    return panel(
        "stat",
        title,
        box,
        [query(name)],
        about=about,
        fields=fields,
        defaults={"color": {"mode": "thresholds"}, "noValue": "—"},
        options={
            "reduceOptions": {"values": per_row, "calcs": ["lastNotNull"], "fields": ""},
            "orientation": "auto",
            "textMode": "value_and_name",
            "colorMode": "background_solid",
            "graphMode": "none",
            "justifyMode": "auto",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        },
    )


def bars(title: str, box: Box, name: str, *, fields: dict[str, Json], about: str) -> Json:
    """A bar for each row, named by the row's text column."""
    return panel(
        "bargauge",
        title,
        box,
        [query(name)],
        about=about,
        fields=fields,
        defaults={"color": {"mode": "thresholds"}, "noValue": "—"},
        options={
            "displayMode": "basic",
            "valueMode": "color",
            "namePlacement": "left",
            "showUnfilled": True,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 300,
            "orientation": "horizontal",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
            "reduceOptions": {"values": True, "calcs": ["lastNotNull"], "fields": ""},
        },
    )


def graph(
    title: str,
    box: Box,
    queries: Sequence[Json],
    *,
    defaults: Json,
    about: str,
    fields: dict[str, Json] | None = None,
    overrides: Sequence[Json] = (),
    interval: str = "1m",
) -> Json:
    """Values over time. No bucket is shorter than `interval`, however short the range."""
    drawn = {
        "drawStyle": "line",
        "lineWidth": 2,
        "fillOpacity": 5,
        "showPoints": "never",
        "spanNulls": 3_600_000,
        "axisPlacement": "auto",
    }
    made = panel(
        "timeseries",
        title,
        box,
        queries,
        about=about,
        fields=fields,
        interval=interval,
        defaults={**defaults, "custom": {**drawn, **defaults.get("custom", {})}},
        options={
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )
    made["fieldConfig"]["overrides"] += overrides
    return made


def table(title: str, box: Box, name: str, *, fields: dict[str, Json], about: str) -> Json:
    return panel(
        "table",
        title,
        box,
        [query(name)],
        about=about,
        fields=fields,
        defaults={"noValue": "—", "custom": {"align": "left", "inspect": False}},
        options={"frameIndex": 0, "showHeader": True, "cellHeight": "sm"},
    )


def variable(name: str, label: str, column: str, sql: str) -> Json:
    """Several values of `column` may be chosen. All of them is the column itself: `device_id IN (device_id)` is cheap,
    a list of a hundred thousand devices is not."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": sql,
        "definition": sql,
        "refresh": 1,
        "sort": 0,
        "regex": "",
        **_several(column),
    }


def choice(name: str, label: str, column: str, options: dict[str, str]) -> Json:
    """A variable whose values are known beforehand: value → text."""
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ", ".join(f"{text} : {value}" for value, text in options.items()),
        "options": [{"selected": False, "text": text, "value": value} for value, text in options.items()],
        **_several(column),
    }


def hidden(name: str, value: str) -> Json:
    option = {"selected": True, "text": value, "value": value}
    return {"type": "constant", "name": name, "hide": 2, "skipUrlSync": True, "query": value, "current": option}


def annotation(name: str, statement_name: str, color: str) -> Json:
    target = {**query(statement_name, "Anno"), "format": "table"}
    return {"name": name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": color, "target": target}


def link(title: str, url: str) -> Json:
    return {"title": title, "url": url, "targetBlank": True}


def _several(column: str) -> dict[str, Any]:
    return {
        "multi": True,
        "includeAll": True,
        "allValue": column,
        "allowCustomValue": True,
        "hide": 0,
        "skipUrlSync": False,
        "current": {"selected": True, "text": ["全部"], "value": ["$__all"]},
    }
