"""Cursors: what was issued comes back as it was; anything else is refused, never a mistake of ours."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import issue, redeem
from api.parameters import Paged, Span
from api.problems import Problem


class Question(Paged, Span):
    family: str | None = None


ASKED = Question(family="cover")
moments = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_characters="\x00", codec="utf-8")))
def test_a_position_comes_back_as_it_was(moment: datetime, key: int, name: str) -> None:
    cursor = issue(ASKED, "things", (moment, key, name))
    assert redeem(ASKED, "things", cursor, (datetime, int, str)) == (moment, key, name)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&? ")


def test_another_page_size_goes_on_another_question_does_not() -> None:
    cursor = issue(ASKED, "things", (1,))
    assert redeem(Question(family="cover", limit=7, cursor=cursor), "things", cursor, (int,)) == (1,)
    for question, subject in [
        (Question(family="road"), "things"),
        (Question(), "things"),
        (Question.model_validate({"family": "cover", "from": "2026-07-01T00:00:00Z"}), "things"),
        (ASKED, "others"),
    ]:
        with pytest.raises(Problem, match="belongs to another query"):
            redeem(question, subject, cursor, (int,))


def _forged(*parts: object) -> str:
    fingerprint = orjson.loads(base64.urlsafe_b64decode(issue(ASKED, "things", ()) + "=="))[0]
    return base64.urlsafe_b64encode(orjson.dumps([fingerprint, *parts])).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("parts", "shape"),
    [
        (("1",), (int,)),
        ((True,), (int,)),
        ((1.5,), (int,)),
        ((None,), (int,)),
        ((1, 2), (int,)),
        ((), (int,)),
        ((1,), (str,)),
        (("a\x00b",), (str,)),
        (("yesterday",), (datetime,)),
        (("2026-07-01T00:00:00",), (datetime,)),
        ((1,), (datetime,)),
        (([],), (int,)),
    ],
)
def test_a_forged_position_is_refused(parts: tuple[object, ...], shape: tuple[type, ...]) -> None:
    with pytest.raises(Problem, match="not a cursor of this list"):
        redeem(ASKED, "things", _forged(*parts), shape)


def test_a_number_too_large_for_the_database_is_refused() -> None:
    with pytest.raises(Problem, match="not a cursor of this list"):
        redeem(ASKED, "things", _forged(2**63), (int,))


@given(st.text(max_size=60))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="not a cursor") as refused:
        redeem(ASKED, "things", text, (int,))
    assert refused.value.kind == "invalid"
