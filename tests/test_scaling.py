"""Plans for many patients and cores, from costs that can be reckoned by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hccbook.book.scaling_page import scaling_page
from hccbook.pipeline import scaling
from hccbook.pipeline.scaling import PatientCost, scaled_profile, scaling_table, table_columns

PATIENT = PatientCost(
    shared_s=36.0,
    alone_s=0.018,
    tuning_s=0.36,
    disk_mib=100.0,
    files=50.0,
    traffic_mib=900.0,
    message_kib=60.0,
    table_kib=64.0,
)


def test_a_million_patients_by_hand() -> None:
    """36 s each are 10,000 core-hours; ten thousand of them tune for an hour, all are collected in five.

    100 MiB and 50 files each are 95.4 TiB and 50 million; 64 KiB twice each are 122 GiB; 1,000 cores move 900 MiB each
    every 36 s.
    """
    (row,) = scaling_table(PATIENT, (1_000_000,), (1_000,)).to_dict("records")
    assert row["core_hours"] == pytest.approx(10_000)
    assert row["shared_hours"] == pytest.approx(10)
    assert row["alone_hours"] == pytest.approx(5 + 1)
    assert row["disk_tib"] == pytest.approx(1e8 / 2**20)
    assert row["files"] == 50_000_000
    assert row["table_gib"] == pytest.approx(2 * 64e6 / 2**20)
    assert row["traffic_gib_s"] == pytest.approx(1_000 * 900 / 36 / 1024)


def test_where_more_cores_and_patients_end() -> None:
    """36 s against 0.018 s: 2,000 cores. 10 Gbit/s are 1,192 MiB/s, and a core moves 25. 256 GiB hold 2^21 rows of 128.

    A week less an hour of tuning, at 18 ms.
    """
    assert PATIENT.most_cores == 2_000
    assert PATIENT.most_cores_of_network(10) == round(1.25e9 / 2**20 / 25)
    assert PATIENT.most_patients_in(256) == 2**21
    assert PATIENT.most_patients_in_a_week == round((168 - 1) * 3600 / 0.018)


def test_columns_are_those_of_the_papers() -> None:
    """ALARM: 1,223 and 100 of each phase's liver; aMAP-CT: 851 and 512 of liver and spleen."""
    assert table_columns(scaled_profile()) == 3 * (1223 + 100) + 3 * 2 * (851 + 512)


def test_what_was_measured_gives_a_plan(project_root: Path) -> None:
    """Parts that cores share are most of a patient, and the page shows the plan and the memory that does not grow."""
    memory = scaling.read_memory()
    assert memory is not None
    page = scaling_page()
    assert page.startswith("# A million patients")
    assert "1,000,000" in page
    first, *_, last = memory["rows"]
    for step, measured in last["stages"].items():
        before = first["stages"][step]
        if measured["workers_mib"] and before["workers_mib"]:
            assert max(measured["workers_mib"]) < 1.25 * max(before["workers_mib"]), f"{step}: a worker grows"


def test_a_page_without_measurements_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is planned from nothing."""
    monkeypatch.setattr(scaling, "benchmark_file", lambda name: tmp_path / f"{name}.json")
    assert "has not been run" in scaling_page()
    (tmp_path / "memory.json").write_text(json.dumps({"rows": []}))
    assert scaling.read_memory() == {"rows": []}
