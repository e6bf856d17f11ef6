"""Shards: whose patients, what they leave, and that merged they are what one run makes, byte by byte."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from few_patients import NETWORK, profile_of, run_stages

from hccbook import cli
from hccbook.errors import SettingsError
from hccbook.parallel import SCHEDULER, WORK_LOG, Share, map_patients
from hccbook.pipeline.shards import ShardError, ShardRecord, merge_shards, run_shard, shard_paths
from hccbook.run import RunPaths
from hccbook.settings import Profile
from hccbook.store import SUMS


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a run without shards."""
    return run_stages(RunPaths(tmp_path_factory.mktemp("one") / "run"), profile_of())


# --- shares -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_every_patient_is_in_one_share(count: int) -> None:
    """Of 2,411 patients none is left out and none is twice, and shares differ by one patient at most."""
    keys = [f"P{number:04d}" for number in range(1, 2412)]
    shares = [[key for key in keys if Share(number, count).has(key)] for number in range(1, count + 1)]
    assert sorted(key for share in shares for key in share) == keys
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["", "3", "8/7", "0/0", "-1/7", "1/7/2", "one/7", " 1/7", "1/9999999"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """A number of at most how many there are, of which there is one at least."""
    with pytest.raises(SettingsError, match="--shard: must be a number, a stroke and how many there are"):
        Share.of(text)


def double(number: int) -> int:
    return 2 * number


def test_a_map_leaves_out_who_is_in_another_share() -> None:
    """Of four patients the second of two shares has the second and the fourth; outside the block all are there."""
    items = {f"P{number:04d}": number for number in range(1, 5)}
    with Share.of("2/2").alone():
        assert map_patients(double, items, stage="test").results == {"P0002": 4, "P0004": 8}
    assert len(map_patients(double, items, stage="test").results) == 4


# --- the same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "count",
    [pytest.param(count, marks=[] if count == 2 else pytest.mark.thorough) for count in (1, 2, 7, 40)],
)
def test_shards_merged_are_one_run(
    tmp_path: Path, undisturbed: dict[str, bytes], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each shard on a machine of its own, in any order: the merged store has all that is a patient's own.

    Of forty shards most are of nobody.
    """
    numbers = list(range(1, count + 1))
    random.Random(count).shuffle(numbers)
    for number in numbers:
        record = run_shard(RunPaths(tmp_path / str(number) / "run"), profile_of(), Share(number, count), 1)
        assert record.failures == ()
        assert [path.name for path in (tmp_path / str(number)).iterdir()] == ["store"]
    run = RunPaths(tmp_path / "merged" / "run")
    lines = merge_shards(run, profile_of(), [tmp_path / str(number) for number in reversed(numbers)])
    assert lines[0].startswith(f"{count} shards: patients of ALARM 5, aMAP-CT 3; ")
    monkeypatch.setenv(WORK_LOG, str(tmp_path / "work.csv"))
    assert run_stages(run, profile_of()) == undisturbed
    assert {line.rpartition(",")[2] for line in (tmp_path / "work.csv").read_text().splitlines()} == {"0"}


@pytest.mark.thorough
def test_shards_that_share_a_folder_use_one_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Number 0 trains; before it no shard begins, and after it none trains."""
    run, profile = RunPaths(tmp_path / "shared" / "run"), profile_of(**NETWORK)
    with pytest.raises(ShardError, match=r"shard 1/2: all shards need one trained network, .* Run --shard 0/2 first"):
        run_shard(run, profile, Share(1, 2), 1)
    assert run_shard(run, profile, Share(0, 2), 1).patients == {}
    for number in (2, 1):
        run_shard(run, profile, Share(number, 2), 1)
    assert len(list((run.store.root / "network").iterdir())) == 1
    merge_shards(run, profile)
    monkeypatch.setenv(WORK_LOG, str(tmp_path / "work.csv"))
    alone = run_stages(RunPaths(tmp_path / "alone" / "run"), profile)
    (tmp_path / "work.csv").unlink()
    assert run_stages(run, profile) == alone
    worked = [line.split(",") for line in (tmp_path / "work.csv").read_text().splitlines()]
    segmented = [(step, computed) for step, _, computed in worked if step == "_segment_one"]
    assert segmented == [("_segment_one", "0")] * 2


@pytest.mark.thorough
def test_a_shard_that_is_told_to_stop_goes_on(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """SIGTERM after the first patient, as when a cluster's time is over: one message, and then the same bytes."""
    profile = tmp_path / "eight.yaml"
    profile.write_text(yaml.safe_dump(profile_of().model_dump()), encoding="utf-8")
    run = RunPaths(tmp_path / "results" / "run")
    command = [sys.executable, "-m", "hccbook.cli", "run", "--profile", str(profile), "--out", str(run.root)]
    with subprocess.Popen([*command, "--shard", "1/2", "--jobs", "1"], stderr=subprocess.PIPE, text=True) as shard:
        while shard.poll() is None and not list(run.store.root.glob("phantom/*/sums.json")):
            time.sleep(0.02)
        shard.terminate()
        _, said = shard.communicate(timeout=120)
    assert shard.returncode == 1
    assert said.strip() == (
        "hccbook: shard 1/2: must run to its end, but found a signal to stop. "
        "Give the same command again to go on from there."
    )
    for number in (1, 2):
        run_shard(run, profile_of(), Share(number, 2), 1)
    merge_shards(run, profile_of())
    assert run_stages(run, profile_of()) == undisturbed


# --- what is missing, doubled, another's ------------------------------------------------------------------------------


def leave_record(store: Path, run: RunPaths, profile: Profile, share: str, **fields: str) -> Path:
    """Record as a shard leaves it, without its results."""
    from hccbook.pipeline import shards

    own = {"share": share, "made": f"made {share} {store}", "code": shards.code_digest(), "processor": "AVX2"} | fields
    record = ShardRecord(patients={"alarm": 1, "amap_ct": 0}, failures=(), **own)
    file = store / shards.records_folder(run.store, run, profile).relative_to(run.store.root) / record.file_name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(record.model_dump_json(), encoding="utf-8")
    return file


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "merged" / "run")


def test_shards_that_are_missing_or_doubled_are_named(tmp_path: Path, run: RunPaths) -> None:
    """Of seven, the second and the sixth are nowhere, and the third was made on two machines: one message."""
    for machine, numbers in {"a": (1, 3, 4), "b": (3, 5, 7)}.items():
        for number in numbers:
            leave_record(tmp_path / machine / "store", run, Profile(), f"{number}/7")
    with pytest.raises(ShardError) as refused:
        merge_shards(run, Profile(), [tmp_path / "a", tmp_path / "b"])
    assert refused.value.found == "2/7 is missing; 3/7 was made 2 times: a/store, b/store; 6/7 is missing"
    assert not run.store.root.exists()


def test_a_copy_of_a_shard_is_that_shard(tmp_path: Path, run: RunPaths) -> None:
    """A store that was copied, and named beside its original, doubles nothing."""
    leave_record(tmp_path / "a" / "store", run, Profile(), "1/1")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert merge_shards(run, Profile(), [tmp_path / "a", tmp_path / "b"])[0].startswith("1 shards: patients of ALARM 1")


def test_no_shard_is_told(tmp_path: Path, run: RunPaths) -> None:
    """Shards of another seed are those of another run."""
    leave_record(tmp_path / "a" / "store", run, Profile(cohort={"seed": 5}), "1/1")
    with pytest.raises(ShardError, match=r"no shard of this run\. Run --shard 0/N, then --shard 1/N to N/N"):
        merge_shards(run, Profile(), [tmp_path / "a"])
    with pytest.raises(ShardError, match=r"folder empty: must be a store, or hold one"):
        merge_shards(run, Profile(), [tmp_path / "empty"])


def test_shards_of_another_version_are_named(tmp_path: Path, run: RunPaths) -> None:
    """Their results have other keys, so that a run would find nothing."""
    leave_record(tmp_path / "a" / "store", run, Profile(), "1/2")
    leave_record(tmp_path / "a" / "store", run, Profile(), "2/2", code="older")
    with pytest.raises(ShardError, match=r"but found 2/2 was made by another version of the package\."):
        merge_shards(run, Profile(), [tmp_path / "a"])


def leave_entry(store: Path, text: str) -> Path:
    import hashlib

    entry = store / "radiomics" / "0a"
    entry.mkdir(parents=True)
    (entry / "values.txt").write_text(text)
    (entry / SUMS).write_text(json.dumps({"values.txt": hashlib.sha256(text.encode()).hexdigest()}))
    return entry


def test_what_was_damaged_on_its_way_is_left_out(tmp_path: Path, run: RunPaths) -> None:
    """A result that is not what its sums say is told, and nothing of it stays."""
    leave_record(tmp_path / "a" / "store", run, Profile(), "1/1")
    entry = leave_entry(tmp_path / "a" / "store", "whole")
    (entry / "values.txt").write_text("torn")
    lines = merge_shards(run, Profile(), [tmp_path / "a"])
    assert lines[1] == "1 results were damaged on their way, and are made again"
    assert list((run.store.root / "radiomics").iterdir()) == []


def test_results_that_differ_under_one_key_are_refused(tmp_path: Path, run: RunPaths) -> None:
    """Two machines, two values: nobody knows which one the others follow from."""
    for machine, share in (("a", "1/2"), ("b", "2/2")):
        leave_record(tmp_path / machine / "store", run, Profile(), share)
        leave_entry(tmp_path / machine / "store", machine)
    with pytest.raises(ShardError, match="a result of radiomics that differs between a and b"):
        merge_shards(run, Profile(), [tmp_path / "a", tmp_path / "b"])


def test_who_failed_and_unlike_processors_are_told(tmp_path: Path, run: RunPaths) -> None:
    """Patients by key, with stage and kind of error; kinds of processors where there are several."""
    leave_record(tmp_path / "a" / "store", run, Profile(), "1/2")
    file = leave_record(tmp_path / "a" / "store", run, Profile(), "2/2", processor="AVX-512")
    failed = {"paper": "alarm", "patient": "P0002", "stage": "features", "kind": "MaskError"}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"failures": [failed]}))
    lines = merge_shards(run, Profile(), [tmp_path / "a"])
    assert lines[1].startswith("Made on processors of the kinds AVX-512, AVX2: ")
    assert lines[2] == "Failed in a shard, and tried again: P0002 (alarm, features: MaskError)"


def test_a_share_of_which_all_fail_is_a_shard(tmp_path: Path) -> None:
    """One patient, whose mask is gone: the shard is done and says so."""
    run, profile = RunPaths(tmp_path / "run"), profile_of()
    profile = profile.model_copy(update={"run": profile.run.model_copy(update={"papers": "alarm"})})
    manifest = make_manifest(tmp_path, profile)
    record = run_shard(RunPaths(run.root, manifest), profile, Share(1, 5), 1)
    assert [(one.patient, one.stage, one.kind) for one in record.failures] == [("P0001", "segmentation", "MaskError")]


def make_manifest(folder: Path, profile: Profile) -> Path:
    """Five patients as a user brings them, the first without a mask of its delayed phase."""
    import pandas as pd

    from hccbook.phantom import write_cohort

    file = write_cohort(folder / "given", "alarm", profile.cohort)
    table = pd.read_csv(file)
    table.loc[0, ["liver_mask_delayed", "spleen_mask_delayed"]] = ""
    table.to_csv(file, index=False)
    return file


def test_the_command_refuses_what_is_no_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message and exit code 1, without a traceback."""
    monkeypatch.delenv(SCHEDULER, raising=False)
    command = ["hccbook", "run", "--profile", "smoke", "--out", str(tmp_path / "run"), "--shard", "8/7"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert "--shard: must be a number, a stroke and how many there are, but found 8/7." in capsys.readouterr().err


def test_a_shard_works_beside_its_run(tmp_path: Path) -> None:
    """In a folder of its own, over the same store."""
    run = RunPaths(tmp_path / "results" / "paper")
    assert shard_paths(run, Share(3, 7)).root == tmp_path / "results" / "paper-shard-3-of-7"
    assert shard_paths(run, Share(3, 7)).store == run.store
