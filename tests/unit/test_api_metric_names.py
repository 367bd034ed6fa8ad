"""Metric names: written once, as Prometheus wants them."""

from __future__ import annotations

import re

from underfoot.metrics import METRICS


def test_names_are_unique_and_well_formed() -> None:
    assert METRICS
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert re.fullmatch(r"underfoot_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith("."), metric.name
        assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
