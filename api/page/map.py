"""Map: the alarm's place among our own pipes and assets, as inline SVG: north up, with a scale. No tiles, no streets.

Pure. What is wrong somewhere is told by shape and letter, not by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import cos, hypot, radians

from markupsafe import Markup

from alerts.messages.wording import cut
from api.page.facts import Box
from underfoot.alarms import Severity

WIDTH, HEIGHT = 360, 260
_EDGE = 18
_M_PER_DEG = 111_320.0
_LENGTHS_M = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
_LABELS_AT_MOST = 6
_LONGEST_LABEL = 12


@dataclass(frozen=True, slots=True)
class Spot:
    """`severity`: of an open alarm there; None: all is well. `own`: the alarm of the page. `named`: its name is written
    though all is well."""

    lon: float
    lat: float
    name: str = ""
    severity: int | None = None
    own: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """A pipe, as the water runs."""

    from_lon: float
    from_lat: float
    to_lon: float
    to_lat: float
    foul: bool
    severity: int | None = None
    own: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    box: Box
    spots: Sequence[Spot]
    stretches: Sequence[Stretch]
    about: str


def drawn(sheet: Sheet) -> Markup:
    frame = _Frame.around(sheet.box)
    ours = [spot for spot in sheet.spots if spot.own]
    others = sorted((spot for spot in sheet.spots if not spot.own), key=lambda spot: spot.severity or 0)
    parts: list[Markup] = [Markup('<rect class="ground" width="{}" height="{}"/>').format(WIDTH, HEIGHT)]
    for stretch in sorted(sheet.stretches, key=lambda stretch: (stretch.own, stretch.severity or 0)):
        parts += _stretch(frame, stretch)
    for spot in others:
        parts += _spot(frame, spot)
    for spot in ours:
        parts += _own(frame, spot)
    parts += _labels(frame, sorted(sheet.spots, key=lambda spot: (not spot.own, not spot.named, -(spot.severity or 0))))
    parts += _furniture(frame)
    return Markup('<svg class="map" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, sheet.about, Markup("").join(parts)
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """`scale`: pixels a metre."""

    lon: float
    lat: float
    scale: float

    @classmethod
    def around(cls, box: Box) -> _Frame:
        lon, lat = (box.west + box.east) / 2, (box.south + box.north) / 2
        across = (box.east - box.west) * _M_PER_DEG * cos(radians(lat))
        up = (box.north - box.south) * _M_PER_DEG
        return cls(lon, lat, min((WIDTH - 2 * _EDGE) / max(across, 1.0), (HEIGHT - 2 * _EDGE) / max(up, 1.0)))

    def at(self, lon: float, lat: float) -> tuple[float, float]:
        east = (lon - self.lon) * _M_PER_DEG * cos(radians(self.lat))
        north = (lat - self.lat) * _M_PER_DEG
        return round(WIDTH / 2 + east * self.scale, 1), round(HEIGHT / 2 - north * self.scale, 1)


def _shows(x: float, y: float) -> bool:
    return -20 <= x <= WIDTH + 20 and -20 <= y <= HEIGHT + 20


def _stretch(frame: _Frame, stretch: Stretch) -> Iterator[Markup]:
    x, y = frame.at(stretch.from_lon, stretch.from_lat)
    to_x, to_y = frame.at(stretch.to_lon, stretch.to_lat)
    if not (_shows(x, y) or _shows(to_x, to_y)):
        return
    kind = "pipe foul" if stretch.foul else "pipe storm"
    if stretch.severity is not None:
        kind += f" s{stretch.severity}"
    if stretch.own:
        kind += " own"
    length = hypot(to_x - x, to_y - y)
    yield Markup('<path class="{}" d="M{} {}L{} {}"/>').format(kind, x, y, to_x, to_y)
    if length >= 26:
        # Where the water goes: an arrow head in the middle.
        along, over = (to_x - x) / length, (to_y - y) / length
        tip = ((x + to_x) / 2 + along * 5, (y + to_y) / 2 + over * 5)
        wings = [(tip[0] - along * 9 + side * over * 4.5, tip[1] - over * 9 - side * along * 4.5) for side in (1, -1)]
        yield Markup('<path class="flow{}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
            " own" if stretch.own else "", *wings[0], *tip, *wings[1]
        )


_SHAPES = {
    Severity.blue: "M{x} {y}m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0",
    Severity.yellow: "M{x} {y}m0 -7l7 7l-7 7l-7 -7z",
    Severity.orange: "M{x} {y}m0 -8l8 14h-16z",
    Severity.red: "M{x} {y}m-6.5 -6.5h13v13h-13z",
}
"""Circle, diamond, triangle, square: the worse, the larger."""


def _spot(frame: _Frame, spot: Spot) -> Iterator[Markup]:
    x, y = frame.at(spot.lon, spot.lat)
    if not _shows(x, y):
        return
    if spot.severity is None:
        yield Markup('<circle class="asset" cx="{}" cy="{}" r="2.5"/>').format(x, y)
        return
    shape = _SHAPES[Severity(spot.severity)].format(x=x, y=y)
    yield Markup('<path class="spot s{}" d="{}"/>').format(spot.severity, shape)


def _own(frame: _Frame, spot: Spot) -> Iterator[Markup]:
    x, y = frame.at(spot.lon, spot.lat)
    letter = Severity(spot.severity).label if spot.severity is not None else "✓"
    yield Markup(
        '<circle class="ring" cx="{x}" cy="{y}" r="22"/>'
        '<path class="pin {kind}" d="M{x} {y}l-9 -16a11.5 11.5 0 1 1 18 0z"/>'
        '<text class="pin-said {kind}" x="{x}" y="{text}">{letter}</text>'
    ).format(x=x, y=y, text=round(y - 17, 1), kind=f"s{spot.severity}" if spot.severity else "over", letter=letter)


# labels, scale, north -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Taken:
    """Where something is written already."""

    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)

    def take(self, left: float, top: float, width: float, height: float) -> bool:
        mine = (left, top, left + width, top + height)
        if mine[0] < 2 or mine[1] < 2 or mine[2] > WIDTH - 2 or mine[3] > HEIGHT - 2:
            return False
        if any(mine[0] < b[2] and b[0] < mine[2] and mine[1] < b[3] and b[1] < mine[3] for b in self.boxes):
            return False
        self.boxes.append(mine)
        return True


def _labels(frame: _Frame, spots: Sequence[Spot]) -> Iterator[Markup]:
    """Of the page's own place, then of the worst, as many as there is room for, the same words once."""
    taken = _Taken([(WIDTH - 34, 0, WIDTH, 44), (0, HEIGHT - 34, 130, HEIGHT)])
    for spot in spots:
        x, y = frame.at(spot.lon, spot.lat)
        if spot.own:
            taken.boxes.append((x - 14, y - 34, x + 14, y + 4))
        elif spot.severity is not None:
            taken.boxes.append((x - 7, y - 7, x + 7, y + 7))
    written: set[str] = set()
    for spot in spots:
        worth = spot.own or spot.named or (spot.severity or 0) >= Severity.orange
        if not spot.name or not worth or spot.name in written or len(written) >= _LABELS_AT_MOST:
            continue
        x, y = frame.at(spot.lon, spot.lat)
        said = cut(spot.name, _LONGEST_LABEL)
        width = sum(12.0 if ord(letter) > 0x2E7F else 6.8 for letter in said) * (1.1 if spot.own else 1.0)
        around = ((x + 12, y - 8), (x - 12 - width, y - 8), (x - width / 2, y + 9), (x - width / 2, y - 26))
        found = next((place for place in around if taken.take(*place, width, 15)), None)
        if found is None and spot.own:
            found = around[2]  # whatever it covers: where one is to go is said
        if found is not None:
            written.add(spot.name)
            yield Markup('<text class="place halo{}" x="{:.1f}" y="{:.1f}">{}</text>').format(
                " own" if spot.own else "", found[0], found[1] + 12, said
            )


def _furniture(frame: _Frame) -> Iterator[Markup]:
    length_m = next((m for m in reversed(_LENGTHS_M) if m * frame.scale <= 100), _LENGTHS_M[0])
    width = round(length_m * frame.scale, 1)
    said = f"{length_m} 米" if length_m < 1000 else f"{length_m // 1000} 公里"
    yield Markup(
        '<path class="scale" d="M10 {y}v5h{width}v-5"/><text class="scale-said halo" x="14" y="{text}">{said}</text>'
    ).format(y=HEIGHT - 15, width=width, text=HEIGHT - 17, said=said)
    yield Markup(
        '<path class="north" d="M{x} 30V8m-6 8l6 -9l6 9"/><text class="scale-said mid halo" x="{x}" y="42">北</text>'
    ).format(x=WIDTH - 18)
