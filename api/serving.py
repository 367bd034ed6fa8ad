"""The HTTP server under the API: uvicorn without its own header and its access log, which shows query strings."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI


def http_server(app: FastAPI, host: str, port: int) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
            timeout_keep_alive=30,
        )
    )
