"""Contact sheets show what lies where, in mm and on the right side, and the cohort's page puts the suspicious first."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from bs4 import BeautifulSoup
from PIL import Image, ImageColor

from hccbook.errors import DataError
from hccbook.images import write_image
from hccbook.pipeline import contact_sheets, files
from hccbook.report.figures.contact_sheet import SHEET_WIDTH, contact_sheet, webp_bytes
from hccbook.report.figures.style import ORGAN_COLOURS, VERMILION
from hccbook.run import Case, RunPaths
from hccbook.segmentation import FINDING_COLUMNS

LIVER, SPLEEN = (ImageColor.getrgb(ORGAN_COLOURS[organ]) for organ in ("liver", "spleen"))
PHASES = ("arterial", "venous")


def volume(
    spacing: tuple[float, float, float] = (5.0, 5.0, 5.0), noise: float = 0.0, seed: int = 0
) -> tuple[sitk.Image, sitk.Image]:
    """A body of 300 x 200 x 250 mm (x, y, z), a bright liver of 100 mm edges on the right, a spleen on the left."""
    x, y, z = (np.arange(round(length / edge)) * edge for length, edge in zip((300, 200, 250), spacing, strict=True))
    labels = np.zeros((len(z), len(y), len(x)), np.uint8)

    def box(*ends: tuple[float, float]) -> tuple[np.ndarray, ...]:
        return np.ix_(*[(axis >= low) & (axis < high) for axis, (low, high) in zip((z, y, x), ends, strict=True)])

    labels[box((80, 180), (40, 140), (30, 130))] = 1
    labels[box((120, 170), (80, 160), (200, 260))] = 2
    hu = np.where(labels > 0, 110.0, -20.0) + np.random.default_rng(seed).normal(0, noise, labels.shape)
    made = []
    for array in (hu.astype(np.int16), labels):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        made.append(image)
    return made[0], made[1]


def drawn(image: sitk.Image, labels: sitk.Image | None, **options) -> np.ndarray:
    """Colours of the sheet of one phase, shape (height, width, 3)."""
    masks = {} if labels is None else {"venous": labels}
    sheet = contact_sheet({"venous": image}, masks, title="P0001", **({"synthetic": False} | options))
    return np.asarray(sheet.convert("RGB"))


def boxes(sheet: np.ndarray, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int, int]]:
    """Left, right, top and bottom of every mask of one colour from left to right, and how many pixels it has."""
    hit = (sheet == colour).all(axis=2)
    hit[-40:] = False  # the legend at the foot
    columns = np.flatnonzero(hit.any(axis=0))
    found = []
    for part in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
        # The left and right rims of one box have its upper and lower rim between them.
        rows = np.flatnonzero(hit[:, part].any(axis=1))
        found.append((part[0], part[-1], rows[0], rows[-1], int(hit[:, part].sum())))
    return found


def segmented(sheet: np.ndarray) -> bool:
    return any((sheet[:-40] == colour).all(axis=2).any() for colour in (LIVER, SPLEEN))


# --- one sheet --------------------------------------------------------------------------------------------------------


def test_the_patient_s_right_is_on_the_left():
    """In axial and coronal cuts the liver lies left of the spleen; the sagittal cut shows the liver alone."""
    sheet = drawn(*volume())
    livers, spleens = boxes(sheet, LIVER), boxes(sheet, SPLEEN)
    assert (len(livers), len(spleens)) == (5, 4)
    for liver, spleen, following in zip(livers, spleens, livers[1:], strict=False):
        assert liver[1] < spleen[0] < spleen[1] < following[0]


def test_head_and_front_are_at_the_top():
    """Axial: 40 mm of body in front of the liver, 60 mm behind. Coronal: the spleen 10 mm below its top, 40 mm above.

    The body has -20 HU, 100 of the window's 360 HU above black: grey 10 of 0 to 39, which is 65 of 255.
    """
    sheet = drawn(*volume())
    livers, spleens = boxes(sheet, LIVER), boxes(sheet, SPLEEN)
    scale = (livers[0][1] - livers[0][0] + 1) / 100
    body = np.flatnonzero((sheet[:, livers[0][1] + 10] == 65).all(axis=1))
    assert livers[0][2] - body[0] == pytest.approx(40 * scale, abs=2)
    assert body[-1] - livers[0][3] == pytest.approx(60 * scale, abs=2)
    assert spleens[3][2] - livers[3][2] == pytest.approx(10 * scale, abs=2)
    assert livers[3][3] - spleens[3][3] == pytest.approx(40 * scale, abs=2)


def test_an_array_stored_otherwise_gives_the_same_sheet():
    """Flipped and permuted arrays with their directions show the same patient, pixel for pixel."""
    image, labels = volume(noise=10)
    expected = drawn(image, labels)
    for axes in ("RAS", "SPL", "ARI"):
        turned = [sitk.DICOMOrient(part, axes) for part in (image, labels)]
        assert np.array_equal(drawn(*turned), expected), axes


@pytest.mark.parametrize("spacing", [(5.0, 5.0, 5.0), (2.5, 2.5, 10.0), (10.0, 5.0, 2.5), (1.0, 2.0, 5.0)])
def test_a_cube_is_square_in_every_cut(spacing):
    """The liver of 100 mm has one size down and across, in all planes, whatever the voxels."""
    edges = {
        edge
        for left, right, top, bottom, _ in boxes(drawn(*volume(spacing)), LIVER)
        for edge in (right - left, bottom - top)
    }
    assert max(edges) - min(edges) <= 2
    assert min(edges) > 40


def test_masks_are_one_pixel_wide():
    """A box of w x h pixels has a rim of 2 (w + h) - 4."""
    for left, right, top, bottom, pixels in boxes(drawn(*volume()), LIVER):
        assert pixels == 2 * (right - left + 1 + bottom - top + 1) - 4


def test_all_phases_show_the_same_place():
    """Of three phases the middle one is segmented 40 mm lower, and its coronal mask lies that much lower."""
    image, labels = volume()
    moved = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(labels), -8, axis=0))
    moved.CopyInformation(labels)
    masks = {"arterial": labels, "venous": moved, "delayed": labels}
    sheet = contact_sheet(dict.fromkeys(masks, image), masks, title="P0001", synthetic=False)
    array = np.asarray(sheet.convert("RGB"))
    left, right, *_ = boxes(array, LIVER)[3]
    # In the middle of the coronal pictures only the upper and the lower rim of each phase are met.
    rims = np.flatnonzero((array[:-40, (left + right) // 2] == LIVER).all(axis=1))
    assert len(rims) == 6
    scale = (right - left + 1) / 100
    pitch = (rims[4] - rims[0]) / 2
    assert rims[2] - rims[0] - pitch == pytest.approx(40 * scale, abs=2)


def test_a_stamp_where_data_are_synthetic():
    """The stamp's colour is on the sheet of a synthetic patient, at head and foot, and on no other."""
    image, labels = volume()
    stamp = ImageColor.getrgb(VERMILION)
    made_up = (drawn(image, labels, synthetic=True) == stamp).all(axis=2)
    assert made_up[:30].any()
    assert made_up[-40:].any()
    assert not (drawn(image, labels) == stamp).all(axis=2).any()


def test_findings_are_written_and_counted_when_many():
    """Each line makes the sheet higher, until they are counted instead; a long one is broken, not cut off."""
    image, labels = volume()
    heights = [drawn(image, labels, remarks=["liver: too small"] * count).shape[0] for count in (0, 1, 2, 9, 10, 40)]
    assert np.diff(heights[:3]).tolist() == [18, 18]
    assert len(set(heights[3:])) == 1
    long = drawn(image, labels, remarks=["liver: " + "too small " * 20])
    assert long.shape[0] == heights[2]
    assert not long[:80, -3:].any()


def test_missing_or_foreign_masks_are_not_drawn():
    """Without a label map, or with one on another grid, the CT is shown alone."""
    image, labels = volume()
    assert segmented(drawn(image, labels))
    for mask in (None, volume((10.0, 5.0, 5.0))[1]):
        sheet = drawn(image, mask)
        assert sheet.max() > 100
        assert not segmented(sheet)
    shifted = sitk.Image(labels)
    shifted.SetOrigin([5.0, 0.0, 0.0])
    assert not segmented(drawn(image, shifted))


def test_no_phase_is_refused():
    """There is nothing to draw."""
    with pytest.raises(DataError, match="P0001: must have at least one phase"):
        contact_sheet({}, {}, title="P0001", synthetic=False)


def test_compression_changes_no_pixel():
    """Lines one pixel wide keep their colour."""
    sheet = contact_sheet({"venous": volume(noise=15)[0]}, {"venous": volume(noise=15)[1]}, title="P1", synthetic=False)
    after = Image.open(io.BytesIO(webp_bytes(sheet))).convert("RGB")
    np.testing.assert_array_equal(np.asarray(after), np.asarray(sheet.convert("RGB")))


def test_a_sheet_is_small_and_always_the_same():
    """Three noisy phases: the width asked for, under 150 kB, the same bytes twice."""
    phases = {phase: volume(noise=15, seed=seed) for seed, phase in enumerate(("arterial", "venous", "delayed"))}
    both = [
        webp_bytes(
            contact_sheet(
                {phase: pair[0] for phase, pair in phases.items()},
                {phase: pair[1] for phase, pair in phases.items()},
                title="P0001",
                synthetic=True,
            )
        )
        for _ in range(2)
    ]
    assert both[0] == both[1]
    assert len(both[0]) < 150_000
    assert Image.open(io.BytesIO(both[0])).width == SHEET_WIDTH


# --- a cohort ---------------------------------------------------------------------------------------------------------


def finding(patient: str, severity: float, found: str = "300 mL", phase: str = "venous") -> dict[str, object]:
    values = (patient, phase, "liver", "volume is 500 to 4000 mL", found, "Look.", severity)
    return dict(zip(FINDING_COLUMNS, values, strict=True))


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """Five patients: P0001 and P0005 plausible, P0002 and P0003 with findings, P0004 let go for want of a liver."""
    run = RunPaths(tmp_path / "run")
    keys = [f"P{number:04d}" for number in range(1, 6)]
    files.save_table(
        pd.DataFrame({"patient": keys, "centre": ["C01", "C02", "<C&3>", "C04", "C05"]}), run.clinical("alarm")
    )
    files.save_table(pd.DataFrame({"patient": keys}), run.stage("preprocessing") / "alarm.csv")
    quality = {"patient": [*keys[:3], keys[4]], "phase": "venous", "liver_volume_ml": [1500.0, 300.0, 200.0, 600.0]}
    files.save_table(pd.DataFrame(quality), run.stage("segmentation") / "alarm.csv")
    failures = pd.DataFrame(
        [("P0004", "segmentation", "MaskError", "P0004, venous: the liver must be segmented, but found no voxel.")],
        columns=["patient", "stage", "kind", "reason"],
    )
    files.save_table(failures, run.stage("segmentation") / "alarm_failures.csv")
    found = [finding("P0002", 0.5), finding("P0003", 1.5, "200 mL"), finding("P0003", 0.9, "<250 mL>", "arterial")]
    files.save_table(pd.DataFrame(found), run.stage("segmentation") / "alarm_findings.csv")
    for seed, (key, case) in enumerate(files.cases(run, "alarm", PHASES, keys).items()):
        for phase in PHASES:
            image, labels = volume((10.0, 10.0, 10.0), noise=10, seed=seed)
            write_image(image, case.image(phase))
            if key != "P0004":
                write_image(labels, case.labels(phase))
    return run


def size_of(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        return picture.size


def page(run: RunPaths) -> BeautifulSoup:
    file = run.contact_sheets("alarm") / contact_sheets.PAGE
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def test_the_most_suspicious_come_first(run):
    """A patient let go counts as the most that one rule gives, 3; a rule broken in two phases counts once, 1.5.

    Of the two without a finding, 600 mL are nearer to the bound of 500 mL than 1500 mL are.
    """
    dice = pd.DataFrame(
        {"paper": ["alarm", "alarm", "amap_ct"], "patient": ["P0002", "P0002", "P0001"], "dice": [0.9, 0.8, 0.1]}
    )
    table = contact_sheets.write(run, "alarm", PHASES, synthetic=True, dice=dice)
    assert list(table["patient"]) == ["P0004", "P0003", "P0002", "P0005", "P0001"]
    assert table["severity"].tolist() == [3.0, 1.5, 0.5, 0.0, 0.0]
    assert table["findings"].tolist() == [1, 2, 1, 0, 0]
    assert table["dice"].tolist() == pytest.approx([np.nan, np.nan, 0.8, np.nan, np.nan], nan_ok=True)
    for sheet in table["sheet"]:
        assert size_of(run.root / sheet)[0] == SHEET_WIDTH
        assert not Path(sheet).is_absolute()
    assert [item["id"] for item in page(run).select("ol.patients > li")] == list(table["patient"])


def test_the_page_says_all_and_needs_nothing(run):
    """Centre, severity, Dice and findings in words; no script, no network, pictures beside it, text for each."""
    dice = pd.DataFrame({"patient": ["P0002"], "dice": [0.8]})
    contact_sheets.write(run, "alarm", PHASES, synthetic=True, dice=dice)
    soup = page(run)
    text = {item["id"]: " ".join(item.get_text(" ").split()) for item in soup.select("ol.patients > li")}
    assert text["P0003"] == (
        "P0003 Centre <C&3> Suspicion 1.50 "
        "liver: volume is 500 to 4000 mL, but found 200 mL (venous), <250 mL> (arterial)"
    )
    assert "Least Dice 0.800" in text["P0002"]
    assert text["P0001"].endswith("Nothing suspicious found.")
    assert "left out of the features: P0004, venous: the liver must be segmented" in text["P0004"]
    assert soup.find("script") is None
    assert soup.find("link") is None
    assert soup.html["lang"] == "en"
    folder = run.contact_sheets("alarm")
    for picture in soup.find_all("img"):
        assert picture["alt"].startswith("Synthetic CT of P")
        assert picture["loading"] == "lazy"
        assert size_of(folder / picture["src"]) == (int(picture["width"]), int(picture["height"]))
    source = str(soup)
    assert not re.search(r"https?:|//|url\(|@import", source)
    assert str(run.root) not in source


def test_synthetic_is_said_only_where_it_is_true(run):
    """The banner and the pictures' text."""
    contact_sheets.write(run, "alarm", PHASES, synthetic=True)
    assert "SYNTHETIC" in page(run).select_one(".stamp").get_text()
    contact_sheets.write(run, "alarm", PHASES, synthetic=False)
    assert "synthetic" not in str(page(run)).lower()


def test_workers_change_nothing(run):
    """One and two give the same files."""
    folder = run.contact_sheets("alarm")
    both = []
    for workers in (1, 2):
        contact_sheets.write(run, "alarm", PHASES, synthetic=True, workers=workers)
        both.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert sorted(both[0]) == ["P0001.webp", "P0002.webp", "P0003.webp", "P0004.webp", "P0005.webp", "index.html"]
    assert both[0] == both[1]


def test_sheets_of_patients_that_are_gone_are_removed(run):
    """One is no longer in the cohort, one can no longer be drawn; the page says so and the others stay."""
    contact_sheets.write(run, "alarm", PHASES, synthetic=True)
    files.save_table(pd.DataFrame({"patient": ["P0001", "P0002", "P0003"]}), run.stage("preprocessing") / "alarm.csv")
    Case(run, "alarm", "P0002", PHASES).image("venous").write_bytes(b"no image")
    table = contact_sheets.write(run, "alarm", PHASES, synthetic=True).set_index("patient")
    folder = run.contact_sheets("alarm")
    assert sorted(file.name for file in folder.glob("*.webp")) == ["P0001.webp", "P0003.webp"]
    assert table.loc["P0002", "sheet"] == ""
    assert "No contact sheet could be drawn." in page(run).find(id="P0002").get_text()
