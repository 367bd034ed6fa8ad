"""The log-in page in a browser: in, on to where one wanted, renewed without asking, and out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.people import accounts
from api.roles import Role
from tests.integration.api.chromium import Tab, chromium, program
from tests.integration.api.people import PASSWORD, add, make_hashing_cheap
from tests.integration.api.served import Served, keyed
from underfoot.storage.connect import connect

CHROMIUM = program()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
SHOWN = "['log-in', 'first', 'done'].filter(id => document.getElementById(id)?.hidden === false).join()"


@pytest.fixture(scope="module")
def running(module_database: str) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch, keyed(module_database) as served:
        make_hashing_cheap(patch)
        add(module_database, "desk", Role.operator, display_name="王建国")
        add(module_database, "new", Role.viewer, password=None)
        yield served


@pytest.fixture
def tab(running: Served) -> Iterator[Tab]:
    with chromium(CHROMIUM or "") as browser:
        yield browser.tab(390, 844, mobile=True)


def _type(tab: Tab, **fields: str) -> None:
    for name, value in fields.items():
        tab.js(f"document.getElementById({json.dumps(name)}).value = {json.dumps(value)}")
    tab.js("[...document.forms].find(form => !form.hidden).requestSubmit()")


def _keep(tab: Tab, name: str) -> None:
    """For who wants to look at it."""
    if (folder := os.environ.get("UNDERFOOT_SCREENSHOTS")) is not None:
        Path(folder, f"{name}.png").write_bytes(tab.picture())


def test_somebody_logs_in_and_is_where_they_wanted_to_be(running: Served, tab: Tab) -> None:
    tab.open(f"{running.url}/login?next=/healthz")
    tab.until(lambda: tab.js(SHOWN) == "log-in")
    _keep(tab, "login")
    _type(tab, name="desk", password="not the password")
    tab.until(lambda: tab.js("document.getElementById('said').textContent") == "账号或密码不对。")
    _keep(tab, "login-refused")
    _type(tab, name="desk", password=PASSWORD)
    tab.until(lambda: tab.js("location.pathname") == "/healthz")
    assert tab.js("document.cookie") == "", "no script reads the session"
    # The access token is over: the page renews it without asking.
    running.run("DELETE FROM session_tokens WHERE kind = 'access'")
    tab.open(f"{running.url}/login?next=/healthz")
    tab.until(lambda: tab.js("location.pathname") == "/healthz")
    for elsewhere in ("https://evil.example/", "//evil.example/", "/%5Cevil.example/"):
        tab.open(f"{running.url}/login?next={elsewhere}")
        tab.until(lambda: tab.js(SHOWN) == "done")
    assert tab.js("document.getElementById('who').textContent") == "王建国（值班操作员）"
    _keep(tab, "login-done")
    tab.js("document.getElementById('out').click()")
    tab.until(lambda: tab.js(SHOWN) == "log-in")
    assert running.run("SELECT ended_because FROM sessions ORDER BY 1") == [("log_out",)]
    assert not [asked for asked in tab.wire.asked if running.url not in asked], "nothing from elsewhere"


def test_somebody_sets_a_first_password_by_a_link(running: Served, tab: Tab) -> None:
    with connect(running.database, "test") as connection:
        invitation, _ = accounts.invite(connection, "new", "test")
    tab.open(f"{running.url}/login#invitation={invitation.secret}")
    tab.until(lambda: tab.js(SHOWN) == "first")
    assert tab.js("location.hash") == "", "the secret stays in no history"
    _type(tab, new=PASSWORD, again="something else than that")
    tab.until(lambda: tab.js("document.getElementById('said').textContent") == "两次输入的密码不一样。")
    _type(tab, new="123456789012", again="123456789012")
    tab.until(lambda: "太常见" in tab.js("document.getElementById('said').textContent"))
    _keep(tab, "login-first")
    _type(tab, new=PASSWORD, again=PASSWORD)
    tab.until(lambda: tab.js(SHOWN) == "done")
