"""YAML and JSON documents that people or programs wrote: plain values of the expected kind, or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from hccbook.errors import HccbookError, reading

MAX_YAML_CHARACTERS = 500_000
"""Longest YAML document, its references written out; the longest of this book, both papers' claims, has a fifth."""

MAX_JSON_BYTES = 1 << 26
"""Longest JSON document; a model that keeps its whole LASSO path has a sixtieth of that."""

_MAX_INTEGER = 1 << 63

_Kind = TypeVar("_Kind")


class _PlainYaml(yaml.SafeLoader):
    """YAML in which a name stands once; of two, PyYAML takes the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in names:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} a second time", key.start_mark)
            names.add(name)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > len(bin(_MAX_INTEGER)):
            raise yaml.constructor.ConstructorError(None, None, "a number without end", node.start_mark)
        return super().construct_yaml_int(node)


_PlainYaml.add_constructor("tag:yaml.org,2002:int", _PlainYaml.construct_yaml_int)


def read_yaml(file: Path, kind: type[HccbookError]) -> Any:
    """Content of a YAML file: one document of mappings, lists and scalars.

    Raises
    ------
    HccbookError
        Of the `kind`, naming file and line, if it is no YAML in UTF-8, longer than `MAX_YAML_CHARACTERS` with its
        references written out (a short file can refer to itself until it fills the memory), or has a name twice.
    """
    with reading(kind, file.name, "must be valid YAML", "Correct the syntax."):
        loader = _PlainYaml(_text(file, 4 * MAX_YAML_CHARACTERS, kind))
        node = loader.get_single_node()
        if node is None:
            return None
        length = _written_out(node, {})
        if length > MAX_YAML_CHARACTERS:
            rule = f"must have at most {MAX_YAML_CHARACTERS:,} characters, references written out"
            raise kind(file.name, rule, f"{length:.3g}", "Write less, or without references.")
        return loader.construct_document(node)


def _written_out(node: yaml.Node, lengths: dict[int, float]) -> float:
    """Characters of a node with its references written out; without end where it holds itself."""
    if id(node) not in lengths:
        lengths[id(node)] = math.inf
        if isinstance(node, yaml.ScalarNode):
            parts = [float(len(node.value))]
        else:
            nodes = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
            parts = [_written_out(part, lengths) for part in nodes]
        lengths[id(node)] = 1 + sum(parts)
    return lengths[id(node)]


def read_json(file: Path, kind: type[HccbookError], hint: str = "Write it again.") -> Any:
    """Content of a JSON file.

    Raises
    ------
    HccbookError
        Of the `kind`, if it is no JSON in UTF-8, longer than `MAX_JSON_BYTES`, has a name twice, or a number that is
        not finite.
    """
    with reading(kind, file.name, "must be JSON", hint):
        text = _text(file, MAX_JSON_BYTES, kind)
        return parse_json(text)


def parse_json(text: str) -> Any:
    """Content of JSON text; a ValueError or RecursionError where it is none as `read_json` wants it."""
    return json.loads(
        text, object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite, parse_int=_within_bounds
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name that stands twice")
    return content


def _finite(text: str) -> float:
    value = float(text.replace("Infinity", "inf"))
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]}, which is not finite")
    return value


def _within_bounds(text: str) -> int:
    if len(text) > len(str(_MAX_INTEGER)):
        raise ValueError("a number without end")
    return int(text)


def _text(file: Path, limit: int, kind: type[HccbookError]) -> str:
    with file.open("rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise kind(file.name, f"must have at most {limit:,} bytes", "more", "Name the right file, or write less.")
    return content.decode("utf-8-sig")


def checked(kind: type[_Kind], content: object, place: str, error: type[HccbookError], hint: str) -> _Kind:
    """Content as a type that pydantic knows; of what does not fit, the first is an `error` that names where it is."""
    try:
        return _adapter(kind).validate_python(content)  # type: ignore[arg-type]  # a class can be hashed
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        rule = first["msg"].removeprefix("Value error, ")
        raise error(f"{place}: {where}" if where else place, rule, repr(first["input"]), hint) from failure


@cache
def _adapter(kind: type[_Kind]) -> TypeAdapter[_Kind]:
    return TypeAdapter(kind)
