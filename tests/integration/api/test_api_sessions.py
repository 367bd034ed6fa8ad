"""Sessions: logging in, renewing, logging out, guessing; of programs by tokens, of browsers by cookies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from api.people import accounts, guessing
from api.roles import Role
from tests.integration.api.people import CHEAP, EMPTY, PASSWORD, SESSION, add, log_in, make_hashing_cheap, try_log_in
from tests.integration.api.served import Served, keyed, problem
from tests.integration.api.test_api_audit import BY_PEOPLE
from underfoot.storage.connect import connect

ME = "/api/v1/me"


@pytest.fixture(scope="module")
def running(module_database: str) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch, keyed(module_database) as served:
        make_hashing_cheap(patch)
        yield served


@pytest.fixture
def desk(running: Served) -> Served:
    """The API with one person, who is on duty at the desk."""
    running.run(EMPTY)
    running.run("ALTER TABLE audit DISABLE TRIGGER ALL; DELETE FROM audit; ALTER TABLE audit ENABLE TRIGGER ALL")
    add(running.database, "desk", Role.operator, display_name="王建国")
    return running


def _browser(served: Served) -> httpx.Client:
    return httpx.Client(base_url=served.url, headers={"Origin": served.url, "Sec-Fetch-Site": "same-origin"})


def _as_cookie(name: str = "desk", password: str = PASSWORD) -> dict[str, str]:
    return {"name": name, "password": password, "carrier": "cookie"}


def test_a_session_opens_what_its_person_may(desk: Served) -> None:
    tokens = log_in(desk, "desk")
    good_for = datetime.fromisoformat(tokens["access_expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < good_for <= timedelta(minutes=10)
    me = desk.call("GET", ME, secret=tokens["access_token"]).json()
    assert me == {
        "name": "desk", "kind": "person", "display_name": "王建国", "role": "operator", "role_label": "值班操作员",
        "areas": None, "units": None,
    }  # fmt: skip
    assert desk.call("GET", "/api/v1/devices", secret=tokens["access_token"]).status_code == 200
    problem(desk.call("GET", "/api/v1/keys", secret=tokens["access_token"]), 403, "role-too-low")
    problem(desk.call("GET", ME, secret=tokens["refresh_token"]), 401, "no-key")


def test_names_are_found_whatever_their_case(desk: Served) -> None:
    assert log_in(desk, "DESK")["person"] == "desk"
    add(desk.database, "王建国", Role.viewer)
    assert log_in(desk, "王建国")["person"] == "王建国"


def test_only_hashes_are_kept(desk: Served) -> None:
    tokens = log_in(desk, "desk")
    everything = ""
    for table in ("people", "sessions", "session_tokens", "audit", "guesses", "invitations"):
        everything += str(desk.run(f"SELECT * FROM {table}"))
    for secret in (PASSWORD, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in everything
    kept = {bytes(row[0]) for row in desk.run("SELECT token_hash FROM session_tokens")}
    assert kept == {hashlib.sha256(tokens[f"{kind}_token"].encode()).digest() for kind in ("access", "refresh")}


@pytest.mark.parametrize(
    ("name", "password"), [("desk", "not the password"), ("nobody", PASSWORD), ("a b", "x"), ("desk", "x" * 300)]
)
def test_what_is_wrong_is_not_said(desk: Served, name: str, password: str) -> None:
    told = problem(try_log_in(desk, name, password), 401, "not-logged-in")
    assert told["detail"] == "The name or the password is not right."


def test_a_name_that_nobody_has_takes_as_long(desk: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in argon2's work, and not by the clock, which a busy machine bends."""
    asked: list[str] = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, kept: Any, password: Any) -> Any:
        asked.append(re.sub(r"\$[^$]*\$[^$]*$", "", str(kept)))
        return verify(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    for name in ("desk", "nobody", "a b"):
        try_log_in(desk, name, "not the password")
    assert len(asked) == 3
    assert len(set(asked)) == 1, "by the same parameters"


def test_a_disabled_person_and_one_without_password_are_not_let_in(desk: Served) -> None:
    add(desk.database, "new", Role.viewer, password=None)
    problem(try_log_in(desk, "new", ""), 422, "invalid")
    problem(try_log_in(desk, "new"), 401, "not-logged-in")
    desk.run("UPDATE people SET disabled_at = now()")
    problem(try_log_in(desk, "desk"), 401, "not-logged-in")


def test_an_older_hash_is_renewed_at_log_in(desk: Served) -> None:
    weak = PasswordHasher(time_cost=2, memory_cost=32, parallelism=1).hash(PASSWORD)
    desk.run("UPDATE people SET password_hash = %s", [weak])
    log_in(desk, "desk")
    [(kept,)] = desk.run("SELECT password_hash FROM people")
    assert not CHEAP.check_needs_rehash(kept)
    log_in(desk, "desk")
    assert desk.run("SELECT password_hash FROM people") == [(kept,)]


# renewing -------------------------------------------------------------------------------------------------------------


def _renew(served: Served, refresh: str) -> httpx.Response:
    return served.client.post(f"{served.url}{SESSION}/refresh", json={"refresh_token": refresh})


def test_tokens_are_renewed_and_the_ones_before_are_good_no_more(desk: Served) -> None:
    first = log_in(desk, "desk")
    second = _renew(desk, first["refresh_token"]).json()
    assert desk.call("GET", ME, secret=second["access_token"]).status_code == 200
    problem(desk.call("GET", ME, secret=first["access_token"]), 401, "no-key")
    third = _renew(desk, second["refresh_token"])
    assert third.status_code == 201


def test_a_refresh_token_shown_twice_ends_its_session(desk: Served) -> None:
    other = log_in(desk, "desk")
    first = log_in(desk, "desk")
    second = _renew(desk, first["refresh_token"]).json()
    problem(_renew(desk, first["refresh_token"]), 401, "not-logged-in")
    problem(_renew(desk, second["refresh_token"]), 401, "not-logged-in")
    problem(desk.call("GET", ME, secret=second["access_token"]), 401, "no-key")
    assert _renew(desk, other["refresh_token"]).status_code == 201, "no other session is"
    assert desk.run("SELECT actor, detail ->> 'person' FROM audit WHERE action = 'session.reused'") == [
        ("system", "desk")
    ]


@pytest.mark.parametrize("sent", ["ur_" + "x" * 43, "ua_" + "x" * 43])
def test_what_is_no_refresh_token_renews_nothing(desk: Served, sent: str) -> None:
    answer = _renew(desk, sent)
    assert answer.status_code in (401, 422)
    assert sent not in answer.text


def test_a_session_ends_by_rest_and_by_age(desk: Served) -> None:
    for column in ("session_tokens SET expires_at", "sessions SET expires_at"):
        tokens = log_in(desk, "desk")
        desk.run(f"UPDATE {column} = now() - interval '1 second'")
        problem(_renew(desk, tokens["refresh_token"]), 401, "not-logged-in")
        problem(desk.call("GET", ME, secret=tokens["access_token"]), 401, "no-key")


# logging out ----------------------------------------------------------------------------------------------------------


def test_logging_out_ends_this_session_and_no_other(desk: Served) -> None:
    here, there = log_in(desk, "desk"), log_in(desk, "desk")
    shown = desk.call("GET", f"{ME}/sessions", secret=here["access_token"]).json()["items"]
    assert [one["this"] for one in shown] == [False, True]
    assert shown[0]["address"] == "127.0.0.1"
    assert desk.call("DELETE", SESSION, secret=here["access_token"]).json() == {"ended": 1}
    problem(desk.call("GET", ME, secret=here["access_token"]), 401, "no-key")
    problem(_renew(desk, here["refresh_token"]), 401, "not-logged-in")
    assert desk.call("GET", ME, secret=there["access_token"]).status_code == 200


def test_logging_out_everywhere_or_there(desk: Served) -> None:
    here, there, third = (log_in(desk, "desk") for _ in range(3))
    mine = desk.call("GET", f"{ME}/sessions", secret=here["access_token"]).json()["items"]
    assert len(mine) == 3
    away = desk.call("DELETE", f"{ME}/sessions/{mine[0]['session_key']}", secret=here["access_token"])
    assert away.json() == {"ended": 1}
    problem(_renew(desk, third["refresh_token"]), 401, "not-logged-in")
    problem(desk.call("DELETE", f"{ME}/sessions/999999", secret=here["access_token"]), 404, "not-found")
    assert desk.call("DELETE", f"{ME}/sessions", secret=here["access_token"]).json() == {"ended": 2}
    for tokens in (here, there):
        problem(desk.call("GET", ME, secret=tokens["access_token"]), 401, "no-key")
        problem(_renew(desk, tokens["refresh_token"]), 401, "not-logged-in")


def test_nobody_ends_somebody_elses_session(desk: Served) -> None:
    add(desk.database, "other", Role.administrator)
    theirs, mine = log_in(desk, "other"), log_in(desk, "desk")
    [(key,)] = desk.run("SELECT session_key FROM sessions JOIN people USING (person_key) WHERE name = 'other'")
    problem(desk.call("DELETE", f"{ME}/sessions/{key}", secret=mine["access_token"]), 404, "not-found")
    assert desk.call("GET", ME, secret=theirs["access_token"]).status_code == 200


def test_a_key_has_no_session(desk: Served) -> None:
    problem(desk.call("DELETE", SESSION, Role.administrator), 403, "role-too-low")
    assert desk.ok(ME, Role.crew)["kind"] == "key"


def test_a_password_is_changed_and_other_sessions_end(desk: Served) -> None:
    here, there = log_in(desk, "desk"), log_in(desk, "desk")

    def change(old: str, new: str) -> httpx.Response:
        body = {"old_password": old, "new_password": new}
        return desk.call("PUT", f"{ME}/password", secret=here["access_token"], json=body)

    for old, new, says in (("wrong one", "x" * 20, "not your password"), (PASSWORD, "short", "至少 12 个字符")):
        told = problem(change(old, new), 422, "invalid")
        assert says in told["detail"]
        assert old not in str(told)
        assert new not in str(told)
    new = "河堤上的柳树 sways at dawn"
    assert change(PASSWORD, new).json() == {"ended": 1}
    assert desk.call("GET", ME, secret=here["access_token"]).status_code == 200
    problem(_renew(desk, there["refresh_token"]), 401, "not-logged-in")
    problem(try_log_in(desk, "desk"), 401, "not-logged-in")
    log_in(desk, "desk", new)


# guessing -------------------------------------------------------------------------------------------------------------


def _guess(served: Served, times: int, name: str = "desk") -> httpx.Response:
    for _ in range(times):
        answer = try_log_in(served, name, "not the password")
    return answer


def _later(served: Served) -> None:
    served.run("UPDATE guesses SET wait_until = now()")


def test_guessing_must_wait_longer_each_time(desk: Served) -> None:
    problem(_guess(desk, guessing.ACCOUNT.free), 401, "not-logged-in")
    waited = []
    for _ in range(3):
        answer = try_log_in(desk, "desk", "not the password")
        problem(answer, 429, "too-many")
        waited.append(int(answer.headers["retry-after"]))
        problem(try_log_in(desk, "desk"), 429, "too-many")  # the right one too: it might be a guess
        _later(desk)
        problem(_guess(desk, 1), 401, "not-logged-in")
    assert waited[0] < waited[1] < waited[2]
    desk.run("UPDATE guesses SET failures = 1000000, wait_until = now()")
    problem(_guess(desk, 1), 401, "not-logged-in")
    [(longest,)] = desk.run("SELECT max(wait_until - now()) FROM guesses")
    assert longest <= guessing.ACCOUNT.longest


def test_a_name_that_nobody_has_waits_alike(desk: Served) -> None:
    assert _guess(desk, guessing.ACCOUNT.free + 1, "nobody").status_code == 429
    assert "nobody" not in str(desk.run("SELECT * FROM audit")) + str(desk.run("SELECT * FROM guesses"))


def test_the_right_password_ends_the_waiting(desk: Served) -> None:
    _guess(desk, guessing.ACCOUNT.free)
    _later(desk)
    log_in(desk, "desk")
    assert desk.run("SELECT count(*) FROM guesses WHERE kind = 'account'") == [(0,)]
    [(still,)] = desk.run("SELECT failures FROM guesses WHERE kind = 'address'")
    assert still == guessing.ACCOUNT.free, "of the address, what it guessed stays counted"


def test_guessing_from_elsewhere_does_not_stop_a_person_at_their_desk(desk: Served) -> None:
    log_in(desk, "desk")
    elsewhere = {"X-Forwarded-For": "203.0.113.7"}
    for _ in range(guessing.ACCOUNT.free + 1):
        answer = try_log_in(desk, "desk", "not the password", headers=elsewhere)
    problem(answer, 429, "too-many")
    log_in(desk, "desk")


def test_one_address_that_guesses_at_many_accounts_must_wait(desk: Served) -> None:
    for number in range(guessing.ADDRESS.free):
        problem(try_log_in(desk, f"n{number}", "p", headers={"X-Forwarded-For": "2001:db8::1"}), 401, "not-logged-in")
    same_network = {"X-Forwarded-For": "2001:db8::2"}
    problem(try_log_in(desk, "n99", "p", headers=same_network), 429, "too-many")
    problem(try_log_in(desk, "n99", "p"), 401, "not-logged-in")


def test_many_guesses_at_once_are_no_more_than_one_after_the_other(desk: Served) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: try_log_in(desk, "desk", f"guess {n}").status_code, range(16)))
    assert answers.count(401) <= guessing.ACCOUNT.free + 1
    assert set(answers) <= {401, 429}


def test_what_happened_is_in_the_audit(desk: Served) -> None:
    _guess(desk, 1)
    tokens = log_in(desk, "desk")
    _renew(desk, tokens["refresh_token"])
    acts = desk.run(
        "SELECT actor, action, subject LIKE 'person:desk' FROM audit WHERE action LIKE 'session.%%' ORDER BY 1, 2"
    )
    assert acts == [
        ("desk", "session.begin", False),
        ("desk", "session.renew", False),
        ("system", "session.refuse", True),
    ]


def test_each_act_of_a_person_is_entered_in_its_own_transaction(desk: Served) -> None:
    """Refused by the log, the whole act is."""
    with connect(desk.database, "test") as connection:
        invitation, _ = accounts.invite(connection, "desk", "test")
    new = "河堤上的柳树 sways at dawn"
    first = {"invitation": invitation.secret, "new_password": PASSWORD}
    change = {"old_password": PASSWORD, "new_password": new}
    acts: list[tuple[str, str, str, Callable[[dict[str, Any]], Any]]] = [
        ("POST", f"{SESSION}/password", "person.password", lambda _: first),
        ("POST", SESSION, "session.begin", lambda _: {"name": "desk", "password": PASSWORD}),
        ("POST", f"{SESSION}/refresh", "session.renew", lambda tokens: {"refresh_token": tokens["refresh_token"]}),
        ("PUT", f"{ME}/password", "person.password", lambda _: change),
        ("DELETE", f"{ME}/sessions/{{session_key}}", "session.end", lambda _: None),
        ("DELETE", SESSION, "session.end", lambda _: None),
        ("DELETE", f"{ME}/sessions", "session.end_all", lambda _: None),
    ]
    assert {(method, path) for method, path, _, _ in acts} == BY_PEOPLE
    tables = ("people", "invitations", "sessions", "session_tokens", "audit")
    tokens: dict[str, Any] = {}
    for method, template, action, body_of in acts:
        if tokens and not desk.call("GET", ME, secret=tokens["access_token"]).is_success:
            tokens = log_in(desk, "desk", new)
        [(key,)] = desk.run("SELECT coalesce(max(session_key), 0) FROM sessions")
        path, body = template.replace("{session_key}", str(key)), body_of(tokens)
        more = {"json": body} if body is not None else {}
        desk.run(f"ALTER TABLE audit ADD CONSTRAINT refuse CHECK (action <> '{action}') NOT VALID")
        before = [desk.run(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
        refused = desk.call(method, path, None, secret=tokens.get("access_token"), **more)
        assert refused.status_code == 500, (method, path, refused.text)
        assert [desk.run(f"SELECT * FROM {table} ORDER BY 1") for table in tables] == before, (method, path)
        desk.run("ALTER TABLE audit DROP CONSTRAINT refuse")
        [(newest,)] = desk.run("SELECT coalesce(max(audit_key), 0) FROM audit")
        done = desk.call(method, path, None, secret=tokens.get("access_token"), **more)
        assert done.is_success, (method, path, done.text)
        entered = desk.run("SELECT actor, action FROM audit WHERE audit_key > %s", [newest])
        assert ("desk", action) in entered, (method, path)
        tokens = done.json() if "access_token" in done.json() else tokens


# browsers -------------------------------------------------------------------------------------------------------------


def test_a_browser_has_its_session_in_cookies_that_no_script_reads(desk: Served) -> None:
    with _browser(desk) as browser:
        answer = browser.post(SESSION, json=_as_cookie())
        assert answer.json()["access_token"] is None
        assert answer.json()["refresh_token"] is None
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == 2
        for cookie in cookies:
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
        assert "Path=/api/v1/session" in cookies[1]
        assert browser.get(ME).json()["name"] == "desk"
        assert browser.post(f"{SESSION}/refresh", json={}).status_code == 201
        assert browser.get(ME).status_code == 200
        assert browser.delete(SESSION).json() == {"ended": 1}
        assert not browser.cookies
        assert browser.get(ME).status_code == 401


def test_behind_tls_cookies_are_bound_to_it(desk: Served) -> None:
    with _browser(desk) as browser:
        tls = {"X-Forwarded-Proto": "https", "Origin": desk.url.replace("http:", "https:")}
        answer = browser.post(SESSION, json=_as_cookie(), headers=tls)
    [access, refresh] = answer.headers.get_list("set-cookie")
    assert access.startswith("__Host-underfoot=ua_")
    assert refresh.startswith("__Secure-underfoot-refresh=ur_")
    assert "Secure" in access
    assert "Secure" in refresh
    assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "null"},
        {},
    ],
)
def test_another_sites_page_changes_nothing(desk: Served, headers: dict[str, str]) -> None:
    with _browser(desk) as browser:
        browser.post(SESSION, json=_as_cookie())
        cookies = dict(browser.cookies)
    with httpx.Client(base_url=desk.url, cookies=cookies) as evil:
        problem(evil.delete(f"{ME}/sessions", headers=headers), 403, "not-from-here")
        problem(evil.post("/api/v1/duty/notes", json={"text": "x"}, headers=headers), 403, "not-from-here")
        problem(evil.post(SESSION, json=_as_cookie(), headers=headers), 403, "not-from-here")
        assert evil.get(ME, headers=headers).status_code == 200, "it may look, but the answer stays with the browser"


def test_a_cookies_token_is_no_bearer_token_nor_the_other_way_round(desk: Served) -> None:
    tokens = log_in(desk, "desk")
    with _browser(desk) as browser:
        browser.post(SESSION, json=_as_cookie())
        cookie = browser.cookies["underfoot"]
    problem(desk.call("GET", ME, secret=cookie), 401, "no-key")
    with httpx.Client(base_url=desk.url, cookies={"underfoot": tokens["access_token"]}) as client:
        problem(client.get(ME), 401, "no-key")
    assert desk.call("GET", ME, secret=tokens["access_token"]).status_code == 200
