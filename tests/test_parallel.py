"""The map over patients: order, failures, resuming, hashes, atomic files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hccbook.errors import DataError
from hccbook.parallel import FAILURE_COLUMNS, map_patients
from hccbook.provenance import digest
from hccbook.settings import AlarmSettings
from hccbook.store import atomic_path


def square(number: int) -> int:
    return number * number


def fail_on_three(number: int) -> int:
    if number == 3:
        raise DataError("P0003, venous", "must not be three", number, "Take another.")
    if number == 4:
        raise ZeroDivisionError
    return number


class Kept:
    """A task that writes a file a patient, and one that counts its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, number: int) -> Path:
        return self.folder / f"{number}.txt"

    def stored(self, number: int) -> str | None:
        return self.file(number).read_text() if self.file(number).is_file() else None

    def run(self, number: int) -> str:
        with atomic_path(self.file(number)) as part:
            part.write_text(str(number * number))
        return str(number * number)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_the_order_of_the_items(workers: int) -> None:
    """Results come in the order given, whatever the number of workers."""
    items = {f"P{number:04d}": number for number in (5, 1, 4, 2)}
    outcome = map_patients(square, items, stage="squares", workers=workers)
    assert list(outcome.results.items()) == [("P0005", 25), ("P0001", 1), ("P0004", 16), ("P0002", 4)]
    assert outcome.failures.empty


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_patient_is_a_row_and_the_others_go_on(workers: int) -> None:
    """Two of five fail, one of them with an error nobody foresaw; three results remain."""
    outcome = map_patients(fail_on_three, [(f"P{n:04d}", n) for n in range(1, 6)], stage="thirds", workers=workers)
    assert list(outcome.results) == ["P0001", "P0002", "P0005"]
    assert tuple(outcome.failures.columns) == FAILURE_COLUMNS
    assert outcome.failures["patient"].tolist() == ["P0003", "P0004"]
    assert outcome.failures["kind"].tolist() == ["DataError", "ZeroDivisionError"]
    assert outcome.failures["reason"][0] == "P0003, venous: must not be three, but found 3. Take another."


def test_finished_patients_are_not_computed_again(tmp_path: Path) -> None:
    """A second call computes only the patient whose file has gone, and gives the same results."""
    kept = Kept(tmp_path)
    items = {f"P{number:04d}": number for number in range(1, 5)}
    first = map_patients(kept.run, items, stage="squares", is_done=kept.stored)
    kept.file(3).unlink()
    second = map_patients(kept.run, items, stage="squares", is_done=kept.stored)
    assert (first.computed, second.computed) == (4, 1)
    assert first.results == second.results


def test_a_killed_write_leaves_no_file(tmp_path: Path) -> None:
    """What is interrupted half-way leaves neither the final file nor a remnant."""
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "image.nii.gz") as part:
        part.write_bytes(b"half")
        assert part.name.endswith(".nii.gz")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


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
