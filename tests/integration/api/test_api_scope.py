"""Who sees and does what where: every route × role × part of the city. A caller of one district sees nothing of another
one, acknowledges and changes nothing there; and one of a maintenance unit nothing of another unit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.rulebook.book import install_shipped
from api.keys import create
from api.roles import NEEDED, V1, Reach, Role
from tests.integration.api.people import EMPTY, add, log_in, make_hashing_cheap
from tests.integration.api.served import Served, keyed, problem
from tests.integration.api.two_districts import BEIGUAN, MARKS, THINGS, WENFENG, build
from underfoot.storage.connect import connect

ROLES = [role for role in Role if role is not Role.broker]
SCOPES: dict[str, dict[str, list[str]]] = {
    "wenfeng": {"areas": [WENFENG]},
    "beiguan": {"areas": [BEIGUAN]},
    "unit": {"units": ["文峰养护所"]},
}
DISTRICT = {"wenfeng": WENFENG, "beiguan": BEIGUAN, "unit": WENFENG}
OTHER = {WENFENG: BEIGUAN, BEIGUAN: WENFENG}

BODIES: dict[str, Any] = {
    "comment": {"text": "t"}, "shelve": {"minutes": 5, "reason": "r"}, "assign": {"to": "x"},
    "verdict": {"verdict": "real"},
    "close": {"reason": "r"}, "approve": {"kind": "0103"}, "suspend": {"reason": "r"}, "cancel": {"reason": "r"},
    "duplicate": {"of": "P-1"}, "note": {"text": "t"},
}  # fmt: skip
"""Of calls on a single thing, by the last word of their path; the rest need none."""

NO_PLACE = {
    "{mapping}": "x",
    "{rule_id}": "cover.tilt",
    "{direction}": "upstream",
    "{scope}": "area:410502",
    "{year}": "2026",
}
QUERIES = {
    f"{V1}/pipes.geojson": {"bbox": "110,30,120,40"},
    f"{V1}/duty/handover": {"from": "2026-06-01T00:00:00Z", "to": "2030-01-01T00:00:00Z"},
}
BY_AREA_ALONE = {f"{V1}/areas", f"{V1}/areas/tree", f"{V1}/areas/{{code}}"}
"""Areas have no unit: who is bound to units alone sees them all."""
NOT_BY_UNIT = {f"{V1}/duty/handover", f"{V1}/newcomers", f"{V1}/indicators"}


@pytest.fixture(scope="module")
def running(module_database: str) -> Iterator[Served]:
    with keyed(module_database) as served, connect(module_database, "test") as connection:
        build(served)
        install_shipped(connection)
        connection.commit()
        for name, scope in SCOPES.items():
            for role in ROLES:
                key = create(connection, f"{name}-{role.value}", role, "test", **scope)  # type: ignore[arg-type]
                served.named[key.name] = key.secret
        connection.commit()
        yield served


def _call(served: Served, who: str, method: str, path: str, **more: Any) -> Any:
    return served.call(method, path, None, secret=served.named[who], **more)


def _path(path: str, things: dict[str, str]) -> str:
    if "newcomers" in path:
        path = path.replace("{device_id}", things["newcomer"])
    for name, value in things.items():
        path = path.replace(f"{{{name}}}", value)
    for name, value in NO_PLACE.items():
        path = path.replace(name, value)
    return path


def _single(path: str) -> bool:
    return any(f"{{{name}}}" in path for name in THINGS[WENFENG])


WITHIN = sorted(key for key, need in NEEDED.items() if need.reach is Reach.within)
LISTS = [path for method, path in WITHIN if method == "GET" and not _single(path) and "{direction}" not in path]
SINGLES = [key for key in WITHIN if _single(key[1])]


def test_every_role_walks() -> None:
    """Or that none of its calls reached elsewhere would be no proof."""
    for routes in ([("GET", path) for path in LISTS], SINGLES):
        assert {role for route in routes for role in NEEDED[route].roles} == set(ROLES)


@pytest.mark.parametrize("who", [*(f"wenfeng-{role.value}" for role in ROLES), "unit-administrator"])
def test_every_route_is_refused_to_roles_that_it_does_not_name_and_to_parts_of_the_city_where_it_concerns_it_whole(
    running: Served, who: str
) -> None:
    role = Role(who.partition("-")[2])
    for (method, path), need in sorted(NEEDED.items()):
        if need.reach is Reach.open or (need.admits(role) and need.reach is not Reach.whole):
            continue
        answer = _call(
            running, who, method, _path(path, THINGS[WENFENG]).replace("{name}", "x").replace("{kind}", "device")
        )
        problem(answer, 403, "scope-too-narrow" if need.admits(role) else "role-too-low")


@pytest.mark.parametrize("name", SCOPES)
@pytest.mark.parametrize("path", LISTS)
def test_a_list_leaves_out_what_lies_elsewhere(running: Served, name: str, path: str) -> None:
    for role in NEEDED["GET", path].roles:
        answer = _call(running, f"{name}-{role.value}", "GET", path, params=_all(path))
        if name == "unit" and path in NOT_BY_UNIT:
            assert answer.status_code in (200, 403), (role, answer.text)
        else:
            assert answer.status_code == 200, (role, answer.text)
        text = json.dumps(answer.json(), ensure_ascii=False)
        if not (name == "unit" and path in BY_AREA_ALONE):
            assert [mark for mark in MARKS[OTHER[DISTRICT[name]]] if mark in text] == [], role
        whole = running.get(path, role, **_all(path))
        assert whole.status_code == 200, (role, whole.text)


def _all(path: str) -> dict[str, str]:
    wider = {"alarms": {"state": "all"}, "incidents": {"state": "all"}, "cases": {"show": "all"}}
    return QUERIES.get(path) or wider.get(path.removeprefix(f"{V1}/"), {})


def test_lists_show_what_lies_here(running: Served) -> None:
    """Or leaving out would be no proof."""
    seen = {
        path: set(re.findall("|".join(MARKS[WENFENG] + MARKS[BEIGUAN]), json.dumps(
            running.get(path, Role.operator, **_all(path)).json(), ensure_ascii=False)))
        for path in LISTS
    }  # fmt: skip
    for path in (
        "areas", "areas/tree", "assets", "devices", "alarms", "alarms/shelved", "out-of-service", "incidents",
        "newcomers",
        "pipes", "pipes.geojson", "cases", "duty/handover",
    ):  # fmt: skip
        assert seen[f"{V1}/{path}"] & set(MARKS[WENFENG]), path
        assert seen[f"{V1}/{path}"] & set(MARKS[BEIGUAN]), path
        mine = _call(running, "wenfeng-operator", "GET", f"{V1}/{path}", params=_all(f"{V1}/{path}")).json()
        assert any(mark in json.dumps(mine, ensure_ascii=False) for mark in MARKS[WENFENG]), path


@pytest.mark.parametrize("name", SCOPES)
def test_a_single_thing_elsewhere_is_not_there_and_stays_as_it_is(running: Served, name: str) -> None:
    elsewhere = THINGS[OTHER[DISTRICT[name]]]
    before = _content(running)
    for method, path in SINGLES:
        if name == "unit" and path in BY_AREA_ALONE:
            continue
        body = BODIES.get(path.rpartition("/")[2])
        for role in NEEDED[method, path].roles:
            answer = _call(running, f"{name}-{role.value}", method, _path(path, elsewhere), json=body)
            assert answer.status_code == 404, (method, path, role, answer.status_code, answer.text)
    for role in ROLES:
        assert _call(running, f"{name}-{role.value}", "GET", f"{V1}/me").status_code == 200
    assert _content(running) == before


def test_a_single_thing_of_ones_own_is_there(running: Served) -> None:
    for name in ("wenfeng", "unit"):
        for method, path in SINGLES:
            if method == "GET" and not (name == "unit" and path == f"{V1}/areas/{{code}}"):
                answer = _call(running, f"{name}-operator", method, _path(path, THINGS[WENFENG]))
                assert answer.status_code == 200, (name, path, answer.text)
                text = answer.text
                assert [mark for mark in MARKS[BEIGUAN] if mark in text] == [], path


def _content(served: Served) -> list[tuple[Any, ...]]:
    tables = (
        "episodes",
        "alarms",
        "transitions",
        "comments",
        "suppressions",
        "newcomers",
        "cases",
        "case_steps",
        "inbox",
    )
    all_of = "SELECT count(*), max(xmin::text::bigint), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM"
    return [served.run(f"{all_of} {t} t")[0]
            for t in (*tables, "duty_notes", "devices")]  # fmt: skip


@pytest.mark.parametrize("name", SCOPES)
def test_many_alarms_at_once_are_ones_own(running: Served, name: str) -> None:
    who, bulk = f"{name}-operator", f"{V1}/alarms/bulk"
    foreign = [4, 5] if DISTRICT[name] == WENFENG else [1, 2, 3]
    before = _content(running)
    for action in ({"action": "acknowledge"}, {"action": "assign", "to": "x"}, {"action": "comment", "text": "t"},
                   {"action": "shelve", "minutes": 5, "reason": "r"}, {"action": "close", "reason": "r"}):  # fmt: skip
        for role in NEEDED["POST", bulk].roles:
            wanted = {**action, "episode_keys": [*foreign, 6]}
            answer = _call(running, f"{name}-{role.value}", "POST", bulk, json=wanted).json()
            assert answer["changed"] == 0, role
            assert {one["why"] for one in answer["failed"]} == {"there is no such alarm"}, role
            assert len(answer["failed"]) == len(foreign) + 1, role
    assert _content(running) == before
    every = {"action": "acknowledge", "filter": {"state": "all"}, "dry_run": True}
    assert _call(running, who, "POST", bulk, json=every).json()["matched"] == 5 - len(foreign)
    there = {"action": "acknowledge", "filter": {"area": OTHER[DISTRICT[name]]}, "dry_run": True}
    answer = _call(running, who, "POST", bulk, json=there)
    if name == "unit":
        assert answer.json()["matched"] == 0
    else:
        problem(answer, 422, "invalid")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("alarms", {"area": BEIGUAN}),
        ("alarms", {"device": "cover-0099"}),
        ("assets", {"area": BEIGUAN}),
        ("devices", {"area": BEIGUAN}),
        ("pipes", {"area": BEIGUAN}),
        ("incidents", {"area": BEIGUAN}),
        ("areas/tree", {"area": BEIGUAN}),
        ("duty/handover", {"area": BEIGUAN, "from": "2026-07-01T00:00:00Z", "to": "2026-07-02T00:00:00Z"}),
        ("pipes/graph/upstream", {"asset": "3"}),
    ],
)
def test_a_filter_by_what_lies_elsewhere_is_as_one_by_what_is_not_there(running: Served, path: str, query: Any) -> None:
    problem(_call(running, "wenfeng-operator", "GET", f"{V1}/{path}", params=query), 422, "invalid")


def test_an_order_is_begun_and_ended_where_one_is(running: Served) -> None:
    wanted = {"asset": 3, "rules": ["cover.*"], "order": "WO-NEW", "reason": "r"}
    who, orders = "wenfeng-crew", f"{V1}/out-of-service"
    problem(_call(running, who, "POST", orders, json=wanted), 422, "invalid")
    problem(_call(running, who, "POST", orders, json=wanted | {"asset": None, "device": "cover-0099"}), 422, "invalid")
    problem(_call(running, who, "POST", orders, json=wanted | {"asset": 1, "order": "WO-B"}), 409, "conflict")
    assert _call(running, who, "POST", orders, json=wanted | {"asset": 1}).status_code == 200
    problem(_call(running, "beiguan-crew", "DELETE", f"{orders}/WO-NEW"), 404, "not-found")
    assert _call(running, who, "DELETE", f"{orders}/WO-NEW").json()["ended"] > 0


def test_a_note_is_left_for_ones_own_area(running: Served) -> None:
    notes = f"{V1}/duty/notes"
    problem(_call(running, "wenfeng-operator", "POST", notes, json={"text": "t", "area": BEIGUAN}), 422, "invalid")
    assert _call(running, "wenfeng-operator", "POST", notes, json={"text": "这里的事"}).status_code == 201
    assert running.run("SELECT area_code FROM duty_notes WHERE text = '这里的事'") == [(WENFENG,)]


def test_newcomers_are_approved_and_refused_where_one_is(running: Served) -> None:
    everybody = {"area": "4105", "kind": "0103"}
    for who in ("wenfeng-crew", "wenfeng-viewer"):
        problem(_call(running, who, "POST", f"{V1}/newcomers/approve", json=everybody), 403, "role-too-low")
    answer = _call(running, "unit-integrator", "POST", f"{V1}/newcomers/approve", json=everybody)
    assert answer.json()["device_ids"] == [], "a newcomer has no unit yet"
    answer = _call(running, "beiguan-integrator", "POST", f"{V1}/newcomers/approve", json=everybody)
    assert answer.json()["device_ids"] == ["N-B"]


def test_a_backtest_has_ones_own_devices(running: Served) -> None:
    wanted = {"from": "2026-07-01T00:00:00Z", "to": "2026-07-02T00:00:00Z"}
    there = f"{V1}/rules/lamp.leakage/backtests"
    problem(_call(running, "wenfeng-operator", "POST", there, json=wanted), 409, "conflict")
    assert _call(running, "beiguan-operator", "POST", there, json=wanted).status_code == 200
    named = {"area": BEIGUAN, "device": "lamp-0007"}
    for name, value in named.items():
        problem(_call(running, "wenfeng-operator", "POST", there, json=wanted | {name: value}), 422, "invalid")


def test_the_top_of_the_tree_is_where_ones_part_begins(running: Served) -> None:
    [root] = _call(running, "wenfeng-viewer", "GET", f"{V1}/areas/tree").json()["roots"]
    assert root["code"] == WENFENG
    here = _call(running, "wenfeng-viewer", "GET", f"{V1}/areas/{WENFENG}").json()
    assert here["open_alarms"] == 2
    problem(_call(running, "wenfeng-viewer", "GET", f"{V1}/areas/410500"), 404, "not-found")


def test_an_integrator_has_nothing_to_do_with_accounts_of_services(running: Served) -> None:
    body = {"kind": "service", "names": ["x"], "duty": "reader"}
    told = problem(running.call("POST", f"{V1}/credentials", Role.integrator, json=body), 403, "role-too-low")
    assert "administrator" in told["detail"]


def test_people_are_bound_as_keys_are_and_a_change_counts_at_once(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashing_cheap(monkeypatch)
    running.run(EMPTY)
    add(running.database, "zhang", Role.crew, areas=[WENFENG], units=["文峰养护所"])
    token = log_in(running, "zhang")["access_token"]
    problem(running.call("GET", f"{V1}/alarms/4", secret=token), 404, "not-found")
    problem(running.call("POST", f"{V1}/alarms/4/acknowledge", secret=token), 404, "not-found")
    assert running.call("POST", f"{V1}/alarms/2/acknowledge", secret=token).json()["acknowledged_by"] == "zhang"
    assert running.call("GET", f"{V1}/alarms", secret=token).json()["items"] != []
    changed = running.call("PATCH", f"{V1}/people/zhang", Role.administrator, json={"areas": [BEIGUAN], "units": None})
    assert changed.status_code == 200, changed.text
    problem(running.call("GET", f"{V1}/alarms/2", secret=token), 404, "not-found")
    assert running.call("GET", f"{V1}/alarms/4", secret=token).status_code == 200


def test_a_key_ends_when_its_time_is_over(running: Served) -> None:
    with connect(running.database, "test") as connection:
        until = datetime(2090, 1, 1, tzinfo=UTC)
        good, over = (
            create(connection, name, Role.viewer, "test", expires_at=until).secret for name in ("good", "over")
        )
    running.run("UPDATE api_keys SET expires_at = now() WHERE name = 'over'")
    assert running.call("GET", f"{V1}/me", secret=good).status_code == 200
    problem(running.call("GET", f"{V1}/me", secret=over), 401, "no-key")
