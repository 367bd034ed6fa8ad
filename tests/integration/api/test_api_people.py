"""People with accounts: made, changed, disabled and reset, by administrators and by whoever has the command; the first
password; the log-in page; and that no secret is in any log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from api.people.cli import commands
from api.roles import Role
from tests.integration.api.people import EMPTY, PASSWORD, SESSION, add, log_in, make_hashing_cheap, try_log_in
from tests.integration.api.served import Served, keyed, problem

PEOPLE = "/api/v1/people"
NEW = "河堤上的柳树 sways at dawn"


@pytest.fixture(scope="module")
def running(module_database: str) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch, keyed(module_database) as served:
        make_hashing_cheap(patch)
        served.run("INSERT INTO areas (code, name, level) VALUES ('410502', '文峰区', 'district')")
        served.run(
            "INSERT INTO assets (asset_code, kind, name, area_code, maintenance_unit)"
            " VALUES ('1', '0103', 'a', '410502', '文峰养护所')"
        )
        yield served


@pytest.fixture
def city(running: Served) -> Served:
    running.run(EMPTY)
    return running


def _run(served: Served, *arguments: str, typed: str | None = None) -> Result:
    settings = {"UNDERFOOT_DATABASE_URL": served.database, "UNDERFOOT_PUBLIC_URL": "https://underfoot.example"}
    return CliRunner().invoke(commands, ["people", *arguments], input=typed, env=settings)


def _acts(served: Served, name: str) -> list[str]:
    rows = served.run("SELECT action FROM audit WHERE subject = %s ORDER BY audit_key", [f"person:{name}"])
    return [action for (action,) in rows]


def _first_password(served: Served, invitation: str, password: str = PASSWORD) -> httpx.Response:
    body = {"invitation": invitation, "new_password": password}
    return served.client.post(f"{served.url}{SESSION}/password", json=body)


# the command ----------------------------------------------------------------------------------------------------------


def test_the_first_administrator_sets_a_password_by_a_link_that_is_printed_once(city: Served) -> None:
    done = _run(city, "add", "chen", "--role", "administrator", "--display-name", "陈静")
    assert done.exit_code == 0, done.output
    link = next(line for line in done.output.splitlines() if line.startswith("https://"))
    base, _, invitation = link.partition("#invitation=")
    assert base == "https://underfoot.example/login", "behind the #, so that it is in no server's log"
    tokens = _first_password(city, invitation).json()
    assert city.call("GET", PEOPLE, secret=tokens["access_token"]).status_code == 200
    problem(_first_password(city, invitation, NEW), 401, "not-logged-in")
    log_in(city, "chen")
    assert _acts(city, "chen") == ["person.add", "person.invite", "person.password"]
    assert invitation not in str(city.run("SELECT * FROM invitations")) + str(city.run("SELECT * FROM audit"))


def test_a_first_password_is_read_from_standard_input_or_asked_for(city: Served) -> None:
    assert _run(city, "add", "chen", "--role", "viewer", "--password-stdin", typed=f"{PASSWORD}\n").exit_code == 0
    assert _run(city, "add", "liu", "--role", "viewer", "--password", typed=f"{PASSWORD}\n{PASSWORD}\n").exit_code == 0
    for name in ("chen", "liu"):
        log_in(city, name)
    refused = _run(city, "add", "weak", "--role", "viewer", "--password-stdin", typed="short\n")
    assert refused.exit_code == 2
    assert "至少 12 个字符" in refused.output
    assert city.run("SELECT count(*) FROM people WHERE name = 'weak'") == [(0,)], "all of it or nothing"


def test_the_command_changes_disables_enables_resets_and_logs_out(city: Served) -> None:
    add(city.database, "boss", Role.administrator)
    add(city.database, "zhang", Role.viewer)
    tokens = log_in(city, "zhang")
    for arguments in (
        ("role", "ZHANG", "crew"),
        ("scope", "zhang", "--area", "410502", "--unit", "文峰养护所"),
        ("scope", "zhang", "--all-areas"),
        ("log-out", "zhang"),
        ("disable", "zhang"),
        ("enable", "zhang"),
    ):
        assert _run(city, *arguments).exit_code == 0, arguments
    [shown] = [one for one in json.loads(_run(city, "list", "--json").output) if one["name"] == "zhang"]
    assert (shown["role"], shown["areas"], shown["units"], shown["open_sessions"]) == ("crew", None, ["文峰养护所"], 0)
    assert "zhang" in _run(city, "list").output
    problem(city.client.post(f"{city.url}{SESSION}/refresh", json={"refresh_token": tokens["refresh_token"]}), 401,
            "not-logged-in")  # fmt: skip
    log_in(city, "zhang")
    made = json.loads(_run(city, "reset", "zhang", "--json").output)
    problem(try_log_in(city, "zhang"), 401, "not-logged-in")
    assert _first_password(city, made["secret"], NEW).status_code == 201
    log_in(city, "zhang", NEW)
    acts = [act for act in _acts(city, "zhang") if act.startswith("person.")]
    assert acts[2:] == [
        "person.rights", "person.rights", "person.rights", "person.log_out", "person.disable", "person.enable",
        "person.reset", "person.invite", "person.password",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "a b", "--role", "viewer"), "name = 'a b': 1 to 64"),
        (("add", "x", "--role", "broker"), "role = 'broker': a person is one of"),
        (("add", "x", "--role", "viewer", "--area", "419999"), "areas = '419999': there is no such area"),
        (("add", "x", "--role", "viewer", "--unit", "无此所"), "units = '无此所': no asset in the ledger"),
        (("add", "The-Viewer", "--role", "viewer"), "is an actor in the audit log already"),
        (("add", "BOSS", "--role", "viewer"), "is an actor in the audit log already"),
        (("role", "nobody", "viewer"), "there is nobody named 'nobody'"),
        (("role", "boss", "viewer"), "nobody would be left who administers the whole city"),
        (("scope", "boss", "--area", "410502"), "nobody would be left who administers the whole city"),
        (("disable", "boss"), "nobody would be left who administers the whole city"),
        (("scope", "boss"), "say which"),
        (("scope", "boss", "--area", "410502", "--all-areas"), "not together with --all-areas"),
    ],
)
def test_the_command_says_what_is_wrong(city: Served, arguments: tuple[str, ...], says: str) -> None:
    add(city.database, "boss", Role.administrator)
    refused = _run(city, *arguments)
    assert refused.exit_code != 0
    assert says in " ".join(refused.output.split())
    assert city.run("SELECT count(*) FROM people") == [(1,)]


def test_no_key_takes_a_persons_name(city: Served) -> None:
    add(city.database, "zhang", Role.viewer)
    problem(city.post("/api/v1/keys", Role.administrator, {"name": "Zhang", "role": "viewer"}), 409, "conflict")


def test_a_key_has_a_scope_whose_areas_and_units_are_there(city: Served) -> None:
    for wrong, field in (
        ({"areas": ["419999"]}, "areas"),
        ({"units": ["无"]}, "units"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ):
        refused = problem(
            city.post("/api/v1/keys", Role.administrator, {"name": "k", "role": "viewer", **wrong}), 422, "invalid"
        )
        assert refused["errors"][0]["field"] == field
    wrong_broker = {"name": "k", "role": "broker", "areas": ["410502"]}
    problem(city.post("/api/v1/keys", Role.administrator, wrong_broker), 422, "invalid")


# by the API -----------------------------------------------------------------------------------------------------------


def test_an_administrator_makes_changes_and_lists_people(city: Served) -> None:
    wanted = {"name": "zhang", "display_name": "张伟", "role": "crew", "areas": ["410502"], "units": ["文峰养护所"]}
    made = city.post(PEOPLE, Role.administrator, wanted)
    assert made.status_code == 201, made.text
    assert made.json()["person"].items() >= wanted.items()
    assert _first_password(city, made.json()["invitation"]["secret"]).status_code == 201
    changed = city.call("PATCH", f"{PEOPLE}/zhang", Role.administrator, json={"role": "operator", "units": None})
    assert (changed.json()["role"], changed.json()["areas"], changed.json()["units"]) == ("operator", ["410502"], None)
    for number in range(3):
        add(city.database, f"p{number}", Role.viewer, password=None)
    page = city.ok(PEOPLE, Role.administrator, limit=2)
    rest = city.ok(PEOPLE, Role.administrator, limit=2, cursor=page["next"])
    assert [one["name"] for one in page["items"] + rest["items"]] == ["p0", "p1", "p2", "zhang"]
    assert rest["items"][1]["open_sessions"] == 1
    assert "hash" not in str(page)
    assert city.ok(f"{PEOPLE}/ZHANG", Role.administrator)["name"] == "zhang"
    problem(city.get(f"{PEOPLE}/nobody", Role.administrator), 404, "not-found")


def test_who_is_disabled_is_out_at_once_and_a_lost_invitation_opens_nothing(city: Served) -> None:
    add(city.database, "zhang", Role.viewer)
    tokens = log_in(city, "zhang")
    first = city.post(f"{PEOPLE}/zhang/reset", Role.administrator).json()["secret"]
    second = city.post(f"{PEOPLE}/zhang/reset", Role.administrator).json()["secret"]
    problem(_first_password(city, first), 401, "not-logged-in")
    refused = problem(_first_password(city, second, "123456789012"), 422, "invalid")
    assert "太常见" in refused["detail"]
    assert _first_password(city, second).status_code == 201, "a password that was refused uses nothing up"
    tokens = log_in(city, "zhang")
    assert city.post(f"{PEOPLE}/zhang/disable", Role.administrator).json()["disabled_at"] is not None
    problem(city.call("GET", "/api/v1/me", secret=tokens["access_token"]), 401, "no-key")
    problem(city.post(f"{PEOPLE}/zhang/reset", Role.administrator), 409, "conflict")
    assert city.post(f"{PEOPLE}/zhang/enable", Role.administrator).json()["disabled_at"] is None
    log_in(city, "zhang")


def test_an_invitation_is_good_for_a_time(city: Served) -> None:
    made = city.post(PEOPLE, Role.administrator, {"name": "zhang", "role": "viewer"}).json()
    city.run("UPDATE invitations SET expires_at = now()")
    problem(_first_password(city, made["invitation"]["secret"]), 401, "not-logged-in")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": None}, "role"),
        ({"areas": []}, "areas"),
        ({"areas": ["x"]}, "areas.0"),
        ({"areas": ["419999"]}, "areas"),
        ({"password": "x"}, "password"),
        ({"role": "broker"}, "role"),
    ],
)
def test_rights_that_cannot_be_are_named(city: Served, body: Any, field: str) -> None:
    add(city.database, "zhang", Role.viewer, password=None)
    refused = problem(city.call("PATCH", f"{PEOPLE}/zhang", Role.administrator, json=body), 422, "invalid")
    assert refused["errors"][0]["field"] == field


# pages and headers ----------------------------------------------------------------------------------------------------


def test_the_log_in_page_is_small_and_all_our_own(city: Served) -> None:
    page = city.get("/login", None)
    parts = [page, *(city.get(f"/login/login.{kind}", None) for kind in ("css", "js"))]
    assert [part.headers["content-type"].partition(";")[0] for part in parts] == [
        "text/html",
        "text/css",
        "text/javascript",
    ]
    assert sum(len(part.content) for part in parts) < 30_000
    assert all("://" not in part.text for part in parts), "nothing from elsewhere"
    assert "<script>" not in page.text
    assert " on" not in page.text.replace(" one", "").replace(" only", ""), "no handler in the page"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    problem(city.get("/login/secret.py", None), 404, "not-found")


def test_every_answer_has_the_headers_of_safety(city: Served) -> None:
    for path in ("/login", "/api/v1/devices", "/healthz", "/nothing"):
        answer = city.get(path, None)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "geolocation=()" in answer.headers["permissions-policy"]
        assert "strict-transport-security" not in answer.headers, "we came by http"
        by_tls = httpx.get(f"{city.url}{path}", headers={"X-Forwarded-Proto": "https"})
        assert by_tls.headers["strict-transport-security"] == "max-age=31536000"


def test_no_other_site_may_read_answers(city: Served) -> None:
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    preflight = city.client.request("OPTIONS", f"{city.url}/api/v1/devices", headers=asks)
    assert preflight.status_code == 405
    answer = city.call("GET", "/api/v1/devices", headers={"Origin": "https://evil.example"})
    for each in (preflight, answer):
        assert not [name for name in each.headers if name.startswith("access-control")]


def test_a_body_that_is_too_long_is_refused(city: Served) -> None:
    body = {"name": "x", "password": "y" * 70_000}
    problem(city.client.post(f"{city.url}{SESSION}", json=body), 413, "too-large")


def test_no_secret_is_in_any_log(city: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Everything that logs, at its loudest, through what people and programs do with secrets."""
    caplog.set_level(logging.DEBUG)
    made = city.post(PEOPLE, Role.administrator, {"name": "zhang", "role": "viewer"}).json()
    invitation = made["invitation"]["secret"]
    first = _first_password(city, invitation).json()
    second = city.client.post(f"{city.url}{SESSION}/refresh", json={"refresh_token": first["refresh_token"]}).json()
    try_log_in(city, "zhang", "a wrong one, just typed")
    try_log_in(city, "typed-the-password-here", PASSWORD)
    city.client.post(f"{city.url}{SESSION}", json={"password": PASSWORD, "name": 7, "extra": 1})
    change = {"old_password": PASSWORD, "new_password": NEW}
    city.call("PUT", "/api/v1/me/password", secret=second["access_token"], json=change)
    cookie = city.client.post(
        f"{city.url}{SESSION}",
        json={"name": "zhang", "password": NEW, "carrier": "cookie"},
        headers={"Origin": city.url},
    )
    key = city.post("/api/v1/keys", Role.administrator, {"name": "k-log", "role": "viewer"}).json()["secret"]
    city.call("GET", "/api/v1/devices", secret=key)
    city.call("GET", f"/api/v1/devices?token={key}", secret=key)
    secrets = [
        PASSWORD, NEW, "a wrong one, just typed", "typed-the-password-here", invitation, key,
        *(tokens[f"{kind}_token"] for tokens in (first, second) for kind in ("access", "refresh")),
        *cookie.cookies.values(), *city.secrets.values(),
    ]  # fmt: skip
    assert len(secrets) > 15
    # What the test's own client says of what it sends is not ours.
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert any("/api/v1/session" in record.getMessage() for record in ours)
    for record in ours:
        said = f"{record.getMessage()} {record.exc_text or ''}"
        assert [secret for secret in secrets if secret in said] == [], (record.name, record.pathname)


def test_what_is_wrong_with_a_body_is_told_without_its_secrets(city: Served) -> None:
    for body in ({"password": PASSWORD}, {"name": 7, "password": PASSWORD}, {"name": "x", "password": [PASSWORD]}):
        answer = city.client.post(f"{city.url}{SESSION}", json=body)
        problem(answer, 422, "invalid")
        assert PASSWORD not in answer.text
