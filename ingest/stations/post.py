"""Post: from the sockets' thread into the inbox, batch by batch, and back when the batch is committed.

What waits here is bounded in bytes; while it is full nobody reads from a socket, and so the stations wait. While the
database does not answer, the same batch is tried again and again: its keys make it safe, and nobody is answered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import psycopg

from ingest.stations.line import Taken
from underfoot.inbox import Message, post_messages
from underfoot.storage.connect import Connection, conninfo

log = logging.getLogger(__name__)

_OVERHEAD = 500
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
_GOODBYE_S = 5.0
_STATEMENT_S = 10


class Waiting(NamedTuple):
    """One message, from which connection and when."""

    connection: int
    taken: Taken
    received_us: int


class Queue:
    """Of messages on their way to the inbox."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._messages: deque[Waiting] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, messages: list[Waiting]) -> None:
        with self._changed:
            self._messages += messages
            self._bytes += sum(_size(message) for message in messages)
            self._changed.notify()

    def take(self, most: int) -> list[Waiting]:
        """Up to `most`, waiting for the first; none when it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._closed)
            return [self._messages.popleft() for _ in range(min(most, len(self._messages)))]

    def done(self, messages: list[Waiting]) -> None:
        """They weigh until they are committed."""
        with self._changed:
            self._bytes -= sum(_size(message) for message in messages)

    @property
    def full(self) -> bool:
        return self._bytes >= self._most_bytes

    @property
    def half_full(self) -> bool:
        return 2 * self._bytes >= self._most_bytes

    @property
    def closed(self) -> bool:
        return self._closed

    def __len__(self) -> int:
        return len(self._messages)

    def close(self) -> None:
        """Nothing more will be put in; what is there goes on being taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()


def _size(message: Waiting) -> int:
    return len(message.taken.body) + _OVERHEAD


class Poster(threading.Thread):
    """Takes from the queue, posts, and tells `committed` of each batch when its transaction is."""

    def __init__(
        self, database_url: str, shard: str, queue: Queue, committed: Callable[[list[Waiting]], None], batch: int
    ) -> None:
        super().__init__(name="post")
        self._database_url = database_url
        self._shard = shard
        self._queue = queue
        self._committed = committed
        self._batch = batch
        self._connection: Connection | None = None
        self._give_up_at: float | None = None
        self._wake = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while batch := self._queue.take(self._batch):
                if not self._post(batch):
                    lost = len(batch) + len(self._queue)
                    log.warning("%d messages end unposted and unanswered: their stations send them again", lost)
                    return
                self._queue.done(batch)
                self._committed(batch)
        except Exception as error:
            log.exception("posting has ended")
            self.error = error
        finally:
            self._forget_connection()

    def finish(self) -> None:
        """Post what waits and end; give up soon if the database does not take it."""
        self._give_up_at = time.monotonic() + _GOODBYE_S
        self._queue.close()
        self._wake.set()

    def _post(self, batch: list[Waiting]) -> bool:
        messages = [
            Message(self._shard, taken.topic, taken.body, received_us, "sl651", taken.key)
            for _, taken, received_us in batch
        ]
        pause = _FIRST_PAUSE_S
        while True:
            try:
                connection = self._connected()
                with connection.transaction():
                    post_messages(connection, messages)
            except psycopg.Error as error:
                log.warning("%d messages wait, the inbox does not take them: %s", len(self._queue), str(error).strip())
                self._forget_connection()
            else:
                return True
            if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                return False
            self._wake.wait(pause)
            if self._wake.is_set():
                time.sleep(_FIRST_PAUSE_S)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _connected(self) -> Connection:
        if self._connection is None:
            how = conninfo(self._database_url, "stations", statement_timeout_s=_STATEMENT_S)
            self._connection = psycopg.connect(how, autocommit=True)
        return self._connection

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
