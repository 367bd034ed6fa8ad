"""What a channel is: it sends one delivery and says in four words what became of it.

A channel judges the status *and* the body of the answer. What follows from the word (retry, breaker, dead letter) is
the dispatcher's business, the same for every channel.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from alerts.channels.line import Line
from alerts.record.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Mention:
    """Somebody on duty who is to be @-ed. `phone` is personal information: it shows in no log."""

    name: str
    phone: SecretStr | None = None
    feishu: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message owed to one sink. The same `idempotency_key` is sent at every attempt. `beside`: what else it tells,
    where it is about several alarms. `mentions`: who is on duty as it is sent."""

    idempotency_key: str
    snapshot: Snapshot
    link: str
    beside: tuple[Snapshot, ...] = ()
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it, and said so. `receipt` is what it answered."""

    receipt: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Retry:
    """Not this time. `after_s`: the sink asked not to be sent anything for so long."""

    error: str
    after_s: float | None = None
    against_sink: bool = True
    """Whether it counts as a failure of the sink; a sink that is only busy, or refuses this one message, works."""
    maybe_received: bool = False
    """No answer came, or none that tells: the receiver may have taken it."""


@dataclass(frozen=True, slots=True)
class SinkFailure:
    """The sink's own failure (address, key, token): nothing gets through until somebody mends it."""

    error: str


@dataclass(frozen=True, slots=True)
class BadMessage:
    """The receiver understood and will never take this message."""

    error: str


Outcome = Delivered | Retry | SinkFailure | BadMessage


class ChannelConfig(BaseModel):
    """What a sink's `config` may hold, whatever its channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alternate: str | None = Field(
        None, description="Sink that is told red alarms too when this one has not taken them in 60 s"
    )
    per_minute: int | None = Field(None, ge=1, description="Messages a minute that the receiver takes")
    per_second: int | None = Field(None, ge=1, description="… and messages a second")

    def robot(self) -> str | None:
        """What one receiver is whose budget several sinks share; secret. None: this sink's alone."""
        return None

    @abstractmethod
    def place(self) -> str:
        """Where it goes, for people, without anything secret."""


ConfigT = TypeVar("ConfigT", bound=ChannelConfig)


@dataclass(frozen=True)
class Channel(Generic[ConfigT]):
    """`label` is what people call it (Chinese). `gathers`: people read it, so one message may tell of several alarms.
    `mentions`: who is on duty can be @-ed, or is who is written to."""

    label: str
    config: type[ConfigT]
    send: Callable[[Delivery, ConfigT, Line], Outcome]
    gathers: bool = False
    mentions: bool = False
