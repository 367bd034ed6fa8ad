"""What an alarm's page draws: the curve, the map, and colours that can be read by day and by night."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.page import curve as drawing
from api.page.curve import Limit, Mark, Plot, curve, thinned
from api.page.facts import Box, Series, span_of
from api.page.map import HEIGHT, WIDTH, Sheet, Spot, Stretch, drawn

NOW = datetime(2026, 7, 21, 14, 0, tzinfo=UTC)
"""22:00 in the city."""


def ago(**by: float) -> datetime:
    return NOW - timedelta(**by)


# the curve ------------------------------------------------------------------------------------------------------------


def plot(points: list[tuple[datetime, float]], **more: Any) -> Plot:
    series = Series("积水深度", "cm", 60, points, is_state=more.pop("is_state", False))
    return Plot((series,), ago(hours=3), NOW, **({"limits": (), "marks": (), "about": "说明"} | more))


def parsed(svg: str) -> ElementTree.Element:
    """Whole and well formed, and everything on the sheet."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - ours
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for node in root.iter():
        for name, most in (("x", width), ("y", height), ("cx", width), ("cy", height)):
            if name in node.attrib:
                assert -25 <= float(node.attrib[name]) <= most + 25, node.attrib
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in root.iter() if node.tag.endswith("text")]


@given(
    st.lists(st.floats(-1e4, 1e4, allow_nan=False), max_size=150),
    st.lists(st.floats(-1e4, 1e4, allow_nan=False), max_size=4),
    st.booleans(),
)
def test_any_values_give_a_drawing_that_stays_on_its_sheet(
    values: list[float], limits: list[float], state: bool
) -> None:
    points = [(ago(seconds=10_800 - 20 * number), value) for number, value in enumerate(values)]
    lines = [Limit(value, f"红 {value:g}", "s4", number == 0) for number, value in enumerate(limits)]
    parsed(curve(plot(points, limits=lines, marks=[Mark(ago(hours=1), "21:00 红", "s4")], is_state=state)))


def test_the_curve_has_its_limit_its_raise_and_its_axes() -> None:
    points = [(ago(minutes=180 - n), n / 6) for n in range(180)]
    root = parsed(
        curve(plot(points, limits=[Limit(25, "红 25", "s4", True)], marks=[Mark(ago(minutes=30), "21:30 红", "s4")]))
    )
    said = texts(root)
    for words in ("积水深度（cm）", "红 25", "21:30 红", "20:00", "10", "29.8"):
        assert words in said, words


def test_a_silence_is_not_drawn_over() -> None:
    points = [(ago(minutes=minutes), 5.0) for minutes in (170, 169, 60, 59)]
    path = next(node for node in parsed(curve(plot(points))).iter() if node.get("class") == "line line0")
    assert path.attrib["d"].count("M") == 2


def test_what_is_thinned_keeps_every_peak() -> None:
    points = [(ago(seconds=10_800 - number), 0.0 if number != 7_777 else 99.0) for number in range(10_800)]
    kept = thinned(points, ago(hours=3), NOW)
    assert len(kept) <= 4 * drawing.WIDTH
    assert max(value for _, value in kept) == 99.0
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert list(kept) == sorted(kept)


@pytest.mark.parametrize(
    ("interval_s", "cleared", "hours"),
    [(60, None, 3), (900, None, 3), (86_400, None, 24), (60, ago(minutes=20), 2 + 5 / 6)],
)
def test_the_curve_begins_some_reports_before_the_raise(
    interval_s: int, cleared: datetime | None, hours: float
) -> None:
    episode = {"raised_at": ago(hours=1), "cleared_at": cleared, "expected_interval_s": interval_s}
    begin, end = span_of(episode, NOW)
    assert end == min(NOW, (cleared or NOW) + timedelta(minutes=30))
    assert (end - begin) / timedelta(hours=1) == pytest.approx(hours, abs=0.2)


# the map --------------------------------------------------------------------------------------------------------------

BOX = Box(114.390, 36.097, 114.395, 36.101)


def test_the_map_has_north_a_scale_and_what_is_wrong_by_shape() -> None:
    spots = [
        Spot(114.3925, 36.099, "雨水井0312", 4, own=True),
        Spot(114.3915, 36.098, "下穿积水", 3),
        Spot(114.394, 36.1),
    ]
    root = parsed(drawn(Sheet(BOX, spots, [Stretch(114.391, 36.098, 114.394, 36.098, foul=False, own=True)], "位置")))
    assert {"北", "100 米", "雨水井0312", "红", "下穿积水"} <= set(texts(root))
    kinds = [node.get("class") for node in root.iter()]
    assert "spot s3" in kinds
    assert "pipe storm own" in kinds
    assert "flow own" in kinds, "where the water goes"


def test_north_is_up_and_a_metre_is_a_metre_both_ways() -> None:
    north, east = Spot(114.3925, 36.1, severity=1), Spot(114.3945, 36.099, severity=1)
    root = parsed(drawn(Sheet(BOX, [north, east], [], "位置")))
    (x0, y0), (x1, y1) = (
        tuple(map(float, re.match(r"M(\S+) (\S+)m", node.attrib["d"]).groups()))  # type: ignore[union-attr]
        for node in root.iter()
        if node.get("class") == "spot s1"
    )
    assert y0 < y1
    assert x0 < x1
    assert (y1 - y0) / (x1 - x0) == pytest.approx(0.001 * 111_320 / (0.002 * 111_320 * 0.808), rel=0.02)


def test_where_one_is_to_go_is_named_however_crowded_it_is() -> None:
    crowd = [Spot(114.3925 + n % 7 * 0.00015, 36.099 + n // 7 * 0.00012, f"井{n}", 4) for n in range(49)]
    spots = [*crowd, Spot(114.3929, 36.0994, "雨水井0312", 4, own=True)]
    assert "雨水井0312" in texts(parsed(drawn(Sheet(BOX, spots, [], "位置"))))


@given(st.lists(st.tuples(st.floats(114.3, 114.5), st.floats(36.0, 36.2), st.integers(1, 4)), max_size=40))
def test_labels_never_stand_on_each_other(places: list[tuple[float, float, int]]) -> None:
    spots = [Spot(lon, lat, f"地点{number}", severity) for number, (lon, lat, severity) in enumerate(places)]
    root = parsed(drawn(Sheet(Box(114.3, 36.0, 114.5, 36.2), spots, [], "位置")))
    boxes = []
    for node in root.iter():
        if (node.get("class") or "").startswith("place"):
            left_, base = float(node.attrib["x"]), float(node.attrib["y"])
            boxes.append((left_, base - 12, left_ + 24, base + 3))
    assert all(box[0] >= 0 and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT for box in boxes)
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


# colours --------------------------------------------------------------------------------------------------------------


def _luminance(colour: str) -> float:
    parts = [int(colour[at_ : at_ + 2], 16) / 255 for at_ in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_everything_can_be_read_in_the_sun_and_in_the_dark() -> None:
    """WCAG 2 AA: 4.5 for text, 3 for what is drawn."""
    style = (files("api.page") / "templates" / "page.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root\{([^}]+)\}", style)
    assert len(blocks) == 2, "by day and by night"
    day = dict(re.findall(r"--(\w+):(#\w+)", blocks[0]))
    night = day | dict(re.findall(r"--(\w+):(#\w+)", blocks[1]))
    for palette in (day, night):
        palette = {
            name: colour if len(colour) == 7 else "#" + "".join(2 * part for part in colour[1:])
            for name, colour in palette.items()
        }
        for text, ground in (
            *(("on" + name, "s" + name) for name in "1234"),
            ("onover", "over"),
            *((name, ground) for name in ("ink", "soft") for ground in ("bg", "card", "ground", "warn")),
            *((f"text{name}", ground) for name in ("1", "2", "3", "4", "over") for ground in ("card", "warn")),
        ):
            assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
        for line in ("curve", "curve2", "foul", "storm"):
            assert contrast(palette[line], palette["card"]) >= 3, line
            assert contrast(palette[line], palette["ground"]) >= 3, line
