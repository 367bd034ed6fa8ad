"""A run's messages written to a file instead of sent, one JSON object a line: to look at, or to compare runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from simulators.message import Due, Message
from simulators.world.folder import RunError


class Written(NamedTuple):
    """`digest` is of the file: the same for the same messages."""

    messages: int
    digest: str


def write_messages(messages: Iterator[Due], path: Path) -> Written:
    count = 0
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("wb") as file:
            for due in messages:
                line = orjson.dumps({"at_s": round(due.at_s, 6), **_shown(due.message)}) + b"\n"
                digest.update(line)
                file.write(line)
                count += 1
    except OSError as error:
        raise RunError(f"dry-run: {path} cannot be written: {error.strerror}") from None
    return Written(count, digest.hexdigest())


def _shown(message: Message) -> dict[str, Any]:
    """The payload as text where it is UTF-8, else its bytes in hexadecimal."""
    try:
        payload = {"payload": message.payload.decode()}
    except UnicodeDecodeError:
        payload = {"payload_hex": message.payload.hex()}
    return {
        "topic": message.topic.decode(),
        "device_id": message.device_id,
        "kind": message.kind,
        "stores": message.stores,
        "quarantines": message.quarantines,
        **payload,
    }
