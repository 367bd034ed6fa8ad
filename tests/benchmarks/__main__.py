"""`make bench`: every figure beside its reference; a table, and bench.json."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    alerts,
    backtest,
    deliveries,
    engine,
    flood,
    ingest,
    page,
    platform,
    reconcile,
    registry,
    score,
    stations,
    steps,
    workers,
)
from tests.benchmarks.figures import Figure, show, write

GROUPS: dict[str, Callable[[], list[Figure]]] = {
    "ingest": ingest.figures,
    "workers": workers.figures,
    "registry": registry.figures,
    "flood": flood.figures,
    "stations": stations.figures,
    "alerts": alerts.figures,
    "engine": engine.figures,
    "deliveries": deliveries.figures,
    "platform": platform.figures,
    "reconcile": reconcile.figures,
    "backtest": backtest.figures,
    "page": page.figures,
    "steps": steps.figures,
    "score": score.figures,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(GROUPS), help="run one group")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    given = parser.parse_args()
    figures: list[Figure] = []
    for name, measure in GROUPS.items():
        if given.only in (None, name):
            figures += measure()
    show(figures)
    write(figures, given.output)


if __name__ == "__main__":
    main()
