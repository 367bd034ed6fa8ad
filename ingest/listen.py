"""Listen: `underfoot stations`, from a station's frame to its acknowledgement. `listen` is the table of contents.

One thread has the sockets, one the database. A frame is acknowledged when it is in the inbox, and not before; what it
says is decoded by the shard's holder, like any other message.
"""

from __future__ import annotations

import logging
import resource
import threading

from ingest.stations.post import Poster, Queue
from ingest.stations.sockets import Sockets
from underfoot.settings import Settings

log = logging.getLogger(__name__)

_BATCH = 1000
_WAITING_BYTES = 33_554_432


def listen(settings: Settings, stop: threading.Event) -> None:
    """Serve stations until `stop`, then end in order: what was read is posted and answered, while that is possible."""
    _allow_files(settings.stations_connections + 64)
    queue = Queue(_WAITING_BYTES)
    sockets = Sockets(settings, queue)
    poster = Poster(settings.require_database(), settings.stations_shard, queue, sockets.committed, _BATCH)
    host, port = sockets.address
    log.info("stations: listening on %s:%d for shard %s", host, port, settings.stations_shard)
    poster.start()
    try:
        while not stop.is_set() and poster.is_alive():
            sockets.turn()
        sockets.stop_reading()
        poster.finish()
        while poster.is_alive():
            sockets.turn()
        sockets.flush()
    finally:
        poster.finish()
        poster.join()
        sockets.close()
    if poster.error is not None:
        raise poster.error


def _allow_files(wanted: int) -> None:
    """A connection is an open file, and the usual limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log.warning("stations: only %d files may be open; %d are wanted for all connections", allowed, wanted)
