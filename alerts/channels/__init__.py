"""Channels: how a delivery reaches somebody. One folder a channel; its `CHANNEL` is all that others know of it."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from alerts.channels.interface import Channel, ChannelConfig


class ChannelError(ValueError):
    """A sink names no channel we have, or its settings do not fit the channel; says which, the value and why."""


def channel_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


@cache
def channel(name: str) -> Channel[Any]:
    if name not in channel_names():
        raise ChannelError(f"channel = {name!r}: there is no such channel; there are {', '.join(channel_names())}")
    found: Channel[Any] = import_module(f"{__name__}.{name}").CHANNEL
    return found


def parse_config(name: str, config: Any) -> ChannelConfig:
    """`config` as the channel understands it. Secrets do not show in what is said about a wrong one."""
    try:
        parsed: ChannelConfig = channel(name).config.model_validate(config)
    except ValidationError as error:
        raise ChannelError(
            "\n".join(
                f"{name}: {'.'.join(str(part) for part in item['loc']) or 'config'}{_shown(item)}: {item['msg']}"
                for item in error.errors()
            )
        ) from None
    return parsed


_SECRET = {
    *("url", "urls", "secret", "token", "password", "headers", "key"),
    *("app_secret", "sm4_key", "sm4_iv", "private_key", "access_key_secret", "numbers"),
}


def _shown(item: Any) -> str:
    if item["type"] == "missing" or any(part in _SECRET for part in item["loc"]) or isinstance(item["input"], dict):
        return ""
    return f" = {item['input']!r}"
