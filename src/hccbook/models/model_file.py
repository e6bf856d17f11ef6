"""Model files: JSON, never pickle, and without any patient's values."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hccbook.errors import ModelError
from hccbook.store import atomic_path

_FORMAT = "hccbook model"
_VERSION = 1


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
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(file.name, "must be JSON", str(error), "Write the model again with to_json.") from error
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != _FORMAT or content["version"] != _VERSION:
        version = content.get("version") if isinstance(content, dict) else None
        rule = f"must be {_FORMAT!r}, version {_VERSION}"
        raise ModelError(file.name, rule, f"{found!r}, {version!r}", "Write it with to_json.")
    if content["model"] != name:
        raise ModelError(file.name, f"must hold the model {name!r}", repr(content["model"]), "Load it as that model.")
    return content


@contextlib.contextmanager
def whole_model(file: str | Path) -> Iterator[None]:
    """Turn what a file lacks, or has of the wrong kind, into an error that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise ModelError(Path(file).name, "must hold a whole model", found, "Fit the model again.") from error
