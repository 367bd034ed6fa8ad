"""Reads a mapping's file."""

from __future__ import annotations

from pathlib import Path

from ingest.codecs.mapping import Mapping, MappingError, parse_mapping
from underfoot.plain_yaml import YamlError, read_yaml

MOST_BYTES = 256 * 1024


def read_mapping(path: Path) -> Mapping:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise MappingError(f"{path}: cannot be read: {error.strerror}") from None
    return mapping_of(text, str(path))


def mapping_of(text: bytes, origin: str) -> Mapping:
    """The mapping that a file says. `origin` names the file in what is told of it."""
    try:
        document = read_yaml(text, origin, at_most=MOST_BYTES)
    except YamlError as error:
        raise MappingError(str(error)) from None
    return parse_mapping(document.value, origin)
