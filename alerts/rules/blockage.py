"""Blockage: a pipe between water that stands high and water that runs flat, named on the drainage network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from alerts.drainage.params import BlockageParams
from alerts.rules.parts import AnyRule, CaseCode, Crew, RuleId, SeverityName


class BlockageRule(AnyRule):
    """One alarm for each pipe that is held to be blocked for `on_delay_s`, in `samples` judgements of new readings.

    While it is open, the alarms by `explains` of gauges that its pool reaches are its consequences: nobody is told of
    them but of the blockage. What `params` mean stands at alerts.drainage.params.BlockageParams."""

    kind: Literal["blockage"]
    params: BlockageParams = BlockageParams()
    severity: SeverityName
    on_delay_s: float = Field(ge=0)
    samples: int = Field(2, ge=1)
    off_delay_s: float = Field(0.0, ge=0)
    off_samples: int = Field(2, ge=1)
    explains: tuple[RuleId, ...] = ()
    case: CaseCode | None = None
    crew: Crew | None = None
    every_s: float = Field(10, ge=0, description="How often it is judged")
