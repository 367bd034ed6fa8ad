"""The stand-in 一网统管 platform as the tests' far end: started, told to misbehave, asked what came."""

from __future__ import annotations

import json

from tests.system.city import City


def add_platform_sink(city: City, name: str, url: str) -> None:
    city.do(
        "INSERT INTO sinks (name, channel, audience, config) VALUES (%s, 'platform', 'platform', %s::jsonb)",
        name,
        json.dumps({"url": url}),
    )
