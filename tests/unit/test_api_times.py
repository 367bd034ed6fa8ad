"""Times in and out are RFC 3339 with a zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.parameters import Instant, Span, rfc3339

instant = TypeAdapter(Instant)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-07-01T21:38:00+08:00", datetime(2026, 7, 1, 13, 38, tzinfo=UTC)),
        ("2026-07-01T13:38:00Z", datetime(2026, 7, 1, 13, 38, tzinfo=UTC)),
        ("2026-07-01t13:38:00z", datetime(2026, 7, 1, 13, 38, tzinfo=UTC)),
        ("2026-07-01 21:38:00+08:00", datetime(2026, 7, 1, 13, 38, tzinfo=UTC)),
        ("2026-07-01T21:38:00 08:00", datetime(2026, 7, 1, 13, 38, tzinfo=UTC)),
        ("2026-07-01T08:08:00-05:30", datetime(2026, 7, 1, 13, 38, tzinfo=UTC)),
        ("2026-07-01T13:38:00.25Z", datetime(2026, 7, 1, 13, 38, 0, 250_000, tzinfo=UTC)),
        ("2026-07-01T13:38:00.123456789Z", datetime(2026, 7, 1, 13, 38, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_what_is_read(text: str, moment: datetime) -> None:
    assert instant.validate_python(text) == moment


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-07-01T21:38:00", "no zone"),
        ("2026-07-01", "RFC 3339"),
        ("2026-07-01T21:38Z", "RFC 3339"),
        ("now", "RFC 3339"),
        ("", "RFC 3339"),
        ("２０２６-07-01T13:38:00Z", "RFC 3339"),
        ("2026-13-01T00:00:00Z", "no such time"),
        ("2026-02-29T00:00:00Z", "no such time"),
        ("2026-07-01T24:30:00Z", "no such time"),
        ("2026-07-01T00:00:00+99:00", "no such time"),
        ("0001-01-01T00:00:00+14:00", "1970 to 2199"),
        ("9999-12-31T23:59:59-14:00", "1970 to 2199"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        instant.validate_python(text)


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2199, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_what_is_written_is_read_again(moment: datetime) -> None:
    written = rfc3339(moment)
    assert written.endswith("Z")
    assert instant.validate_python(written) == moment.astimezone(UTC)


LIKE_A_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d.*", re.ASCII)


@given(st.text(max_size=40).filter(lambda text: LIKE_A_TIME.fullmatch(text) is None))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="RFC 3339"):
        instant.validate_python(text)


def test_a_range_runs_forward() -> None:
    Span.model_validate({"from": "2026-07-01T00:00:00Z", "to": "2026-07-01T08:00:01+08:00"})
    with pytest.raises(ValidationError, match="must be after `from`, which is 2026-07-01T00:00:00Z"):
        Span.model_validate({"from": "2026-07-01T00:00:00Z", "to": "2026-07-01T08:00:00+08:00"})
