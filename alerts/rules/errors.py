"""What is wrong with a rule: which field, its value and why, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError


class FieldError(ValueError):
    """Raised by a validator of a whole rule: which field it is about."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


_SHOWN = 80
"""Of a value, a problem shows no more characters: a whole rule says nothing."""


class RuleProblem(NamedTuple):
    """One thing that is wrong with a rule. `path` leads to the field within the rule's body."""

    path: tuple[str | int, ...]
    value: Any
    why: str

    @property
    def field(self) -> str:
        return ".".join(str(part) for part in self.path) or "rule"

    def __str__(self) -> str:
        given = repr(self.value)
        return f"{self.field}: {self.why}" if len(given) > _SHOWN else f"{self.field} = {given}: {self.why}"


class RuleError(ValueError):
    """A rule is not usable; says which, which field, its value and why: a line for each of `problems`."""

    def __init__(self, rule: str, *problems: RuleProblem) -> None:
        super().__init__("\n".join(f"{rule}: {problem}" for problem in problems) if problems else rule)
        self.rule = rule
        self.problems = problems


def problems_of(error: ValidationError, body: Any, *, below: int = 0) -> Iterator[RuleProblem]:
    """What pydantic found, as problems. `below`: how many parts of its locations are not the body's own."""
    found = error.errors()
    for item in found:
        if item["type"] == "too_short" and any(
            other["loc"][: len(item["loc"])] == item["loc"] != other["loc"] for other in found
        ):
            continue  # only since an item of it is wrong, which is told already
        path, value = item["loc"][below:], item["input"]
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, FieldError):
            path = (cause.field,)
            value = body.get(cause.field) if isinstance(body, dict) else value
        yield RuleProblem(path, value, item["msg"].removeprefix("Value error, "))
