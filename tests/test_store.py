"""Whole files or none, and results that are made once, found again, and made again when they are damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hccbook import store as store_module
from hccbook.settings import AlarmSettings
from hccbook.store import NotStoredError, Store, atomic_folder, atomic_path, link, reading_only

CONTENT = {"values.csv": "a,b\n1,2\n", "labels/venous.txt": "liver\n"}


def step() -> None:
    """Stands for a function whose module makes the results of these tests."""


class Maker:
    """Writes `CONTENT` into the folder that it is given, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        for name, text in CONTENT.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in which a function of this file counts as a step."""
    monkeypatch.setattr(store_module, "step_digest", lambda step, *inputs: "-".join(map(str, inputs)))
    return Store(tmp_path / "store")


def contents(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text()
        for file in folder.rglob("*")
        if file.is_file() and file.name != store_module.SUMS
    }


def remnants(folder: Path) -> list[str]:
    return [file.name for file in folder.rglob(".part-*")]


# --- whole or not at all ----------------------------------------------------------------------------------------------


def test_a_killed_write_leaves_no_file(tmp_path: Path) -> None:
    """What is interrupted half-way leaves neither the final file nor a remnant."""
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "image.nii.gz") as part:
        part.write_bytes(b"half")
        assert part.name.endswith(".nii.gz")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_what_was_there(tmp_path: Path) -> None:
    """The earlier file and the earlier folder stay as they were."""
    (tmp_path / "table.csv").write_text("old")
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "table.csv") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "series") as part:
        (part / "2.dcm").write_text("half")
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"table.csv": "old", "series/1.dcm": "old"}


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    """No file of the earlier folder stays in the new one."""
    for name in ("1.dcm", "2.dcm"):
        with atomic_folder(tmp_path / "series") as part:
            (part / name).write_text(name)
    assert contents(tmp_path) == {"series/2.dcm": "2.dcm"}
    assert remnants(tmp_path) == []


def test_results_have_the_permissions_of_other_files(tmp_path: Path) -> None:
    """Temporary files are their maker's alone; what they become is as readable as a file written directly."""
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder").mkdir()
    with atomic_path(tmp_path / "file") as part:
        part.write_text("")
    with atomic_folder(tmp_path / "series"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "series").stat().st_mode == (tmp_path / "folder").stat().st_mode


# --- links ------------------------------------------------------------------------------------------------------------


def cannot_link(*_: object) -> None:
    raise OSError("this file system has no hard links")


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_is_put_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool) -> None:
    """With its content, without a second copy where there are hard links, in place of what was there."""
    if not hard_links:
        monkeypatch.setattr(os, "link", cannot_link)
    source, target = tmp_path / "source.txt", tmp_path / "run" / "target.txt"
    source.write_text("new")
    for _ in range(2):
        link(source, target)
        assert target.read_text() == "new"
        assert target.samefile(source) is hard_links
    other = tmp_path / "other.txt"
    other.write_text("other")
    link(other, target)
    assert (target.read_text(), source.read_text()) == ("other", "new")
    assert remnants(tmp_path) == []


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_folder_is_put_in_its_place_without_its_sums(store, tmp_path, monkeypatch, hard_links) -> None:
    """All files of an entry, those in folders too; what lay there before is gone."""
    if not hard_links:
        monkeypatch.setattr(os, "link", cannot_link)
    entry = store.get_or_make("kind/one", Maker())
    target = tmp_path / "run" / "entry"
    target.mkdir(parents=True)
    (target / "earlier.txt").write_text("earlier")
    link(entry, target)
    assert contents(target) == CONTENT
    assert not (target / store_module.SUMS).exists()
    assert (target / "values.csv").samefile(entry / "values.csv") is hard_links


# --- the store --------------------------------------------------------------------------------------------------------


def test_a_result_is_made_once_and_found_again(store: Store) -> None:
    """By another `Store` on the same folder too."""
    make = Maker()
    assert store.find("kind/one") is None
    folder = store.get_or_make("kind/one", make)
    assert contents(folder) == CONTENT
    assert store.get_or_make("kind/one", make) == Store(store.root).get_or_make("kind/one", make) == folder
    assert store.find("kind/one") == folder
    assert make.calls == 1


def altered(folder: Path) -> None:
    (folder / "values.csv").write_text("a,b\n1,3\n")


def altered_and_dated_back(folder: Path) -> None:
    before = (folder / "values.csv").stat()
    altered(folder)
    os.utime(folder / "values.csv", ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(folder: Path) -> None:
    (folder / "values.csv").write_text("a,b\n")


def one_file_gone(folder: Path) -> None:
    (folder / "labels" / "venous.txt").unlink()


def sums_gone(folder: Path) -> None:
    (folder / store_module.SUMS).unlink()


def sums_cut(folder: Path) -> None:
    (folder / store_module.SUMS).write_text('{"values.csv": ')


@pytest.mark.parametrize("damage", [altered, altered_and_dated_back, cut, one_file_gone, sums_gone, sums_cut])
def test_a_damaged_entry_is_made_again(store: Store, damage: Callable[[Path], None]) -> None:
    """Another content of the same size, even under its old date, a file cut short, and one that is gone."""
    make = Maker()
    folder = store.get_or_make("kind/one", make)
    damage(folder)
    assert store.find("kind/one") is None
    assert contents(store.get_or_make("kind/one", make)) == CONTENT
    assert make.calls == 2
    assert store.find("kind/one") == folder


def test_damage_after_the_content_was_remembered_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of files that were left alone for a while are not taken again; a changed file is read all the same."""
    monkeypatch.setattr("hccbook.provenance._SETTLED_NS", 0)
    folder = store.get_or_make("kind/one", Maker())
    assert store.find("kind/one") == folder
    assert list((store.root / "contents").iterdir())
    altered_and_dated_back(folder)
    assert store.find("kind/one") is None


def test_a_killed_making_leaves_nothing(store: Store) -> None:
    """Neither an entry nor a remnant; the next call makes it whole."""

    def killed(folder: Path) -> None:
        (folder / "values.csv").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.get_or_make("kind/one", killed)
    assert store.find("kind/one") is None
    assert [file for file in store.root.rglob("*") if file.is_file()] == remnants(store.root) == []
    assert contents(store.get_or_make("kind/one", Maker())) == CONTENT


def test_where_only_reading_is_allowed_nothing_is_made(store: Store) -> None:
    """What is there is given, what is absent raises, and afterwards it can be made."""
    make = Maker()
    folder = store.get_or_make("kind/one", make)
    with reading_only():
        assert store.get_or_make("kind/one", make) == folder
        with pytest.raises(NotStoredError):
            store.get_or_make("kind/two", make)
    assert make.calls == 1
    store.get_or_make("kind/two", make)
    assert make.calls == 2


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_follow_content_kind_and_settings(tmp_path: Path) -> None:
    """The same bytes elsewhere give the same key; one byte, one setting or another kind gives another."""
    store = Store(tmp_path / "store")
    here, there = tmp_path / "ct.nii.gz", tmp_path / "elsewhere" / "other.nii.gz"
    there.parent.mkdir()
    here.write_bytes(b"voxels")
    there.write_bytes(b"voxels")
    inputs = (link, here, AlarmSettings())
    assert store.key("kind", *inputs) == store.key("kind", link, there, AlarmSettings())
    assert store.key("kind", *inputs).startswith("kind/")
    assert store.key("other", *inputs) != store.key("kind", *inputs)
    assert store.key("kind", link, here, AlarmSettings(p_threshold=0.01)) != store.key("kind", *inputs)
    there.write_bytes(b"voxelz")
    assert store.key("kind", link, there, AlarmSettings()) != store.key("kind", *inputs)


@pytest.mark.parametrize("settled_ns", [0, 2_000_000_000])
def test_a_file_replaced_under_its_old_size_and_date_has_another_key(tmp_path, monkeypatch, settled_ns) -> None:
    """Whether the store has remembered its content or not."""
    monkeypatch.setattr("hccbook.provenance._SETTLED_NS", settled_ns)
    store = Store(tmp_path / "store")
    image = tmp_path / "ct.nii.gz"
    image.write_bytes(b"voxels")
    before, state = store.key("kind", link, image), image.stat()
    assert store.key("kind", link, image) == before
    image.write_bytes(b"VOXELS")
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (image.stat().st_size, image.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert store.key("kind", link, image) != before
    assert Store(tmp_path / "store").key("kind", link, image) == store.key("kind", link, image)


def test_what_is_not_finished_lies_apart_from_entries(tmp_path: Path) -> None:
    """A checkpoint has a name of its own by key and kind, and is no entry."""
    store = Store(tmp_path / "store")
    file = store.unfinished("network/abc", ".safetensors")
    assert file.name == "network-abc.safetensors"
    assert file != store.unfinished("network/abd", ".safetensors")
    assert file.is_relative_to(store.root)
    assert store.find("network/abc") is None
