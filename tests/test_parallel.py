"""The map over patients: order, failures, and results of the store that need no worker."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from hccbook.errors import DataError
from hccbook.parallel import FAILURE_COLUMNS, WORK_LOG, map_patients
from hccbook.store import Store


def square(number: int) -> int:
    return number * number


def fail_on_three(number: int) -> int:
    if number == 3:
        raise DataError("P0003, venous", "must not be three", number, "Take another.")
    if number == 4:
        raise ZeroDivisionError
    return number


def stored_square(number: int, root: Path) -> int:
    """A task that makes its result through the store and leaves a mark beside it each time that it does."""

    def make(folder: Path) -> None:
        (folder / "square.txt").write_text(str(number * number))
        with (root / f"made-{number}.txt").open("a") as marks:
            marks.write("x")

    store = Store(root)
    return int((store.get_or_make(store.key("squares", square, number), make) / "square.txt").read_text())


def fail_where_nothing_is_stored(number: int, root: Path) -> int:
    if number == 3:
        fail_on_three(number)
    return stored_square(number, root)


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
    task = functools.partial(stored_square, root=tmp_path)
    items = {f"P{number:04d}": number for number in range(1, 5)}
    first = map_patients(task, items, stage="squares", stored=True)
    (file,) = [file for file in tmp_path.rglob("square.txt") if file.read_text() == "9"]
    file.unlink()
    second = map_patients(task, items, stage="squares", stored=True)
    assert (first.computed, second.computed) == (4, 1)
    assert first.results == second.results == {"P0001": 1, "P0002": 4, "P0003": 9, "P0004": 16}


def test_stored_results_need_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all results in the store nothing is handed to the pool, and nothing is made."""
    task = functools.partial(stored_square, root=tmp_path)
    items = {f"P{number:04d}": number for number in range(1, 5)}
    map_patients(task, items, stage="squares", stored=True)

    def refuse(*_: object) -> None:
        raise AssertionError("a patient was handed to a worker")

    monkeypatch.setattr("hccbook.parallel._guarded", refuse)
    again = map_patients(task, items, stage="squares", workers=2, stored=True)
    assert again.computed == 0
    assert list(again.results.values()) == [1, 4, 9, 16]
    assert {file.read_text() for file in tmp_path.glob("made-*.txt")} == {"x"}


def test_workers_look_where_the_store_lacks_many(tmp_path: Path) -> None:
    """Of thirty patients the last ten are there: after some misses workers find them, and twenty count as new."""
    task = functools.partial(stored_square, root=tmp_path)
    items = {f"P{number:04d}": number for number in range(1, 31)}
    map_patients(task, list(items.items())[20:], stage="squares", stored=True)
    outcome = map_patients(task, items, stage="squares", workers=2, stored=True)
    assert outcome.computed == 20
    assert list(outcome.results.values()) == [number * number for number in range(1, 31)]
    assert {file.read_text() for file in tmp_path.glob("made-*.txt")} == {"x"}


def test_a_patient_who_fails_is_told_once_and_computed_each_time(tmp_path: Path) -> None:
    """What fails while the store is looked through is no failure yet; in its turn it is one row."""
    task = functools.partial(fail_where_nothing_is_stored, root=tmp_path)
    items = {f"P{number:04d}": number for number in (1, 3, 2)}
    for computed in (3, 1):
        outcome = map_patients(task, items, stage="thirds", stored=True)
        assert list(outcome.results.items()) == [("P0001", 1), ("P0002", 4)]
        assert outcome.failures["patient"].tolist() == ["P0003"]
        assert outcome.computed == computed


def test_the_map_says_how_many_were_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three patients lie in the store: three in the log, one of them new."""
    task = functools.partial(stored_square, root=tmp_path)
    map_patients(task, {"P0001": 1, "P0002": 2}, stage="squares", stored=True)
    monkeypatch.setenv(WORK_LOG, str(tmp_path / "work.csv"))
    map_patients(task, {"P0001": 1, "P0002": 2, "P0003": 3}, stage="squares", stored=True)
    assert (tmp_path / "work.csv").read_text() == "stored_square,3,1\n"
