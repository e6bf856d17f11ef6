"""What a result follows from: the content of files, and what code says, but not how it is laid out."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

import hccbook
from hccbook import provenance
from hccbook.provenance import DISTRIBUTIONS, code_of, digest, file_digest, step_digest
from hccbook.settings import AlarmSettings

PACKAGE = Path(hccbook.__file__).parent

MODULES = {
    "__init__.py": '"""Made up."""\n',
    "stage.py": "from hccbook.room import shown\n\n\ndef run():\n    return shown()\n",
    "room/__init__.py": "from hccbook.room.inside import shown\nfrom hccbook.room.beside import other\n",
    "room/inside.py": "from hccbook.room import deeper\n\n\ndef shown():\n    return deeper.VALUE\n",
    "room/beside.py": "import numpy as np\n\n\ndef other():\n    return np.zeros(1)\n",
    "room/deeper.py": "VALUE = 1\n",
    "table.py": 'ENGINES = {"fast": "hccbook.engines.fast:Engine", "none": "hccbook.engines.nosuch"}\n',
    "engines/__init__.py": "",
    "engines/fast.py": "from ..room import deeper as base\n\n\nclass Engine:\n    value = base.VALUE\n",
    "reader.py": 'FILES = ["printed.csv", "nosuch.csv"]\n',
    "printed.csv": "a\n1\n",
    "unnamed.csv": "a\n1\n",
}
"""A package of this name: a stage, a room that re-exports two modules, a table of engines, and a reader of data."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`MODULES` in the place of the package."""
    root = tmp_path / "hccbook"
    for name, text in MODULES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(provenance, "_ROOT", root)
    return root


# --- files and values -------------------------------------------------------------------------------------------------


def test_digest_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    """The same bytes under another name and folder have the same hash; one byte more has another."""
    (tmp_path / "a").mkdir()
    here, there = tmp_path / "ct.nii.gz", tmp_path / "a" / "other.nii.gz"
    here.write_bytes(b"voxels")
    there.write_bytes(b"voxels")
    assert digest(here) == digest(there)
    there.write_bytes(b"voxels!")
    assert digest(here) != digest(there)


def test_digest_tells_parts_apart() -> None:
    """Two parts are not one longer part, and a setting counts."""
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(AlarmSettings()) != digest(AlarmSettings(p_threshold=0.01))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_a_folder_counts_with_its_files(tmp_path: Path) -> None:
    """Names and contents, wherever the folder lies; another name, another slice or one more is another folder."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        for number in (1, 2):
            (folder / f"{number}.dcm").write_text(str(number))
    assert digest(folders[0]) == digest(folders[1])
    before = digest(folders[1])
    (folders[1] / "2.dcm").rename(folders[1] / "3.dcm")
    assert digest(folders[1]) != before
    (folders[1] / "3.dcm").rename(folders[1] / "2.dcm")
    assert digest(folders[1]) == before
    (folders[1] / "3.dcm").write_text("3")
    assert digest(folders[1]) != before


def test_what_is_not_there_counts_as_absent(tmp_path: Path) -> None:
    """A path that appears is another input; two absent ones are alike."""
    absent = digest(tmp_path / "a")
    assert absent == digest(tmp_path / "b")
    (tmp_path / "a").write_text("")
    assert digest(tmp_path / "a") != absent


def test_a_file_replaced_under_its_old_size_and_date_is_read_again(tmp_path: Path) -> None:
    """The sum is that of the new content, by sha256sum."""
    file = tmp_path / "ct"
    file.write_bytes(b"abc")
    state = file.stat()
    assert file_digest(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file.write_bytes(b"abd")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file_digest(file) == "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"


# --- code -------------------------------------------------------------------------------------------------------------


def test_a_name_leads_to_the_module_that_defines_it(package: Path) -> None:
    """Through the room's re-export to one module and what that imports, not to its neighbour with its library."""
    code = code_of("hccbook.stage")
    assert code.modules == ("hccbook.room.deeper", "hccbook.room.inside", "hccbook.stage")
    assert code.libraries == ()


@pytest.mark.parametrize(
    "text",
    [
        "# why\nVALUE = 1  # how\n",
        '"""What this is."""\n\nVALUE = 1\n"""What it holds."""\n',
        "VALUE = (\n    1\n)\n\n\n",
        "VALUE=1",
    ],
)
def test_comments_docstrings_and_layout_change_nothing(package: Path, text: str) -> None:
    """Where the code says the same, so does its hash."""
    before = code_of("hccbook.stage")
    (package / "room" / "deeper.py").write_text(text)
    assert code_of("hccbook.stage") == before


def test_docstrings_of_functions_and_classes_change_nothing(package: Path) -> None:
    """A string that is used does."""
    source = 'def run():\n    {doc}return "{text}"\n\n\nclass Step:\n    {doc}size = 1\n'
    (package / "stage.py").write_text(source.format(doc="", text="a"))
    before = code_of("hccbook.stage").digest
    (package / "stage.py").write_text(source.format(doc='"""What it does."""\n\n    ', text="a"))
    assert code_of("hccbook.stage").digest == before
    (package / "stage.py").write_text(source.format(doc="", text="another"))
    assert code_of("hccbook.stage").digest != before


@pytest.mark.parametrize(
    ("file", "text", "counts"),
    [
        ("stage.py", MODULES["stage.py"].replace("shown()", "shown() + 1", 2), True),
        ("room/inside.py", MODULES["room/inside.py"].replace("VALUE", "VALUE * 2"), True),
        ("room/deeper.py", "VALUE = 20\n", True),
        ("room/beside.py", MODULES["room/beside.py"].replace("zeros", "ones"), False),
        ("table.py", "ENGINES = {}\n", False),
    ],
)
def test_a_changed_line_counts_where_it_is_run(package: Path, file: str, text: str, counts: bool) -> None:
    """The module itself, what it imports through a package, and what that imports; nothing that lies beside them."""
    before = code_of("hccbook.stage").digest
    (package / file).write_text(text)
    assert (code_of("hccbook.stage").digest != before) is counts


def test_a_re_export_that_moves_is_followed(package: Path) -> None:
    """The same name out of another module is other code."""
    (package / "room" / "__init__.py").write_text("from hccbook.room.beside import other as shown\n")
    code = code_of("hccbook.stage")
    assert code.modules == ("hccbook.room.beside", "hccbook.stage")
    assert [library.split()[0] for library in code.libraries] == ["numpy"]


def test_imports_inside_functions_and_relative_ones_count(package: Path) -> None:
    """They run when the function does."""
    (package / "stage.py").write_text("def run():\n    from .engines import fast\n\n    return fast\n")
    assert code_of("hccbook.stage").modules == ("hccbook.engines.fast", "hccbook.room.deeper", "hccbook.stage")


def test_a_string_that_names_a_module_counts(package: Path) -> None:
    """As in a table of engines; one that names nothing does not."""
    before = code_of("hccbook.table")
    assert before.modules == ("hccbook.engines.fast", "hccbook.room.deeper", "hccbook.table")
    (package / "engines" / "fast.py").write_text(MODULES["engines/fast.py"].replace("base.VALUE", "base.VALUE + 1"))
    assert code_of("hccbook.table").digest != before.digest


def test_a_data_file_beside_a_module_counts_where_it_is_named(package: Path) -> None:
    """One that no string of the module names does not."""
    before = code_of("hccbook.reader").digest
    (package / "unnamed.csv").write_text("a\n22\n")
    assert code_of("hccbook.reader").digest == before
    (package / "printed.csv").write_text("a\n22\n")
    assert code_of("hccbook.reader").digest != before


def test_source_counts_with_what_it_imports(package: Path) -> None:
    """A notebook's cells: their own text without comments, and the code behind it."""
    source = "from hccbook.stage import run\n\nrun()"
    before = code_of(source=source)
    assert before.modules == ("hccbook.room.deeper", "hccbook.room.inside", "hccbook.stage")
    assert code_of(source=f"# shows it\n{source}").digest == before.digest
    assert code_of(source=f"{source} + 1").digest != before.digest
    (package / "room" / "deeper.py").write_text("VALUE = 20\n")
    assert code_of(source=source).digest != before.digest


def test_a_library_counts_with_its_version(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy under another version is other code; the standard library is none."""
    before = code_of("hccbook.room.beside")
    assert before.libraries == (f"numpy {importlib.metadata.version('numpy')}",)
    monkeypatch.setattr(provenance, "_version", lambda name: f"{name} 99")
    after = code_of("hccbook.room.beside")
    assert after.libraries == ("numpy 99",)
    assert after.digest != before.digest
    assert code_of(source="import json, os.path").libraries == ()


def test_a_step_follows_from_its_module_and_its_inputs() -> None:
    """Two functions of one module are one step; another module or input is another."""
    assert step_digest(digest, 1) == step_digest(file_digest, 1)
    assert step_digest(digest, 1) != step_digest(digest, 2)
    assert step_digest(digest, 1) != step_digest(ast.parse, 1)


def test_distributions_are_those_of_the_libraries() -> None:
    """For every library that the package imports, the name that its version is asked by is that of its distribution."""
    imported = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    distributions = importlib.metadata.packages_distributions()
    libraries = sorted(imported - set(sys.stdlib_module_names) - {"hccbook", "__future__"})
    assert {"numpy", "sklearn", "torch", "SimpleITK"} <= set(libraries)

    def plain(name: str) -> str:
        return name.lower().replace("_", "-")

    for name in libraries:
        if name in distributions:
            assert plain(DISTRIBUTIONS.get(name, name)) in {plain(own) for own in distributions[name]}, name
    assert set(DISTRIBUTIONS) <= set(libraries)


def test_code_of_the_whole_package_names_installed_libraries() -> None:
    """Every module can be followed, and what it imports has a version."""
    names = [
        ".".join(("hccbook", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for file in PACKAGE.rglob("*.py")
    ]
    code = code_of(*names)
    assert set(code.modules) == set(names)
    found = {library.rpartition(" ")[0] for library in code.libraries}
    assert {"numpy", "scikit-learn", "torch", "SimpleITK"} <= found


# --- processor --------------------------------------------------------------------------------------------------------
