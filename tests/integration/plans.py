"""What a statement really read, by the plan that `EXPLAIN (ANALYZE, FORMAT JSON)` shows of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def fetched(node: dict[str, Any], tables: Collection[str]) -> tuple[float, set[str]]:
    """Rows that a plan fetched from these tables, those it then threw away included, and how it reached them."""
    rows, kinds = 0.0, set()
    if node.get("Relation Name") in tables and node["Node Type"] != "ModifyTable":
        rows += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        kinds.add(node["Node Type"])
    for child in node.get("Plans", []):
        more, how = fetched(child, tables)
        rows, kinds = rows + more, kinds | how
    return rows, kinds
