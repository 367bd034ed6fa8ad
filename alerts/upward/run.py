"""Run: the thread of `underfoot alerts` that moves the streams upward. It waits for nobody, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

import orjson
import psycopg
from psycopg.rows import dict_row

from alerts.channels import ChannelError, parse_config
from alerts.channels.line import Line
from alerts.channels.platform.city import PlatformConfig
from alerts.upward.stream import Link, Steps, next_item, send
from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK
from underfoot.reports import moment
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_IN_A_ROW = 100
"""Items of one link before another has its turn."""


class Upward:
    """All links, over one connection (autocommit)."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._line = Line(settings.delivery_timeout_s)
        self._steps = Steps()
        self._configs: dict[bytes, PlatformConfig | None] = {}

    def close(self) -> None:
        self._line.close()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if not self.round(stop):
                stop.wait(_LOOK_EVERY_S)

    def round(self, stop: threading.Event) -> bool:
        """Each link as far as it goes. Whether there may be more at once."""
        again = False
        now = moment(CLOCK.now_us())
        for link in self._links(now):
            again = self._move(link, stop) or again
        return again

    def _move(self, link: Link, stop: threading.Event) -> bool:
        for _ in range(_IN_A_ROW):
            if stop.is_set():
                return False
            now = moment(CLOCK.now_us())
            upto = self._steps.upto(self._connection, link.step_key)
            item = next_item(self._connection, link, upto, now, self._settings.api_url)
            if item is None:
                return False
            if not send(self._connection, link, item, self._line, now, self._settings.delivery_retry_base_s):
                return False
            link = Link(link.sink_key, link.name, link.config, link.min_severity, item.step_key, item.next_day)
        return True

    def _links(self, now: datetime) -> list[Link]:
        """Those that may be sent to now. One that is new begins with what happens from now on."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(statement("upward.sinks")).fetchall()
        links = []
        for row in rows:
            if row["step_key"] is None:
                begun = {"sink_key": row["sink_key"], "now": now, "today": now.astimezone(CITY_ZONE).date()}
                self._connection.execute(statement("upward.begin"), begun)
                continue
            config = self._config(row["name"], orjson.dumps(row["config"], option=orjson.OPT_SORT_KEYS))
            if config is not None and row["stopped_at"] is None and row["rests_s"] <= 0:
                named = (row["sink_key"], row["name"], config, row["min_severity"], row["step_key"], row["next_day"])
                links.append(Link(*named))
        return links

    def _config(self, name: str, given: bytes) -> PlatformConfig | None:
        if given not in self._configs:
            try:
                parsed = parse_config("platform", orjson.loads(given))
            except ChannelError as error:
                log.error("upward %s: %s", name, error)  # noqa: TRY400 (the sentence is all there is to know)
                parsed = None
            self._configs[given] = parsed if isinstance(parsed, PlatformConfig) else None
        return self._configs[given]


def run_upward(settings: Settings, stop: threading.Event) -> None:
    """Until `stop`; the database's absence is waited out, and a fault of ours begins anew."""
    while not stop.is_set():
        try:
            with connect(settings.require_database(), "upward", autocommit=True) as connection:
                upward = Upward(connection, settings)
                try:
                    upward.run(stop)
                finally:
                    upward.close()
        except psycopg.OperationalError as error:
            log.warning("upward: %s", str(error).strip())
            stop.wait(1)
        except Exception:
            log.exception("upward: begins anew; timers and deliveries go on meanwhile")
            stop.wait(5)
