"""The HTTP server under the API: uvicorn without its own header and its access log, which shows query strings."""

from __future__ import annotations

import gc
import logging

import uvicorn
from fastapi import FastAPI


def http_server(app: FastAPI, host: str, port: int, proxies: str = "127.0.0.1") -> uvicorn.Server:
    # Whatever handlers somebody gives it: a query string may hold a provider's code.
    logging.getLogger("uvicorn.access").disabled = True
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=proxies,
            timeout_graceful_shutdown=10,
            timeout_keep_alive=30,
        )
    )


def spare_the_collector() -> None:
    """What is loaded by now stays, and what an answer takes dies by reference counting: looking for cycles in it all
    took a sixth of the time (measured), so it is set apart and the collector comes less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
