"""The HTTP server under the API: uvicorn without its own header and its access log, which shows query strings."""

from __future__ import annotations

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
