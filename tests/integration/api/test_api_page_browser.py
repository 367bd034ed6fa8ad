"""An alarm's page in a browser: on a phone and on a desk, with scripts and without, with a line and without.

Needs Debian's chromium, which deploy/prerequisites.sh installs; a machine that has none says so and skips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.api import scenes
from tests.integration.api.chromium import Browser, Tab, chromium, program
from tests.integration.api.quarter import Quarter
from tests.integration.api.served import keyed
from underfoot.alarms import Severity

CHROMIUM = program()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: `bash deploy/prerequisites.sh chromium` installs it"
)

PHONE, DESK = (390, 844), (1440, 900)
FINGER = 48
MOST_BYTES = 150_000


@dataclass
class Looking:
    browser: Browser
    url: str
    quarter: Quarter
    links: dict[str, str]

    def fresh(self) -> tuple[int, str]:
        """An open alarm and the address of its page."""
        asset = self.quarter.asset("0103", "雨水井0999", 400, 300, "平原路")
        device = self.quarter.device("cover", asset, 86_400)
        episode = self.quarter.raised("cover.open", device, Severity.red, self.quarter.ago(minutes=2), label="井盖打开")
        return episode, f"{self.url}{self.quarter.link(episode)}"

    def acknowledged(self, episode: int) -> bool:
        row = self.quarter.one("SELECT human FROM episodes WHERE episode_key = %s", episode)
        return bool(row["human"] == "acknowledged")


@pytest.fixture(scope="module")
def looking(module_database: str) -> Iterator[Looking]:
    quarter = Quarter(module_database)
    manholes = quarter.sewers()
    scenes.neighbours(quarter, manholes)
    episodes = {
        "cover": scenes.open_cover(quarter, manholes),
        "blockage": scenes.blockage(quarter, manholes),
        "lamps": scenes.lamps(quarter)[0],
        "storm": scenes.storm(quarter),
        "ended": scenes.ended(quarter),
    }
    links = {name: quarter.link(episode) for name, episode in episodes.items()}
    links["expired"] = quarter.link(episodes["cover"], expires_at=quarter.ago(minutes=1))
    with keyed(module_database) as served, chromium(CHROMIUM or "") as browser:
        yield Looking(browser, served.url, quarter, links)
    quarter.close()


def too_small_to_tap(tab: Tab) -> list[str]:
    """What a finger would miss."""
    return list(
        tab.js(
            "[...document.querySelectorAll('a,button,summary')].filter(e => {const b = e.getBoundingClientRect();"
            f" return b.height < {FINGER} || b.width < {FINGER}}}).map(e => e.outerHTML)"
        )
    )


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_each_page_loads_small_alone_and_without_a_word_of_complaint(looking: Looking, size: tuple[int, int]) -> None:
    for name, link in looking.links.items():
        tab = looking.browser.tab(*size, mobile=size is PHONE)
        tab.open(f"{looking.url}{link}")
        assert tab.wire.asked == [f"GET {looking.url}{link}"], (name, "it asks for nothing else, of nobody else")
        assert 1000 < tab.wire.received < MOST_BYTES, name
        assert tab.wire.refused == [], name
        complaints = [said for said in tab.said if "410 (Gone)" not in said]
        assert complaints == [], name
        assert tab.js("document.documentElement.scrollWidth") <= size[0], (name, "nothing sticks out at the side")
        assert too_small_to_tap(tab) == [], name
        tab.close()


def test_on_a_phone_the_danger_the_place_and_the_button_are_there_at_once(looking: Looking) -> None:
    tab = looking.browser.tab(*PHONE, mobile=True)
    tab.open(f"{looking.url}{looking.links['cover']}")
    for selector in ("h1", "p.place", ".first", ".count", "button.tap"):
        _, top, _, height = tab.place(selector)
        assert top >= 0, selector
        assert top + height <= PHONE[1], selector
    assert "还剩" in tab.js("document.querySelector('.count').textContent")
    tab.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_tap_acknowledges(looking: Looking, scripts: bool) -> None:
    episode, url = looking.fresh()
    tab = looking.browser.tab(*PHONE, mobile=True, scripts=scripts)
    tab.open(url)
    assert not looking.acknowledged(episode), "looking is not acknowledging"
    tab.tap("button.tap")
    tab.until(lambda: "已由 李强" in tab.text())
    assert looking.acknowledged(episode)
    assert not tab.has("button.tap")
    tab.close()


def test_without_a_line_it_says_so_and_the_tap_can_be_tried_again(looking: Looking) -> None:
    episode, url = looking.fresh()
    tab = looking.browser.tab(*PHONE, mobile=True)
    tab.open(url)
    tab.offline(True)
    tab.tap("button.tap")
    tab.until(lambda: "没有网络，还没有接单" in tab.text())
    assert tab.js("document.querySelector('button.tap').disabled") is False
    assert not looking.acknowledged(episode)
    tab.offline(False)
    tab.tap("button.tap")
    tab.until(lambda: "已由 李强" in tab.text())
    assert looking.acknowledged(episode)
    tab.close()


def test_it_follows_what_happens_and_what_is_open_stays_open(looking: Looking) -> None:
    episode, url = looking.fresh()
    tab = looking.browser.tab(*PHONE, mobile=True)
    tab.open(url)
    tab.js("document.querySelector('details').open = true")
    looking.quarter.acknowledged(episode, "link:wenfeng", looking.quarter.now)
    tab.js("document.dispatchEvent(new Event('visibilitychange'))")
    tab.until(lambda: "已由 文峰养护所" in tab.text())
    assert tab.js("document.querySelector('details').open") is True
    assert tab.said == []
    tab.close()
