"""The template of a platform's message: the platform's names, nesting and constants around our fields (`fields.py`).

Read once, when a configuration is loaded, where whatever is wrong is an error; filled in for each delivery.

    text without braces, numbers, true, null   stand as they are
    "{title}"                                  a field, as what it is: text, number, time, list
    "{address}，{title}" "{raised_at:%Y%m%d}"  text with fields in it
    {$field: severity, map: {...}}             a field with a value map and more (`_Choice`)
    {$pictures: {...}}                         a list with one item a picture (`_Pictures`)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from string import Formatter
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from alerts.channels.platform.fields import FIELDS, INDICATOR_FIELDS, PICTURE_FIELDS, Facts, PictureKind
from alerts.channels.platform.fields import Field as Ours
from alerts.channels.platform.strict import Strict, complaint


@dataclass(frozen=True)
class Written:
    """How a platform writes a time."""

    form: str
    zone: ZoneInfo


class Part:
    """A part of a template."""

    @abstractmethod
    def filled(self, facts: Facts, written: Written) -> Any:
        """What stands there in one message; `OMITTED`: it is left out."""

    def fields(self) -> frozenset[str]:
        """The names of our fields in it."""
        return frozenset()


OMITTED = object()


class TemplateError(ValueError):
    """Says where in the template, what stands there, and what may."""


Of = Literal["event", "picture", "indicators"]
"""What a template is about, and so which fields it may use."""

_KNOWN: dict[Of, Mapping[str, Ours]] = {
    "event": FIELDS,
    "picture": FIELDS | PICTURE_FIELDS,
    "indicators": INDICATOR_FIELDS,
}


def compiled(given: Any, where: str = "", *, of: Of = "event") -> Part:
    known = _KNOWN[of]
    if isinstance(given, str):
        return _text(given, where, known)
    if isinstance(given, Mapping):
        if "$field" in given:
            return _choice(given, where, known)
        if "$pictures" in given:
            if of != "event":
                raise TemplateError(f"{where} = '$pictures': only an event has pictures")
            return _pictures(given, where)
        wrong = [name for name in given if not isinstance(name, str) or name.startswith("$")]
        if wrong:
            raise TemplateError(f"{_below(where, wrong[0])} = {wrong[0]!r}: a name, $field or $pictures is needed")
        return _Object({name: compiled(part, _below(where, name), of=of) for name, part in given.items()})
    if isinstance(given, list):
        return _List([compiled(part, _below(where, n), of=of) for n, part in enumerate(given)])
    if given is None or isinstance(given, bool | int | float):
        return _Constant(given)
    raise TemplateError(f"{where} = {given!r}: text, a number, true, false, null, a list or an object is needed")


def _below(where: str, part: object) -> str:
    return f"{where}.{part}" if where else str(part)


def _known(name: str, where: str, given: object, known: Mapping[str, Ours]) -> Ours:
    if name not in known:
        raise TemplateError(f"{where} = {given!r}: there is no field {name!r}; there are {', '.join(known)}")
    return known[name]


# the parts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Constant(Part):
    value: Any

    def filled(self, facts: Facts, written: Written) -> Any:
        return self.value


@dataclass(frozen=True)
class _Object(Part):
    parts: dict[str, Part]

    def filled(self, facts: Facts, written: Written) -> Any:
        made = {name: part.filled(facts, written) for name, part in self.parts.items()}
        return {name: value for name, value in made.items() if value is not OMITTED}

    def fields(self) -> frozenset[str]:
        return frozenset().union(*(part.fields() for part in self.parts.values()))


@dataclass(frozen=True)
class _List(Part):
    parts: list[Part]

    def filled(self, facts: Facts, written: Written) -> Any:
        return [value for part in self.parts if (value := part.filled(facts, written)) is not OMITTED]

    def fields(self) -> frozenset[str]:
        return frozenset().union(*(part.fields() for part in self.parts))


@dataclass(frozen=True)
class _Whole(Part):
    """One field as what it is."""

    name: str
    ours: Ours

    def filled(self, facts: Facts, written: Written) -> Any:
        return _shown(self.ours.of(facts), written)

    def fields(self) -> frozenset[str]:
        return frozenset({self.name})


@dataclass(frozen=True)
class _Text(Part):
    """Text with fields in it; one without a value is nothing."""

    pieces: list[tuple[str, str | None, Ours | None, str]]

    def filled(self, facts: Facts, written: Written) -> Any:
        return "".join(
            literal + ("" if ours is None else _formatted(ours.of(facts), form, written))
            for literal, _name, ours, form in self.pieces
        )

    def fields(self) -> frozenset[str]:
        return frozenset(name for _literal, name, _ours, _form in self.pieces if name is not None)


def _text(given: str, where: str, known: Mapping[str, Ours]) -> Part:
    pieces: list[tuple[str, str | None, Ours | None, str]] = []
    try:
        parsed = list(Formatter().parse(given))
    except ValueError as error:
        raise TemplateError(f"{where} = {given!r}: {error}; a brace that is meant is written twice") from None
    for literal, name, form, conversion in parsed:
        if name is None:
            pieces.append((literal, None, None, ""))
            continue
        if conversion:
            raise TemplateError(f"{where} = {given!r}: !{conversion} is not taken; {{name}} or {{name:format}} is")
        ours = _known(name, where, given, known)
        _check_format(form or "", ours, where, given)
        pieces.append((literal, name, ours, form or ""))
    if all(name is None for _, name, _, _ in pieces):
        return _Constant("".join(literal for literal, _, _, _ in pieces))
    if len(pieces) == 1 and not pieces[0][0] and not pieces[0][3]:
        _, name, only, _ = pieces[0]
        if name is not None and only is not None:
            return _Whole(name, only)
    return _Text(pieces)


def _check_format(form: str, ours: Ours, where: str, given: object) -> None:
    if not form:
        return
    wrong = ""
    match ours.kind:
        case "time":
            wrong = "" if "%" in form else "a time's format has % in it, e.g. %Y%m%d%H%M%S"
        case "list":
            wrong = "a list has no format"
        case kind:
            try:
                for sample in ("",) if kind == "text" else (1, 1.0):
                    _written(sample, form)
            except ValueError as error:
                wrong = str(error)
    if wrong:
        raise TemplateError(f"{where} = {given!r}: format {form!r}: {wrong}")


def _shown(value: Any, written: Written) -> Any:
    return value.astimezone(written.zone).strftime(written.form) if isinstance(value, datetime) else value


def _formatted(value: Any, form: str, written: Written) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(written.zone).strftime(form or written.form)
    if isinstance(value, list):
        return ",".join(map(str, value))
    return _written(value, form)


def _written(value: Any, form: str) -> str:
    # An int takes neither 'f' nor a precision.
    as_float = isinstance(value, int) and form and (form[-1] in "eEfFgG%" or "." in form)
    return format(float(value) if as_float else value, form)


# a field with more ---------------------------------------------------------------------------------------------------


def _by_text(given: Any) -> Any:
    """YAML's keys may be numbers, JSON's are text."""
    return {str(key): value for key, value in given.items()} if isinstance(given, Mapping) else given


_Map = Annotated[dict[str, Any], BeforeValidator(_by_text)]


class _Options(Strict):
    """`$field` with what is to be done to it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(alias="$field")
    map: _Map | None = Field(None, description="Our value → the platform's")
    codes: dict[str, _Map] | None = Field(None, description="Code scheme → our code → the platform's")
    otherwise: Any = Field(None, description="For a value that `map` or `codes` does not have; '{same}': ours")
    format: str = ""
    as_: Literal["text", "number", "integer"] | None = Field(None, alias="as")
    absent: Literal["null", "omit", "empty"] = Field("null", description="Where we have no value: null, not sent, ''")


SAME = "{same}"


@dataclass(frozen=True)
class _Choice(Part):
    ours: Ours
    options: _Options

    def filled(self, facts: Facts, written: Written) -> Any:
        value = self.ours.of(facts)
        if value is None:
            return {"null": None, "omit": OMITTED, "empty": ""}[self.options.absent]
        found = self._found(value, facts)
        if found is not value:
            return found
        if self.options.format:
            found = _formatted(value, self.options.format, written)
        found = _shown(found, written)
        match self.options.as_:
            case "text":
                return _formatted(found, "", written)
            case "integer":
                return round(float(found))
            case "number":
                return float(found)
        return found

    def _found(self, value: Any, facts: Facts) -> Any:
        table = self.options.map
        if self.options.codes is not None:
            table = self.options.codes.get(facts.of("case", "code_scheme") or facts.asset("code_scheme") or "", {})
        if table is None:
            return value
        if str(value) in table:
            return table[str(value)]
        stands_for = self.ours.stands_for.get(str(value))
        if stands_for in table:
            return table[stands_for]
        return value if self.options.otherwise == SAME else self.options.otherwise

    def fields(self) -> frozenset[str]:
        return frozenset({self.options.name})


def _choice(given: Mapping[str, Any], where: str, known: Mapping[str, Ours]) -> Part:
    try:
        options = _Options.model_validate(given)
    except ValidationError as error:
        raise TemplateError(complaint(error, where)) from None
    ours = _known(options.name, f"{where}.$field", options.name, known)
    _check_format(options.format, ours, f"{where}.format", options.format)
    if options.map is not None and options.codes is not None:
        raise TemplateError(f"{where}: map or codes, not both")
    if (options.map is not None or options.codes is not None) and ours.kind in ("time", "list"):
        raise TemplateError(f"{where}: {options.name} is a {ours.kind}, which is not mapped")
    if options.as_ in ("number", "integer") and ours.kind != "number":
        raise TemplateError(f"{where}.as = {options.as_!r}: {options.name} is a {ours.kind}; only text is possible")
    _check_map(options, ours, where)
    return _Choice(ours, options)


def _check_map(options: _Options, ours: Ours, where: str) -> None:
    """Every value that there can be leads somewhere."""
    if options.map is None and options.codes is None:
        if "otherwise" in options.model_fields_set:
            raise TemplateError(f"{where}.otherwise: stands only beside map or codes")
        return
    values = [str(value) for value in ours.values]
    if values and options.map is not None:
        strange = [key for key in options.map if key not in values]
        if strange:
            raise TemplateError(f"{where}.map.{strange[0]}: {options.name} is never that; it is {', '.join(values)}")
    if "otherwise" in options.model_fields_set:
        return
    missing = [value for value in values if value not in (options.map or {}) and value not in ours.stands_for]
    if missing and options.map is not None:
        raise TemplateError(f"{where}.map: {options.name} {', '.join(missing)} is not mapped; add it, or `otherwise`")
    if not values or options.codes is not None:
        raise TemplateError(f"{where}.otherwise: is needed: {options.name} may be what the map does not have")


# pictures ------------------------------------------------------------------------------------------------------------


class _PictureOptions(Strict):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    item: Any = Field(alias="$pictures")
    kinds: list[PictureKind] = Field(list(get_args(PictureKind)), min_length=1)
    absent: Literal["omit", "empty"] = Field("omit", description="Where there is none: not sent, or an empty list")


@dataclass(frozen=True)
class _Pictures(Part):
    item: Part
    kinds: frozenset[str]
    empty: Any

    def filled(self, facts: Facts, written: Written) -> Any:
        shown = [picture for picture in facts.pictures if picture["kind"] in self.kinds]
        return [self.item.filled(replace(facts, picture=picture), written) for picture in shown] or self.empty

    def fields(self) -> frozenset[str]:
        return self.item.fields()


def _pictures(given: Mapping[str, Any], where: str) -> Part:
    try:
        options = _PictureOptions.model_validate(given)
    except ValidationError as error:
        raise TemplateError(complaint(error, where)) from None
    item = compiled(options.item, f"{where}.$pictures", of="picture")
    if not item.fields() & {"picture_url", "picture_base64"}:
        raise TemplateError(
            f"{where}.$pictures: {{picture_url}} or {{picture_base64}} is needed: else nothing is shown"
        )
    return _Pictures(item, frozenset(options.kinds), OMITTED if options.absent == "omit" else [])
