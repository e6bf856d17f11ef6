"""Is this machine ready? What is missing, and what to do.

The module imports only the standard library when it is loaded, so that ``python3 src/hccbook/doctor.py``
answers on a machine that has nothing installed yet, and with any Python from 3.8 on.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

PYTHON = (3, 11)
"""Python that the locked versions are for."""

DISK_GB = {"demo": 5, "paper": 20}
"""Free disk that a profile needs, GB; the environment itself counts into the first."""

MEMORY_GB = 4
"""Memory that the demo may take, GB."""

CORES = 2
"""Cores that the times in the README are for."""

DEBIAN_COMPILER = f"Debian: apt-get install build-essential python{'.'.join(map(str, PYTHON))}-dev"
"""What a Debian lacks that cannot compile an extension."""

SET_UP = "Run `make distclean setup`."
"""What to do about an environment that is not as it should be."""

PROGRAMS = {
    "make": (("make",), "Debian: apt-get install make; or call `hccbook` itself."),
    "browser": (
        ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "firefox", "firefox-esr"),
        "Only the test that opens the rendered book is skipped. Debian: apt-get install chromium",
    ),
}
"""Programs that are wanted, not needed: the commands that do, and what to do without; a browser without a window."""

LIBRARIES = {
    "torch": (
        "import torch; n = torch.cuda.is_available();"
        "print(torch.__version__ + ', ' + (torch.cuda.get_device_name(0) if n else 'no CUDA device; the CPU will do'))",
        SET_UP,
    ),
    "PyRadiomics": (
        "import radiomics._cmatrices, radiomics._cshape; from importlib.metadata import version;"
        "print(version('pyradiomics') + ', compiled extension loads')",
        "Build it against the installed numpy: python -m pip install --no-build-isolation --no-cache-dir "
        "--force-reinstall --no-deps pyradiomics==3.0.1",
    ),
    "SimpleITK": ("import SimpleITK; print(SimpleITK.Version_VersionString())", SET_UP),
}
"""Libraries with compiled parts: what prints their version if they load, and what to do if they do not."""

OK, WARN, FAIL = "ok", "warn", "fail"
"""Levels of a finding: as it should be; works, but not everywhere or not as fast; does not work."""


@dataclass(frozen=True)
class Finding:
    """What one check found: what was looked at, its level, what is there, and what can be done (empty: nothing)."""

    name: str
    level: str
    found: str
    hint: str = ""


def diagnose(folder: Path | None = None) -> list[Finding]:
    """Look at this machine, then at the Python environment; that is a single warning where nothing is installed yet.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Clone of the project, whose disk and ``requirements.lock`` are looked at; the one that holds this file, or else
        the working directory.
    """
    folder = _clone() if folder is None else folder
    installed = _installed_versions()
    if "hccbook" not in installed:
        absent = Finding(
            "environment", WARN, "not installed yet", "Run `make setup`; `make book` and `make test` begin with it."
        )
        return [*check_before_install(folder), *_check_comfort(), absent]
    libraries = [_check_library(name) for name in LIBRARIES]
    # Who has the extension built needs no compiler any more.
    built = all(library.level == OK for library in libraries if library.name == "PyRadiomics")
    return [
        _check_python(),
        _check_compiler(level=WARN if built else FAIL),
        _check_disk(folder),
        *_check_comfort(),
        _check_locked(folder, installed),
        *libraries,
        _check_jupyter_book(installed),
        _check_snakemake(installed),
    ]


def check_before_install(folder: Path) -> list[Finding]:
    """What must hold before anything is installed: Python, its venv module, a C compiler, disk."""
    return [_check_python(), _check_venv(), _check_compiler(level=FAIL), _check_disk(folder)]


def is_ready(findings: list[Finding]) -> bool:
    """Whether nothing failed; warnings do not count."""
    return all(finding.level != FAIL for finding in findings)


def report(findings: list[Finding]) -> Table:
    """Findings as a table for the terminal, one row per finding, coloured by its level."""
    from rich.table import Table
    from rich.text import Text

    style = {OK: "green", WARN: "yellow", FAIL: "bold red"}
    table = Table("check", "state", "found", "hint", title=_summary(findings), title_justify="left")
    for finding in findings:
        state = Text(finding.level, style=style[finding.level])
        # Text, not str: a path in brackets must not be taken for markup.
        table.add_row(Text(finding.name), state, Text(finding.found), Text(finding.hint))
    return table


def plain_report(findings: list[Finding]) -> str:
    """Findings as lines of plain text, each hint on a line of its own."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:<5} {finding.name:<{width}}  {finding.found}")
        if finding.hint:
            lines.append(f"      {'':<{width}}  -> {finding.hint}")
    return "\n".join([*lines, _summary(findings)])


def _summary(findings: list[Finding]) -> str:
    failed = [finding.name for finding in findings if finding.level == FAIL]
    return f"Not ready: {', '.join(failed)}." if failed else "Ready."


def _clone() -> Path:
    here = Path(__file__).resolve()
    return next((parent for parent in here.parents if (parent / "requirements.lock").is_file()), Path.cwd())


def _installed_versions() -> dict[str, str]:
    """Version by normalised name of every distribution, without a build's local part (``+cpu``)."""
    found = {}
    for distribution in importlib.metadata.distributions():
        if distribution.metadata["Name"]:
            found.setdefault(_normalised(distribution.metadata["Name"]), distribution.version.split("+")[0])
    return found


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _finding(name: str, works: bool, found: str, hint: str, level: str = FAIL) -> Finding:
    return Finding(name, OK, found) if works else Finding(name, level, found, hint)


def _check_python() -> Finding:
    wanted = ".".join(map(str, PYTHON))
    hint = (
        f"The locked versions are for Python {wanted}. Debian: apt-get install python{wanted} python{wanted}-venv "
        f"python{wanted}-dev. Elsewhere: conda env create -f environment.yml, or pyenv install {wanted}. "
        f"Name it if it is not on the PATH: make setup PYTHON=/path/to/python{wanted}"
    )
    return _finding("Python", sys.version_info[:2] == PYTHON, f"{platform.python_version()} at {sys.executable}", hint)


def _check_venv() -> Finding:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    wanted = ".".join(map(str, sys.version_info[:2]))
    found = f"{sys.executable} has no module {' and no '.join(missing)}" if missing else "at hand"
    return _finding("venv", not missing, found, f"Debian: apt-get install python{wanted}-venv")


def _check_compiler(level: str) -> Finding:
    """Whether a C extension compiles, as PyRadiomics needs; `level` is what a failure counts as."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    program = shutil.which(command[0])
    if program is None:
        hint = f"PyRadiomics is built from source. {DEBIAN_COMPILER}"
        return Finding("C compiler", level, f"{command[0]} not found", hint)
    headers = sysconfig.get_path("include")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("#include <Python.h>\n#include <math.h>\n", encoding="ascii")
        build = [program, *command[1:], f"-I{headers}", "-c", str(source), "-o", str(source.with_suffix(".o"))]
        done = subprocess.run(build, capture_output=True, encoding="utf-8", check=False)
    if done.returncode == 0:
        return Finding("C compiler", OK, program)
    reason = next((line for line in done.stderr.splitlines() if "error" in line), "no reason given")
    found = f"{program} cannot compile a Python extension: {reason.split('error: ')[-1]}"
    return Finding("C compiler", level, found, DEBIAN_COMPILER)


def _check_disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / 1e9
    found = f"{free:.0f} GB free"
    if free < DISK_GB["demo"]:
        hint = f"The environment and the demo need {DISK_GB['demo']} GB: make room (`make clean` removes results/)."
        return Finding("disk", FAIL, found, hint)
    hint = f"Enough for the demo; profile paper needs {DISK_GB['paper']} GB."
    return _finding("disk", free >= DISK_GB["paper"], found, hint, WARN)


def _check_comfort() -> list[Finding]:
    """What makes a run faster or a check possible, but is not needed."""
    return [_check_program("make"), _check_cores(), _check_memory(), _check_program("browser")]


def _check_program(name: str) -> Finding:
    commands, hint = PROGRAMS[name]
    program = next(filter(None, map(shutil.which, commands)), None)
    return _finding(name, program is not None, program or f"{', '.join(commands)} not found", hint, WARN)


def _check_cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    hint = f"The README's times are for {CORES} cores; expect longer."
    return _finding("cores", cores >= CORES, str(cores), hint, WARN)


def _check_memory() -> Finding:
    total = _memory_gb()
    hint = f"The demo takes up to {MEMORY_GB} GB"
    if total is None:
        return Finding("memory", WARN, "unknown on this system", f"{hint}.")
    hint = f"{hint}: run with fewer cores, make book JOBS=1."
    return _finding("memory", total >= MEMORY_GB, f"{total:.1f} GB", hint, WARN)


def _memory_gb() -> float | None:
    """Memory of this machine, or of the container it is, in GB."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else ""
    return min(total, int(text) if text.isdigit() else total) / 1e9


def _check_locked(folder: Path, installed: dict[str, str]) -> Finding:
    """Whether the environment is the one that ``requirements.lock`` describes."""
    name = "locked versions"
    lock = folder / "requirements.lock"
    if not lock.is_file():
        return Finding(name, WARN, f"no requirements.lock in {folder}", "Run from a clone of hccbook.")
    pins = read_lock(lock)
    missing = [package for package in pins if package not in installed]
    other = [
        f"{package} {installed[package]} (locked {version})"
        for package, version in pins.items()
        if package in installed and installed[package] != version
    ]
    if missing:
        return Finding(name, FAIL, f"{len(missing)} of {len(pins)} missing: {_few(missing)}", SET_UP)
    if other:
        hint = f"Results may differ from the book's. {SET_UP}"
        return Finding(name, WARN, f"{len(other)} of {len(pins)} differ: {_few(other)}", hint)
    return Finding(name, OK, f"all {len(pins)} installed")


def read_lock(lock: Path) -> dict[str, str]:
    """Pinned version by normalised package name of a file of lines ``name==version``, comments skipped.

    Raises
    ------
    ValueError
        If another line is found.
    """
    pins = {}
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!]+)", line.strip())
        if match is None:
            raise ValueError(f"{lock.name}, line {number}: must be name==version, but found {line!r}. Run `make lock`.")
        pins[_normalised(match[1])] = match[2]
    return pins


def _few(items: list[str], most: int = 5) -> str:
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


def _answer(code: str) -> tuple[bool, str]:
    """What a fresh interpreter prints for `code`; a library that crashes the process is a finding, not a crash here."""
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return False, "no answer within two minutes"
    if done.returncode == 0:
        return True, done.stdout.strip()
    reason = (done.stderr.strip().splitlines() or [""])[-1]
    return False, reason or f"the interpreter ended with code {done.returncode}"


def _check_library(name: str) -> Finding:
    code, hint = LIBRARIES[name]
    return _finding(name, *_answer(code), hint)


def _check_jupyter_book(installed: dict[str, str]) -> Finding:
    version = installed.get("jupyter-book")
    if version is None:
        return Finding("Jupyter Book", FAIL, "not installed", SET_UP)
    hint = "Version 2 does not read _config.yml: run `make distclean setup`."
    return _finding("Jupyter Book", int(version.split(".")[0]) < 2, version, hint)


def _check_snakemake(installed: dict[str, str]) -> Finding:
    return _finding("Snakemake", "snakemake" in installed, installed.get("snakemake", "not installed"), SET_UP)


def main(arguments: list[str] | None = None) -> int:
    """Print the findings as plain text; 0 where the machine is ready, 1 otherwise."""
    parser = argparse.ArgumentParser(description="Is this machine ready for hccbook?")
    parser.add_argument(
        "--before-install", action="store_true", help="only what installation needs, and only what is wrong"
    )
    chosen = parser.parse_args(arguments)
    findings = check_before_install(_clone()) if chosen.before_install else diagnose()
    if not chosen.before_install:
        print(plain_report(findings))
    elif not is_ready(findings):
        print(plain_report([finding for finding in findings if finding.level == FAIL]), file=sys.stderr)
    return 0 if is_ready(findings) else 1


if __name__ == "__main__":
    # Run as a file, this folder leads the path; a module here must not stand in for a library of the same name.
    sys.path.pop(0)
    sys.exit(main())
