"""Imports run one way, and name nothing that is not installed."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "hccbook"

ROOMS = (
    "errors",
    "documents",
    "provenance",
    "store",
    "run",
    "papers",
    "settings",
    "cluster",
    "parallel",
    "scores",
    "images",
    "cohort",
    "phantom",
    "segmentation",
    "collection",
    "features",
    "radiomics",
    "models",
    "evaluation",
    "audit",
    "stratification",
    "report",
    "pipeline",
    "book",
    "doctor",
    "cli",
)
"""Modules and subpackages in the order of data flow; each imports only from those above it."""

LEAVES = ("errors", "documents", "provenance", "store", "run", "papers", "settings", "cluster", "parallel")
"""Rooms that know nothing of patients; they import nothing but each other."""

STANDARD_LIBRARY_ONLY = ("doctor",)
"""Rooms that must load where nothing is installed."""


class Import(NamedTuple):
    """One imported module: file and line where it stands, whole dotted name, and whether it runs at load time."""

    file: Path
    line: int
    module: str
    at_load: bool


def _imports(package: Path) -> list[Import]:
    """All imports of the package's files, those inside functions too; ``from a import b`` gives ``a.b``."""
    found = []
    for file in sorted(package.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        later = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
            for inner in ast.walk(node)
        }
        parents = [PACKAGE, *file.relative_to(package).with_suffix("").parts][:-1]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = parents[: len(parents) - node.level + 1] if node.level else []
                base = ".".join([*start, *filter(None, [node.module])])
                names = [f"{base}.{alias.name}" for alias in node.names]
            else:
                continue
            found += [Import(file, node.lineno, name, node not in later) for name in names]
    return found


def _room(file: Path, package: Path) -> str:
    return Path(file.relative_to(package).parts[0]).stem


def _violations(package: Path) -> list[str]:
    """Every import that breaks the order, as ``file:line: reason``."""
    found = []
    for item in _imports(package):
        parts = item.module.split(".")
        importer = _room(item.file, package)
        if parts[0] != PACKAGE or importer == "__init__":
            continue
        parts += ["the package itself"]
        where = f"{item.file.relative_to(package.parent)}:{item.line}"
        imported = parts[1]
        if imported == importer:
            continue
        if imported not in ROOMS:
            found.append(f"{where}: {imported} is no room of the package; import a name from the room it lives in")
        elif importer not in ROOMS:
            found.append(f"{where}: {importer} has no place in the order; add it to ROOMS in tests/test_imports.py")
        elif ROOMS.index(imported) > ROOMS.index(importer):
            found.append(f"{where}: {importer} imports {imported}, which comes after it; move the code or the import")
        elif importer in LEAVES and imported not in LEAVES:
            found.append(f"{where}: {importer} is a leaf and imports {imported}")
    return found


def _package(folder: Path, **sources: str) -> Path:
    """Package with the given files; ``__`` in a name stands for the next folder down."""
    package = folder / PACKAGE
    for name, source in sources.items():
        file = package / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    return package


@pytest.fixture(scope="module")
def package(project_root: Path) -> Path:
    return project_root / "src" / PACKAGE


def test_imports_run_one_way(package):
    """Later rooms import earlier ones and the leaves, never the other way."""
    assert not _violations(package), "\n" + "\n".join(_violations(package))


def test_every_module_has_a_room(package):
    """A new module gets its place in the order before it gets in."""
    present = {_room(file, package) for file in package.rglob("*.py")} - {"__init__"}
    assert sorted(present - set(ROOMS)) == []


def test_rooms_are_named_after_the_field(package):
    """Nothing is called utils, helpers, common or misc."""
    vague = re.compile(r"utils?|helpers?|commons?|misc|tools")
    assert [file.name for file in package.rglob("*.py") if vague.fullmatch(file.stem.strip("_"))] == []


def test_doctor_loads_without_any_library(package):
    """`make doctor` works before anything is installed, so it loads from the standard library alone."""
    foreign = [
        f"{item.file.name}:{item.line}: {item.module}"
        for item in _imports(package)
        if _room(item.file, package) in STANDARD_LIBRARY_ONLY
        and item.at_load
        and item.module.split(".")[0] not in sys.stdlib_module_names
    ]
    assert foreign == []


def test_imported_libraries_are_declared(package, project_root):
    """What the package imports stands in pyproject.toml, not only in what happens to be installed."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_normalised(re.match(r"[\w.-]+", line)[0]) for line in project["dependencies"]}
    providers = importlib.metadata.packages_distributions()
    undeclared = []
    for item in _imports(package):
        name = item.module.split(".")[0]
        if name == PACKAGE or name in sys.stdlib_module_names:
            continue
        if not declared & {_normalised(provider) for provider in providers.get(name, [])}:
            undeclared.append(f"{item.file.relative_to(package.parent)}:{item.line}: {name}")
    assert not undeclared, "\n" + "\n".join(undeclared)


USED_OTHERWISE = {
    "dask": "called as a program",
    "ipykernel": "the kernel that papermill starts",
    "jupyter-book": "called as a program",
    "myst-nb": "glue in the notebooks, and Sphinx's reader of them",
    "pyarrow": "how pandas reads and writes parquet",
    "snakemake": "called as a program",
    "snakemake-executor-plugin-slurm": "what Snakemake hands jobs to SLURM with",
    "sphinx-mathjax-offline": "its files are copied into the book",
}
"""Declared libraries that no module imports, and what for they are there."""


def test_declared_libraries_are_imported(package, project_root):
    """No dependency is there for tests alone, or for nothing; lifelines and the others are imported in the package."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_normalised(re.match(r"[\w.-]+", line)[0]) for line in project["dependencies"]}
    providers = importlib.metadata.packages_distributions()
    imported = {
        _normalised(provider)
        for name in {item.module.split(".")[0] for item in _imports(package)}
        for provider in providers.get(name, [])
    }
    assert sorted(declared - imported) == sorted(USED_OTHERWISE)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_upward_import_is_caught(tmp_path):
    """A leaf that imports a stage is named with its file and line."""
    package = _package(tmp_path, errors="", cohort="", settings="import os\nfrom hccbook.cohort import read_manifest\n")
    assert _violations(package) == [
        "hccbook/settings.py:2: settings imports cohort, which comes after it; move the code or the import"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "import hccbook.report",
        "import hccbook.report.roc as roc",
        "from hccbook import report",
        "from hccbook.report.roc import draw",
        "from .. import report",
        "from ..report import roc",
        "from ..report.roc import draw",
        "def f():\n    from hccbook import report",
        "if TYPE_CHECKING:\n    from hccbook.report import roc",
    ],
)
def test_every_form_of_import_is_caught(tmp_path, line):
    """However it is written, and wherever it stands, an import of a later room is found."""
    package = _package(tmp_path, evaluation__curves=line + "\n", report__roc="")
    (found,) = _violations(package)
    assert "evaluation imports report" in found


@pytest.mark.parametrize(
    "line",
    ["from hccbook.errors import DataError", "from .. import scores", "from . import survival", "import numpy.report"],
)
def test_downward_import_is_allowed(tmp_path, line):
    """Earlier rooms, the same room and other libraries are fine."""
    package = _package(tmp_path, evaluation__curves=line + "\n")
    assert _violations(package) == []


@pytest.mark.parametrize(
    ("line", "named"),
    [("from hccbook import auc_delong", "auc_delong"), ("import hccbook", "the package itself")],
)
def test_import_from_the_package_itself_is_caught(tmp_path, line, named):
    """`from hccbook import auc_delong` inside the package would import every room at once."""
    package = _package(tmp_path, report=line + "\n")
    (found,) = _violations(package)
    assert found.startswith(f"hccbook/report.py:1: {named} is no room")


def test_module_without_a_room_is_caught(tmp_path):
    """A module that the order does not know may import nothing."""
    package = _package(tmp_path, extras="from hccbook import errors\n", errors="")
    (found,) = _violations(package)
    assert found.startswith("hccbook/extras.py:1: extras has no place in the order")


def test_radiomics_need_no_deep_learning():
    """torch and MONAI cost each worker seconds and a quarter of a gigabyte."""
    program = "import sys, hccbook.features.radiomics; print({'torch', 'monai', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
