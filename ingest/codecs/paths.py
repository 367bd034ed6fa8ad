"""Where something sits in a vendor's message: `payload.serviceData.RSRP`, `points[code=tilt].value`, `$.deviceId`.

A path is a chain of names. In a list, a number is a place (`data.0`), and `[code=tilt]` the first item whose `code` is
`tilt`. `$` at its start means the message, where a path otherwise starts at one of its items; `{device}` is that part
of the topic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

_LONGEST = 200
_SEARCHED = 1000
"""So many items of a list are looked at for the one that is meant: work stays bounded, whatever comes."""


class Where(NamedTuple):
    """A step into the first item of a list whose `name` has this value."""

    name: str
    value: str


Step = str | Where
Root = Literal["item", "message", "topic"]


@dataclass(frozen=True)
class At:
    """A path. `text` is how its author wrote it, `root` what its first step is taken from."""

    text: str
    steps: tuple[Step, ...]
    root: Root = "item"

    def find(self, root: Any) -> Any:
        """What sits there; None where nothing does."""
        value = root
        for step in self.steps:
            value = _into(value, step)
            if value is None:
                return None
        return value

    def put(self, root: Any, value: Any) -> None:
        """Put `value` where something was found."""
        within = root
        for step in self.steps[:-1]:
            within = _into(within, step)
        last = self.steps[-1]
        if isinstance(within, dict) and isinstance(last, str):
            within[last] = value
        elif isinstance(within, list) and (place := _place(within, last)) is not None:
            within[place] = value

    def __str__(self) -> str:
        return self.text


def parse_path(text: Any) -> At:
    if isinstance(text, At):
        return text
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if isinstance(text, dict) and len(text) == 1 and set(text.values()) == {None}:
        raise ValueError(f"a part of the topic goes into quotation marks: '{{{next(iter(text))}}}'")
    if not isinstance(text, str) or not text or len(text) > _LONGEST:
        raise ValueError(f"{text!r}: a path like payload.serviceData.RSRP")
    if text[0] == "{" and text[-1] == "}":
        return At(text, (text[1:-1],), "topic")
    of_message = text.startswith(("$.", "$["))
    steps: list[Step] = []
    rest = text[1:].removeprefix(".") if of_message else text
    while rest:
        if rest.startswith("["):
            inner, closed, rest = rest[1:].partition("]")
            name, equals, value = inner.partition("=")
            if not closed or not equals or not name:
                raise ValueError(f"{text!r}: [name=value] is needed")
            steps.append(Where(name, value))
        else:
            name, rest = _name(rest)
            if not name:
                raise ValueError(f"{text!r}: an empty name")
            steps.append(name)
        if rest.startswith("."):
            rest = rest[1:]
            if not rest:
                raise ValueError(f"{text!r}: nothing behind the last dot")
        elif rest and not rest.startswith("["):
            raise ValueError(f"{text!r}: a dot is needed before {rest!r}")
    return At(text, tuple(steps), "message" if of_message else "item")


def _name(text: str) -> tuple[str, str]:
    r"""The first name and what follows it; `\.` is a dot of the name's own."""
    name = ""
    at = 0
    while at < len(text) and text[at] not in ".[":
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        name += text[at]
        at += 1
    return name, text[at:]


Path = Annotated[At, BeforeValidator(parse_path), PlainSerializer(str, return_type=str)]


def as_key(value: Any) -> str:
    """A value as it is compared: `1`, `1.0`, `"1"` and `"01"` are the same, as are `true` and `"True"`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = value.strip().casefold()
        if len(text) > 40 or not text[:1].isascii() or not text.lstrip("+-.")[:1].isdigit() or "_" in text:
            return text
        try:
            value = float(text)
        except ValueError:
            return text
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def _into(value: Any, step: Step) -> Any:
    if isinstance(value, dict):
        return value.get(step) if isinstance(step, str) else None
    if isinstance(value, list):
        place = _place(value, step)
        return None if place is None else value[place]
    return None


def _place(items: list[Any], step: Step) -> int | None:
    if isinstance(step, Where):
        wanted = as_key(step.value)
        for place, item in enumerate(items[:_SEARCHED]):
            if isinstance(item, dict) and step.name in item and as_key(item[step.name]) == wanted:
                return place
        return None
    return int(step) if step.isascii() and step.isdigit() and len(step) < 6 and int(step) < len(items) else None


def without(value: Any, paths: Iterable[tuple[Step, ...]]) -> Any:
    """The value without what sits at these paths; None where nothing is left. The value itself stays as it is."""
    inner: dict[Step, list[tuple[Step, ...]]] = {}
    for first, *rest in paths:
        inner.setdefault(first, []).append(tuple(rest))
    return _without(value, inner)


def _without(value: Any, inner: dict[Step, list[tuple[Step, ...]]]) -> Any:
    if isinstance(value, dict):
        kept = {name: _left(part, inner.get(name)) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part is not None} or None
    if isinstance(value, list):
        taken: dict[int, list[tuple[Step, ...]]] = {}
        for step, below in inner.items():
            place = _place(value, step)
            if place is not None:
                taken.setdefault(place, []).extend(below)
                if isinstance(step, Where):
                    taken[place].append((step.name,))
        left = [_left(part, taken.get(place)) for place, part in enumerate(value)]
        return [part for part in left if part is not None] or None
    return value


def _left(part: Any, below: list[tuple[Step, ...]] | None) -> Any:
    if below is None:
        return part
    return None if () in below else without(part, below)
