"""Courses of the stand-in platform: shipped ones, what is wrong in one's own, and that every fate comes to an end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.platform.cases import WAY, Case, CaseState
from simulators.platform.course import Course, CourseError, Fate, Fates, load_course, shipped_courses

SHARES = st.floats(0, 1)


def test_shipped_courses_are_readable_and_named_as_their_files() -> None:
    assert set(shipped_courses()) == {"none", "swift", "life", "unruly"}
    assert all(load_course(name).name == name and load_course(name).title for name in shipped_courses())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nfates: {rework: 2}", "fates.rework = 2: "),
        ("name: x\ntakes: {sleep_s: 1}", "takes.sleep_s = 1: Extra inputs"),
        ("name: x\noutages: [{after_s: 1, behaviour: {kind: refuse}}]", "needs seconds or count"),
        ("name: [", "no YAML"),
    ],
)
def test_what_is_wrong_in_a_course_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CourseError, match=r"mine\.yaml") as error:
        load_course(str(path))
    assert said in str(error.value)


def test_an_unknown_course_names_those_there_are() -> None:
    with pytest.raises(CourseError, match="unruly"):
        load_course("nonesuch")


@given(
    st.builds(
        Fates,
        verified=SHARES,
        not_real=SHARES,
        not_accepted=SHARES,
        duplicate=SHARES,
        returned=SHARES,
        suspended=SHARES,
        rework=SHARES,
    ),
    st.integers(0, 1000),
    st.integers(0, 20),
)
def test_every_fate_keeps_to_the_way_and_comes_to_an_end(fates: Fates, seed: int, clears_at: int) -> None:
    case = Case("SJ1", "1-1", 4, "井盖打开", "p")
    fate = Fate(Course(fates=fates), seed, case)
    for step in range(60):
        case.cleared = case.cleared or step == clears_at
        coming = fate.next(case)
        if coming is None:
            break
        assert coming.after_s >= 0
        assert coming.state in WAY[case.state] or coming.state is CaseState.cancelled
        case.become(coming.state, step, "平台", coming.note, coming.duplicate_of)
    assert not case.open
