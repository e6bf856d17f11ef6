"""Full disks, workers and runs that are ended, folders that cannot be: what is lost, named, and cleared away."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import SimpleITK as sitk

from hccbook import cli, phantom
from hccbook.cohort import check_manifest
from hccbook.errors import ImageError, SettingsError, StorageError, reason
from hccbook.images import read_image, write_image
from hccbook.parallel import map_patients
from hccbook.pipeline import runner
from hccbook.pipeline.run_folder import claimed, end_tree
from hccbook.provenance import digest
from hccbook.run import RunPaths
from hccbook.settings import CohortSettings, Profile
from hccbook.store import _MACHINE, Store, atomic_folder, atomic_path, clear_leftovers

IMAGE = sitk.GetImageFromArray(np.random.default_rng(3).integers(-1000, 600, (40, 40, 40)).astype(np.int16))


@pytest.fixture
def small_files() -> Iterator[int]:
    """No file of this process may have more than 16 KiB, as on a disk that is full by then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, before[1]))
    yield 1 << 14
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


# --- full disks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_an_image_that_does_not_fit_takes_no_place(tmp_path: Path, small_files: int, ending: str) -> None:
    """SimpleITK returns without an error; neither the torn file nor a remnant stays, and the earlier one does."""
    torn = tmp_path / f"torn{ending}"
    sitk.WriteImage(IMAGE, str(torn))
    assert 0 < torn.stat().st_size <= small_files, "no error, and a file cut short"
    torn.unlink()
    file = tmp_path / f"ct{ending}"
    file.write_bytes(b"earlier")
    with pytest.raises(StorageError, match=r"must be written whole.*Free space"):
        write_image(IMAGE, file)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(f"ct{ending}", b"earlier")]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_whole_image_is_written(tmp_path: Path, ending: str) -> None:
    """With every voxel, whatever the compression."""
    for level in (-1, 1):
        write_image(IMAGE, tmp_path / f"ct{ending}", level)
        assert np.array_equal(
            sitk.GetArrayFromImage(read_image(tmp_path / f"ct{ending}")), sitk.GetArrayFromImage(IMAGE)
        )


def no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_no_patient_s_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage stops, what is stored stays whole, and with room the rest is made."""
    items = {key: tmp_path for key in ("P0001", "P0002")}
    store = Store(tmp_path)
    store.get_or_make("kind/P0001", lambda folder: (folder / "values").write_bytes(b"1"))
    monkeypatch.setattr("hccbook.store._flush", no_room)
    with pytest.raises(StorageError, match="results: must be written, but found No space left on device"):
        map_patients(fill_store, items.items(), stage="test")
    assert store.find("kind/P0001") is not None
    assert store.find("kind/P0002") is None
    monkeypatch.undo()
    assert list(map_patients(fill_store, items.items(), stage="test").results) == ["P0001", "P0002"]


def fill_store(root: Path) -> str:
    for key in ("P0001", "P0002"):
        Store(root).get_or_make(f"kind/{key}", lambda folder: (folder / "values").write_bytes(b"1"))
    return "done"


def test_what_takes_its_place_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of an entry, its sums included, and a table: flushed before they have their names."""
    flushed: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with atomic_path(tmp_path / "table.csv") as part:
        part.write_text("a\n")
    Store(tmp_path / "store").get_or_make("kind/one", lambda folder: (folder / "values").write_bytes(b"1"))
    assert [Path(name).name for name in flushed[1:]] == ["sums.json", "values"]
    assert ".part-" in flushed[0]


# --- sums that are remembered -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", ["", "e3b0c4", "\0" * 64])
def test_a_remembered_sum_that_was_cut_short_is_taken_again(tmp_path: Path, monkeypatch, torn: str) -> None:
    """Else every file whose sum is lost would be the same file, and one patient's result another's."""
    monkeypatch.setattr("hccbook.provenance._SETTLED_NS", 0)
    store = Store(tmp_path / "store")
    (tmp_path / "ct").write_bytes(b"voxels")
    known = store.content(tmp_path / "ct")
    (remembered,) = (store.root / "contents").iterdir()
    remembered.write_text(torn)
    assert store.content(tmp_path / "ct") == known
    assert remembered.read_text() == known


def test_sums_that_are_no_sums_are_a_damaged_entry(tmp_path: Path) -> None:
    """A list, where names and sums belong."""
    store = Store(tmp_path)
    folder = store.get_or_make("kind/one", lambda part: (part / "values").write_bytes(b"1"))
    (folder / "sums.json").write_text("[1]")
    assert store.find("kind/one") is None


# --- workers that are ended -------------------------------------------------------------------------------------------


def end_own_worker(key: str) -> str:
    if key == "P0003":
        os.kill(os.getpid(), signal.SIGKILL)
    return key.lower()


def test_a_killed_worker_costs_its_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system does when memory runs out: the others have their results, and this one is named."""
    keys = [f"P{number:04d}" for number in range(1, 7)]
    outcome = map_patients(end_own_worker, {key: key for key in keys}, stage="test", workers=2)
    assert outcome.results == {key: key.lower() for key in keys if key != "P0003"}
    assert outcome.failures[["patient", "kind"]].to_numpy().tolist() == [["P0003", "MemoryError"]]
    assert "memory did not suffice" in outcome.failures["reason"][0]


def fail_beside_others(file: Path) -> int:
    """Lacks memory unless nobody else is at work."""
    with file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MemoryError from None
        time.sleep(0.05)
    return 1


def test_who_lacks_memory_has_it_later_alone(tmp_path: Path) -> None:
    """Two that do not fit side by side are both done."""
    items = {key: tmp_path / "memory" for key in ("P0001", "P0002", "P0003", "P0004")}
    outcome = map_patients(fail_beside_others, items, stage="test", workers=2)
    assert outcome.failures.empty
    assert outcome.results == dict.fromkeys(items, 1)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000, 1000, 1000)"),
        RuntimeError("Exception thrown in SimpleITK ReadImage: Failed to allocate memory for image."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8000000000 bytes."),
    ],
)
def test_what_libraries_say_of_memory_is_no_file_s_fault(error: Exception) -> None:
    """NumPy's, ITK's and PyTorch's words; a file that cannot be read for want of memory is not broken."""
    with pytest.raises(MemoryError):
        reason(error)


def test_a_full_disk_makes_no_scan_unreadable() -> None:
    """Unpacking a file takes room as well."""
    with pytest.raises(StorageError, match="No space left on device"):
        reason(OSError(28, "No space left on device", "/tmp/x"))
    assert reason(ValueError("no header")) == "no header"


def test_a_kernel_that_is_ended_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one job the patients are the kernel's own work: the stage stops, and says what helps."""
    cell = nbformat.v4.new_code_cell("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source = tmp_path / "stage.ipynb"
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=metadata), source)
    monkeypatch.setattr(runner, "notebook_file", lambda stage: source)
    monkeypatch.setattr(runner, "notebook_parameters", lambda *_: {})
    monkeypatch.setattr(runner, "execution_record", lambda stage: {})
    with pytest.raises(runner.StageError, match=r"ended from outside.*fewer --jobs"):
        runner.execute_stage("cohort", Profile(), str(tmp_path / "run"), 1)
    assert list((tmp_path / "run" / "notebooks").iterdir()) == []


# --- runs that are ended ----------------------------------------------------------------------------------------------


@pytest.fixture
def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_left_overs_of_the_dead_are_cleared(tmp_path: Path, dead_process: int, monkeypatch) -> None:
    """A file and a folder of a process that is gone; those of a living one and of another machine stay."""
    store = tmp_path / "store"
    store.mkdir()
    with atomic_path(store / "table.csv") as mine, atomic_folder(store / "kind" / "one") as folder:
        (folder / "values").write_bytes(b"1")
        for part in (mine, folder):
            dead = part.with_name(part.name.replace(f"-{os.getpid()}-", f"-{dead_process}-"))
            if part.is_dir():
                (dead / "inner").mkdir(parents=True)
            else:
                dead.touch()
        other = store / f".part-ffffffff-{dead_process}-x"
        other.touch()
        assert clear_leftovers(tmp_path) == 2
        assert sorted(tmp_path.rglob(".part-*")) == sorted([mine, folder, other])


TREE = """
import signal, subprocess, sys, time
depth, deaf, source = sys.argv[1:]
signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf == "deaf" else signal.SIG_DFL)
if depth != "0":
    subprocess.Popen([sys.executable, "-c", source, str(int(depth) - 1), deaf, source], start_new_session=True)
time.sleep(60)
"""


@pytest.mark.parametrize("hearing", ["deaf", "listening"])
def test_all_that_a_process_started_is_ended(monkeypatch: pytest.MonkeyPatch, hearing: str) -> None:
    """Three generations in sessions of their own, as notebooks' kernels are, and such as do not listen."""
    monkeypatch.setattr("hccbook.pipeline.run_folder._GRACE_S", 1.0)
    with subprocess.Popen([sys.executable, "-c", TREE, "2", hearing, TREE]) as process:
        root, deadline = psutil.Process(process.pid), time.monotonic() + 30
        while len(below := root.children(recursive=True)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)  # the last one sets its handler
        assert len(below) == 2
        end_tree(process.pid)
    assert not any(map(is_alive, below))


PROFILE = """\
run: {synthetic: false, phases: venous, papers: alarm}
cohort: {segmentation_patients: 0}
preprocessing: {spacing_mm: 10}
segmentation: {mask_source: manifest, contact_sheets: false}
"""


def test_who_is_told_to_stop_ends_all_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose stages are processes that sleep: SIGTERM ends them, and what is done and half-made is told apart."""
    run = RunPaths(tmp_path / "results" / "2024")
    notebook = run.executed_notebook("cohort")
    notebook.parent.mkdir(parents=True)
    notebook.touch()
    begun, start = [], subprocess.Popen

    def start_sleepers(_: list[str], **options: object) -> subprocess.Popen:
        process = start([sys.executable, "-c", TREE, "1", "listening", TREE], **options)
        root, deadline = psutil.Process(process.pid), time.monotonic() + 60
        while not root.children() and time.monotonic() < deadline:
            time.sleep(0.05)
        begun.extend([root, *root.children()])
        (run.root / f".part-{_MACHINE}-{process.pid}-half.csv").touch()
        # Heard as soon as the run listens.
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return process

    monkeypatch.setattr(runner.subprocess, "Popen", start_sleepers)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # one that comes too early ends nobody
    said = pytest.raises(runner.StageError, match="found a signal to stop, with 01_cohort done")
    with said, claimed(run) as lock:
        runner._run_snakemake(run, run, tmp_path / "mine.yaml", "", 1, lock)
    signal.signal(signal.SIGTERM, before)
    assert len(begun) == 2
    assert not any(map(is_alive, begun))
    assert list(run.root.glob(".part-*")) == []


@pytest.mark.thorough
def test_a_run_that_was_told_to_stop_goes_on(tmp_path: Path) -> None:
    """A whole run, through Snakemake and a notebook's kernel; the same command does the rest and nothing else."""
    settings = CohortSettings(
        acquisition_spacing_mm=10.0, dicom_patients=0, alarm_discovery=4, alarm_discovery_hcc=2,
        alarm_internal=1, alarm_internal_hcc=0, alarm_external=1, alarm_external_hcc=0,
    )  # fmt: skip
    manifest = phantom.write_cohort(tmp_path / "ct", "alarm", settings)
    (tmp_path / "mine.yaml").write_text(PROFILE, encoding="utf-8")
    run = RunPaths(tmp_path / "results" / "2024", manifest)
    words = ["run", "--profile", tmp_path / "mine.yaml", "--manifest", manifest, "--out", run.root]
    command = [sys.executable, "-m", "hccbook.cli", *map(str, words), "--until", "preprocessing"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not (run.root / "preprocessing").is_dir() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        below = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "run 2024: must run to its end, but found a signal to stop, with 01_cohort done. Give the same" in said
    assert below
    assert not any(map(is_alive, below))
    assert list(run.root.parent.rglob(".part-*")) == []
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "01_cohort " not in again.stdout
    assert "Made for the first time: 02_preprocessing" in again.stdout
    assert list(run.root.parent.rglob(".part-*")) == []


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


# --- folders and names ------------------------------------------------------------------------------------------------


def test_two_runs_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    """The second is told which process has the folder; when that is gone, it is free."""
    run = RunPaths(tmp_path / "results" / "own")
    refused = pytest.raises(SettingsError, match=f"own: one run at a time.*process {os.getpid()}")
    with claimed(run), refused, claimed(run):
        pass
    with claimed(run):
        pass


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a{paper}", "braces"),
        ("line\nbreak", "control"),
        ("x" * 256, "File name too long"),
        ("file/inside", "Not a directory"),
        ("file", "File exists"),
        ("store", "for this run alone"),
    ],
)
def test_a_folder_that_cannot_be_a_run_s_is_refused(tmp_path: Path, name: str, found: str) -> None:
    """By its name, by what is there, and by what the system says."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=f"--out.*{found}"), claimed(RunPaths(tmp_path / name)):
        pass


def test_the_project_itself_is_no_folder_of_a_run(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executed notebooks would take the place of its own."""
    monkeypatch.setenv("HCCBOOK_ROOT", str(project_root))
    for folder in (project_root, project_root.parent, project_root / "notebooks" / ".."):
        with pytest.raises(SettingsError, match="for this run alone"), claimed(RunPaths(folder)):
            pass


def test_a_folder_that_is_read_only_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs as root may write everywhere, so that the system's answer is put in its mouth."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    refused = pytest.raises(SettingsError, match="must be a folder that can be written, but found Permission denied")
    with refused, claimed(RunPaths(tmp_path / "run")):
        pass


@pytest.mark.parametrize("image", ["pipe.nii.gz", "x" * 300 + ".nii.gz", "no\0name.nii.gz"])
def test_a_pipe_or_an_impossible_name_is_no_image(tmp_path: Path, image: str) -> None:
    """Neither waited for nor a traceback."""
    os.mkfifo(tmp_path / "pipe.nii.gz")
    row = "a,C01,50,male,17.1,40,150,3,30,HBV,0,6"
    header = "patient_id,centre,age,sex,bilirubin,albumin,platelets,afp,alt,etiology,hcc,months,venous"
    (tmp_path / "manifest.csv").write_text(f"{header}\n{row},{image}\n", encoding="utf-8")
    (problem,) = check_manifest(tmp_path / "manifest.csv", ("venous",))
    assert problem.rule == "image of the venous phase must exist"
    assert digest(tmp_path / "pipe.nii.gz") == digest(tmp_path / "absent")
    with pytest.raises(ImageError, match="image must exist"):
        read_image(tmp_path / "pipe.nii.gz")
    os.mkfifo(tmp_path / "pipe.csv")
    assert "no such file" in check_manifest(tmp_path / "pipe.csv")[0].found


def test_more_jobs_than_cores_are_as_many_as_cores(capsys: pytest.CaptureFixture) -> None:
    """With a line that says so."""
    present = cli._cores()
    assert cli._cores(1) == 1
    assert "--jobs" not in capsys.readouterr().err
    assert cli._cores(100_000) == present
    assert f"--jobs 100000: this machine has {present} cores" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("privacy", "x" * 300, "--manifest", "y"), ("compare", "x" * 300, "y")])
def test_what_the_system_refuses_is_one_message(words, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    """In its own words and without the name; with `TRACEBACK` the traceback is there for who looks for a fault."""
    monkeypatch.setattr("sys.argv", ["hccbook", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("hccbook: OSError: File name too long, in ")
    assert "xxx" not in said
    monkeypatch.setenv(cli.TRACEBACK, "1")
    with pytest.raises(OSError, match="File name too long"):
        cli.main()
