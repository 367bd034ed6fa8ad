"""Reads a mapping's YAML as its author means it: `on` and `2026-07-01` are text, and nothing stands there twice."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from ingest.codecs.mapping import Mapping, MappingError, parse_mapping

MOST_BYTES = 256 * 1024


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


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_form})\\Z"), _first)


def read_mapping(path: Path) -> Mapping:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise MappingError(f"{path}: cannot be read: {error.strerror}") from None
    return mapping_of(text, str(path))


def mapping_of(text: bytes, origin: str) -> Mapping:
    """The mapping that a file says. `origin` names the file in what is told of it."""
    if len(text) > MOST_BYTES:
        raise MappingError(f"{origin}: {len(text)} bytes; a mapping has at most {MOST_BYTES}")
    try:
        body = yaml.load(text.decode("utf-8-sig"), _Loader)  # noqa: S506 - a SafeLoader with fewer types
    except UnicodeDecodeError as error:
        raise MappingError(f"{origin}: not UTF-8: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise MappingError(f"{origin}: not YAML: {error}") from None
    return parse_mapping(body, origin)
