"""The doctor: each check on a machine that has, and on one that lacks, what it looks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from hccbook import doctor
from hccbook.doctor import FAIL, OK, WARN, Finding, diagnose, is_ready, plain_report, report

GOOD = Finding("make", OK, "/usr/bin/make")
BETTER = Finding("cores", WARN, "1", "Expect longer.")
BAD = Finding("C compiler", FAIL, "gcc not found", "apt-get install build-essential")


def _printed(table) -> str:
    console = Console(width=160, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(table)
    return console.export_text()


def test_warnings_alone_are_ready():
    """A machine without comfort works; one that fails a check does not."""
    assert is_ready([GOOD, BETTER])
    assert not is_ready([GOOD, BETTER, BAD])


def test_report_has_a_row_a_finding():
    """The table shows what was found and the hint, and says first what is wrong."""
    table = report([GOOD, BETTER, BAD])
    assert table.row_count == 3
    printed = _printed(table)
    assert printed.startswith("Not ready: C compiler.")
    for text in ("gcc not found", "apt-get install build-essential", "Expect longer."):
        assert text in printed


def test_report_keeps_brackets():
    """What looks like markup in a path is shown as it is."""
    assert "/data[old]/python" in _printed(report([Finding("Python", OK, "/data[old]/python")]))


def test_plain_report_gives_each_hint():
    """Without rich the same is said in lines of text."""
    lines = plain_report([GOOD, BAD]).splitlines()
    assert lines[0].split() == ["ok", "make", "/usr/bin/make"]
    assert lines[1].startswith("fail  C compiler")
    assert lines[2].strip() == "-> apt-get install build-essential"
    assert lines[3] == "Not ready: C compiler."


def test_this_environment_is_ready(project_root):
    """Where these tests run, every library loads; each warning or failure has a hint."""
    findings = diagnose(project_root)
    by_name = {finding.name: finding for finding in findings}
    assert {"Python", "C compiler", "disk", "make", "cores", "memory", "browser"} < set(by_name)
    for name in ("torch", "PyRadiomics", "SimpleITK", "Jupyter Book", "Snakemake"):
        assert by_name[name].level == OK, by_name[name]
    assert all(finding.hint for finding in findings if finding.level != OK)
    assert not any(finding.hint for finding in findings if finding.level == OK)


@pytest.mark.parametrize(("minor", "level"), [(10, FAIL), (11, OK), (12, FAIL)])
def test_python_version(monkeypatch, minor, level):
    """Python 3.11 and no other; the message says which was found."""
    monkeypatch.setattr(sys, "version_info", (3, minor, 4, "final", 0))
    monkeypatch.setattr(doctor.platform, "python_version", lambda: f"3.{minor}.4")
    finding = doctor._check_python()
    assert finding.level == level
    assert f"3.{minor}.4" in finding.found
    if level == FAIL:
        assert "apt-get install python3.11 python3.11-venv python3.11-dev" in finding.hint


def test_missing_venv_module(monkeypatch):
    """Debian ships Python without ensurepip; the hint names the package of this version."""
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    monkeypatch.setattr(sys, "version_info", (3, 11, 2, "final", 0))
    finding = doctor._check_venv()
    assert finding.level == FAIL
    assert finding.found.endswith("has no module ensurepip")
    assert finding.hint == "Debian: apt-get install python3.11-venv"


def test_missing_compiler(monkeypatch):
    """A compiler that is not there is named."""
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    finding = doctor._check_compiler(level=FAIL)
    assert (finding.level, finding.found) == (FAIL, "no-such-compiler not found")
    assert "build-essential" in finding.hint


def test_compiler_without_headers(monkeypatch, tmp_path):
    """A compiler that cannot find Python.h is no use: its own reason is shown."""
    compiler = tmp_path / "cc"
    compiler.write_text(
        "#!/bin/sh\necho 'probe.c:1:10: fatal error: Python.h: No such file or directory' >&2\nexit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    finding = doctor._check_compiler(level=WARN)
    assert finding.level == WARN
    assert finding.found.endswith("cannot compile a Python extension: Python.h: No such file or directory")
    assert "python3.11-dev" in finding.hint


@pytest.mark.parametrize(
    ("gigabytes", "level", "hint"), [(4.9, FAIL, "make room"), (19, WARN, "Enough for the demo"), (21, OK, "")]
)
def test_free_disk(monkeypatch, tmp_path, gigabytes, level, hint):
    """5 GB for the demo, 20 for the paper's cohort sizes; 1 GB is 10^9 bytes."""
    usage = doctor.shutil.disk_usage(tmp_path)._replace(free=int(gigabytes * 1e9))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    finding = doctor._check_disk(tmp_path)
    assert finding.level == level
    assert hint in finding.hint


@pytest.mark.parametrize(("gigabytes", "level"), [(2.0, WARN), (8.0, OK), (None, WARN)])
def test_memory(monkeypatch, gigabytes, level):
    """Less than the demo takes, or not to be known, is a warning."""
    monkeypatch.setattr(doctor, "_memory_gb", lambda: gigabytes)
    assert doctor._check_memory().level == level


def test_one_core_is_slow(monkeypatch):
    """One core works; the times printed for two do not hold."""
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert doctor._check_cores().level == WARN


def test_missing_programs_are_warnings(monkeypatch):
    """make and a browser are wanted, not needed."""
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor._check_program("make") == Finding("make", WARN, "make not found", doctor.PROGRAMS["make"][1])
    assert doctor._check_program("browser").level == WARN


def test_missing_locked_package_fails(tmp_path):
    """Packages that the lock names and the environment lacks are counted and named."""
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\nPyYAML==6.0.3\n", encoding="utf-8")
    finding = doctor._check_locked(tmp_path, {"numpy": "2.4.6"})
    assert (finding.level, finding.found) == (FAIL, "1 of 2 missing: pyyaml")


def test_other_version_than_locked_is_a_warning(tmp_path):
    """Another version works, but the numbers may differ."""
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\nPyYAML==6.0.3\n", encoding="utf-8")
    finding = doctor._check_locked(tmp_path, {"numpy": "2.3.0", "pyyaml": "6.0.3"})
    assert (finding.level, finding.found) == (WARN, "1 of 2 differ: numpy 2.3.0 (locked 2.4.6)")
    assert "Results may differ" in finding.hint


def test_no_lock_is_a_warning(tmp_path):
    """Outside a clone there is nothing to compare with."""
    assert doctor._check_locked(tmp_path, {}).level == WARN


def test_library_that_crashes_is_a_finding(monkeypatch):
    """A library that kills the interpreter, or raises, does not take the doctor along."""
    assert doctor._answer("import os; os.abort()") == (False, "the interpreter ended with code -6")
    assert doctor._answer("import no_such_library") == (False, "ModuleNotFoundError: No module named 'no_such_library'")
    monkeypatch.setattr(doctor, "_answer", lambda code: (False, "ImportError: libgomp.so.1"))
    assert doctor._check_library("torch") == Finding(
        "torch", FAIL, "ImportError: libgomp.so.1", "Run `make distclean setup`."
    )
    assert "--no-build-isolation" in doctor._check_library("PyRadiomics").hint


@pytest.mark.parametrize(("version", "level"), [("1.0.4.post1", OK), ("2.0.0", FAIL), ("2.1.0b1", FAIL), (None, FAIL)])
def test_jupyter_book_stays_below_2(version, level):
    """Jupyter Book 2 does not read _config.yml."""
    installed = {} if version is None else {"jupyter-book": version}
    assert doctor._check_jupyter_book(installed).level == level


def test_before_anything_is_installed(project_root, tmp_path):
    """Run as a file by a bare Python, the doctor answers in plain text and says what to do next."""
    file = Path(doctor.__file__)
    # -S leaves the environment's packages out, as on a machine that has none.
    command = [sys.executable, "-S", "-E", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert "Traceback" not in done.stderr
    assert "environment" in done.stdout
    assert "make setup" in done.stdout


def test_before_install_prints_problems_only(monkeypatch, capsys):
    """A machine that is ready hears nothing; another gets the hint on stderr, and exit code 1."""
    monkeypatch.setattr(doctor, "check_before_install", lambda folder: [GOOD, BETTER])
    assert doctor.main(["--before-install"]) == 0
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(doctor, "check_before_install", lambda folder: [GOOD, BAD])
    assert doctor.main(["--before-install"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "apt-get install build-essential" in err
    assert "/usr/bin/make" not in err
