"""Model files: JSON, never pickle, and without any patient's values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hccbook.documents import checked, read_json
from hccbook.errors import ModelError
from hccbook.store import atomic_path

_FORMAT = "hccbook model"
_VERSION = 1


@dataclass(frozen=True)
class _Head:
    format: str
    version: int
    model: str


def write_model(file: str | Path, name: str, content: dict[str, Any]) -> Path:
    """Write a model's plain JSON values under its name, whole or not at all; numbers keep all their digits."""
    with atomic_path(Path(file)) as temporary:
        text = json.dumps({"format": _FORMAT, "version": _VERSION, "model": name, **content}, indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(file)


def read_model(file: str | Path, name: str) -> dict[str, Any]:
    """Values that `write_model` wrote for the model of that name.

    Raises
    ------
    ModelError
        If the file is missing, is not JSON, or holds something else.
    """
    file = Path(file)
    if not file.is_file():
        raise ModelError(file.name, "model file must exist", "no such file", "Fit the model first.")
    content = read_json(file, ModelError, "Write the model again with to_json.")
    head = checked(_Head, content, file.name, ModelError, "Write it with to_json.")
    if (head.format, head.version) != (_FORMAT, _VERSION):
        rule = f"must be {_FORMAT!r}, version {_VERSION}"
        raise ModelError(file.name, rule, f"{head.format!r}, {head.version!r}", "Write it with to_json.")
    if head.model != name:
        raise ModelError(file.name, f"must hold the model {name!r}", repr(head.model), "Load it as that model.")
    return content
