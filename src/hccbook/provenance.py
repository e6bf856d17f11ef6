"""What a result follows from: the contents of its inputs and the code that made it.

A result is made again when one of these has changed, and only then: files count with their content, wherever they lie
and whenever they were written, and code with what it says, without comments, docstrings and layout.
Data files that lie beside a module and are named in it are part of its code.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

_PACKAGE = __name__.partition(".")[0]
_ROOT = Path(__file__).resolve().parent
_NAMED_MODULE = re.compile(rf"{_PACKAGE}(\.\w+)+(:\w+)?")
_DATA_FILE = re.compile(r"[\w-]+\.(ya?ml|csv|json|md\.j2|html\.j2)")
_SETTLED_NS = 2_000_000_000  # a file touched later than this before it was looked at may change within one tick
_WITHOUT_CHANGE_TIMES = {"vfat", "msdos", "exfat", "fuse", "fuseblk", "9p"}


DISTRIBUTIONS = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "imblearn": "imbalanced-learn",
    "pywt": "PyWavelets",
    "radiomics": "pyradiomics",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
"""Distributions whose name is not that of their module."""


def digest(*parts: object, content: Callable[[Path], str] | None = None) -> str:
    """Hash of files' contents and of plain values, independent of where the files lie.

    Parameters
    ----------
    *parts : object
        A `pathlib.Path` counts with its content (a folder with the names and contents of its files),
        settings and mappings as sorted JSON, anything else as its ``repr``. A path that is not there counts as absent:
        what reads it says so.
    content : callable, optional
        What gives the hash of a file; `file_digest` if absent.

    Returns
    -------
    str
        First 32 hexadecimal digits of the SHA-256 sum.
    """
    of_file = content or file_digest
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path) and not is_there(part):
            total.update(b"absent")
        elif isinstance(part, Path):
            for file in files_of(part):
                total.update(file.name.encode() if part.is_dir() else b"file")
                total.update(of_file(file).encode())
        elif isinstance(part, BaseModel):
            total.update(part.model_dump_json().encode())
        elif isinstance(part, Mapping):
            total.update(json.dumps(part, sort_keys=True, default=str).encode())
        else:
            total.update(repr(part).encode())
        total.update(b"\x00")
    return total.hexdigest()[:32]


def is_there(path: Path) -> bool:
    """Whether a path is a file or folder; a pipe, which may never end, is neither, nor is a name that cannot be one."""
    try:
        return path.is_file() or path.is_dir()
    except OSError:  # longer than a name may be
        return False


def files_of(path: Path) -> list[Path]:
    """The file itself, or all files of a folder in the order of their names."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def file_digest(file: Path) -> str:
    """SHA-256 sum of a file's content, read once a process unless the file has changed.

    A change is seen by size, times and place on the disk. The time of the last change of state cannot be set back, so
    that a file replaced by one of the same size and date is read again; one that was touched a moment ago always is,
    and so is one whose file system does not keep this time.
    """
    state = file_state(file)
    return _settled_digest(str(file), state) if is_settled(state) and tells_changes(file) else _hash(str(file))


def file_state(file: Path) -> tuple[int, ...]:
    """Size, inode and times of a file: while they stay, so does its content."""
    found = file.stat()
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def is_settled(state: tuple[int, ...]) -> bool:
    """Whether a file was last touched long enough ago for its times to tell the next change."""
    return time.time_ns() - max(state[2:]) > _SETTLED_NS


def tells_changes(file: Path) -> bool:
    """Whether the file system of a file keeps the time of its last change, apart from the date that anyone can set."""
    return _file_system(file.absolute().parent).partition(".")[0] not in _WITHOUT_CHANGE_TIMES


@functools.lru_cache(maxsize=4096)
def _file_system(folder: Path) -> str:
    kinds = {one.mountpoint: one.fstype for one in psutil.disk_partitions(all=True)}
    return next((kinds[str(place)] for place in (folder, *folder.parents) if str(place) in kinds), "")


@functools.lru_cache(maxsize=65536)
def _settled_digest(file: str, state: tuple[int, ...]) -> str:
    return _hash(file)


def _hash(file: str) -> str:
    with Path(file).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


# --- code -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """Code that a step runs.

    Attributes
    ----------
    modules : tuple of str
        Modules of this package, sorted.
    libraries : tuple of str
        Other packages that they import, each with its version, sorted.
    digest : str
        Hash of both; comments, docstrings and layout do not count.
    """

    modules: tuple[str, ...]
    libraries: tuple[str, ...]
    digest: str


def code_of(*names: str, source: str = "") -> Code:
    """Code that modules, or a piece of source, run, with all that they import from this package.

    Parameters
    ----------
    *names : str
        Modules, dotted.
    source : str
        Python source that imports others, such as a notebook's cells; it counts itself too.

    Notes
    -----
    ``from package import name`` leads to the module that defines the name, not to everything that the package
    re-exports. A string that names a module of this package, as in a table of engines, counts as an import.
    """
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    waiting = {_defining(name) for name in names} | set(_imported(nodes, ""))
    modules: set[str] = set()
    libraries: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name.partition(".")[0] != _PACKAGE:
            libraries.add(name.partition(".")[0])
        elif name not in modules:
            modules.add(name)
            waiting |= set(_parsed(name, _state(name)).imported)
    versions = sorted(filter(None, (_version(name) for name in libraries - set(sys.stdlib_module_names))))
    said = []
    for name in sorted(modules):
        parsed = _parsed(name, _state(name))
        said.append((name, parsed.digest, *map(file_digest, parsed.data)))
    return Code(tuple(sorted(modules)), tuple(versions), digest(_said(tree, nodes), said, versions))


@dataclass(frozen=True)
class _Parsed:
    imported: tuple[str, ...]
    data: tuple[Path, ...]
    digest: str


def _file_of(name: str) -> Path:
    parts = name.split(".")[1:]
    folder = _ROOT.joinpath(*parts)
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def _is_module(name: str) -> bool:
    return name == _PACKAGE or (name.startswith(f"{_PACKAGE}.") and _file_of(name).is_file())


def _state(name: str) -> tuple[int, ...]:
    return file_state(_file_of(name))


@functools.lru_cache(maxsize=1024)
def _parsed(name: str, state: tuple[int, ...]) -> _Parsed:
    tree = ast.parse(_file_of(name).read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    imported, beside = tuple(_imported(nodes, name)), tuple(_data_beside(nodes, name))
    return _Parsed(imported, beside, hashlib.sha256(_said(tree, nodes).encode()).hexdigest())


def _data_beside(nodes: Iterable[ast.AST], module: str) -> Iterator[Path]:
    """Data files in the module's folder that it names."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _DATA_FILE.fullmatch(node.value):
            file = _file_of(module).with_name(node.value)
            yield from [file] if file.is_file() else []


def _said(tree: ast.Module, nodes: Iterable[ast.AST]) -> str:
    """What the code says, in one form whatever its layout, without docstrings."""
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_remark(part)]
    return ast.dump(tree)


def _is_remark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imported(nodes: Iterable[ast.AST], module: str) -> Iterator[str]:
    """Modules that the code imports, those inside functions too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            yield from (_defining(base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAMED_MODULE.fullmatch(node.value):
            named = node.value.partition(":")[0]
            yield from [named] if _is_module(named) else []


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    inside = _file_of(module).name == "__init__.py"
    parents = parts[: len(parts) - node.level + inside]
    return ".".join([*parents, *filter(None, [node.module])])


def _defining(module: str, name: str = "") -> str:
    """Module in which a name is defined that a package of ours may only re-export; a library as it is."""
    if not name or not _is_module(module):
        return module
    if _is_module(f"{module}.{name}"):
        return f"{module}.{name}"
    if _file_of(module).name == "__init__.py":
        for base, original, given in _reexported(module, _state(module)):
            if given == name:
                return _defining(base, original)
    return module


@functools.lru_cache(maxsize=64)
def _reexported(package: str, state: tuple[int, ...]) -> tuple[tuple[str, str, str], ...]:
    tree = ast.parse(_file_of(package).read_text(encoding="utf-8"))
    return tuple(
        (_absolute(node, package), alias.name, alias.asname or alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


@functools.cache
def _version(module: str) -> str:
    """Library and its version; empty where it is not installed."""
    name = DISTRIBUTIONS.get(module, module)
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def version_of_package() -> str:
    """Version of this package, as installed."""
    return importlib.metadata.version(_PACKAGE)


def step_digest(step: Callable[..., Any], *inputs: object) -> str:
    """Hash of the code of a step's module and of the step's inputs, as `digest` takes them."""
    return digest(_code_digest(step.__module__), *inputs)


@functools.cache
def _code_digest(module: str) -> str:
    return code_of(module).digest
