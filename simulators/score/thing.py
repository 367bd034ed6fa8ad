"""A thing that happened, in seconds of the run: what the parts of truth find before what_happened numbers them."""

from __future__ import annotations

from dataclasses import dataclass

from simulators.message import Clock
from simulators.score.excursions import Excursion
from simulators.truth import HazardKind, TrueHazard


@dataclass(frozen=True, slots=True)
class Thing:
    """As TrueHazard, before it has a number and times of day."""

    kind: HazardKind
    begins_s: float
    ends_s: float | None
    peak: float | None = None
    peak_s: float | None = None
    severity: int = 0
    device_id: str = ""
    asset_code: str = ""
    node: str = ""
    pipe_id: str = ""
    gateway_id: str = ""
    watched: bool = True

    @property
    def place(self) -> str:
        return self.pipe_id or self.device_id or self.gateway_id or self.node

    def hazard(self, hazard_id: str, clock: Clock) -> TrueHazard:
        return TrueHazard(
            hazard_id=hazard_id,
            kind=self.kind,
            begins_ms=clock(self.begins_s),
            ends_ms=None if self.ends_s is None else clock(self.ends_s),
            peak=None if self.peak is None else round(self.peak, 3),
            peak_ms=None if self.peak_s is None else clock(self.peak_s),
            severity=self.severity,
            device_id=self.device_id,
            asset_code=self.asset_code,
            node=self.node,
            pipe_id=self.pipe_id,
            gateway_id=self.gateway_id,
            watched=self.watched,
        )


def thing_of(
    kind: HazardKind,
    excursion: Excursion,
    *,
    severity: int | None = None,
    device_id: str = "",
    asset_code: str = "",
    node: str = "",
    watched: bool = True,
) -> Thing:
    return Thing(
        kind,
        excursion.begins_s,
        excursion.ends_s,
        excursion.peak,
        excursion.peak_s,
        excursion.severity if severity is None else severity,
        device_id=device_id,
        asset_code=asset_code,
        node=node,
        watched=watched,
    )
