"""How a vendor's messages are read: a declaration in YAML, never code. docs/codecs.md shows how to write one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationError, model_validator

from ingest.codecs.conversions import AnyValue, Conditions, Paths, Strict, Time, several
from ingest.codecs.formats import Cbor, Format, Json
from ingest.codecs.paths import At, Path, Root
from ingest.codecs.patterns import Pattern, names_in, overlapping, topic_filter
from underfoot.families import FAMILIES

BUILT_IN = ("json", "cbor", "gateway", "sl651")
"""Codecs that are code; a mapping has another name."""


class MappingError(ValueError):
    """A mapping is not usable: says which field of it, its value and why."""


def _family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"{name!r} is no family; there are {', '.join(FAMILIES)}")
    return name


FamilyName = Annotated[str, BeforeValidator(lambda name: _family(str(name)))]


class FamilyByValue(Strict):
    """The family, told by a value of the message."""

    path: Paths
    families: dict[str, FamilyName] = Field(min_length=1)


class Identity(Strict):
    """Where the device_id sits, and what makes the ledger's id of it."""

    path: Paths
    agrees: Path | None = Field(None, description="Says the same; where it does not, the report is nobody's")
    remove: str = Field("", max_length=16, description="Characters to leave out, e.g. ':' of a MAC address")
    prefix: str = Field("", max_length=32, pattern=r"^[A-Za-z0-9_-]*$")


AnyFamily = Annotated[
    Annotated[FamilyName, Tag("=name")] | Annotated[FamilyByValue, Tag("=by_value")],
    Discriminator(lambda given: "=by_value" if isinstance(given, dict | FamilyByValue) else "=name"),
]


def _identity(given: Any) -> Any:
    return given if isinstance(given, dict) and "path" in given else {"path": given}


class Form(Strict):
    """One kind of report in a vendor's messages. A message is read by the first form that fits it."""

    when: Conditions = Field({}, description="Fits only where these paths have one of these values")
    items: Path | None = Field(None, description="A list in the message: each item is a report")
    unpack: dict[Path, Format] = Field(
        {}, description="Texts inside the message that are messages of a format themselves"
    )
    id: Annotated[Identity, BeforeValidator(_identity)]
    family: AnyFamily | None = Field(None, description="Absent: the ledger's")
    time: Annotated[tuple[Time, ...], BeforeValidator(several)] = Field((), description="Absent: the time of receipt")
    seq: Paths | None = None
    values: dict[str, AnyValue] = Field(description="The family's fields; empty for a heartbeat")
    ignored: tuple[Path, ...] = Field(
        (), description="What is not kept; all else that is not read is, beside the report"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        families = [self.family] if isinstance(self.family, str) else FAMILIES
        if isinstance(self.family, FamilyByValue):
            families = sorted(set(self.family.families.values()))
        for name in self.values:
            if not any(name in FAMILIES[family].column for family in families):
                known = sorted({field for family in families for field in FAMILIES[family].fields})
                raise ValueError(f"values.{name}: no field of {' or '.join(families)}; there are {', '.join(known)}")
        if self.items is not None and self.items.root == "topic":
            raise ValueError(f"items {self.items}: a list of the message is needed")
        for path in self.unpack:
            if path.root == "topic":
                raise ValueError(f"unpack.{path}: a text of the message is needed")
        return self

    def paths(self, root: Root) -> Iterator[At]:
        """Every path of this root that the form reads or ignores."""
        read: list[At] = [*self.id.path, *self.ignored, *self.when]
        read += [self.id.agrees] if self.id.agrees is not None else []
        read += self.family.path if isinstance(self.family, FamilyByValue) else ()
        read += self.seq or ()
        for time in self.time:
            read += time.path
        for value in self.values.values():
            read += [*value.path, *value.valid_if]
        return (path for path in read if path.root == root)

    def parts(self) -> set[str]:
        """The parts of the topic that it reads."""
        return {str(path.steps[0]) for path in self.paths("topic")}


class Mapping(Strict):
    """A vendor's messages: by which way they come, what they are written in, and where everything sits."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    title: str = Field(min_length=1, max_length=100, description="Whose devices, in the operators' language")
    source: str = Field(min_length=1, description="Where it is written that they send this")
    shard: str = Field("main", description="The shard whose session takes these messages in")
    topics: tuple[Pattern, ...] = Field((), max_length=20, description="On which MQTT topics they come")
    http: bool = Field(False, description="Whether a vendor account may push them over HTTP")
    format: Format
    reports: Annotated[tuple[Form, ...], BeforeValidator(several)] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name in BUILT_IN:
            raise ValueError(f"name {self.name!r}: a codec of Underfoot has it; there are {', '.join(BUILT_IN)}")
        for place, pattern in enumerate(self.topics):
            if found := overlapping([pattern], self.topics[:place]):
                raise ValueError(f"topics: {found[0]} and {found[1]} overlap")
        for place, form in enumerate(self.reports):
            where = f"reports.{place}"
            if form.items is not None and not isinstance(self.format, Json | Cbor):
                raise ValueError(f"{where}.items: a message of format {self.format.kind} has no lists")
            for part in sorted(form.parts()):
                if not self.topics or any(part not in names_in(pattern) for pattern in self.topics):
                    raise ValueError(
                        f"{where}: not each of the topics has a part {{{part}}}: {', '.join(self.topics) or 'none'}"
                    )
            if self.http and all(path.root == "topic" for path in form.id.path):
                raise ValueError(f"{where}.id: what comes over HTTP has no topic to take it from")
        return self

    @property
    def filters(self) -> list[str]:
        return [topic_filter(pattern) for pattern in self.topics]

    @property
    def body(self) -> dict[str, Any]:
        """As it is kept: parsed again it is the same mapping."""
        kept = self.model_dump(mode="json", exclude_defaults=True)
        # What others than this package look up in it is always there.
        return kept | {"shard": self.shard, "topics": list(self.topics), "http": self.http}


def parse_mapping(body: Any, origin: str = "mapping") -> Mapping:
    """The mapping, or everything that is wrong with it. `origin` names it where it does not name itself."""
    if not isinstance(body, dict):
        raise MappingError(f"{origin}: a mapping has name, title, source, format and reports; this is {body!r:.100}")
    name = body.get("name")
    try:
        return Mapping.model_validate(body)
    except ValidationError as error:
        who = name if isinstance(name, str) else origin
        problems = error.errors(include_url=False)
        lines = [f"{who}: {_said(item)}" for item in problems if not _follows(item, problems)]
        raise MappingError("\n".join(dict.fromkeys(lines))) from None


def _said(item: Any) -> str:
    why = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        why = "not a word of a mapping"
    given = repr(item["input"])
    shown = not isinstance(item["input"], dict | list | tuple) and len(given) <= 80 and given not in why
    return f"{_where(item['loc'])}{f' = {given}' if shown else ''}: {why}"


def _follows(item: Any, problems: list[Any]) -> bool:
    """A list is only too short because an item of it is wrong, and that is told already."""
    loc = item["loc"]
    return item["type"] == "too_short" and any(
        len(o["loc"]) > len(loc) and o["loc"][: len(loc)] == loc for o in problems
    )


def _where(loc: tuple[int | str, ...]) -> str:
    """The place as its author knows it: what pydantic calls the members of a choice is left out."""
    return ".".join(str(part) for part in loc if part != "[key]" and not str(part).startswith("=")) or "mapping"
