"""Whatever may come under a topic: bytes, JSON, and reports that are nearly right. Strategies for hypothesis."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

COVER = "underfoot/v1/410502/cover/C-1/report"
PIPE = "underfoot/v1/410502/pipe/P-1/report"

any_text = st.text(st.characters(exclude_categories=()) | st.sampled_from("\0\ud800\\"), max_size=8)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
topics = st.sampled_from(
    [COVER, PIPE, "underfoot/v1/410502/pump/U-1/report", "underfoot/v1/410502/road/R-1/report", "a/b", "", "/" * 5]
)
_names = st.sampled_from(["tilt_deg", "open", "water_below_rim_m", "battery_pct", "depth_cm", "x", "\0", "fault_code"])


def payloads(now_ms: int) -> st.SearchStrategy[bytes]:
    """Payloads that arrive at about `now_ms`."""
    report = st.fixed_dictionaries(
        {"values": any_json | st.dictionaries(_names, any_json, max_size=5)},
        optional={"ts": any_json | st.integers(now_ms - 10**9, now_ms + 10**6), "seq": any_json, "fw": any_json},
    )
    written: st.SearchStrategy[Any] = report | st.lists(report | any_json, max_size=4) | any_json
    return st.binary(max_size=40) | written.map(lambda value: json.dumps(value).encode())
