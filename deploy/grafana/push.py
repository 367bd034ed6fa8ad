"""Writes folder, datasource and dashboard to a Grafana server by its API. Pushing again changes but the version.

The one module that loads grafana-client: it brings a fork of urllib3 that takes urllib3's place in the whole process
(docs/adr/0001-grafana-client.md).
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from deploy.grafana.fields import Json
from deploy.grafana.provision import Folder

_TIMEOUT_S = 30.0


class PushError(Exception):
    """Grafana did not take what it was sent; says what, and what to do."""


def push(url: str, token: str, folder: Folder, datasource: Json, dashboard: Json) -> list[str]:
    """Bring the server to what is given; return what was done, in order."""
    grafana = _connect(url, token)
    try:
        return [
            _folder(grafana, folder),
            _datasource(grafana, datasource),
            _dashboard(grafana, folder, dashboard),
        ]
    except _client().GrafanaClientError as error:
        raise PushError(_refusal(url, error)) from None
    except _client().GrafanaException as error:
        raise PushError(f"Grafana at {url} failed: {error}") from None
    except OSError as error:
        raise PushError(f"Grafana at {url} does not answer: {error}") from None
    except json.JSONDecodeError:
        raise PushError(f"{url} answers, but not as Grafana does: is this its address?") from None
    finally:
        grafana.client.s.close()


def _client() -> Any:
    try:
        import_module("grafana_client")
    except ModuleNotFoundError as error:
        if error.name != "grafana_client":
            raise
        raise PushError("grafana-client is not installed: pip install 'underfoot[grafana]'") from None
    return import_module("grafana_client.client")


def _connect(url: str, token: str) -> Any:
    _client()
    parts = urlsplit(url)
    # The client puts "api" right behind the path.
    path = f"{parts.path.rstrip('/')}/" if parts.path.strip("/") else ""
    address = parts._replace(path=path).geturl()
    return import_module("grafana_client").GrafanaApi.from_url(address, credential=token, timeout=_TIMEOUT_S)


def _folder(grafana: Any, folder: Folder) -> str:
    found = _found(lambda: grafana.folder.get_folder(folder.uid))
    if found is None:
        grafana.folder.create_folder(folder.title, uid=folder.uid)
        return f"folder {folder.title}: created"
    if found["title"] != folder.title:
        grafana.folder.update_folder(folder.uid, title=folder.title, version=found.get("version"), overwrite=True)
        return f"folder {folder.title}: renamed"
    return f"folder {folder.title}: was there"


def _datasource(grafana: Any, datasource: Json) -> str:
    found = _found(lambda: grafana.datasource.get_datasource_by_uid(datasource["uid"]))
    if found is None:
        grafana.datasource.create_datasource(datasource)
        return f"datasource {datasource['name']}: created"
    if found.get("readOnly"):
        return f"datasource {datasource['name']}: left alone, it is provisioned from a file"
    grafana.datasource.update_datasource_by_uid(datasource["uid"], datasource)
    return f"datasource {datasource['name']}: updated"


def _dashboard(grafana: Any, folder: Folder, dashboard: Json) -> str:
    saved = grafana.dashboard.update_dashboard(
        {"dashboard": dashboard, "folderUid": folder.uid, "overwrite": True, "message": "underfoot grafana push"}
    )
    return f"dashboard {dashboard['title']}: version {saved['version']}, {saved['url']}"


def _found(ask: Any) -> Any:
    try:
        return ask()
    except _client().GrafanaClientError as error:
        if error.status_code == 404:
            return None
        raise


def _refusal(url: str, error: Any) -> str:
    if error.status_code in (401, 403):
        return (
            f"Grafana at {url} refuses the token ({error.status_code}): it must be that of a service account with the"
            " role Admin, given by --token or UNDERFOOT_GRAFANA_TOKEN"
        )
    return f"Grafana at {url} refuses: {error}"
