"""YAML as its author means it: `on` and `2026-07-01` are text, nothing stands there twice, and every part of it knows
its line. Read by rules and by vendors' mappings."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml


class YamlError(ValueError):
    """Not YAML, or none that is taken here; says where and why."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values. 1.1 also makes `on` and `no` true and false, and `12:30` a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as its parent has it

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f"line {mark.line + 1}: a reference (*) is not taken; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: {key!r} stands there twice")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_PLAIN: tuple[tuple[str, str, list[str]], ...] = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
)
for _tag, _form, _first in _PLAIN:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_form})\\Z"), _first)


@dataclass(frozen=True)
class Document:
    """What a file says, and where it says what."""

    origin: str
    value: Any
    root: yaml.Node | None

    def line(self, path: Sequence[str | int]) -> int:
        """The line, from 1, of what `path` leads to; of the last part of the way there that exists."""
        node, line = self.root, 1
        if node is not None:
            line = node.start_mark.line + 1
        for part in path:
            found = _below(node, part)
            if found is None:
                break
            line, node = found
        return line


def _below(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    return None


def read_yaml(text: bytes, origin: str, *, at_most: int) -> Document:
    """`origin` names the file in what is told of it; `at_most` is how many bytes it may have."""
    if len(text) > at_most:
        raise YamlError(f"{origin}: {len(text)} bytes; at most {at_most} are read")
    try:
        loader = _Loader(text.decode("utf-8-sig"))
        try:
            root = loader.get_single_node()
            value = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise YamlError(f"{origin}: not UTF-8: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise YamlError(f"{origin}: not YAML: {error}") from None
    return Document(origin, value, root)


class _Dumper(yaml.SafeDumper):
    """Writes what `read_yaml` reads as the same: text that looks like a number to 1.1 or to 1.2 is quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _form, _first in _PLAIN:
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_form})\\Z"), _first)


_OTHER_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """What counts as a line break to some is written as an escape: else it would be read as a space."""
    style = '"' if _OTHER_BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


class Line(dict[str, Any]):
    """A mapping that is written in one line."""


_Dumper.add_representer(
    Line, lambda dumper, line: dumper.represent_mapping("tag:yaml.org,2002:map", line, flow_style=True)
)


def write_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120)
