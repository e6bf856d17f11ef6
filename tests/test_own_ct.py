"""The page "Use your own CT": it shows what the benchmark kept, and its script runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from made_up_collection import mask_of, write_nifti, write_study

from hccbook.book.generated_pages import own_ct_blocks
from hccbook.cohort.manifest import manifest_problems, with_masks
from hccbook.collection import write_manifest
from hccbook.images import read_image, read_mask, to_array
from hccbook.settings import PHASES

FAULTY = (3, 9, 16, 22, 31, 40)


@pytest.fixture(scope="module")
def kept(project_root):
    """What the benchmark kept of an export of forty patients."""
    return json.loads((project_root / "benchmarks" / "own_ct.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(project_root):
    """Text of the page."""
    return (project_root / "book" / "own_data.md").read_text(encoding="utf-8")


def test_blocks_of_the_page(page, kept):
    """Each line that names a block is replaced by what was printed, whose lines stand in it as they were."""
    blocks = own_ct_blocks()
    assert [line for line in page.splitlines() if line.startswith("% own ct")] == list(blocks)
    for name, command in kept["commands"].items():
        block = blocks.get(f"% own ct: {name}", "")
        lines = command["printed"].strip().splitlines()
        assert not block or (lines[0] in block and lines[-1] in block)
    assert "core-seconds" in blocks["% own ct: cost"] and "{" not in blocks["% own ct: manifest"]


def test_forty_patients_of_whom_six_are_faulty(kept):
    """The manifest has all, with the phases of those whose CT is whole; check names the lines of the six."""
    assert (kept["patients"], kept["faulty"]) == (40, 6)
    assert kept["commands"]["manifest"]["printed"].startswith("patients.csv: 40 patients, 36 with all phases")
    told = set(re.findall(r"line (\d+),.*the patient is left out", kept["commands"]["check"]["printed"]))
    assert told == {str(number + 1) for number in FAULTY}


def test_the_six_are_left_out_and_nobody_else(kept):
    """34 go into the run of each paper; each of the six stands in the failures table, with a reason of its own kind."""
    assert kept["in_cohort"] == {"alarm": 34, "amap_ct": 34}
    assert [row["patient"] for row in kept["failures"]] == [f"P{number:04d}" for number in FAULTY]
    assert "none planted" not in {row["fault"] for row in kept["failures"]}
    assert not any(re.search(r"H70\d{4}|ACC81|[Kk]linikum", row["reason"]) for row in kept["failures"])


def test_book_of_the_other_thirty_four(kept):
    """They are in the book, and no file of run and book tells who anybody is."""
    if "in_book" not in kept:
        pytest.skip("benchmarks/own_ct.json was kept before the run")
    assert kept["in_book"] == kept["in_cohort"]
    assert kept["files_that_tell"] == [] and kept["planted_texts"] > 150 and kept["files_searched"] > 500
    assert kept["commands"]["run"]["exit_code"] == kept["commands"]["build"]["exit_code"] == 0


def test_script_for_totalsegmentator(tmp_path, monkeypatch, page):
    """The page's script calls TotalSegmentator for each volume, and one setting finds what it wrote."""
    (script,) = re.findall(r"```python\n(import csv\n.*?)```", page, re.DOTALL)
    write_study(tmp_path / "ct", patient="7 b")
    write_nifti(tmp_path / "made" / "liver.nii.gz", mask_of("liver"))
    program = tmp_path / "bin" / "TotalSegmentator"
    program.parent.mkdir()
    # In its place: masks that were made before, for every call of the form -i INPUT -o FOLDER.
    program.write_text(f'#!/bin/sh\n[ -e "$2" ] && mkdir -p "$4" && cp {tmp_path}/made/* "$4"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    report = write_manifest(tmp_path / "ct", tmp_path / "patients.csv")
    subprocess.run([shutil.which("python3") or sys.executable, "-c", script], cwd=tmp_path, check=True)
    table, _ = manifest_problems(report.manifest, PHASES)
    pattern = re.search(r"`masks: (segmentations/[^`]*)`", page)[1]
    (found,) = with_masks(table, pattern, tmp_path, PHASES).to_dict("records")
    for phase in PHASES:
        image = read_image(found[phase])
        mask = read_mask(found[f"liver_mask_{phase}"], image, organ="liver")
        assert to_array(mask).sum() == mask_of("liver").sum()
