"""What a platform's list says of a case that cannot be read: it is known by whatever of it can be."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.channels.platform.query import Query

QUERY = Query.model_validate(
    {
        "url": "http://x/",
        "parameters": {"page": "{page}"},
        "fields": {"event_id": ["id", "bizId"], "platform_no": "no", "push_id": "key", "status": "state"},
        "statuses": {"1": "accepted"},
    }
)


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ({"state": "new word", "id": "12-1", "no": 7}, {"event_id": "12-1", "platform_no": "7", "push_id": None}),
        ({"id": {"of": "12-1"}, "no": "SJ7"}, {"event_id": None, "platform_no": "SJ7", "push_id": None}),
        ({"bizId": "12-1", "key": "k" * 201}, {"event_id": "12-1", "platform_no": None, "push_id": None}),
        ({}, {"event_id": None, "platform_no": None, "push_id": None}),
    ],
)
def test_a_case_is_known_by_what_can_be_read(line: dict[str, Any], known: dict[str, str | None]) -> None:
    assert QUERY.named(line) == known
