"""The API as an ASGI application: one pool, one door, one router a noun."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from alerts.duty.files import AT_MOST as ROSTER_AT_MOST
from api import document, problems
from api.callers import Ring
from api.envelope import Envelope
from api.exposition import Exposition
from api.limits import Buckets
from api.page import admission, answers
from api.page.admission import Admission
from api.people.oidc import Client
from api.readiness import Readiness
from api.roles import V1
from api.routers import (
    actions,
    alarm_health,
    alarms,
    areas,
    assets,
    audit,
    backtests,
    books,
    broker,
    bulk,
    callbacks,
    cases,
    credentials,
    devices,
    duty,
    health,
    incidents,
    indicators,
    keys,
    login,
    me,
    newcomers,
    out_of_service,
    page,
    people,
    pipes,
    push,
    quarantine,
    reports,
    rules,
    session,
    waiting,
)
from underfoot import __version__
from underfoot.settings import Settings
from underfoot.storage.connect import open_pool

MAX_BODY_BYTES = 64 * 1024
MAX_CONNECTIONS = 16
STATEMENT_TIMEOUT_S = 30


def create_app(settings: Settings) -> FastAPI:
    """The API on the database and the broker of `settings`. It starts without either: /readyz says what is missing."""
    database_url, mqtt_url = settings.require_database(), settings.require_mqtt()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pool = open_pool(database_url, "api", max_size=MAX_CONNECTIONS, statement_timeout_s=STATEMENT_TIMEOUT_S)
        app.state.pool = pool
        app.state.settings = settings
        app.state.ring = Ring(pool)
        app.state.paces = Buckets(settings.api_rate_per_s, settings.api_burst)
        app.state.unknown_paces = Buckets(settings.api_unknown_rate_per_s, settings.api_unknown_burst)
        answers.prepare()
        app.state.admission = Admission(pool)
        app.state.link_paces = Buckets(admission.RATE_PER_S, admission.BURST)
        app.state.readiness = Readiness(pool, mqtt_url, settings.receipt_after_s, settings.mqtt_ca)
        app.state.exposition = Exposition(pool)
        app.state.oidc = Client.from_settings(settings)
        yield
        if app.state.oidc is not None:
            app.state.oidc.close()
        pool.close()

    # The document is a route of its own, which needs a key; FastAPI's pages would load scripts from elsewhere.
    app = FastAPI(
        title="Underfoot",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # A redirect to where a slash more or less leads would be an answer that no key was asked for.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(app)
    longer = {
        f"{V1}/push/": settings.push_max_bytes,
        f"{V1}/alarms/bulk": MAX_BODY_BYTES + 20 * settings.bulk_most,
        f"{V1}/duty/": ROSTER_AT_MOST,
        f"{V1}/platforms/": callbacks.AT_MOST,
    }
    tls = (settings.public_url or "").startswith("https://")
    app.add_middleware(Envelope, max_body_bytes=MAX_BODY_BYTES, longer=longer, tls=tls)
    for noun in (
        health,
        areas,
        assets,
        pipes,
        devices,
        reports,
        alarms,
        incidents,
        duty,
        alarm_health,
        indicators,
        waiting,
        actions,
        bulk,
        out_of_service,
        rules,
        backtests,
        quarantine,
        newcomers,
        push,
        callbacks,
        cases,
        credentials,
        broker,
        books,
        audit,
        keys,
        session,
        login,
        me,
        people,
        page,
    ):
        app.include_router(noun.router)
    app.openapi = lambda: document.describe(app)  # type: ignore[method-assign]
    return app
