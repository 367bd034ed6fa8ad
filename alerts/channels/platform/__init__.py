"""一网统管平台: one request a notice, as the city's configuration has it. An event there is an (alarm, episode).

HTTP 200 is not success: the code in the answer's body tells.
"""

from __future__ import annotations

from dataclasses import replace

from alerts.channels.answers import at, exchange
from alerts.channels.interface import Channel, Delivered, Delivery, Outcome
from alerts.channels.line import Line
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.request import Request, request


def send(delivery: Delivery, config: PlatformConfig, line: Line) -> Outcome:
    return judged(request(delivery, config), config, line)


def judged(made: Request, config: PlatformConfig, line: Line) -> Outcome:
    """Make the request; what its answer means to this city."""
    outcome = exchange(lambda: line.request(made.method, made.url, made.body, made.headers), config.codes())
    return _numbered(outcome, config.number_path) if isinstance(outcome, Delivered) else outcome


def _numbered(outcome: Delivered, path: str | None) -> Delivered:
    """The receipt with the number under which the platform has it, by one name for all cities."""
    number = at(outcome.receipt.get("answer"), path) if path is not None else None
    if not isinstance(number, str | int) or isinstance(number, bool):
        return outcome
    return replace(outcome, receipt={**outcome.receipt, "platform_no": str(number)})


CHANNEL = Channel("一网统管平台", PlatformConfig, send)
