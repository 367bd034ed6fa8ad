"""What people write has other people's phone numbers in it: who needs not see names, needs not see these."""

from __future__ import annotations

from typing import Any

import pytest

from api.roles import Role
from tests.integration.api.served import Served

V1 = "/api/v1"
ROAD = 1
SAID = "住户电话13812345678，办公室0372-2345678"
SHOWN = "住户电话138****5678，办公室"


@pytest.fixture
def written(city: Served) -> Served:
    """Everywhere where people may write."""
    for path, body in (
        ("alarms/2/comment", {"text": SAID}),
        ("alarms/2/shelve", {"minutes": 5, "reason": SAID}),
        ("out-of-service", {"order": "WO-1", "asset": 1, "rules": ["cover.*"], "reason": SAID}),
        ("duty/notes", {"text": SAID}),
        (f"cases/{ROAD}/note", {"text": SAID}),
    ):
        answer = city.post(f"{V1}/{path}", body=body)
        assert answer.status_code in (200, 201), f"{path}: {answer.text}"
    return city


def test_phones_in_what_people_write_are_for_those_who_see_names(written: Served) -> None:
    for path in (
        "alarms/2",
        "alarms/shelved",
        "out-of-service",
        "duty/handover?from=2020-01-01T00:00:00Z&to=2099-01-01T00:00:00Z",
        f"cases/{ROAD}",
    ):
        assert SAID in _texts(written.ok(f"{V1}/{path}", Role.operator)), path
        texts = _texts(written.ok(f"{V1}/{path}", Role.viewer))
        assert not [text for text in texts if "13812345678" in text or "2345678" in text], path
        assert any(text.startswith(SHOWN) for text in texts), path


def _texts(answer: Any) -> list[str]:
    """Every text in it."""
    if isinstance(answer, str):
        return [answer]
    inside = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ()
    return [text for one in inside for text in _texts(one)]
