"""Logging in at an OpenID provider: the whole flow over HTTP, and everything in it that may be forged or old."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from api.people.oidc import Client
from api.roles import Role
from tests.integration.api.people import EMPTY, add
from tests.integration.api.served import Served, keyed, problem
from tests.integration.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, Spoil, provider
from underfoot.settings import SettingsError, load

ME = "/api/v1/me"
DESK = {
    "sub": "248289761001", "preferred_username": "wang", "name": "王建国", "groups": ["全体", "市政-值班"],
    "realm_access": {"roles": ["none"]},
}  # fmt: skip
RIGHTS = [
    {"claim": "groups", "value": "市政-值班", "role": "operator", "areas": ["410502"]},
    {"claim": "realm_access.roles", "value": "boss", "role": "administrator"},
]
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "rsa-1"})


@pytest.fixture(scope="module")
def identity() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def running(module_database: str, identity: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = tmp_path_factory.mktemp("oidc") / "oidc.yaml"
    path.write_text(json.dumps({"issuer": identity.url, "client_id": CLIENT_ID, "rights": RIGHTS}), encoding="utf-8")
    with keyed(module_database, oidc=str(path), oidc_secret=CLIENT_SECRET) as served:
        served.run("INSERT INTO areas (code, name, level) VALUES ('410502', '文峰区', 'district')")
        yield served


@pytest.fixture
def city(running: Served, identity: Provider, monkeypatch: pytest.MonkeyPatch) -> Served:
    running.run(EMPTY)
    fresh = Provider(url=identity.url, key=identity.key, claims=dict(DESK))
    for name in ("claims", "algorithm", "key", "published", "signed_with", "header", "spoil"):
        monkeypatch.setattr(identity, name, getattr(fresh, name))
    monkeypatch.setattr(Client, "KEYS_ASKED_AGAIN_S", 0.0)
    return running


def _go(served: Served, browser: httpx.Client, onward: str = "/a/x") -> httpx.Response:
    """There, and back again; the answer to that."""
    there = browser.get(f"{served.url}/login/provider", params={"next": onward})
    assert there.status_code == 303, there.text
    back = browser.get(there.headers["location"])
    assert back.status_code == 302, back.text
    return browser.get(back.headers["location"])


def _refused(answer: httpx.Response, why: str = "provider") -> None:
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == f"/login?refused={why}"
    assert "underfoot=" not in str(answer.headers.get_list("set-cookie"))


def test_whom_the_provider_knows_has_a_session_with_the_rights_of_its_claims(city: Served) -> None:
    with httpx.Client() as browser:
        answer = _go(city, browser)
        assert answer.status_code == 200
        assert 'content="0;url=/a/x"' in answer.text
        for cookie in answer.headers.get_list("set-cookie")[:2]:
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
        me = browser.get(f"{city.url}{ME}").json()
    assert (me["name"], me["display_name"], me["role"], me["areas"]) == ("wang", "王建国", "operator", ["410502"])
    acts = [
        action for (action,) in city.run("SELECT action FROM audit WHERE subject IN ('person:wang') OR actor = 'wang'")
    ]
    assert {"person.add", "session.begin"} <= set(acts)


def test_rights_follow_the_claims_at_the_next_log_in(city: Served, identity: Provider) -> None:
    with httpx.Client() as browser:
        _go(city, browser)
        identity.claims |= {"groups": "市政-值班", "name": "王主任"}
        _go(city, browser)
        assert browser.get(f"{city.url}{ME}").json()["display_name"] == "王主任"
        identity.claims |= {"groups": [], "realm_access": {"roles": ["boss"]}}
        _go(city, browser)
        assert browser.get(f"{city.url}{ME}").json()["role"] == "administrator"
    assert city.run("SELECT count(*) FROM people") == [(1,)]


def test_who_fits_no_line_has_no_rights(city: Served, identity: Provider) -> None:
    identity.claims["groups"] = ["全体"]
    with httpx.Client() as browser:
        _refused(_go(city, browser), "rights")
    assert city.run("SELECT count(*) FROM people") == [(0,)]


def test_who_is_disabled_here_stays_out(city: Served) -> None:
    with httpx.Client() as browser:
        _go(city, browser)
        city.run("UPDATE people SET disabled_at = now()")
        _refused(_go(city, browser), "rights")


def test_nobody_becomes_somebody_here_by_bearing_their_name(city: Served, identity: Provider) -> None:
    add(city.database, "Wang", Role.administrator)
    with httpx.Client() as browser:
        _refused(_go(city, browser), "rights")
        identity.claims["preferred_username"] = "the-administrator"
        _refused(_go(city, browser), "rights")


def test_an_elliptic_key_and_a_new_key_are_taken(city: Served, identity: Provider) -> None:
    with httpx.Client() as browser:
        _go(city, browser)
        for number, algorithm in enumerate(("ES256", "ES256")):
            key = ECKey.generate_key("P-256", {"kid": f"ec-{number}"})
            identity.turn_to(key, algorithm)
            assert _go(city, browser).status_code == 200


def test_keys_are_not_asked_for_at_every_log_in(city: Served, identity: Provider) -> None:
    with httpx.Client() as browser:
        _go(city, browser)
        before = identity.asked_for_keys
        _go(city, browser)
    assert identity.asked_for_keys == before


def _without(name: str) -> Spoil:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda claims: claims | {"nonce": "another"},
        _without("nonce"),
        lambda claims: claims | {"aud": "another client"},
        lambda claims: claims | {"aud": ["another", "one more"]},
        lambda claims: claims | {"aud": [CLIENT_ID, "another"]},
        lambda claims: claims | {"aud": [CLIENT_ID, "another"], "azp": "another"},
        _without("aud"),
        lambda claims: claims | {"iss": "https://evil.example"},
        lambda claims: claims | {"exp": claims["iat"] - 3600, "iat": claims["iat"] - 7200},
        _without("exp"),
        lambda claims: claims | {"iat": claims["iat"] + 7200, "exp": claims["iat"] + 9000},
        lambda claims: claims | {"sub": ""},
        _without("sub"),
    ],
    ids=[
        "nonce", "no nonce", "aud", "auds", "no azp", "azp", "no aud", "iss", "expired", "no exp", "iat ahead",
        "sub", "no sub",
    ],
)  # fmt: skip
def test_a_token_that_does_not_hold_opens_nothing(city: Served, identity: Provider, spoil: Spoil) -> None:
    identity.spoil = spoil
    with httpx.Client() as browser:
        _refused(_go(city, browser))
    assert city.run("SELECT count(*) FROM sessions") == [(0,)]
    assert city.run(
        "SELECT count(*) FROM audit WHERE action = 'session.refuse' AND detail ->> 'provider' = 'provider'"
    ) != [(0,)]


def test_a_token_signed_by_somebody_else_opens_nothing(city: Served, identity: Provider) -> None:
    with httpx.Client() as browser:
        identity.signed_with = OTHER_KEY  # which calls itself as the right one
        _refused(_go(city, browser))
        identity.signed_with = RSAKey.generate_key(2048, {"kid": "unknown"})
        _refused(_go(city, browser))


def test_a_key_that_is_not_known_is_asked_for_once(city: Served, identity: Provider) -> None:
    identity.signed_with = RSAKey.generate_key(2048, {"kid": "unknown"})
    with httpx.Client() as browser, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "KEYS_ASKED_AGAIN_S", 60.0)
        _refused(_go(city, browser))
        before = identity.asked_for_keys
        _refused(_go(city, browser))
        assert identity.asked_for_keys == before


def test_a_state_is_good_once_and_in_its_own_browser(city: Served) -> None:
    with httpx.Client() as browser, httpx.Client() as other:
        there = browser.get(f"{city.url}/login/provider")
        back = browser.get(there.headers["location"]).headers["location"]
        _refused(other.get(back))  # another browser, and used up by that
        _refused(browser.get(back))
        answer = _go(city, browser)
        assert answer.status_code == 200
        _refused(browser.get(str(answer.request.url)))  # replayed
        made_up = parse_qs(urlsplit(back).query)["code"][0]
        _refused(browser.get(f"{city.url}/login/return", params={"state": "ul_" + "x" * 43, "code": made_up}))
        _refused(browser.get(f"{city.url}/login/return", params={"code": made_up}))


def test_a_state_is_too_old_after_ten_minutes(city: Served) -> None:
    with httpx.Client() as browser:
        there = browser.get(f"{city.url}/login/provider")
        city.run("UPDATE oidc_logins SET expires_at = now() - interval '1 second'")
        _refused(browser.get(browser.get(there.headers["location"]).headers["location"]))


def test_what_the_provider_refuses_is_refused(city: Served) -> None:
    with httpx.Client() as browser:
        there = browser.get(f"{city.url}/login/provider")
        state = parse_qs(urlsplit(there.headers["location"]).query)["state"][0]
        _refused(browser.get(f"{city.url}/login/return", params={"state": state, "error": "access_denied"}))


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "a"]
)
def test_it_leads_on_to_paths_of_ours_alone(city: Served, onward: str) -> None:
    with httpx.Client() as browser:
        assert 'content="0;url=/login"' in _go(city, browser, onward).text


def test_who_logs_in_there_has_no_password_here(city: Served) -> None:
    with httpx.Client() as browser:
        _go(city, browser)
    told = problem(city.post("/api/v1/people/wang/reset", Role.administrator), 409, "conflict")
    assert "there is no password here" in told["detail"]


def test_nothing_secret_is_logged(city: Served, identity: Provider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with httpx.Client() as browser:
        there = browser.get(f"{city.url}/login/provider")
        back = browser.get(there.headers["location"]).headers["location"]
    caplog.clear()
    with httpx.Client() as other:
        other.get(back.replace(city.url, city.url))
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("underfoot"))
    assert "another browser" in ours
    for secret in (CLIENT_SECRET, *(values[0] for values in parse_qs(urlsplit(back).query).values())):
        assert secret not in ours


def _client(tmp_path: Path, **said: Any) -> Client | None:
    path = tmp_path / "oidc.yaml"
    whole = {"issuer": "https://sso.example", "client_id": "underfoot", "rights": RIGHTS} | said
    path.write_text(json.dumps(whole), encoding="utf-8")
    return Client.from_settings(load(oidc=str(path)))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"issuer": "http://sso.example"}, "issuer = 'http://sso.example': Value error, an https:// URL"),
        ({"rights": []}, "rights = \\[\\]"),
        ({"rights": [{"claim": "g", "value": "v", "role": "broker"}]}, r"rights\.0\.role = 'broker'"),
        ({"rights": [{"claim": "g", "value": "v", "role": "viewer", "areas": ["x"]}]}, r"rights\.0\.areas\.0 = 'x'"),
        ({"scopes": ["profile"]}, "openid must be among them"),
        ({"client": "x"}, "client = 'x': Extra inputs"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, said: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=f"UNDERFOOT_OIDC = .*{told}"):
        _client(tmp_path, **said)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"UNDERFOOT_OIDC = .*No such file"):
        Client.from_settings(load(oidc=str(tmp_path / "none.yaml")))


def test_without_a_provider_there_is_no_way_to_one(api: Served) -> None:
    problem(api.get("/login/provider", None), 404, "not-found")
    assert "统一身份认证" not in api.get("/login", None).text
