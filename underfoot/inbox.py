"""Posting to the inbox: how a message that did not come by MQTT (pushed, over TCP, replayed, forwarded by another
shard) reaches the holder of a shard. Whoever posts may answer once the transaction is committed; the holder consumes
each row once, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from psycopg.types.json import Jsonb

from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


class Message(NamedTuple):
    """A message as it came. `topic` is the one it would have had over MQTT, or `{source}/{mapping or protocol}/…` where
    it never had one. `key` makes it once only: the same key again is the same message, as long as the inbox keeps
    consumed rows (setting inbox_keep_h)."""

    shard: str
    topic: str
    body: bytes
    received_us: int
    source: str
    """'http', 'sl651', or 'mqtt' where another shard received it."""
    key: str
    vendor: str | None = None
    """The vendor account that pushed it: it speaks for devices of that vendor only. None: nobody logged in."""
    quarantine_key: int | None = None
    """It was in quarantine until now, under this key."""


def post_messages(connection: Connection, messages: Sequence[Message]) -> list[bool]:
    """Put them into the inbox in their order and wake the holders, in the caller's transaction.

    Answers one by one which were posted; False: a message of that key was there already, or stands before it here.
    """
    if not messages:
        return []
    rows = connection.execute(
        statement("inbox.post_messages"),
        {
            "shards": [message.shard for message in messages],
            "keys": [message.key for message in messages],
            "bodies": [message.body for message in messages],
            "payloads": [Jsonb(_where_from(message)) for message in messages],
        },
    )
    posted = {key: shard for shard, key in rows}
    if posted:
        connection.execute(statement("inbox.wake"), {"shards": sorted(set(posted.values()))})
    return [posted.pop(message.key, None) is not None for message in messages]


def _where_from(message: Message) -> dict[str, str | int | None]:
    # What jsonb has no place for (NUL, half a surrogate pair) stays visible in the topic instead of failing its batch.
    topic = message.topic.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return {
        "topic": topic,
        "received_us": message.received_us,
        "source": message.source,
        "vendor": message.vendor,
        "quarantine_key": message.quarantine_key,
    }
