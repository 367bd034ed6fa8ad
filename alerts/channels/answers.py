"""What an HTTP answer means: the body's code first, where it has one that is known, then the status."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from alerts.channels.interface import BadMessage, Delivered, Outcome, Retry, SinkFailure
from alerts.channels.line import Answer, UnansweredError, UnreachedError, UntrustedError

BUSY_PAUSE_S = 60.0
"""For a receiver that says it has had enough and not for how long."""

_NUMBER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_DUPLICATE = re.compile(r"duplicat|already|重复|已存在|已接收|已受理", re.IGNORECASE)


def _http_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not url.isascii() or any(character.isspace() for character in url):
        raise ValueError("an http:// or https:// URL is needed, without spaces, with other than ASCII percent-encoded")
    return value


def _http_headers(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, secret in value.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ValueError(f"{name!r} is not the name of a header")
        if not re.fullmatch(r"[\x20-\x7e]*", secret.get_secret_value()):
            raise ValueError(f"the value of header {name} may hold printable ASCII only")
    return value


SecretUrl = Annotated[SecretStr, AfterValidator(_http_url)]
"""A robot's URL carries its key."""

SecretHeaders = Annotated[dict[str, SecretStr], AfterValidator(_http_headers)]


def host(url: SecretStr) -> str:
    """The part of a URL that is no secret."""
    parts = urlsplit(url.get_secret_value())
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


@dataclass(frozen=True)
class Codes:
    """What the numbers in a receiver's answers mean. One that stands nowhere: not this time."""

    fields: tuple[str, ...]
    """Where the code stands in the body, in objects by a path with dots; the first that is there counts."""
    success: frozenset[int | str]
    busy: frozenset[int | str] = frozenset()
    sink_failure: frozenset[int | str] = frozenset()
    bad_message: frozenset[int | str] = frozenset()
    required: bool = True
    """Whether an answer without a code is no success."""
    worded: bool = False
    """Whether the code may be a word, true or false."""

    def found_in(self, body: dict[str, Any] | None) -> int | str | None:
        for path in self.fields:
            code = self._code(at(body, path))
            if code is not None:
                return code
        return None

    def _code(self, value: Any) -> int | str | None:
        if isinstance(value, str):
            return int(value) if _NUMBER.fullmatch(value) else value if self.worded and value else None
        if isinstance(value, bool):
            return str(value).lower() if self.worded else None
        return value if isinstance(value, int) else None


def at(body: Any, path: str) -> Any:
    """What stands there in a JSON value: names and positions with dots between; None if nothing does."""
    for part in path.split("."):
        if isinstance(body, dict):
            body = body.get(part)
        elif isinstance(body, list) and part.isdecimal() and int(part) < len(body):
            body = body[int(part)]
        else:
            return None
    return body


def exchange(post: Callable[[], Answer], codes: Codes) -> Outcome:
    """Make the request and judge what came of it."""
    try:
        answer = post()
    except UnreachedError as error:
        return Retry(f"not reached: {error}")
    except UnansweredError as error:
        return Retry(f"no answer: {error}", maybe_received=True)
    except UntrustedError as error:
        return SinkFailure(str(error))
    return judge(answer, codes)


def judge(answer: Answer, codes: Codes) -> Outcome:
    code = codes.found_in(answer.object)
    if code is not None:
        if code in codes.busy:
            return Retry(answer.shown, answer.retry_after_s or BUSY_PAUSE_S, against_sink=False)
        if code in codes.sink_failure:
            return SinkFailure(answer.shown)
        if code in codes.bad_message:
            return BadMessage(answer.shown)
        if code == 409 and _is_duplicate(answer):
            return Delivered(_receipt(answer))
        if answer.accepted and code not in codes.success:
            return Retry(answer.shown, answer.retry_after_s)
    elif answer.accepted and codes.required:
        # A log-in page of some network on the way, for instance. It may also be the receiver's, so it may have it.
        return Retry(f"the answer has no {' or '.join(codes.fields)}: {answer.shown}", maybe_received=True)
    if answer.accepted:
        return Delivered(_receipt(answer))
    return _by_status(answer)


_BAD_MESSAGE: Sequence[int] = (400, 413, 422)
_PASSING: Sequence[int] = (408, 425, 429)
_GATEWAY: Sequence[int] = (502, 504)


def _by_status(answer: Answer) -> Outcome:
    status = answer.status
    if status in _BAD_MESSAGE:
        return BadMessage(answer.shown)
    if status == 409:
        if _is_duplicate(answer):
            return Delivered(_receipt(answer))
        return Retry(answer.shown, answer.retry_after_s, against_sink=False)
    if status == 429:
        return Retry(answer.shown, answer.retry_after_s or BUSY_PAUSE_S, against_sink=False)
    if status in _PASSING or status >= 500:
        # A gateway does not know what became of the request behind it.
        return Retry(answer.shown, answer.retry_after_s, maybe_received=status in _GATEWAY)
    # 401, 403, 404, every other 4xx, and a redirect (a POST does not follow one): the address or the key is wrong.
    return SinkFailure(answer.shown)


def _is_duplicate(answer: Answer) -> bool:
    body = answer.object or {}
    data = body.get("data")
    if body.get("duplicate") is True or (isinstance(data, dict) and data.get("duplicate") is True):
        return True
    return _DUPLICATE.search(answer.body[:4096].decode("utf-8", "replace")) is not None


def _receipt(answer: Answer) -> dict[str, Any]:
    return {"status": answer.status, **({"answer": answer.object} if answer.object is not None else {})}
