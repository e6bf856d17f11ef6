"""Set-up and hygiene: one set of versions, a Makefile that installs once, nothing of one machine in the files."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import socket
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from hccbook.doctor import read_lock
from hccbook.papers import PAPERS
from hccbook.run import CHAPTERS, STAGES, notebook_name
from hccbook.settings import load_profile

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

BUILD_TOOLS = ("pip", "setuptools", "wheel")
"""Installed before everything else."""

BUILT_LAST = ("pyradiomics",)
"""Needs numpy while it is built, so that no environment file can name it."""


# --- one set of versions -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    return read_lock(ROOT / "requirements.lock")


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _direct() -> list[Requirement]:
    """What pyproject.toml names itself: for running, and for testing."""
    project = _project()
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("requirement", _direct(), ids=lambda requirement: requirement.name)
def test_direct_dependency_is_locked_within_its_range(requirement, locked):
    """Each dependency of pyproject.toml has a range, and the locked version lies in it."""
    assert len(requirement.specifier) > 0, f"{requirement.name}: give a range of versions in pyproject.toml"
    version = locked[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version), f"{requirement}: requirements.lock has {version}"


def test_environment_yml_pins_what_is_locked(locked):
    """Conda users get the same versions: the direct dependencies and the build tools, no more and no fewer."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip_lines,) = [item["pip"] for item in content["dependencies"] if isinstance(item, dict)]
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in pip_lines)}
    expected = {canonicalize_name(requirement.name) for requirement in _direct()} - set(BUILT_LAST)
    expected |= {"setuptools", "wheel"}
    assert pins == {name: locked[name] for name in expected}


def test_environment_yml_has_the_locked_python():
    """Conda installs a Python that pyproject.toml allows, from conda-forge alone."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (python,) = [item for item in content["dependencies"] if isinstance(item, str) and item.startswith("python=")]
    assert SpecifierSet(_project()["requires-python"]).contains(python.removeprefix("python=") + ".0")
    assert content["channels"] == ["conda-forge"]


def test_lock_pins_the_build_tools(locked):
    """pip, setuptools and wheel come first, so they are pinned too."""
    assert set(BUILD_TOOLS) <= set(locked)


def test_lock_holds_nothing_unneeded(locked):
    """Every locked package is a direct dependency, a build tool, or required by another locked package."""
    needed, waiting = set(BUILD_TOOLS), [canonicalize_name(requirement.name) for requirement in _direct()]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        if name not in locked:
            continue
        requirements = map(Requirement, importlib.metadata.requires(name) or [])
        waiting += [canonicalize_name(requirement.name) for requirement in requirements if _applies(requirement)]
    assert sorted(set(locked) - needed) == []


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", "-e .", "a @ file:a.whl", "torch==2.13.0+cpu"])
def test_lock_line_that_is_no_pin_is_refused(tmp_path, line):
    """A lock that pins loosely, or names a file or one build (+cpu), is no lock; the message names the line."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"# comment\n\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"requirements\.lock, line 3: must be name==version"):
        read_lock(lock)


def test_citation_has_the_version_of_the_package():
    """CITATION.cff cites this version and both papers."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == _project()["version"]
    assert citation["license"] == _project()["license"]
    dois = {reference["doi"] for reference in citation["references"]}
    assert dois == {"10.1016/j.eclinm.2024.102718", "10.14218/JCTH.2025.00091"}


# --- other ways to an environment ------------------------------------------------------------------------------------


def test_binder_has_the_same_environment_and_sets_up_as_everybody():
    """Binder reads the one environment.yml; what follows are scripts that it can start, and `make setup`."""
    assert (ROOT / "binder" / "environment.yml").resolve() == (ROOT / "environment.yml").resolve()
    for name in ("postBuild", "start"):
        file = ROOT / "binder" / name
        assert file.stat().st_mode & 0o111, f"binder/{name} must be executable"
        assert file.read_text(encoding="utf-8").startswith("#!/bin/bash\n")
    assert "make setup" in (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    assert 'exec "$@"' in (ROOT / "binder" / "start").read_text(encoding="utf-8")


def test_devcontainer_names_the_python_and_what_is_there():
    """Its image has a Python that pyproject.toml allows; it calls the Makefile, whose environment it uses."""
    content = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    image, _, tag = content["image"].partition(":")
    assert image == "python"
    assert SpecifierSet(_project()["requires-python"]).contains(tag.partition("-")[0] + ".0")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    command, target = content["postCreateCommand"].split()
    assert command == "make" and re.search(rf"^{target}:", makefile, re.MULTILINE)
    (venv,) = re.findall(r"^VENV \?= (.+)$", makefile, re.MULTILINE)
    interpreter = content["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter == f"${{containerWorkspaceFolder}}/{venv}/bin/python"


def test_book_is_built_without_a_network():
    """`.ci/run` builds the smoke book in `.ci/offline`, in which this machine answers and no other can be reached."""
    assert ".ci/offline make book PROFILE=smoke" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    asks = (
        "import socket; server = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(server.getsockname()).close(); print('here');"
        "socket.create_connection(('192.0.2.1', 80), timeout=5)"
    )
    done = subprocess.run([ROOT / ".ci" / "offline", "python3", "-c", asks], capture_output=True, text=True, cwd=ROOT)
    if done.returncode == 77:
        pytest.skip("the system does not allow unshare, so that the network cannot be taken away")
    assert done.stdout == "here\n"
    assert "Network is unreachable" in done.stderr


# --- the Makefile ------------------------------------------------------------------------------------------------

STAND_IN = """#!/bin/sh
# Stands in for python: notes what it was asked, and makes an environment that holds itself.
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *"$FAILING"*) [ -z "$FAILING" ] || exit 1 ;;
esac
"""


class _Clone:
    """Copy of the set-up files, where a stand-in for Python notes its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        self.python = folder / "stand-in"
        self.python.write_text(STAND_IN, encoding="utf-8")
        self.python.chmod(0o755)
        self.calls_file = folder / "calls"

    def make(self, *arguments: str, failing: str = "") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "CALLS": str(self.calls_file), "FAILING": failing}
        command = ["make", "--no-print-directory", f"PYTHON={self.python}", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, encoding="utf-8", check=False
        )

    def calls(self) -> list[str]:
        """What Python was asked since the last call of this."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text(encoding="utf-8").splitlines()
        self.calls_file.unlink()
        return lines

    def installs(self) -> list[str]:
        return [line.removeprefix("-m pip install ") for line in self.calls() if line.startswith("-m pip install")]


@pytest.fixture
def clone(tmp_path) -> _Clone:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    return _Clone(tmp_path)


def test_make_alone_lists_every_target():
    """`make` is `make help`, and each target that can be called says what it does."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    described = dict(re.findall(r"^  make (\w+) +(\S.*)$", printed, flags=re.MULTILINE))
    targets = {"help", "setup", "book", "test", "codecheck", "lint", "doctor", "lock", "clean", "distclean"}
    assert targets == set(described)


def test_every_phony_target_is_described():
    """A target without a description would be missing from the help."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = {name for line in re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE) for name in line.split()}
    described = set(re.findall(r"^(\w+):.*## ", text, flags=re.MULTILINE))
    assert phony == described


def test_first_call_installs_in_order(clone, locked):
    """numpy and torch come before the rest, PyRadiomics after it and without isolation, the package last."""
    done = clone.make("setup")
    assert done.returncode == 0, done.stderr
    calls = clone.calls()
    assert calls[0] == "src/hccbook/doctor.py --before-install"
    assert "-m venv .venv" in calls[1:]
    installs = [line.removeprefix("-m pip install ") for line in calls if line.startswith("-m pip install")]
    tools, heavy, rest, radiomics, package = installs
    assert tools.split() == [f"{name}=={locked[name]}" for name in BUILD_TOOLS]
    assert set(heavy.split()) >= {f"numpy=={locked['numpy']}", f"torch=={locked['torch']}"}
    assert rest == "--requirement .venv/without-pyradiomics.txt"
    without = read_lock(clone.folder / ".venv" / "without-pyradiomics.txt")
    assert without == {name: version for name, version in locked.items() if name not in BUILT_LAST}
    (fetched,) = [line for line in calls if line.startswith("-m pip download")]
    assert fetched.endswith(" --no-binary :all: --dest .venv/sources pyradiomics==3.0.1")
    assert calls.index(fetched) + 1 == calls.index(f"-m pip install {radiomics}")
    assert "--no-build-isolation" in radiomics
    assert radiomics.endswith(" pyradiomics==3.0.1")
    assert package == "--no-deps --no-build-isolation --editable ."


def test_installation_names_no_index(clone):
    """Where packages come from is the user's own setting; PyRadiomics is built from the archive fetched before."""
    clone.make("setup")
    options = {word for line in clone.installs() for word in line.split() if word.startswith("-")}
    assert options == {
        "--constraint",
        "--requirement",
        "--no-build-isolation",
        "--no-cache-dir",
        "--no-deps",
        "--no-index",
        "--find-links",
        "--editable",
    }


def test_second_call_installs_nothing(clone):
    """With nothing changed Python is not even started; a new date on the lock is no change."""
    clone.make("setup")
    assert len(clone.installs()) == 5
    assert clone.make("setup").returncode == 0
    (clone.folder / "requirements.lock").touch()
    assert clone.make("setup").returncode == 0
    assert clone.calls() == []


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_file_installs_again(clone, name):
    """Another lock or another pyproject.toml is installed at the next call, once."""
    clone.make("setup")
    clone.calls()
    with (clone.folder / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    clone.make("setup")
    assert len(clone.installs()) == 5
    clone.make("setup")
    assert clone.calls() == []


def test_interrupted_installation_goes_on(clone):
    """An installation that stopped is not taken for a finished one."""
    done = clone.make("setup", failing="--requirement")
    assert done.returncode != 0
    assert "-m venv .venv" in clone.calls()
    assert clone.make("setup").returncode == 0
    calls = clone.calls()
    assert "-m venv .venv" not in calls
    assert calls[-2] == "-m pip install --no-deps --no-build-isolation --editable ."
    assert "find_engine" in calls[-1]


def test_machine_that_is_not_ready_gets_nothing_installed(clone):
    """What the doctor finds wrong stops the set-up before a folder is made."""
    done = clone.make("setup", failing="--before-install")
    assert done.returncode != 0
    assert clone.installs() == []
    assert not (clone.folder / ".venv").exists()


def test_missing_python_is_one_clear_message(clone):
    """Without any Python, `make` itself says what is needed and the hint."""
    clone.python.unlink()
    done = clone.make("setup")
    assert done.returncode != 0
    assert "Python must be 3.11, but none was found. Debian: apt-get install python3.11" in done.stderr


def test_book_runs_then_renders(clone):
    """The profile and the cores reach the command; the demo is the default."""
    printed = clone.make("--dry-run", "book").stdout
    assert 'hccbook" run --profile "demo"\n' in printed
    assert 'hccbook" build --profile "demo"\n' in printed
    printed = clone.make("--dry-run", "book", "PROFILE=own", "JOBS=3", "MANIFEST=my patients.csv").stdout
    assert 'hccbook" run --profile "own" --jobs 3 --manifest "my patients.csv"\n' in printed


def test_clean_leaves_the_environment(clone):
    """`clean` removes what runs and builds made; only `distclean` removes the environment."""
    for name in ("src", "tests", "notebooks", "results/demo/book"):
        (clone.folder / name).mkdir(parents=True)
    clone.make("setup")
    assert clone.make("clean").returncode == 0
    assert not (clone.folder / "results").exists()
    assert (clone.folder / ".venv").is_dir()
    assert clone.make("distclean").returncode == 0
    assert not (clone.folder / ".venv").exists()


# --- nothing of one machine --------------------------------------------------------------------------------------

# Written in pieces, so that this file does not hold what it looks for.
HOSTS = [
    "py" + "pi.org",
    "pythonhosted" + ".org",
    "download.py" + "torch.org",
    "conda.ana" + "conda.org",
    "deb.deb" + "ian.org",
    "registry.np" + "mjs.org",
]
MACHINE_PATHS = re.compile(
    r"(?<![\w.~)}\]-])/(?:" + "|".join(["root", "home", "work", "Users", "opt/" + "pypi"]) + r")/\w|[A-Z]:\\Users\\"
    r"|\.venv/lib/" + "python"
)


def _tracked() -> list[Path]:
    """Files of the clone that git tracks, or would: not those it ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in sorted(set(done.stdout.split("\0"))) if name and (path := ROOT / name).is_file()]


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for file in _tracked():
        content = file.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            match = pattern.search(line)
            if match is not None:
                start = max(match.start() - 20, 0)
                found.append(f"{file.relative_to(ROOT)}:{number}: {line[start : match.end() + 40]}")
    return found


def test_no_registry_host_in_tracked_files():
    """Where packages come from is a setting of the user's machine, not of the project."""
    found = _lines_with(re.compile("|".join(map(re.escape, HOSTS))))
    assert not found, "\n" + "\n".join(found)


def test_no_machine_path_in_tracked_files():
    """Sources, data and stored outputs name no folder of the machine they were made on."""
    found = _lines_with(MACHINE_PATHS)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("/" + "home/ana/ct.nii.gz", True),
        ("'/" + "root/x'", True),
        ("a=/" + "work/main", True),
        ("C:" + "\\Users\\ana", True),
        ("see a/home/b and the framework/" + "work/flow", False),
        ("head/" + "work/", False),
        ("/path/to/python3.11", False),
    ],
)
def test_machine_path_pattern(line, caught):
    """The pattern finds home folders, not words that look like them."""
    assert (MACHINE_PATHS.search(line) is not None) is caught


def test_tracked_files_are_small():
    """No file weighs more than 3 MB in every clone."""
    heavy = [str(file.relative_to(ROOT)) for file in _tracked() if file.stat().st_size > 3_000_000]
    assert heavy == []


def test_readme_links_lead_somewhere():
    """Pictures and files that the README points to are there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("name", ["smoke", "demo", "paper"])
def test_readme_has_the_patients_of_each_profile(name):
    """The README's numbers of patients are those of the profile."""
    row = re.search(rf"^\| `{name}`.*$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    cohort = load_profile(ROOT / "profiles" / f"{name}.yaml").cohort.model_dump()
    sizes = {key: value for key, value in cohort.items() if not key.endswith(("_hcc", "_effect"))}
    totals = [sum(value for key, value in sizes.items() if key.startswith(paper)) for paper in PAPERS]
    printed = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d", row.split("|")[3])]
    assert printed == totals


# --- the notebooks -----------------------------------------------------------------------------------------------


def test_every_stage_has_its_notebook():
    """Eight stages, eight notebooks, named in order."""
    names = [notebook_name(stage) for stage in STAGES]
    assert len(names) == 8
    assert sorted(set(names) - {file.stem for file in NOTEBOOKS}) == []


def _code(file: Path) -> list[tuple[int, nbformat.NotebookNode]]:
    """Code cells with something in them, each with its place in the notebook, from 1."""
    notebook = nbformat.read(file, as_version=4)
    cells = enumerate(notebook.cells, start=1)
    return [(place, cell) for place, cell in cells if cell.cell_type == "code" and cell.source.strip()]


def _parsed(cell: nbformat.NotebookNode) -> ast.Module:
    return ast.parse(TransformerManager().transform_cell(cell.source))


@pytest.fixture(params=NOTEBOOKS, ids=lambda file: file.stem)
def notebook(request) -> Path:
    return request.param


def test_notebook_is_valid(notebook):
    """The file follows the notebook format and names its language, which papermill asks for."""
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    assert content.metadata.language_info.name == "python"


def test_notebook_is_executed_in_order(notebook):
    """nbval passes silently on a cell without stored output, so each must have been executed, from the first on."""
    counts = [cell.execution_count for _, cell in _code(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "Run: hccbook refresh"


def test_notebook_stores_no_error(notebook):
    """No stored output is an exception or a warning on stderr."""
    bad = [
        place
        for place, cell in _code(notebook)
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert bad == []


def test_notebook_defines_nothing(notebook):
    """A function or class belongs in the package, where it is tested."""
    defined = [
        f"cell {place}: {node.name}"
        for place, cell in _code(notebook)
        for node in ast.walk(_parsed(cell))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert defined == []


def test_notebook_cells_are_short(notebook):
    """A cell has at most ten lines besides imports, the parameters aside."""
    long = [
        f"cell {place}: {lines} lines"
        for place, cell in _code(notebook)
        if "parameters" not in cell.metadata.get("tags", []) and (lines := _lines_besides_imports(cell)) > 10
    ]
    assert long == []


def _lines_besides_imports(cell: nbformat.NotebookNode) -> int:
    imports = [node for node in _parsed(cell).body if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = sum(node.end_lineno - node.lineno + 1 for node in imports)
    return len([line for line in cell.source.splitlines() if line.strip()]) - imported


def test_notebook_opens_with_its_purpose(notebook):
    """The first cell is prose, with the page's title; a label for links may stand above it."""
    first = nbformat.read(notebook, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"(\([\w-]+\)=\n+)?# \S", first.source)


def _parameters(file: Path) -> dict[str, object]:
    cells = [cell for _, cell in _code(file) if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) <= 1
    values = {}
    for node in [node for cell in cells for node in _parsed(cell).body]:
        assert isinstance(node, ast.Assign | ast.AnnAssign), ast.unparse(node)
        (target,) = node.targets if isinstance(node, ast.Assign) else [node.target]
        values[target.id] = ast.literal_eval(node.value)
    return values


def test_parameters_are_the_smoke_profile(notebook):
    """The parameters cell holds plain scalars: every setting of the stage, as in profiles/smoke.yaml."""
    (stage,) = [name for name in (*STAGES, *CHAPTERS) if notebook_name(name) == notebook.stem]
    profile = load_profile(ROOT / "profiles" / "smoke.yaml")
    expected = profile.parameters(stage) | {"results": "results/smoke"}
    given = _parameters(notebook)
    given.pop("workers", None)
    assert set(profile.parameters(stage)) - set(profile.run.model_dump()) <= set(given)
    assert given == {name: expected[name] for name in given}


# --- what must not be left behind --------------------------------------------------------------------------------


def test_no_two_tests_share_a_name():
    """A test that is defined twice in a file runs once: the second hides the first."""
    hidden = []
    for file in sorted((ROOT / "tests").glob("test_*.py")):
        names = [
            node.name
            for node in ast.parse(file.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        hidden += [f"{file.name}: {name}" for name in sorted(set(names)) if names.count(name) > 1]
    assert hidden == []


def test_a_test_that_uses_the_network_fails():
    """Nothing is downloaded: a connection to another machine (an address reserved for documentation) is an error."""
    refused = pytest.raises(AssertionError, match=r"must not use the network, but asked for \('192\.0\.2\.1', 80\)")
    with socket.socket() as opened, refused:
        opened.connect(("192.0.2.1", 80))
