"""`underfoot grafana push` against a stand-in that answers as a Grafana server was seen to answer."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner, Result

from deploy.grafana.city_map import DEFAULT_VIEW
from deploy.grafana.overview import overview
from deploy.grafana.provision import Reader, datasource, folder
from deploy.grafana.push import PushError, push
from deploy.grafana_cli import commands

pytest.importorskip("grafana_client", reason="the extra `grafana` is not installed")

CHECKOUT = Path(__file__).parents[2]
OPENAPI = Path(os.environ.get("GRAFANA_SCHEMAS", CHECKOUT.parent / "shared" / "grafana")) / "openapi3.json"
TOKEN = "glsa_token"
READER = Reader("db:5432", "underfoot", "underfoot_dashboard", "pw", "disable")


class RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class StandIn(ThreadingHTTPServer):
    """Folders, datasources and dashboards in memory; what Grafana's own API description does not allow is a 400."""

    daemon_threads = True

    def __init__(self, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.prefix = prefix
        self.requests: list[str] = []
        self.folders: dict[str, dict[str, Any]] = {}
        self.datasources: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.described = json.loads(OPENAPI.read_text(encoding="utf-8")) if OPENAPI.exists() else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.prefix}"

    def answer(self, method: str, path: str, body: Any, authorization: str | None) -> dict[str, Any]:
        if authorization != f"Bearer {TOKEN}":
            raise RefusedError(401, "Invalid API key")
        self.check(method, path, body)
        for pattern, verbs in _ROUTES.items():
            if (match := re.fullmatch(pattern, path)) and method in verbs:
                found: dict[str, Any] = getattr(self, verbs[method])(*match.groups(), *([] if body is None else [body]))
                return found
        raise RefusedError(404, f"{method} {path}")

    def check(self, method: str, path: str, body: Any) -> None:
        if self.described is None:
            return
        for template, verbs in self.described["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in verbs:
                described = verbs[method.lower()].get("requestBody")
                if described is None:
                    return
                schema = described["content"]["application/json"]["schema"]
                known = self.described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
                problems = [
                    error.message
                    for error in Draft7Validator({**schema, "components": self.described["components"]}).iter_errors(
                        body
                    )
                ] + [f"{name} is no property" for name in body.keys() - known.keys()]
                if problems:
                    raise RefusedError(400, "; ".join(problems))
                return
        raise RefusedError(404, f"{method} {path} is no operation of Grafana's")

    def get_folder(self, uid: str) -> dict[str, Any]:
        return _or_404(self.folders, uid)

    def post_folder(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["uid"] in self.folders:
            raise RefusedError(412, "a folder with the same UID already exists")
        self.folders[body["uid"]] = {**body, "version": 1}
        return self.folders[body["uid"]]

    def put_folder(self, uid: str, body: dict[str, Any]) -> dict[str, Any]:
        found = _or_404(self.folders, uid)
        if not body.get("overwrite") and body.get("version") != found["version"]:
            raise RefusedError(412, "the folder has been changed by someone else")
        found.update(title=body["title"], version=found["version"] + 1)
        return found

    def get_datasource(self, uid: str) -> dict[str, Any]:
        shown = {name: value for name, value in _or_404(self.datasources, uid).items() if name != "secureJsonData"}
        return {"readOnly": False, **shown}

    def post_datasource(self, body: dict[str, Any]) -> dict[str, Any]:
        if any(each["uid"] == body["uid"] or each["name"] == body["name"] for each in self.datasources.values()):
            raise RefusedError(409, "data source with the same name already exists")
        self.datasources[body["uid"]] = body
        return {"message": "Datasource added"}

    def put_datasource(self, uid: str, body: dict[str, Any]) -> dict[str, Any]:
        found = _or_404(self.datasources, uid)
        if found.get("readOnly"):
            raise RefusedError(403, "Cannot update read-only data source")
        kept = {**found.get("secureJsonData", {}), **body.get("secureJsonData", {})}
        self.datasources[uid] = {**body, "secureJsonData": kept}
        return {"message": "Datasource updated"}

    def post_dashboard(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["folderUid"] not in self.folders:
            raise RefusedError(400, "folder not found")
        uid = body["dashboard"]["uid"]
        before = self.dashboards.get(uid)
        if before is not None and not body.get("overwrite"):
            raise RefusedError(412, "the dashboard has been changed by someone else")
        version = 1 if before is None else before["version"] + 1
        self.dashboards[uid] = {"version": version, "folder": body["folderUid"], "dashboard": body["dashboard"]}
        return {"uid": uid, "url": f"/d/{uid}/x", "version": version, "status": "success"}


_ROUTES: dict[str, dict[str, str]] = {
    r"/folders": {"POST": "post_folder"},
    r"/folders/([^/]+)": {"GET": "get_folder", "PUT": "put_folder"},
    r"/datasources": {"POST": "post_datasource"},
    r"/datasources/uid/([^/]+)": {"GET": "get_datasource", "PUT": "put_datasource"},
    r"/dashboards/db": {"POST": "post_dashboard"},
}


def _or_404(kept: dict[str, dict[str, Any]], uid: str) -> dict[str, Any]:
    if uid not in kept:
        raise RefusedError(404, "not found")
    return kept[uid]


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        path = self.path.removeprefix(f"{self.server.prefix}/api")
        self.server.requests.append(f"{self.command} {path}")
        try:
            status, answer = 200, self.server.answer(self.command, path, body, self.headers.get("Authorization"))
        except RefusedError as refused:
            status, answer = refused.status, {"message": str(refused)}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 - as the base class calls them

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the base class names it
        pass


@pytest.fixture(params=["", "/grafana"], ids=["at the root", "under a path"])
def grafana(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with StandIn(request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def push_to(server: StandIn, *, token: str = TOKEN, reader: Reader = READER) -> list[str]:
    return push(server.url, token, folder(), datasource(reader), overview("http://api", DEFAULT_VIEW))


def test_the_first_push_creates_and_the_second_updates(grafana: StandIn) -> None:
    assert push_to(grafana) == [
        "folder 脚底下的安全: created",
        "datasource Underfoot: created",
        "dashboard 脚底下的安全 · 总览: version 1, /d/underfoot-overview/x",
    ]
    before = json.dumps([grafana.folders, grafana.datasources])
    assert push_to(grafana) == [
        "folder 脚底下的安全: was there",
        "datasource Underfoot: updated",
        "dashboard 脚底下的安全 · 总览: version 2, /d/underfoot-overview/x",
    ]
    assert json.dumps([grafana.folders, grafana.datasources]) == before
    assert grafana.dashboards["underfoot-overview"]["folder"] == "underfoot"
    assert grafana.datasources["underfoot"]["jsonData"]["timescaledb"] is True
    assert grafana.requests.count("POST /folders") == grafana.requests.count("POST /datasources") == 1


def test_every_request_is_one_that_grafana_describes(grafana: StandIn) -> None:
    if grafana.described is None:
        pytest.skip("no openapi3.json of Grafana here (GRAFANA_SCHEMAS)")
    push_to(grafana)
    with pytest.raises(RefusedError, match="folderTitle is no property"):
        grafana.check("POST", "/folders", {"uid": "x", "folderTitle": "x"})
    with pytest.raises(RefusedError, match="is not of type 'string'"):
        grafana.check("POST", "/folders", {"uid": 7, "title": "x"})
    with pytest.raises(RefusedError, match="is no operation"):
        grafana.check("PUT", "/datasources/name/x", {})


def test_a_renamed_folder_gets_its_name_back(grafana: StandIn) -> None:
    grafana.folders["underfoot"] = {"uid": "underfoot", "title": "别的名字", "version": 7}
    assert push_to(grafana)[0] == "folder 脚底下的安全: renamed"
    assert grafana.folders["underfoot"]["title"] == "脚底下的安全"


def test_a_datasource_provisioned_from_a_file_is_left_alone(grafana: StandIn) -> None:
    provisioned = {**datasource(READER), "readOnly": True}
    grafana.datasources["underfoot"] = provisioned
    assert "left alone" in push_to(grafana)[1]
    assert grafana.datasources["underfoot"] == provisioned


def test_a_push_without_a_password_keeps_the_one_that_is_there(grafana: StandIn) -> None:
    push_to(grafana)
    push_to(grafana, reader=Reader("db:5433", "underfoot", "underfoot_dashboard", "", "disable"))
    assert grafana.datasources["underfoot"]["url"] == "db:5433"
    assert grafana.datasources["underfoot"]["secureJsonData"] == {"password": "pw"}


def test_a_wrong_token_is_named(grafana: StandIn) -> None:
    with pytest.raises(PushError, match=r"refuses the token \(401\).*UNDERFOOT_GRAFANA_TOKEN"):
        push_to(grafana, token="wrong")
    assert grafana.folders == {}


def test_another_datasource_of_our_name_is_said(grafana: StandIn) -> None:
    grafana.datasources["other"] = {"uid": "other", "name": "Underfoot"}
    with pytest.raises(PushError, match="data source with the same name already exists"):
        push_to(grafana)


def test_nobody_there_is_said() -> None:
    with pytest.raises(PushError, match=r"Grafana at http://127\.0\.0\.1:1 does not answer"):
        push("http://127.0.0.1:1", TOKEN, folder(), datasource(READER), {})


# the command ----------------------------------------------------------------------------------------------------------


def underfoot(*arguments: str, **environment: str) -> Result:
    unset = dict.fromkeys(("UNDERFOOT_GRAFANA_URL", "UNDERFOOT_GRAFANA_TOKEN", "UNDERFOOT_GRAFANA_DATABASE_URL"))
    return CliRunner().invoke(commands, ["grafana", *arguments], env={"COLUMNS": "300", **unset, **environment})


@pytest.fixture
def ledger(database: str) -> str:
    """One asset far from the demo city."""
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO areas (code, name, level) VALUES ('4419', '东莞市', 'city')")
        connection.execute(
            "INSERT INTO assets (asset_code, kind, name, area_code, lon, lat)"
            " VALUES ('4419000103000001', '0103', '雨水井1', '4419', 113.75, 23.02)"
        )
    return database


def test_the_command_brings_this_installations_links_and_map(grafana: StandIn, ledger: str) -> None:
    done = underfoot(
        "push",
        UNDERFOOT_DATABASE_URL=ledger,
        UNDERFOOT_GRAFANA_URL=grafana.url,
        UNDERFOOT_GRAFANA_TOKEN=TOKEN,
        UNDERFOOT_GRAFANA_DATABASE_URL="postgresql://underfoot_dashboard:pw@db:5432/underfoot",
        UNDERFOOT_PUBLIC_URL="https://underfoot.example",
    )
    assert done.exit_code == 0, done.output
    assert "version 1" in done.output
    assert "without a password" not in done.output
    sent = grafana.dashboards["underfoot-overview"]["dashboard"]
    (view,) = (panel["options"]["view"] for panel in sent["panels"] if panel["type"] == "geomap")
    assert (view["lon"], view["lat"], view["zoom"]) == (113.75, 23.02, 15)
    (api,) = (each for each in sent["templating"]["list"] if each["name"] == "api")
    assert api["query"] == "https://underfoot.example"
    assert grafana.datasources["underfoot"]["url"] == "db:5432"


def test_the_command_says_what_is_missing(database: str) -> None:
    done = underfoot("push", UNDERFOOT_DATABASE_URL=database, UNDERFOOT_GRAFANA_URL="http://127.0.0.1:1")
    assert done.exit_code == 2
    assert "UNDERFOOT_GRAFANA_TOKEN is not set" in done.output


def test_the_command_says_that_grafana_does_not_answer(database: str) -> None:
    done = underfoot("push", "--url", "http://127.0.0.1:1", "--token", "x", UNDERFOOT_DATABASE_URL=database)
    assert done.exit_code == 1
    assert "does not answer" in done.output


def test_reader_prints_variables_with_which_the_database_lets_in(database: str) -> None:
    done = underfoot("reader", "--variables", UNDERFOOT_DATABASE_URL=database)
    assert done.exit_code == 0, done.output
    variables = dict(line.split("=", 1) for line in done.output.splitlines())
    host, port = variables["UNDERFOOT_GRAFANA_DATABASE_HOST"].split(":")
    with psycopg.connect(
        host=host,
        port=port,
        dbname=variables["UNDERFOOT_GRAFANA_DATABASE_NAME"],
        user=variables["UNDERFOOT_GRAFANA_DATABASE_USER"],
        password=variables["UNDERFOOT_GRAFANA_DATABASE_PASSWORD"],
        sslmode=variables["UNDERFOOT_GRAFANA_DATABASE_SSLMODE"],
    ) as session:
        assert session.execute("SELECT count(*) FROM dashboard.alarms").fetchone() == (0,)


def test_export_writes_the_files(ledger: str, tmp_path: Path) -> None:
    done = underfoot("export", str(tmp_path / "out"), UNDERFOOT_DATABASE_URL=ledger)
    assert done.exit_code == 0, done.output
    dashboard = json.loads((tmp_path / "out" / "dashboards" / "overview.json").read_text(encoding="utf-8"))
    (view,) = (panel["options"]["view"] for panel in dashboard["panels"] if panel["type"] == "geomap")
    assert view["lat"] == 23.02
