"""How the stand-in can be told to misbehave while it runs: for a count, for a time, for a share of the requests."""

from __future__ import annotations

import itertools
import time
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

BehaviourKind = Literal["refuse", "error_code", "delay", "time_out", "lose_answer", "lose_event", "expire_token"]


class Behaviour(BaseModel):
    """What is to happen to the requests that it applies to. Without count and seconds it lasts until it is removed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"kind": "refuse", "status": 503, "count": 3}, {"kind": "delay", "delay_s": 2}]
        },
    )

    kind: BehaviourKind = Field(
        description="refuse: that HTTP status. error_code: HTTP 200 with that code in the body. delay: answer later."
        " time_out: never answer, record nothing. lose_answer: record, then drop the answer."
        " lose_event: answer that it was taken, and forget it. expire_token: 401 until POST /token"
    )
    target: Literal["platform", "robot", "query", "all"] = "platform"
    count: int | None = Field(None, ge=1, description="Only for so many requests")
    seconds: float | None = Field(None, gt=0, description="Only for so long")
    share: float = Field(1.0, gt=0, le=1, description="Only for this share of the requests")
    match: dict[str, str] = Field(
        default_factory=dict, description='Only where the body has these, e.g. {"alarm": "12"}'
    )
    status: int = Field(503, ge=400, le=599, description="refuse: the HTTP status")
    retry_after_s: int | None = Field(None, ge=0, description="refuse: the Retry-After header")
    code: int = Field(500, description="error_code: the code in the body (errcode for the robot)")
    message: str = "系统繁忙"
    delay_s: float = Field(1.0, ge=0, le=600, description="delay: how long. time_out, lose_answer: until it hangs up")


class Behaviours:
    """The behaviours in force, in the order in which they were told."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(f"behaviour {seed}")
        self._numbers = itertools.count(1)
        self._told: dict[int, tuple[Behaviour, float]] = {}
        self._hits: dict[int, int] = {}

    def tell(self, behaviour: Behaviour) -> int:
        number = next(self._numbers)
        self._told[number] = (behaviour, time.monotonic())
        self._hits[number] = 0
        return number

    def forget(self, kind: BehaviourKind | None = None) -> None:
        """All of them, or those of one kind."""
        for number, (behaviour, _) in list(self._told.items()):
            if kind in (None, behaviour.kind):
                del self._told[number]

    def listed(self) -> list[dict[str, Any]]:
        self._expire()
        return [
            {"behaviour": number, "hits": self._hits[number], **behaviour.model_dump(exclude_none=True)}
            for number, (behaviour, _) in self._told.items()
        ]

    def apply(self, target: str, body: dict[str, Any]) -> tuple[float, Behaviour | None]:
        """For one request: how long to wait first, and what then happens instead of an ordinary answer."""
        if not self._told:
            return 0.0, None
        self._expire()
        wait_s = 0.0
        for number, (behaviour, _) in list(self._told.items()):
            if behaviour.target not in (target, "all"):
                continue
            if any(str(body.get(name)) != value for name, value in behaviour.match.items()):
                continue
            if behaviour.share < 1 and self._random.random() >= behaviour.share:
                continue
            self._hits[number] += 1
            if behaviour.count is not None and self._hits[number] >= behaviour.count:
                del self._told[number]
            if behaviour.kind != "delay":
                return wait_s, behaviour
            wait_s += behaviour.delay_s
        return wait_s, None

    def _expire(self) -> None:
        now = time.monotonic()
        for number, (behaviour, since) in list(self._told.items()):
            if behaviour.seconds is not None and now - since >= behaviour.seconds:
                del self._told[number]
