"""What people read when one message tells of several alarms: how many, of what, where, how far. Chinese, 70 characters.

Of one rule at one cabinet: as of one alarm, with the count and the places in place of the place. Of anything: a digest,
in the manner of a storm's, with what is over counted beside what is not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from alerts.messages.places import joined
from alerts.messages.wording import LONGEST, city, cut, kept_end, plain
from alerts.record.snapshot import Snapshot
from underfoot.alarms import Severity

_TAIL = "查看▸"
_LONGEST_TITLE = 16
_SHORTEST_PLACE = 4
_SHORTEST_STREET = 3
_PLACE_WORTH_HAVING = 16
_RANGED_FROM = 4
_DIGITS = re.compile(r"[0-9]+")

Place = tuple[str, str]


def are_alike(told: Sequence[Snapshot]) -> bool:
    """Whether one sentence says it of all: the same rule, and the same kind of notice."""
    return len({(one["rule_id"], one["notice"]) for one in told}) == 1 and told[0]["notice"] != "correct"


def alike(told: Sequence[Snapshot], places: Sequence[Place], act: str, deadline: str) -> str:
    """【橙】灯杆漏电10处｜人民大道 灯杆0101、灯杆0102等，21:38起。断电并围挡，勿触灯杆，22:08前漏电消除。接单▸"""
    worst = max(told, key=lambda one: one["severity"])
    over = worst["notice"] == "clear"
    named = "解除" if over else Severity(worst["severity"]).label
    head = f"【{named}】{cut(plain(worst['title']), _LONGEST_TITLE)}{len(told)}处"
    when = _over_since(told) if over else f"{_first(told)}起"
    if worst["notice"] == "escalate":
        when, act, deadline = f"{when}未确认", "请立即确认", ""
    orders = "" if over else "，".join(part for part in (act, deadline) if part)
    tail = "接单▸" if worst["crew"] and not over and worst["notice"] != "escalate" else _TAIL

    def text(where: str, *, with_when: bool, with_orders: str) -> str:
        facts = "，".join(part for part in (where, when if with_when else "") if part)
        return f"{head}{'｜' if facts else ''}{facts}。{with_orders}{'。' if with_orders else ''}{tail}"

    whole = _extent(places, 1000)
    variants = [(True, orders), (over, orders), (over, "" if over else act)]
    room = 0
    for with_when, with_orders in variants:
        room = LONGEST - len(text("", with_when=with_when, with_orders=with_orders)) - 1
        if room >= min(len(whole), _PLACE_WORTH_HAVING):
            break
    return text(_extent(places, max(room, 0)), with_when=with_when, with_orders=with_orders)


def mixed(told: Sequence[Snapshot], place_of: Callable[[Snapshot], Place], now: datetime) -> str:
    """【告警汇总07:00】红1橙2黄3，解除2：井盖倾斜2、灯具不亮1等。最重人民大道文峰路口东北角 井盖打开。查看▸"""
    news = [one for one in told if one["notice"] != "clear"]
    ends = len(told) - len(news)
    counts = Counter(Severity(one["severity"]) for one in news)
    severities = "".join(f"{severity.label}{counts[severity]}" for severity in sorted(counts, reverse=True))
    head = f"【告警汇总{city(now.isoformat()):%H:%M}】" + "，".join(
        part for part in (severities, f"解除{ends}" if ends else "") if part
    )
    worst = max(news, key=lambda one: one["severity"]) if news else None
    kinds = [f"{cut(plain(title), _LONGEST_TITLE)}{count}" for title, count in _by_severity(news or list(told))]
    for shown in range(len(kinds), 0, -1):
        text = f"{head}：{'、'.join(kinds[:shown])}{'等' if shown < len(kinds) else ''}"
        where = _worst(worst, place_of, LONGEST - len(text) - len(_TAIL) - 1)
        enough = where or worst is None or shown == 1
        if len(text) + len(where) + len(_TAIL) + 1 <= LONGEST and enough:
            return f"{text}{where}。{_TAIL}"
    return f"{head}{_worst(worst, place_of, LONGEST - len(head) - len(_TAIL) - 1)}。{_TAIL}"


def _by_severity(told: Sequence[Snapshot]) -> list[tuple[str, int]]:
    """Titles and how many, the most severe first, of these the most."""
    severest: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for one in told:
        severest[one["title"]] = max(severest.get(one["title"], 0), one["severity"])
        counts[one["title"]] += 1
    return sorted(counts.items(), key=lambda item: (-severest[item[0]], -item[1], item[0]))


def _worst(worst: Snapshot | None, place_of: Callable[[Snapshot], Place], room: int) -> str:
    if worst is None:
        return ""
    before, whole = "。最重", joined(*place_of(worst))
    what = cut(plain(worst["title"]), _LONGEST_TITLE)
    place = kept_end(whole, room - len(before) - len(what) - 1)
    if len(place) < min(len(whole), _SHORTEST_PLACE):
        return ""
    return f"{before}{place} {what}" if place else f"{before}{what}" if len(before) + len(what) <= room else ""


def _first(told: Sequence[Snapshot]) -> str:
    return f"{min(city(one['raised_at']) for one in told):%H:%M}"


def _over_since(told: Sequence[Snapshot]) -> str:
    return f"{max(city(one['cleared_at'] or one['event_at']) for one in told):%H:%M}均已恢复"


def _extent(places: Sequence[Place], room: int) -> str:
    """What they have in common is said once: 人民大道 灯杆0101至灯杆0110; 人民大道 泵房、门卫等."""
    addresses = list(dict.fromkeys(address for address, _ in places if address))
    names = list(dict.fromkeys(name for _, name in places if name))
    common = _common(addresses).rstrip("0123456789第")
    street = common if len(common) >= _SHORTEST_STREET or len(addresses) == 1 else ""
    parts = _ranged(names or addresses)
    for shown in range(len(parts), 0, -1):
        listed = "、".join(parts[:shown]) + ("等" if shown < len(parts) else "")
        text = f"{street} {listed}" if street else listed
        if len(text) <= room:
            return text
    return kept_end(street or (parts[0] if parts else ""), room)


def _ranged(parts: list[str]) -> list[str]:
    """The first and the last of what is numbered; a street of its own is said by its first and last house."""
    if len(parts) < _RANGED_FROM or len({_DIGITS.sub("#", part) for part in parts}) > 1 or not _DIGITS.search(parts[0]):
        return parts
    ordered = sorted(parts, key=lambda part: [int(digits) for digits in _DIGITS.findall(part)])
    return [f"{ordered[0]}至{ordered[-1]}"]


def _common(texts: Sequence[str]) -> str:
    """How all of them begin."""
    alike = 0
    for alike, characters in enumerate(zip(*texts, strict=False), start=1):
        if len(set(characters)) > 1:
            alike -= 1
            break
    return texts[0][:alike] if texts else ""
