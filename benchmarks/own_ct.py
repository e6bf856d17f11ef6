"""From an archive's export without masks and without a manifest to a book, by the commands that a user gives.

    .venv/bin/python benchmarks/own_ct.py FOLDER                      # everything; ten minutes of one core
    .venv/bin/python benchmarks/own_ct.py FOLDER --until manifest     # only what comes before the run

Forty simulated patients are exported as archives do, in each `MANNERS`, under made-up names that stand in folders and
headers; six of them are faulty, each in another way. `hccbook manifest`, `check`, `run` and `build` are called as the
page "Use your own CT" calls them, and what they print is kept. Liver and spleen are segmented by `NETWORK`, which knows
simulated patients, because these are simulated; a user names weights of their own in the same place.
Then everything that was left is searched for what was planted, by a search that shares no code with the package's own.
Writes ``benchmarks/own_ct.json``, from which the page is made. What `FOLDER` already holds is not made again.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import yaml

from hccbook.papers import PAPERS
from hccbook.phantom import render_patient, simulate_clinical
from hccbook.phantom.export import MANNERS, write_export
from hccbook.pipeline import files
from hccbook.pipeline.cohort import make_cohort
from hccbook.pipeline.costs import processor_kind, read_costs
from hccbook.run import RunPaths, benchmark_file, profile_file, project_root
from hccbook.settings import PHASES, CohortSettings, load_profile

PATIENTS = 40
SETTINGS = CohortSettings(
    acquisition_spacing_mm=9.0,
    alarm_discovery=24,
    alarm_discovery_hcc=10,
    alarm_internal=6,
    alarm_internal_hcc=3,
    alarm_external=10,
    alarm_external_hcc=4,
)
HOSPITALS = ("Wesperauer Klinikum", "Sanatorio Ombravia", "Hopital Velmontois")
REFERRER = "Ombretti^Savino"
NETWORK = "data/networks/synthetic.safetensors"
SYLLABLES = ("zor", "vath", "eli", "dra", "qua", "sten", "ib", "hol", "mey", "rik", "tau", "wex")


def person(number: int) -> dict[str, str]:
    """Everything that tells who a patient is, in folders and headers."""
    spelt = ["".join(SYLLABLES[(number * step + place) % 12] for place in range(3)) for step in (5, 7)]
    return {
        "PatientName": f"{spelt[0].title()}^{spelt[1].title()}",
        "PatientID": f"H{700_100 + 37 * number}",
        "PatientBirthDate": f"19{40 + number % 30}{number % 12 + 1:02d}{number % 28 + 1:02d}",
        "AccessionNumber": f"ACC{8_104_000 + 91 * number}",
    }


# --- faults -----------------------------------------------------------------------------------------------------------


def cut_off(folder: Path) -> None:
    """The copy of a slice broke off."""
    file = sorted(folder.rglob("4.*/*.dcm"))[7]
    file.write_bytes(file.read_bytes()[:-300])


def without_delayed(folder: Path) -> None:
    for file in folder.rglob("4.*/*.dcm"):
        file.unlink()


def untold(folder: Path) -> None:
    """Venous and delayed slices in one series, and nothing that tells them apart."""
    for number, file in enumerate(sorted(folder.rglob("[34].*/*.dcm"))):
        header = pydicom.dcmread(file)
        header.SeriesInstanceUID, header.AcquisitionNumber, header.SeriesNumber = "1.2.826.7", 2, 3
        header.AcquisitionTime = header.SeriesTime = "090110"
        del header.InstanceNumber
        header.save_as(file.with_name(f"{number}.dcm"))
        file.unlink()


def second_study(folder: Path) -> None:
    """The same protocol again, half a year later."""
    for file in sorted(folder.rglob("*.dcm")):
        header = pydicom.dcmread(file)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            setattr(header, keyword, f"{getattr(header, keyword)[:-3]}.77")
        header.StudyDate = header.AcquisitionDate = header.SeriesDate = header.ContentDate = "20200703"
        target = folder / "later" / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(target)


FAULTS: dict[int, tuple[str, Callable[[Path], None] | None]] = {
    3: ("delayed phase never taken", without_delayed),
    9: ("a slice cut off", cut_off),
    16: ("two studies with all phases", second_study),
    22: ("bilirubin in mg/dL", None),
    31: ("two phases at the same places, nothing tells them apart", untold),
    40: ("no row in the clinical table", None),
}


def export(folder: Path) -> None:
    """Write the archive's tree and the clinical table."""
    table, rows = simulate_clinical("alarm", SETTINGS), []
    for number, row in enumerate(table.to_dict("records"), start=1):
        who = person(number)
        hospital = HOSPITALS[number % len(HOSPITALS)]
        tags = who | {"InstitutionName": hospital, "ReferringPhysicianName": REFERRER}
        volumes = {phase: image for phase, (image, _) in render_patient(row, SETTINGS).items()}
        manner = "series" if number in FAULTS else MANNERS[number % 3]
        home = folder / "ct" / who["PatientName"].replace("^", " ")
        written = write_export(home, row | {"patient_id": who["PatientID"]}, volumes, manner, **tags)
        spoil = FAULTS.get(number, ("", None))[1]
        if spoil is not None:
            spoil(written)
        values = ("age", "sex", "bilirubin", "albumin", "platelets", "afp", "alt", "etiology", "hcc", "months")
        rows.append({"case": who["PatientID"], "centre": hospital} | {name: row[name] for name in values})
    clinical = pd.DataFrame(rows)
    clinical["age"] = clinical["age"].round().astype(int)
    clinical.loc[22 - 1, "bilirubin"] = round(clinical.loc[22 - 1, "bilirubin"] / 17.1, 1)
    clinical.drop(index=40 - 1).to_csv(folder / "clinical.csv", index=False)


# --- the commands -----------------------------------------------------------------------------------------------------


def write_profile(file: Path) -> None:
    """The example's profile with one setting for the masks, and the sizes of `smoke` so that it is quick."""
    own = yaml.safe_load(profile_file("own.example").read_text(encoding="utf-8"))
    smoke = yaml.safe_load(profile_file("smoke").read_text(encoding="utf-8"))
    quick = {name: values for name, values in smoke.items() if name not in ("cohort", "segmentation")}
    own = quick | own
    own["cohort"]["centre_names"] = "coded"
    own["preprocessing"]["spacing_mm"] = 8.0
    own["segmentation"] |= {"mask_source": "network", "weights": NETWORK}
    file.write_text(yaml.safe_dump(own, sort_keys=False), encoding="utf-8")


def command(folder: Path, *words: str) -> tuple[str, float, int]:
    """What a command prints, its processor time in s, and its exit code."""
    before = os.times()
    result = subprocess.run(
        [sys.executable, "-m", "hccbook.cli", *words],
        cwd=folder,
        env=os.environ | {"HCCBOOK_ROOT": str(project_root())},
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    print(result.stdout, result.stderr[-2000:], sep="\n", flush=True)
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return result.stdout, round(spent, 1), result.returncode


# --- privacy ----------------------------------------------------------------------------------------------------------


def contents(file: Path) -> Iterator[bytes]:
    """Bytes of a file, unpacked where it is packed."""
    whole = file.read_bytes()
    yield whole
    if file.suffix == ".gz":
        yield gzip.decompress(whole)
    if whole[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def planted_texts() -> set[bytes]:
    texts = {*HOSPITALS, *REFERRER.split("^")}
    for number in range(1, PATIENTS + 1):
        who = person(number)
        texts |= {*who["PatientName"].split("^"), who["PatientID"], who["AccessionNumber"], who["PatientBirthDate"]}
        day = who["PatientBirthDate"]
        texts.add(f"{day[:4]}-{day[4:6]}-{day[6:]}")
    return {text.encode() for text in texts}


def found_texts(run: Path) -> tuple[list[str], int]:
    """Files that hold a planted text, upper and lower case alike, and how many files were read.

    The book's page "Use your own CT" shows what `check` printed the last time, made-up identifiers included; those few
    are looked for everywhere but in the book.
    """
    planted = planted_texts()
    told = {text for text in planted if text in benchmark_file("own_ct").read_bytes()}
    everywhere, in_book = (
        re.compile(b"|".join(map(re.escape, sorted(texts))), re.IGNORECASE) for texts in (planted, planted - told)
    )
    # A date of eight digits is no date within a longer number.
    hits, count = [], 0
    for file in sorted(file for file in run.parent.rglob("*") if file.is_file()):
        count += 1
        pattern = in_book if file.is_relative_to(run / "book") else everywhere
        if pattern.search(str(file.name).encode()) or any(_tells(pattern, content) for content in contents(file)):
            hits.append(str(file))
    return hits, count


def _tells(pattern: re.Pattern[bytes], content: bytes) -> bool:
    for match in pattern.finditer(content):
        around = content[max(0, match.start() - 1) : match.end() + 1]
        if not match.group().isdigit() or not re.search(rb"[\d.]{9}", around):
            return True
    return False


# --- what is kept -----------------------------------------------------------------------------------------------------


def main(folder: Path, until: str) -> None:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "clinical.csv").is_file():
        export(folder)
    kept_file = folder / "printed.json"
    kept = json.loads(kept_file.read_text(encoding="utf-8")) if kept_file.is_file() else {}

    def call(name: str, *words: str) -> None:
        text, seconds, code = command(folder, *words)
        kept[name] = {"printed": text.replace(str(folder), "."), "core_seconds": seconds, "exit_code": code}
        kept_file.write_text(json.dumps(kept), encoding="utf-8")

    if "manifest" not in kept:
        call("manifest", "manifest", "ct", "-o", "patients.csv", "--clinical", "clinical.csv", "--on", "case")
    if until == "manifest":
        return
    if not (folder / "own.yaml").is_file():
        write_profile(folder / "own.yaml")
    own = ("--profile", "own.yaml", "--out", str(folder / "results" / "own"))
    if "check" not in kept:
        call("check", "check", "patients.csv", "--profile", "own.yaml")
    if until == "check":
        keep({"commands": kept} | left_out(folder), folder)
        return
    call("run", "run", *own, "--manifest", "patients.csv", *(["--until", until] if until else []), "--jobs", "1")
    if until:
        return
    call("build", "build", *own)
    keep({"commands": kept} | left_out(folder) | outcome(folder), folder)


def left_out(folder: Path) -> dict[str, object]:
    """Whom a run takes, and whom its first stage leaves out, as the failures table says it."""
    run, profile = RunPaths(folder / "first_stage" / "own", folder / "patients.csv"), load_profile(folder / "own.yaml")
    cohorts = {paper: make_cohort(run, paper, profile.cohort, PHASES, 1) for paper in PAPERS}
    return {"in_cohort": {paper: len(table) for paper, table in cohorts.items()}, "failures": failures_of(run)}


def failures_of(run: RunPaths) -> list[dict[str, object]]:
    """One row per patient of the failures table, with what had been done to the patient."""
    planted = {f"P{number:04d}": fault for number, (fault, _) in FAULTS.items()}
    return [
        {"patient": key, "fault": planted.get(key, "none planted"), **rows.iloc[0][["stage", "reason"]].to_dict()}
        for key, rows in files.read_failures(run, list(PAPERS)).groupby("patient")
    ]


def outcome(folder: Path) -> dict[str, object]:
    """Who is in the book and who is not, and what was found of what had been planted."""
    run = RunPaths(folder / "results" / "own", folder / "patients.csv")
    taken = {paper: files.read_table(run, paper, "scores.csv")["patient"].nunique() for paper in PAPERS}
    hits, count = found_texts(run.root)
    return {
        "in_book": taken,
        "failures": failures_of(run),
        "planted_texts": len(planted_texts()),
        "files_searched": count,
        "files_that_tell": hits,
        "run_core_seconds": round(float(read_costs(run)["core_seconds"].sum()), 1),
    }


def keep(found: dict[str, object], folder: Path) -> None:
    report = {
        "what": "an archive's export of simulated patients, without masks and without a manifest, to a book",
        "patients": PATIENTS,
        "faulty": len(FAULTS),
        **found,
        "processor": processor_kind(),
        "day": time.strftime("%Y-%m-%d"),
    }
    text = json.dumps(report, indent=1, default=lambda value: value.item() if isinstance(value, np.generic) else value)
    benchmark_file("own_ct").write_text(text.replace(str(folder), ".") + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--until", default="", help="manifest, check, or a stage of the run")
    given = parser.parse_args()
    main(given.folder, given.until)
