"""The human and the suppression region: pure functions, held against a slow and obvious reference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alerts.regions import human
from alerts.regions.human import UNSEEN, Seen
from alerts.regions.suppression import (
    BEGUN,
    NONE,
    InForce,
    Region,
    begun,
    expired,
    found,
    kinds,
    of_kind,
    outgrown,
    state,
    without,
)
from tests.unit.reference_regions import Reference
from underfoot.alarms import REASON_LABELS, SUPPRESSION_LABELS, Human, Reason, Severity, Suppression

T0 = datetime(2026, 7, 1, 13, tzinfo=UTC)
seens = st.one_of(
    st.just(UNSEEN),
    st.builds(Seen, st.just(Human.acknowledged), st.sampled_from(["wang", "li"]), st.just(T0)),
)
suppressions = st.builds(
    InForce,
    st.sampled_from(Suppression),
    st.sampled_from(["", "incident:1", "order:7"]),
    st.one_of(st.none(), st.integers(1, 4)),
    st.one_of(st.none(), st.integers(-90, 90).map(lambda m: T0 + timedelta(minutes=m))),
)


def region_of(listed: list[InForce]) -> Region:
    region: Region = ()
    for one in listed:
        region = begun(region, one)
    return region


regions = st.lists(suppressions, max_size=6).map(region_of)


# human --------------------------------------------------------------------------------------------------------------


def test_who_was_first_stays_on_record() -> None:
    change = human.acknowledge(UNSEEN, "wang", T0)
    assert change is not None
    assert change.after == Seen(Human.acknowledged, "wang", T0)
    assert human.acknowledge(change.after, "li", T0 + timedelta(minutes=1)) is None


def test_a_person_takes_the_platforms_place_and_the_platform_nobodys() -> None:
    filed = Seen(Human.acknowledged, "platform:city", T0)
    change = human.acknowledge(filed, "link:crew", T0 + timedelta(minutes=5))
    assert change is not None
    assert change.reason is Reason.acknowledged
    assert change.after == Seen(Human.acknowledged, "link:crew", T0 + timedelta(minutes=5))
    assert human.acknowledge(change.after, "platform:city", T0 + timedelta(minutes=6)) is None
    assert human.acknowledge(filed, "platform:other", T0 + timedelta(minutes=6)) is None


@given(seens)
def test_what_takes_an_acknowledgement_back_leaves_nothing_of_it(seen: Seen) -> None:
    for change, reason in (
        (human.unacknowledge(seen), Reason.unacknowledged),
        (human.severity_rose(seen), Reason.severity_rose),
        (human.realarm(seen, is_open=True, after=timedelta(0), now=T0), Reason.realarm),
    ):
        assert (change is None) == (seen.human is Human.unacknowledged)
        if change is not None:
            assert (change.after, change.reason) == (UNSEEN, reason)


@given(seens, st.booleans(), st.one_of(st.none(), st.integers(0, 120)), st.integers(0, 120))
def test_reminded_of_is_only_what_is_open_and_old_enough(
    seen: Seen, is_open: bool, after: int | None, waited: int
) -> None:
    change = human.realarm(
        seen,
        is_open=is_open,
        after=None if after is None else timedelta(minutes=after),
        now=T0 + timedelta(minutes=waited),
    )
    due = seen.human is Human.acknowledged and is_open and after is not None and waited >= after
    assert (change is not None) == due


# suppression --------------------------------------------------------------------------------------------------------


def test_every_kind_has_its_reason_and_its_label() -> None:
    assert set(BEGUN) == set(SUPPRESSION_LABELS) == set(Suppression)
    assert all(REASON_LABELS[reason] for reason in BEGUN.values())


@given(regions)
def test_a_region_is_named_by_its_kinds_in_order(region: Region) -> None:
    assert list(kinds(region)) == sorted({one.kind.value for one in region})
    assert state(region) == ("+".join(kinds(region)) if region else NONE)


@given(regions, suppressions)
def test_one_of_a_kind_and_cause_is_in_force_at_most(region: Region, new: InForce) -> None:
    after = begun(region, new)
    assert found(after, new.kind, new.cause) == new
    pairs = [(one.kind, one.cause) for one in after]
    assert len(pairs) == len(set(pairs))
    assert set(after) >= {one for one in region if (one.kind, one.cause) != (new.kind, new.cause)}


@given(regions, st.sampled_from(Suppression), st.sampled_from(["", "incident:1", None]))
def test_what_ends_is_gone_and_the_rest_stays(region: Region, kind: Suppression, cause: str | None) -> None:
    ended = of_kind(region, kind, cause)
    assert {one.kind for one in ended} <= {kind}
    assert set(without(region, ended)) | set(ended) == set(region)
    assert not of_kind(without(region, ended), kind, cause)


@given(regions, st.integers(1, 4))
def test_only_shelves_and_explanations_are_outgrown(region: Region, severity: int) -> None:
    over = outgrown(region, severity)
    assert {one.kind for one in over} <= {Suppression.shelved, Suppression.by_design}
    for one in over:
        assert severity > (one.severity if one.severity is not None else Severity.orange)
    assert outgrown(region, 1) == ()


def test_red_is_never_explained_before_it_was_seen() -> None:
    explained = (InForce(Suppression.by_design, "alarm:3"),)
    assert outgrown(explained, Severity.orange) == ()
    assert outgrown(explained, Severity.red) == explained
    assert outgrown((InForce(Suppression.by_design, "incident:1", Severity.red),), Severity.red) == ()


@given(regions)
def test_what_is_over_by_time(region: Region) -> None:
    assert expired(region, T0) == tuple(one for one in region if one.until is not None and one.until <= T0)


# both, against the reference ----------------------------------------------------------------------------------------


class Regions(RuleBasedStateMachine):
    """An alarm whose regions are kept by the pure functions, step by step."""

    @initialize()
    def begins(self) -> None:
        self.reference = Reference()
        self.now = T0
        self.severity = 0
        self.last_severity: int | None = None
        self.seen = UNSEEN
        self.region: Region = ()

    def _judged(self, severity: int) -> None:
        """As the Recorder does."""
        rose, is_new = severity > self.severity, not self.severity
        if is_new:
            self.seen = UNSEEN
        elif rose and (change := human.severity_rose(self.seen)) is not None:
            self.seen = change.after
        if rose:
            self.region = without(self.region, outgrown(self.region, severity))
        self.severity = self.last_severity = severity

    @rule(severity=st.integers(1, 4))
    def is_judged(self, severity: int) -> None:
        self.reference.happens("severity" if self.severity else "raise", severity=severity)
        self._judged(severity)

    @precondition(lambda self: self.severity)
    @rule()
    def clears(self) -> None:
        self.reference.happens("clear")
        self.severity = 0

    @precondition(lambda self: self.last_severity)
    @rule(by=st.sampled_from(["wang", "li", "platform:city"]))
    def is_acknowledged(self, by: str) -> None:
        self.reference.happens("acknowledge", by=by)
        change = human.acknowledge(self.seen, by, self.now)
        self.seen = change.after if change is not None else self.seen

    @rule()
    def is_unacknowledged(self) -> None:
        self.reference.happens("unacknowledge")
        change = human.unacknowledge(self.seen)
        self.seen = change.after if change is not None else self.seen

    @rule(after=st.integers(0, 60))
    def is_reminded_of(self, after: int) -> None:
        is_open = bool(self.severity)
        change = human.realarm(self.seen, is_open=is_open, after=timedelta(minutes=after), now=self.now)
        if change is not None:
            self.reference.happens("realarm")
            self.seen = change.after

    @rule(
        kind=st.sampled_from(Suppression),
        cause=st.sampled_from(["", "incident:1", "order:7"]),
        minutes=st.one_of(st.none(), st.integers(1, 60)),
    )
    def is_suppressed(self, kind: Suppression, cause: str, minutes: int | None) -> None:
        until = None if minutes is None else self.now + timedelta(minutes=minutes)
        self.reference.happens("begin", kind=kind.value, cause=cause, until=until)
        known = found(self.region, kind, cause)
        kept = known.severity if known is not None and kind is not Suppression.shelved else self.last_severity
        self.region = begun(self.region, InForce(kind, cause, kept, until))

    @rule(kind=st.sampled_from(Suppression), cause=st.sampled_from(["", "incident:1", "order:7"]))
    def is_suppressed_no_more(self, kind: Suppression, cause: str) -> None:
        self.reference.happens("end", kind=kind.value, cause=cause)
        self.region = without(self.region, of_kind(self.region, kind, cause))

    @rule(minutes=st.integers(1, 45))
    def time_goes_on(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.reference.happens("now", at=self.now)
        self.region = without(self.region, expired(self.region, self.now))

    @invariant()
    def is_what_the_reference_says(self) -> None:
        assert self.seen.by == self.reference.acknowledged_by
        assert (self.seen.human is Human.acknowledged) == (self.seen.by is not None)
        assert {(one.kind.value, one.cause) for one in self.region} == self.reference.in_force()


TestRegions = Regions.TestCase
