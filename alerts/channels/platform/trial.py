"""A configuration tried on an alarm: the exact request, and what the platform's answer to it means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from psycopg.rows import dict_row
from pydantic import BaseModel, SecretStr

from alerts.cases.filing import would_be
from alerts.channels import ChannelError, parse_config
from alerts.channels.answers import at
from alerts.channels.interface import BadMessage, Delivered, Delivery, Outcome, Retry
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.request import Request
from alerts.channels.platform.shipped import SHIPPED
from alerts.channels.shipped import MOST_BYTES
from alerts.record.snapshot import Snapshot
from underfoot.alarms import Severity
from underfoot.plain_yaml import YamlError, read_yaml
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

MASK = "********"


class TrialError(ValueError):
    """What was asked for is not there; says which, and what is."""


def configuration(source: str, changes: dict[str, Any]) -> PlatformConfig:
    """`source`: a YAML file, or the name of a configuration that ships. `changes` stand over it."""
    if source in SHIPPED.configs:
        given: Any = {"based_on": source}
    else:
        given = _read(Path(source))
        if not isinstance(given, dict):
            raise TrialError(f"{source}: settings by name are needed, as in `underfoot platform show generic`")
    try:
        parsed = parse_config("platform", {**given, **changes})
    except ChannelError as error:
        raise TrialError(f"{source}: {error}") from None
    if not isinstance(parsed, PlatformConfig):
        raise TypeError(f"channel platform has {type(parsed).__name__} for its settings")
    return parsed


def _read(path: Path) -> Any:
    try:
        return read_yaml(path.read_bytes(), str(path), at_most=MOST_BYTES).value
    except OSError as error:
        raise TrialError(f"{path}: {error.strerror}; a file, or one of {', '.join(SHIPPED.texts)} is needed") from None
    except YamlError as error:
        raise TrialError(str(error)) from None


def delivery_of(connection: Connection, episode_key: int, api_url: str) -> Delivery:
    """As it would be told now. Its key says that it is a trial, and is the same at each one: a repeat."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement("platform.latest_notice"), {"episode_key": episode_key}).fetchone()
    if row is None:
        raise TrialError(f"--alarm {episode_key}: there is no such alarm; `GET /api/v1/alarms` lists them")
    snapshot: Snapshot = row["snapshot"]
    if snapshot["case"] is None and row["rule_case"] is not None:
        of = (row["alarm_key"], row["episode"])
        snapshot["case"] = would_be(connection, of, row["rule_case"], Severity(row["severity"]))
    key = f"try-{row['alarm_key']}-{row['episode']}-{snapshot['transition_no']}-{snapshot['notice']}"
    return Delivery(key, snapshot, f"{api_url}/api/v1/alarms/{episode_key}")


@dataclass(frozen=True)
class Shown:
    """A request for the eye."""

    method: str
    url: str
    headers: dict[str, str]
    body: str
    message: str | None
    """What the body was before it was sealed; None: the same."""
    signed: tuple[str, ...]
    known_by: str | None
    """By what the platform knows a repeat."""


def shown(made: Request, config: PlatformConfig, *, reveal: bool) -> Shown:
    masked = _Masked([] if reveal else sorted(secrets_in(config), key=len, reverse=True))
    message = json.dumps(made.message, ensure_ascii=False, indent=2)
    body = made.body.decode()
    if config.encoding == "form":
        body = "\n".join(f"{name} = {value}" for name, value in parse_qsl(body, keep_blank_values=True))
        message = "\n".join(f"{name} = {value}" for name, value in made.message.items())
    else:
        body = json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    return Shown(
        made.method,
        masked(made.url if reveal else _without_query(made.url)),
        {name: masked(value) for name, value in made.headers.items()},
        masked(body),
        masked(message) if message != body else None,
        made.signed,
        _known_by(made, config),
    )


def _known_by(made: Request, config: PlatformConfig) -> str | None:
    if config.upsert_key is None:
        return None
    return f"{config.upsert_key} = {at(made.core, config.upsert_key)}"


class _Masked:
    def __init__(self, secrets: list[str]) -> None:
        self._secrets = secrets

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _without_query(url: str) -> str:
    """The values of a query may be a key and a signature; their names are not."""
    parts = urlsplit(url)
    names = "&".join(f"{name}={MASK}" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    host = f"{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    return f"{parts.scheme}://{host}{parts.path}{f'?{names}' if names else ''}"


def secrets_in(given: Any) -> Iterator[str]:
    """Everything secret in a configuration but addresses, which are shown without their secret parts."""
    if isinstance(given, SecretStr):
        if text := given.get_secret_value():
            yield text
    elif isinstance(given, BaseModel):
        for name in type(given).model_fields:
            if name not in ("url", "urls"):
                yield from secrets_in(getattr(given, name))
    elif isinstance(given, dict):
        for value in given.values():
            yield from secrets_in(value)


def meaning(outcome: Outcome) -> str:
    """What follows from an answer, for people."""
    match outcome:
        case Delivered(receipt):
            number = receipt.get("platform_no")
            return f"delivered 已送达; the platform's number: {number or 'none found (number_path)'}"
        case Retry(error):
            doubt = "; it may have been taken" if outcome.maybe_received else ""
            return f"retry 稍后重发: {error}{doubt}"
        case BadMessage(error):
            return f"bad message 内容不被接受, never sent again: {error}"
        case _:
            return f"sink failure 对接失败, nothing gets through until it is mended: {outcome.error}"
