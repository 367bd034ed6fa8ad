"""An alarm's page as its receiver opens it: by the link of a message, or by its number after logging in."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import psycopg
import pytest

from alerts.channels.platform.coordinates import Place, from_gcj02
from alerts.regions.actions import acknowledge
from api.keys import create
from api.page.admission import BURST
from api.roles import Role
from tests.integration.api import scenes
from tests.integration.api.people import PASSWORD, SESSION, add, make_hashing_cheap
from tests.integration.api.quarter import LAT, LON, Quarter
from tests.integration.api.served import Served, keyed
from underfoot.alarms import Severity
from underfoot.links import LASTS, issue, rotate
from underfoot.storage.connect import connect

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
ANOTHER_SITE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}


@dataclass
class Night:
    """The API on a quarter with one of each scene; tests that change an alarm make their own."""

    served: Served
    quarter: Quarter
    manholes: list[int]
    cover: int
    underpass: int
    blockage: int
    lamp: int
    lamps: list[int]
    storm: int
    ended: int

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.served.url}{path}", headers=BROWSER | headers, timeout=30)

    def post(self, path: str, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.served.url}{path}", headers=BROWSER | headers, timeout=30)

    def page(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return text_of(answer)

    def audited(self, action: str, episode_key: int) -> list[str]:
        query = "SELECT actor FROM audit WHERE action = %s AND subject = %s ORDER BY audit_key"
        return [row["actor"] for row in self.quarter.rows(query, action, f"episode:{episode_key}")]

    def state(self, episode_key: int) -> tuple[str, str | None]:
        row = self.quarter.one("SELECT human, acknowledged_by FROM episodes WHERE episode_key = %s", episode_key)
        return row["human"], row["acknowledged_by"]


def text_of(answer: httpx.Response) -> str:
    """What a person reads: without tags, style and script."""
    body = re.sub(r"<(style|script)[^>]*>.*?</\1>", "", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.fixture(scope="module")
def night(module_database: str) -> Iterator[Night]:
    quarter = Quarter(module_database)
    manholes = quarter.sewers()
    scenes.neighbours(quarter, manholes)
    cover = scenes.open_cover(quarter, manholes)
    underpass, blockage = scenes.underpass(quarter), scenes.blockage(quarter, manholes)
    lamp, lamps = scenes.lamps(quarter)
    storm, ended = scenes.storm(quarter), scenes.ended(quarter)
    with keyed(module_database) as served:
        yield Night(served, quarter, manholes, cover, underpass, blockage, lamp, lamps, storm, ended)
    quarter.close()


# what it says ---------------------------------------------------------------------------------------------------------


def test_an_open_cover(night: Night) -> None:
    said = night.page(night.quarter.link(night.cover))
    for words in (
        "红色", "井盖打开", "人民大道文峰路口东北角", "文峰养护所", "先围挡", "前复位", "还剩 6 分钟", "禁止下井",
        "19.5–23.5 %vol",
        "＜ 10 %LEL", "14 %LEL 超限", "20.6 %vol", "未测", "设备上报“井盖打开” = 是", "接单", "导航", "100 米", "北",
        "文峰养护所 · 告警 · 已送达", "李强 · 告警", "一网统管平台 · 告警", "案件已上报", "到场处置安全", "修复完成",
    ):  # fmt: skip
        assert words in said, words
    assert "13800000000" not in said
    assert "cover-" not in said, "no device id"


def test_water_in_an_underpass_that_rose_through_two_limits(night: Night) -> None:
    said = night.page(night.quarter.link(night.underpass))
    for words in (
        "立即断路设卡，勿涉水", "带：泵车", "勿涉水、勿驶入", "橙色告警：积水深度 15.2 cm，达到限值 15 cm",
        "升为红色：积水深度 25.1 cm，达到限值 25 cm", "积水深度（cm）", "红 25", "橙 15", "最近读数", "32.", "已超时",
    ):  # fmt: skip
        assert words in said, words


def test_a_blocked_sewer(night: Night) -> None:
    answer = night.get(night.quarter.link(night.blockage))
    said = text_of(answer)
    for words in (
        "雨水井203→雨水井204", "带疏通车查雨水井204，禁止下井", "上游满管、下游0.1m",
        "雨水管 DN600 长 78 m", "上游 雨水井203", "下游 雨水井204",
        "本井没有气体监测",
    ):  # fmt: skip
        assert words in said, words
    assert 'class="pipe storm s3 own"' in answer.text


def test_ten_lamps_of_one_message_are_acknowledged_in_one_tap(night: Night) -> None:
    link = night.quarter.link(night.lamp)
    said = night.page(link)
    assert "同一条消息的另 9 处" in said
    assert "接单（共 10 处）" in said
    assert "勿触灯杆" in said
    assert night.post(link).status_code == 303
    assert {night.state(key) for key in [night.lamp, *night.lamps]} == {("acknowledged", "link:li-qiang")}
    assert night.audited("alarm.acknowledge", night.lamps[4]) == ["link:li-qiang"]
    assert "已由 李强" in night.page(link)


def test_a_storm(night: Night) -> None:
    answer = night.get(night.quarter.link(night.storm))
    said = text_of(answer)
    for words in (
        "暴雨险情",
        "文峰区 洹河南岸",
        "现有 17 处",
        "红 5",
        "橙 10",
        "黄 2",
        "最深",
        "46.8 cm",
        "11 处",
        "重的在前",
        "500 米",
    ):
        assert words in said, words
    assert said.index("下穿积水，积水深度 42 cm") < said.index("雨水管超载，充满度"), "the worst first"
    assert answer.text.count('class="spot s4"') == 5


def test_one_that_is_over(night: Night) -> None:
    said = night.page(night.quarter.link(night.ended))
    for words in (
        "已解除（原为红色）",
        "险情已经结束",
        "历时 45 分钟",
        "已由 文峰养护所",
        "解除：恢复到限值以下",
        "倾角",
        "基准+30",
    ):
        assert words in said, words
    assert "先做什么" not in said
    assert "还剩" not in said
    assert 'http-equiv="refresh"' not in night.get(night.quarter.link(night.ended)).text


def test_navigation_leads_to_the_place_in_the_map_makers_coordinates(night: Night) -> None:
    page = night.get(night.quarter.link(night.underpass)).text
    [amap] = re.findall(r'href="(https://uri\.amap\.com[^"]+)"', page)
    query = parse_qs(urlsplit(amap.replace("&amp;", "&")).query)
    assert query["coordinate"] == ["gaode"]
    lon, lat, name = query["to"][0].split(",")
    back = from_gcj02(Place(float(lon), float(lat)))
    assert abs(back.lon - LON) < 2e-6
    assert abs(back.lat - LAT) < 2e-6
    assert name == "东风路铁路桥下"
    [geo] = re.findall(r'href="(geo:[^"]+)"', page)
    assert unquote(geo) == f"geo:{LAT:.6f},{LON:.6f}?q={LAT:.6f},{LON:.6f}(东风路铁路桥下)"


def test_what_people_wrote_is_text(night: Night) -> None:
    """A name of the ledger may hold anything."""
    asset = night.quarter.asset("0103", "<script>alert(1)</script>\"'", 400, 400, "<img src=x onerror=alert(2)>")
    device = night.quarter.device("cover", asset, 86_400)
    episode = night.quarter.raised(
        "cover.tilt", device, Severity.red, night.quarter.ago(minutes=3), label="<b>倾角</b>"
    )
    page = night.get(night.quarter.link(episode)).text
    assert "alert(1)" in page
    for tag in ("<script>alert", "<img src", "<b>倾角"):
        assert tag not in page


# acknowledging --------------------------------------------------------------------------------------------------------


def fresh(night: Night, name: str = "雨水井0999") -> int:
    """An open alarm of its own."""
    asset = night.quarter.asset("0103", name, 500, 500, "平原路")
    device = night.quarter.device("cover", asset, 86_400)
    return night.quarter.raised("cover.open", device, Severity.red, night.quarter.ago(minutes=2), label="井盖打开")


def test_looking_acknowledges_nothing_whoever_looks(night: Night) -> None:
    episode = fresh(night)
    link = night.quarter.link(episode)
    for agent in ("WeChat link preview", "DingTalkBot", "facebookexternalhit/1.1"):
        assert night.get(link, **{"User-Agent": agent}).status_code == 200
    assert httpx.head(f"{night.served.url}{link}").status_code == 405
    assert night.state(episode) == ("unacknowledged", None)


def test_one_tap_acknowledges_as_the_receiver_and_a_second_changes_nothing(night: Night) -> None:
    episode = fresh(night)
    link = night.quarter.link(episode)
    for _ in range(3):
        answer = night.post(link)
        assert (answer.status_code, answer.headers["location"]) == (303, link)
    assert night.state(episode) == ("acknowledged", "link:li-qiang")
    assert night.audited("alarm.acknowledge", episode) == ["link:li-qiang"]
    [detail] = night.quarter.rows(
        "SELECT detail ->> 'note' AS note FROM audit WHERE action = 'alarm.acknowledge' AND subject = %s",
        f"episode:{episode}",
    )
    assert f"推送 {night.quarter.delivery(episode, 'li-qiang')}" in detail["note"]
    said = night.page(link)
    assert re.search(r"已由 李强 \S*\d\d:\d\d 接单", said)
    assert "<button" not in night.get(link).text
    assert "李强接单" in said, "in the record, too"


def test_where_the_platform_has_filed_a_case_whoever_goes_still_takes_it_by_his_link(night: Night) -> None:
    episode = fresh(night)
    link = night.quarter.link(episode)
    with connect(night.quarter.database, "test") as connection:
        acknowledge(connection, [episode], "platform:wuhu", datetime.now(UTC))
    said = night.page(link)
    assert re.search(r"一网统管平台 \S*\d\d:\d\d 已立案，还没有人接单", said)
    assert "一网统管平台立案" in said, "in the record"
    assert "wuhu" not in night.get(link).text
    assert "<button" in night.get(link).text
    for _ in range(2):
        assert night.post(link).status_code == 303
    assert night.state(episode) == ("acknowledged", "link:li-qiang")
    assert night.audited("alarm.acknowledge", episode) == ["link:li-qiang"]
    said = night.page(link)
    assert re.search(r"已由 李强 \S*\d\d:\d\d 接单", said)
    assert "一网统管平台立案" in said, "it stays on record"
    assert "<button" not in night.get(link).text


def test_ten_taps_at_once_are_one(night: Night) -> None:
    episode = fresh(night)
    links = [night.quarter.link(episode), night.quarter.link(episode, "wenfeng")]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(night.post, links * 5))
    assert {answer.status_code for answer in answers} == {303}
    assert len(night.audited("alarm.acknowledge", episode)) == 1
    [row] = night.quarter.rows(
        "SELECT count(*) AS n FROM transitions t JOIN episodes e USING (alarm_key, episode)"
        " WHERE e.episode_key = %s AND t.region = 'human'",
        episode,
    )
    assert row["n"] == 1


def test_another_site_can_t_make_somebody_acknowledge(night: Night) -> None:
    episode = fresh(night)
    link = night.quarter.link(episode)
    assert night.post(link, **ANOTHER_SITE).status_code == 403
    assert night.state(episode)[0] == "unacknowledged"
    assert night.post(link, **{"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_what_is_over_can_still_be_taken_notice_of(night: Night) -> None:
    asset = night.quarter.asset("0103", "雨水井0998", 520, 520)
    device = night.quarter.device("cover", asset, 86_400)
    episode = night.quarter.raised("cover.open", device, Severity.red, night.quarter.ago(minutes=9), label="井盖打开")
    night.quarter.cleared("cover.open", device, Severity.red, night.quarter.ago(minutes=4), label="井盖打开")
    link = night.quarter.link(episode)
    assert "确认已知" in night.page(link)
    assert night.post(link).status_code == 303
    assert night.state(episode)[0] == "acknowledged"


# links that open nothing ----------------------------------------------------------------------------------------------


def test_an_expired_link_says_so_and_where_to_look(night: Night) -> None:
    link = night.quarter.link(night.cover, expires_at=night.quarter.ago(minutes=1))
    answer = night.get(link)
    assert answer.status_code == 410
    assert "链接已过期" in answer.text
    assert f'href="/login?next=/alarms/{night.cover}"' in answer.text
    assert "井盖打开" not in answer.text, "it says nothing of the alarm"
    assert night.post(link).status_code == 410
    assert night.state(night.cover)[0] == "unacknowledged"


def test_a_link_that_is_not_ours_opens_nothing(night: Night) -> None:
    good = night.quarter.link(night.cover)
    expires_at = night.quarter.now + LASTS
    foreign = f"/a/{issue(b'x' * 32, alarm_key=1, episode=1, delivery_key=1, expires_at=expires_at)}"
    for link, words in (
        (good[:-3], "链接"),
        (f"{good[:-1]}{'A' if good[-1] != 'A' else 'B'}", "链接"),
        (foreign, "链接无效"),
        ("/a/nonsense", "链接不完整"),
        (f"/a/{'A' * 150}", "链接不完整"),
        (f"/a/{'A' * 300}", "没有这条告警"),
    ):
        answer = night.get(link)
        assert answer.status_code == 404, link
        assert words in answer.text
        assert "怎么办" in answer.text
        assert "井盖打开" not in answer.text
        assert night.post(link).status_code == 404
    of_no_delivery = issue(night.quarter.secret, alarm_key=1, episode=1, delivery_key=10**9, expires_at=expires_at)
    assert night.get(f"/a/{of_no_delivery}").status_code == 404


def test_links_outlive_a_new_secret_and_not_a_voided_one(database: str) -> None:
    quarter = Quarter(database)
    episode = scenes.underpass(quarter)
    link = quarter.link(episode)
    for void, status in ((False, 200), (True, 404)):
        with connect(database, "test", autocommit=True) as connection:
            rotate(connection, actor="test", voids_older=void)
        with keyed(database) as served:
            assert httpx.get(f"{served.url}{link}").status_code == status
        if not void:
            quarter.ask.execute("DELETE FROM api_keys")
    quarter.close()


def test_a_link_that_is_opened_all_the_time_has_to_wait(night: Night) -> None:
    link = night.quarter.link(fresh(night), "wenfeng")
    # Some more than that: on a busy machine the next may come while these are opened.
    opened = 0
    while (last := night.get(link)).status_code == 200 and opened < 3 * BURST:
        opened += 1
    assert opened >= BURST
    assert last.status_code == 429
    assert 1 <= int(last.headers["retry-after"]) <= 3
    assert "打开得太快" in last.text


# by its number --------------------------------------------------------------------------------------------------------


def test_who_has_not_logged_in_is_sent_to_and_a_program_is_told(night: Night) -> None:
    answer = night.get(f"/alarms/{night.cover}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next=/alarms/{night.cover}")
    assert night.served.get(f"/alarms/{night.cover}", None).status_code == 401


def test_a_viewer_sees_it_without_names_and_without_a_button(night: Night) -> None:
    night.quarter.link(night.cover)  # somebody was told
    answer = night.served.call("GET", f"/alarms/{night.cover}", Role.viewer, headers=BROWSER)
    assert answer.status_code == 200
    assert "<button" not in answer.text
    assert "李*" in answer.text
    assert "李强" not in answer.text
    refused = night.served.call("POST", f"/alarms/{night.cover}", Role.viewer, headers=BROWSER)
    assert refused.status_code == 403
    assert "不能这样操作" in refused.text


def test_an_operator_and_a_crew_acknowledge_in_their_own_name(night: Night) -> None:
    for role in (Role.operator, Role.crew):
        episode = fresh(night)
        path = f"/alarms/{episode}"
        assert "<button" in night.served.call("GET", path, role, headers=BROWSER).text
        assert night.served.call("POST", path, role, headers=BROWSER).status_code == 303
        assert night.state(episode) == ("acknowledged", f"the-{role.value}")


def test_who_has_a_part_of_the_city_sees_and_acknowledges_nothing_of_another(night: Night) -> None:
    night.quarter.asset("0118", "路灯0500", 900, 900, maintenance_unit="路灯所")
    with connect(night.served.database, "test", autocommit=True) as connection:
        elsewhere = create(connection, "beiguan", Role.operator, "test", areas=["410503"]).secret
        another = create(connection, "other-unit", Role.operator, "test", units=["路灯所"]).secret
        here = create(connection, "wenfeng-desk", Role.operator, "test", areas=["410502"]).secret
    over_the_border = night.quarter.asset("0103", "界外井", 60, 80, area_code="410503")
    device = night.quarter.device("cover", over_the_border, 86_400)
    night.quarter.raised("cover.ch4", device, Severity.red, night.quarter.ago(minutes=5), label="甲烷")
    episode = fresh(night)
    for secret in (elsewhere, another):
        for method in ("GET", "POST"):
            answer = night.served.call(method, f"/alarms/{episode}", None, secret=secret, headers=BROWSER)
            assert answer.status_code == 404
            assert "雨水井0999" not in answer.text
    assert night.state(episode)[0] == "unacknowledged"
    seen = night.served.call("GET", f"/alarms/{night.cover}", None, secret=here, headers=BROWSER)
    assert "井盖打开" in seen.text
    assert "井内甲烷超限" not in seen.text, "nor on the map"
    assert "井内甲烷超限" in night.get(night.quarter.link(night.cover)).text


def test_who_has_logged_in_acknowledges_on_the_page_and_from_nowhere_else(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashing_cheap(monkeypatch)
    add(night.served.database, "wangjg", Role.operator, display_name="王建国")
    episode = fresh(night)
    here = {"Origin": night.served.url, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=night.served.url, headers=BROWSER) as client:
        begun = client.post(SESSION, json={"name": "wangjg", "password": PASSWORD, "carrier": "cookie"}, headers=here)
        assert begun.status_code == 201
        assert "<button" in client.get(f"/alarms/{episode}").text
        refused = client.post(f"/alarms/{episode}", headers=ANOTHER_SITE)
        assert refused.status_code == 403
        assert "接单要在告警页面上点按钮" in refused.text
        assert night.state(episode)[0] == "unacknowledged"
        assert client.post(f"/alarms/{episode}", headers=here).status_code == 303
        assert "已由 王建国" in client.get(f"/alarms/{episode}").text
    assert night.state(episode) == ("acknowledged", "wangjg")


def test_an_alarm_that_is_not_there_is_not_found(night: Night) -> None:
    for method in ("GET", "POST"):
        for path in ("/alarms/99999999", "/alarms/nothing"):
            answer = night.served.call(method, path, Role.operator, headers=BROWSER)
            assert answer.status_code == 404, (method, path)
            assert "没有这条告警" in answer.text


# its envelope ---------------------------------------------------------------------------------------------------------


def test_it_is_one_small_file_that_asks_for_nothing_else(night: Night) -> None:
    for episode in (night.cover, night.underpass, night.blockage, night.storm, night.ended):
        answer = night.get(night.quarter.link(episode), **{"Accept-Encoding": "identity"})
        assert len(answer.content) < 60_000
        assert not re.findall(r'\s(?:src|srcset|action|background)="?', answer.text)
        assert set(re.findall(r'<link[^>]*href="([^"]*)"', answer.text)) == {"data:,"}
        assert not re.findall(r'\s(?:style|on\w+)="', answer.text), "the policy forbids what stands in attributes"
        packed = night.get(night.quarter.link(episode), **{"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < 20_000


def test_nobody_keeps_it_and_nothing_foreign_runs_in_it(night: Night) -> None:
    link = night.quarter.link(night.cover)
    for answer in (night.get(link), night.get("/a/nonsense")):
        policy = answer.headers["content-security-policy"]
        [nonce] = set(re.findall(r"'nonce-([^']+)'", policy))
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert set(re.findall(r'nonce="([^"]+)"', answer.text)) == {nonce}
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "noindex" in answer.headers["x-robots-tag"]
        assert answer.headers["x-frame-options"] == "DENY"
    assert night.get(link).headers["content-security-policy"] != night.get(link).headers["content-security-policy"]


def test_a_token_is_in_no_log(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    link = night.quarter.link(night.cover)
    with caplog.at_level(logging.DEBUG):
        night.get(link)
        night.post(f"{link}/more")
        night.get(f"{link[:-2]}xx")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("underfoot")]
    assert any("/a/…" in line for line in ours)
    assert not any(link[3:15] in line for line in ours)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [(psycopg.OperationalError("gone"), 503, "暂时打不开"), (RuntimeError("broken"), 500, "报修时请说编号")],
)
def test_what_goes_wrong_is_a_page_too(
    night: Night, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, words: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("api.routers.page.facts_of", fails)
    answer = night.get(night.quarter.link(night.cover))
    assert answer.status_code == status
    assert words in answer.text
    assert "gone" not in answer.text
