"""An alarm by the words of its rules: slow and obvious. All that has come is kept, and each question is answered by
looking back over it. What the engine keeps instead is held against this.

Condition: samples and silences. Flapping: which of the last twenty reports a beginning or an end belongs to. Human and
suppression: what people and the engine have done since the episode began.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alerts.judge.transition import Limits, Sample
from underfoot.alarms import Condition, Human, Suppression


@dataclass
class ReferenceCondition:
    """The condition region and flapping of one rule on one device."""

    limits: Limits
    samples: list[Sample] = field(default_factory=list)
    level: int = 0
    changes: list[tuple[int, int]] = field(default_factory=list)
    """When the episode began or ended: by the device's clock, and by ours."""
    changed_with: list[bool] = field(default_factory=list)
    """Of each sample since the last calm, whether something began or ended with it, or in the silence before it."""
    in_silence: bool = False
    flapping: bool = False

    # looking back ---------------------------------------------------------------------------------------------------

    def _levels(self) -> range:
        return range(1, len(self.limits.reach) + 1)

    def _since(self, holds: list[bool]) -> Sample | None:
        """The first of the newest samples for which it has held without interruption."""
        first = None
        for one, held in zip(reversed(self.samples), reversed(holds), strict=True):
            if not held:
                break
            first = one
        return first

    def _run(self, holds: list[bool]) -> int:
        return next((n for n, held in enumerate(reversed(holds)) if not held), len(holds))

    def _over(self, level: int) -> list[bool]:
        return [one.value >= self.limits.reach[level - 1] for one in self.samples]

    def _under(self, level: int) -> list[bool]:
        return [one.value < self.limits.leave[level - 1] for one in self.samples]

    @property
    def condition(self) -> Condition:
        if self.level == 0:
            return Condition.pending if any(self._since(self._over(n)) for n in self._levels()) else Condition.normal
        left_all = all(self._since(self._under(level)) for level in range(1, self.level + 1))
        return Condition.clearing if left_all else Condition.active

    # what comes -----------------------------------------------------------------------------------------------------

    def report(self, one: Sample) -> None:
        self._silence_until(one.at_us, by_receipt=False)
        self.samples.append(one)
        self._judge(one)
        self.changed_with.append(self.in_silence)
        self.in_silence = False
        share = self._share()
        self.flapping = share >= 0.25 if self.flapping else share >= 0.30
        if share == 0:
            self.changed_with, self.changes = [], []

    def silence(self, until_us: int) -> None:
        """Nothing came until then, though everything that was sent has come."""
        self._silence_until(until_us, by_receipt=True)

    def _judge(self, one: Sample) -> None:
        raised = [
            level
            for level in self._levels()
            if level > self.level
            and self._run(self._over(level)) >= self.limits.samples[level - 1]
            and (first := self._since(self._over(level))) is not None
            and one.at_us - first.at_us >= self.limits.on_delay_us[level - 1]
        ]
        if raised:
            self._set(max(raised), one)
            return
        left = self.level
        while left:
            first = self._since(self._under(left))
            if first is None or self._run(self._under(left)) < self.limits.off_samples:
                break
            if one.at_us - first.at_us < self.limits.off_delay_us:
                break
            left -= 1
        self._set(left, one)

    def _set(self, level: int, proof: Sample) -> None:
        if bool(level) != bool(self.level):
            self.changes.append((proof.at_us, proof.received_us))
            self.in_silence = True
        self.level = level

    # silence --------------------------------------------------------------------------------------------------------

    def _silence_until(self, until_us: int, *, by_receipt: bool) -> None:
        """Moment by moment: the earliest thing that is proven, then the next."""
        while True:
            proven = self._first_proven(by_receipt=by_receipt)
            calm = self._calm_at(by_receipt=by_receipt)
            if calm is not None and calm <= until_us and (proven is None or calm <= proven):
                self.changed_with, self.changes, self.in_silence, self.flapping = [], [], False, False
            elif proven is not None and proven <= until_us:
                self._believe(proven, by_receipt=by_receipt)
            else:
                return

    def _proven_at(self, level: int, *, by_receipt: bool) -> int | None:
        """When this level will be raised, if it is above the episode's, or left, if it is not."""
        rises = level > self.level
        first = self._since(self._over(level) if rises else self._under(level))
        if first is None:
            return None
        delay = self.limits.on_delay_us[level - 1] if rises else self.limits.off_delay_us
        return (first.received_us if by_receipt else first.at_us) + delay

    def _first_proven(self, *, by_receipt: bool) -> int | None:
        if not self.limits.by_silence:
            return None
        times = [self._proven_at(level, by_receipt=by_receipt) for level in self._levels()]
        return min((time for time in times if time is not None), default=None)

    def _believe(self, moment: int, *, by_receipt: bool) -> None:
        due = {
            level: at <= moment
            for level in self._levels()
            if (at := self._proven_at(level, by_receipt=by_receipt)) is not None
        }
        raised = max((level for level, is_due in due.items() if is_due and level > self.level), default=0)
        if raised:
            first = self._since(self._over(raised))
            assert first is not None
            self._set(raised, first)
            return
        kept = max((level for level in range(1, self.level + 1) if not due.get(level, False)), default=0)
        first = self._since(self._under(kept + 1))
        assert first is not None
        self._set(kept, first)

    # flapping -------------------------------------------------------------------------------------------------------

    def _share(self) -> float:
        last = self.changed_with[-20:]
        weights = [0.8 + 0.4 * place / 19 for place in range(20)][20 - len(last) :]
        return sum(weight for weight, changed in zip(weights, last, strict=True) if changed) / 20

    def _calm_at(self, *, by_receipt: bool) -> int | None:
        """A timer is kept only for what flaps; a report tells of any calm before it."""
        if not self.changes or (by_receipt and not self.flapping):
            return None
        at_us, received_us = self.changes[-1]
        return (received_us if by_receipt else at_us) + self.limits.calm_us


@dataclass
class People:
    """The human region of an episode: what was done, in order, and what that comes to."""

    done: list[str] = field(default_factory=list)

    def begins(self) -> None:
        self.done = []

    def acknowledge(self) -> None:
        self.done.append("acknowledged")

    def unacknowledge(self) -> None:
        self.done.append("unacknowledged")

    def severity_rises(self) -> None:
        self.done.append("unacknowledged")

    def realarms(self) -> None:
        self.done.append("unacknowledged")

    @property
    def human(self) -> Human:
        return Human(self.done[-1]) if self.done else Human.unacknowledged


@dataclass
class Suppressed:
    """The suppression region: every beginning and end that there was. In force is what has begun and not ended."""

    log: list[tuple[bool, Suppression, str, int]] = field(default_factory=list)
    """Whether it began, what, for which cause, and up to which severity it bears."""

    def begins(self, kind: Suppression, cause: str = "", *, bears: int = 4) -> None:
        self.log.append((True, kind, cause, bears))

    def ends(self, kind: Suppression, cause: str | None = None) -> None:
        for one_kind, one_cause in sorted(self.in_force()):
            if one_kind is kind and cause in (None, one_cause):
                self.log.append((False, one_kind, one_cause, 0))

    def severity_is(self, severity: int) -> None:
        """What was shelved or explained was something less."""
        for (kind, cause), bears in sorted(self.in_force().items()):
            if kind in (Suppression.shelved, Suppression.by_design) and severity > bears:
                self.log.append((False, kind, cause, 0))

    def in_force(self) -> dict[tuple[Suppression, str], int]:
        holding: dict[tuple[Suppression, str], int] = {}
        for began, kind, cause, bears in self.log:
            if began:
                holding[kind, cause] = bears
            else:
                holding.pop((kind, cause), None)
        return holding

    @property
    def kinds(self) -> list[str]:
        """`alarms.suppressed`."""
        return sorted({kind.value for kind, _ in self.in_force()})
