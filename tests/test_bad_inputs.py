"""Every kind of bad input in one table: what is written, which error it ends in, and the words that it says.

An error says place, rule, value and hint. Below the table, inputs that were damaged at random: each of them is read as
an independent reading of its bytes has it, or refused by an error of ours; a benchmark tries thousands more.
"""

from __future__ import annotations

import ast
import gzip
import importlib.util
import json
import re
import resource
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from test_cohort import patients, write_manifest
from test_dicom_reading import edited, in_bytes
from test_images import ball, ct, stored_values, write_series
from test_nifti_reading import HU, PLAIN, nifti
from test_nifti_reading import read as read_file

from hccbook.cohort import read_manifest
from hccbook.cohort.checks import check_manifest
from hccbook.documents import MAX_YAML_CHARACTERS
from hccbook.errors import (
    DataError,
    HccbookError,
    ImageError,
    ManifestError,
    MaskError,
    ModelError,
    SettingsError,
)
from hccbook.features.radiomics import ExtractionSettings
from hccbook.images import from_array, read_image, read_mask, to_array, write_image
from hccbook.models import AlarmModel
from hccbook.models.model_file import write_model
from hccbook.papers.published import Assumption, read_entries
from hccbook.segmentation.network import Segmenter
from hccbook.settings import load_profile

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


class Bad(NamedTuple):
    """A kind of bad input: what writes and reads it in a folder, the error, and words of the message in any order."""

    name: str
    read: Callable[[Path], object]
    error: type[HccbookError]
    words: tuple[str, ...]


def manifest(name: str, *words: str, **changes: object) -> Bad:
    """A value in one of two rows, which are lines 2 and 3."""
    return Bad(
        f"manifest: {name}",
        lambda folder: _checked(write_manifest(folder, patients(2, **changes))),
        ManifestError,
        (r"manifest\.csv", *words),
    )


def no_manifest(name: str, content: bytes, *words: str) -> Bad:
    def read(folder: Path) -> object:
        (folder / "manifest.csv").write_bytes(content)
        return _checked(folder / "manifest.csv")

    return Bad(f"manifest: {name}", read, ManifestError, words)


def _checked(file: Path) -> object:
    """Table of a manifest; its error names no patient and no folder, and check finds the same."""
    try:
        return read_manifest(file)
    except ManifestError as error:
        assert "name1" not in str(error) and str(file.parent) not in str(error)
        assert error.rule in {problem.rule for problem in check_manifest(file, workers=1)}
        raise


def longer(file: Path, ending: str, *, header: str = "") -> object:
    """Read a manifest of two rows with more in its last row, and in its header."""
    first, *rows, last = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([first + header, *rows, last + ending]) + "\n", encoding="utf-8")
    return read_manifest(file)


def dicom(name: str, *words: str, **changes: object) -> Bad:
    """A series with other values in the headers of all its slices."""
    return Bad(
        f"DICOM: {name}", lambda folder: read_image(_series(folder, **changes), "P0003, venous"), ImageError, words
    )


def _series(folder: Path, **changes: object) -> Path:
    write_series(folder / "s", stored_values(), **changes)
    return folder / "s"


def one_slice(name: str, change: Callable[[Dataset], object] | tuple[bytes, bytes], *words: str) -> Bad:
    """A series with one slice in which something else stands; the message names the slice."""

    def read(folder: Path) -> object:
        file = write_series(folder / "s", stored_values())[1]
        if isinstance(change, tuple):
            in_bytes([file], *change)
        else:
            edited([file], lambda dataset, _: change(dataset))
        try:
            return read_image(folder / "s", "P0003, venous")
        except ImageError as error:
            assert file.name in str(error)
            raise

    return Bad(f"DICOM, one slice: {name}", read, ImageError, words)


def volume(name: str, *words: str, values: np.ndarray = HU, cut: int = 0, more: bytes = b"", **fields: Any) -> Bad:
    """A NIfTI file with other values, another header, an end that is missing or more behind it."""

    def read(folder: Path) -> object:
        file = nifti(folder / "ct.nii", values, **fields)
        content = file.read_bytes()
        file.write_bytes(content[: len(content) - cut] + more)
        return read_file(file)

    return Bad(f"NIfTI: {name}", read, ImageError, words)


def header(name: str, form: str, at: int, value: float, *words: str, packed: bool = False) -> Bad:
    """A NIfTI file with another value at a byte of its header."""

    def read(folder: Path) -> object:
        content = bytearray(nifti(folder / "ct.nii", HU, sform=None).read_bytes())
        struct.pack_into(form, content, at, value)
        file = folder / ("bad.nii.gz" if packed else "bad.nii")
        file.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
        return read_file(file)

    return Bad(f"NIfTI: {name}", read, ImageError, words)


def mask(name: str, change: Callable[[sitk.Image], sitk.Image | None], *words: str) -> Bad:
    def read(folder: Path) -> object:
        drawn = ball(ct())
        write_image(change(drawn) or drawn, folder / "m.nii.gz")
        return read_mask(folder / "m.nii.gz", ct(), "P0001, liver")

    return Bad(f"mask: {name}", read, MaskError, ("P0001, liver", *words))


def profile(name: str, text: str | bytes, *words: str) -> Bad:
    return Bad(f"profile: {name}", _text("mine.yaml", text, load_profile), SettingsError, (r"mine\.yaml", *words))


def parameters(name: str, text: str, *words: str) -> Bad:
    reading = _text("Params.yaml", text, ExtractionSettings.from_yaml)
    return Bad(f"parameter file: {name}", reading, SettingsError, (r"Params\.yaml", *words))


def model(name: str, change: Callable[[dict[str, Any]], object] | str, *words: str) -> Bad:
    """ALARM's file with something else in it."""

    def read(folder: Path) -> object:
        content = json.loads(json.dumps(ALARM))
        text = change if isinstance(change, str) else (change(content), json.dumps(content))[1]
        (folder / "model.json").write_text(text, encoding="utf-8")
        return AlarmModel.from_json(folder / "model.json")

    return Bad(f"model: {name}", read, ModelError, (r"model\.json", *words))


def weights(name: str, content: bytes, *words: str) -> Bad:
    return Bad(
        f"weights: {name}", _text("w.safetensors", content, Segmenter.load), ModelError, (r"w\.safetensors", *words)
    )


def _text(name: str, content: str | bytes, read: Callable[[Path], object]) -> Callable[[Path], object]:
    def write_and_read(folder: Path) -> object:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return read(folder / name)

    return write_and_read


def safetensors(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


_SCORE = {"names": ["amap"], "means": [50.0], "scales": [5.0], "coefficients": [1.0], "intercept": -2.0}
_NONE = {"names": [], "means": [], "scales": [], "coefficients": [], "intercept": 0.0}
ALARM: dict[str, Any] = {
    "format": "hccbook model", "version": 1, "model": "alarm", "parameters": {"lasso_folds": 5},
    "radiomics_score": _NONE, "deep_score": _NONE, "combination": _SCORE, "feature_names": ["amap"],
    "selection_counts": {"step": ["lasso"], "features": [0]}, "lasso_paths": {}, "lasso_alphas": {}, "notes": [],
}  # fmt: skip
BOMB = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))])
ABDOMEN = np.where(np.indices((8, 20, 20)).min(axis=0) < 4, -1000, 40).astype(float)

TABLE = (
    manifest("id twice", "line 3, column 'patient_id'", "different in every row", "line 2", patient_id=["a", "a"]),
    manifest("no id", "line 2, column 'patient_id'", "must not be empty", patient_id=[None, "a"]),
    manifest("child", "line 3, column 'age'", "18 to 120 years", "17", "leave the patient out", age=[50, 17]),
    manifest("sex in a letter", "line 3, column 'sex'", "Did you mean 'male'", sex=["male", "M"]),
    manifest("sex in a code", "line 2, column 'sex'", "ambiguous", sex=["1", "male"]),
    manifest("bilirubin in mg/dL", "line 3", "2 to 1000 umol/L", "found 1.2", r"17\.1", bilirubin=[17, 1.2]),
    manifest("logarithms", "line 3, column 'hbv_dna_iu_ml'", "undetectable", "Logarithms", hbv_dna_iu_ml=[0, 4.3]),
    manifest("albumin in g/dL", "line 2, column 'albumin'", "g/L", "found 4.1", "by 10", albumin=[4.1, 40]),
    manifest("platelets per uL", "line 3", "150000", "Divide platelets by 1000", platelets=[150, 150000]),
    manifest("decimal comma", "line 3", "'0,9'", "point as decimal mark", bilirubin=["17", "0,9"]),
    manifest("limit of detection", "line 2, column 'afp'", "'<1.3'", "limit of detection", afp=["<1.3", "2"]),
    manifest("word for no value", "line 3, column 'alt'", "Leave an unknown value empty", alt=["30", "n/a"]),
    manifest("infinity", "line 3, column 'alt'", "'inf'", alt=["30", "inf"]),
    manifest("number without end", "line 3, column 'age'", "9999", age=["50", "9" * 5000]),
    manifest("no albumin", "line 2", "must not be empty", "as both papers do", albumin=[None, 40]),
    manifest("cause misspelt", "line 3, column 'etiology'", "Did you mean 'NASH'", etiology=["HBV", "NAHS"]),
    manifest("HCC of 2", "line 3, column 'hcc'", "must be 0 or 1", "Write 1 for yes", hcc=[0, 2]),
    manifest("HCC in a word", "line 3, column 'hcc'", "'yes'", "Write 1 for yes", hcc=["0", "yes"]),
    manifest("no follow-up", "line 3, column 'months'", "found 0", months=[12, 0]),
    manifest("follow-up in days", "line 3, column 'months'", "found 1200", "30.4", months=[12, 1200]),
    manifest("cohort misspelt", "line 3", "Did you mean 'training'", cohort=["discovery", "train"]),
    manifest("cohorts of two papers", "column 'cohort'", "one paper", cohort=["discovery", "test"]),
    manifest("no image of a phase", "line 3, column 'delayed'", "set phases", delayed=["ct/d.nii.gz", None]),
    manifest("one image for two", "line 2, column 'venous'", "file of its own", "line 3", venous="ct/same.nii.gz"),
    manifest("image in /dev/zero", "column 'venous'", "must exist", "no file '/dev/zero'", venous="/dev/zero"),
    manifest("stage without HCC", "line 2, column 'bclc'", "empty where hcc is 0", bclc=["A", None]),
    manifest("cure of 3", "line 3, column 'hcv_svr'", "must be 0 or 1", hcv_svr=[1, 3]),
    manifest("unknown column", "column 'fibroscan'", "must be a known column", fibroscan=12),
    no_manifest("empty", b"", "empty file"),
    no_manifest("no rows", b"patient_id,age\n\n", "at least one patient"),
    no_manifest("semicolons", b"patient_id;age\na;50\n", "separated by commas", "semicolons", "comma delimited"),
    no_manifest("tabs", b"patient_id\tage\na\t50\n", "separated by commas", "tabs"),
    no_manifest("Latin-1", "patient_id,centre\na,München\n".encode("latin-1"), "UTF-8", "byte 0xfc on line 2"),
    no_manifest("UTF-16", "patient_id,age\n".encode("utf-16"), "UTF-8"),
    no_manifest("spreadsheet", b"PK\x03\x04...", "CSV", "spreadsheet"),
    no_manifest("open quote", b'patient_id,age\n"a,50\n', "valid CSV"),
    no_manifest("cell without end", b"patient_id,age\na," + b"5" * 200_000 + b"\n", "valid CSV", "limit"),
    Bad("manifest: absent", lambda folder: read_manifest(folder / "gone.csv"), ManifestError, (r"gone\.csv", "exist")),
    Bad(
        "manifest: comma too many",
        lambda folder: longer(write_manifest(folder, patients(2)), ",extra"),
        ManifestError,
        ("line 3", "must have 15 values", "16 values"),
    ),
    Bad(
        "manifest: column twice",
        lambda folder: longer(write_manifest(folder, patients(1)), ",51", header=",age"),
        ManifestError,
        ("column 'age'", "2 columns named 'age'"),
    ),
    dicom("no pixels", "slice 'IM01", "pixel data", PixelData=None),
    dicom("no rescale", "rescale", "4 of 4", RescaleSlope=None),
    dicom("no position", "position", "4 of 4", ImagePositionPatient=None),
    dicom("frames without places", "several frames", NumberOfFrames=3),
    dicom("pixel spacing of 0", "above 0 mm", "0 mm", PixelSpacing=[0.7, 0]),
    dicom("pixel spacing of 1e-38", "voxel edges must be 0.1 to 20 mm", PixelSpacing=["1e-38", "1e-38"]),
    dicom("direction cosines", "right angles", ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0]),
    dicom("no intercept", "below 0", "intercept", intercept=0.0),
    dicom("tilt", "at most 35 degrees", r"45 degrees \(7\.5 mm over 8 mm\)", step=(0.0, 2.5, 2.5)),
    dicom("atomic numbers", "rescale type must be HU", "'Z_EFF'", "atomic number", RescaleType="Z_EFF"),
    dicom("slope of 0", "slice 'IM01", "slope must not be 0", slope=0.0),
    dicom("a table for HU", "slope and intercept", "a table", ModalityLUTSequence=[Dataset()]),
    dicom("colours", "grey values", "RGB of 3", PhotometricInterpretation="RGB", SamplesPerPixel=3),
    dicom("packed bits", "8, 16 or 32 bits", "12 bits", BitsAllocated=12),
    dicom("bits beyond their cell", "within their cells", "17 bits", BitsStored=17, HighBit=16),
    dicom("two slopes", "RescaleSlope must hold one number", r"1.*2", RescaleSlope=["1", "2"]),
    dicom("another modality", "every slice must be CT", "4 of modality MR", modality="MR"),
    dicom("scouts alone", "axial", "localizers", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    one_slice("slope NaN", (b"1.0 ", b"NaN "), "RescaleSlope must hold numbers", "NaN"),
    one_slice("spacing in words", (rb"0.7\0.8", rb"0.7\abc"), "PixelSpacing must hold", "abc"),
    one_slice("spacing NaN", (rb"0.7\0.8", rb"0.7\NaN"), "PixelSpacing must hold", "NaN"),
    one_slice("spacing of a range", (rb"0.7\0.8", rb"0.7 0.8"), "PixelSpacing must hold", "0.7 0.8"),
    one_slice("Rows beyond its pixels", lambda d: setattr(d, "Rows", 6), "one size|all of its pixels"),
    one_slice("bits below those stored", lambda d: setattr(d, "BitsStored", 8), "8 bits", "below"),
    one_slice("fewer bits than its values", lambda d: d.update({"BitsStored": 8, "HighBit": 7}), "fit into the 8 bits"),
    one_slice("pixels cut off", lambda d: setattr(d, "PixelData", d.PixelData[:-30]), "60 bytes", "30 bytes"),
    one_slice("pixels too many", lambda d: setattr(d, "PixelData", d.PixelData + b"\1" * 12), "72 bytes", "60 bytes"),
    volume("NaN", "finite", "1 values", values=np.where(HU.max() == HU, np.nan, HU), kind="<f4"),
    volume("no intercept", "below 0", "0 to 1", values=HU - HU.min()),
    volume("padding of 60,000", "HU", "60000", values=np.where(HU.max() == HU, 60000, HU), kind="<f4"),
    volume("normalised", "span 50 HU", "normalisation", values=(ABDOMEN - 1) / 1000, kind="<f4"),
    volume("air alone", "below 0", "-1000 to -1000", values=np.full_like(HU, -1000)),
    volume("rescaled twice", "below 0", "-2024 to -984", values=ABDOMEN - 1024),
    volume("colours", "type 128", code=128),
    volume("single bits, cut", "type 1", cut=200, code=1),
    volume("scale without an end", "scl_inter", slope=1.0, intercept=np.nan),
    volume("flat", "3-D", "2 dimensions", values=HU[0]),
    volume("over time", "3-D", "4 dimensions", values=np.stack([HU, HU])),
    volume("cut off", "whole, with 240 bytes", "200 bytes", cut=40),
    volume("more than it says", "must end behind its voxels", "header names fewer", more=b"\0\1"),
    volume("2.7 m long", "2500 mm", "2700", values=np.resize(HU, (2, 2, 300)), edges=(9, 9, 9),
           sform=np.array([[-9.0, 0, 0, 0], [0, -9.0, 0, 0], [0, 0, 9.0, 0]])),
    volume("edges of 1e-38 mm", "every position must hold one slice", sform=PLAIN * 1e-38, edges=(1e-38,) * 3),
    header("edge of 0", "<f", 76 + 4 * 3, 0.0, "above 0 mm", "x 0 mm"),
    header("voxels within the header", "<f", 108, 0.0, "begin behind the header", "byte 0"),
    header("voxels at NaN", "<f", 108, np.nan, "begin behind the header"),
    header("a gigabyte that is not there", "<h", 42, 32767, "must be whole", packed=True),
    Bad("NIfTI: text", _text("a.nii.gz", "patient_id\n", read_image), ImageError, ("file must be readable",)),
    Bad("image: a picture", _text("a.png", b"\x89PNG", read_image), ImageError, ("NIfTI", "DICOM")),
    Bad("image: absent", lambda folder: read_image(folder / "gone.nii"), ImageError, ("must exist", r"gone\.nii")),
    mask("moved", lambda image: image.SetOrigin((-9.0, 20.0, 30.0)), "grid of its image", r"\(-9\.0, 20\.0, 30\.0\)"),
    mask("other edges", lambda image: image.SetSpacing((2.0, 3.0, 4.0)), "2 x 3 x 4 mm", "2 x 3 x 5 mm"),
    mask("mirrored", lambda image: image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1)), "axes RAS", "axes LPS"),
    mask("a slice more", lambda _: ball(ct((5, 5, 6))), "6 x 5 x 5 voxels", "6 x 5 x 4 voxels"),
    mask("empty", lambda image: sitk.Cast(image * 0, sitk.sitkUInt8), "at least one voxel"),
    mask("two labels", lambda image: _with_a_two(image), "0, 1, 2", "one file an organ"),
    profile("unknown section", "feature:\n  bin_width: 25\n", "feature: .*Did you mean 'features'"),
    profile("out of range", "preprocessing:\n  spacing_mm: -1\n", r"preprocessing\.spacing_mm: .*greater than 0.*-1"),
    profile("word for a number", "alarm:\n  lasso_folds: ten\n", r"alarm\.lasso_folds: .*integer.*'ten'"),
    profile("true for a number", "alarm:\n  lasso_folds: true\n", "must not be true or false", "True"),
    profile("number for true", "preprocessing:\n  align_phases: 5\n", "must be true or false", "5"),
    profile("NaN", "preprocessing:\n  window_level: .nan\n", "finite number", "nan"),
    profile("number without end", f"alarm:\n  seed: {'9' * 5000}\n", "line 2", "a number without end"),
    profile("unknown phase", "run:\n  phases: arterial,portal\n", r"run\.phases: .*arterial, venous, delayed.*portal"),
    profile("syntax", "run:\n  phases: [arterial\n", "line 3", "valid YAML"),
    profile("list", "- run\n", "named sections, but found list"),
    profile("other bytes", b"\xff\xfe\x00a", "valid YAML"),
    profile("byte of 0", b"a: \x00", "valid YAML"),
    profile("no such day", "a: 2020-13-45", "valid YAML"),
    profile("brackets without end", "[" * 5000, "valid YAML"),
    profile("objects of Python", "a: !!python/object/apply:os.system [id]", "valid YAML", "python"),
    profile("type that does not fit", "a: !!timestamp x", "valid YAML"),
    profile("name twice", "run: {phases: venous}\nrun: {papers: alarm}\n", "line 2", "'run' a second time"),
    profile("references that multiply", BOMB, f"{MAX_YAML_CHARACTERS:,} characters"),
    profile("part of itself", "run: &a [*a]", f"{MAX_YAML_CHARACTERS:,} characters, .*inf"),
    profile("ten megabytes", "# " + "x" * 10_000_000, "at most 2,000,000 bytes"),
    parameters("misspelt setting", "setting: {binWith: 25}", "setting: must hold supported settings", "'binWidth'"),
    parameters("LBP", "imageType: {LBP3D: {}}", "supported image types only", "'LBP3D'"),
    parameters("lower case", "imageType: {wavelet: {}}", "found 'wavelet'. Did you mean 'Wavelet'"),
    parameters("shape in 2-D", "featureClass: {shape2D: }", "supported feature classes only", "'shape2D'"),
    parameters("deprecated feature", "featureClass: {glcm: [Homogeneity1]}", "featureClass.glcm: .*'Homogeneity1'"),
    parameters("voxel by voxel", "voxelSetting: {kernelRadius: 2}", "voxelSetting: must be absent"),
    parameters("mask to correct", "setting: {correctMask: true}", "setting.correctMask: must be absent.*Resample"),
    parameters("bin width of -5", "setting: {binWidth: -5}", "bin_width: .*greater than 0, but found -5"),
    parameters("unknown wavelet", "setting: {wavelet: daubechies}", "wavelet: must be a discrete wavelet"),
    parameters("LoG without a width", "imageType: {LoG: {}}", "'log' and log_sigma must be given together"),
    parameters("LoG as a list", "imageType:\n  LoG: [1.0, 3.0]\n", "imageType.LoG: must be a mapping.*'sigma: ...'"),
    parameters("wavelet as a word", "imageType:\n  Wavelet: haar\n", "must be a mapping.*'haar'.*'wavelet: ...'"),
    parameters("image as true", "imageType:\n  Original: true\n", "imageType.Original: must be a mapping.*True"),
    parameters("images as a list", "imageType: [Original]", "imageType: must be a mapping"),
    parameters("class as a number", "featureClass:\n  glcm: 5\n", "featureClass.glcm: must be a list.*found 5"),
    parameters("class as a word", "featureClass:\n  glcm: Contrast\n", "must be a list of features.*'Contrast'"),
    parameters("size as a word", "setting:\n  minimumROISize: abc\n", "minimumROISize: must be a whole number.*'abc'"),
    parameters("size as a list", "setting:\n  minimumROISize: [50]\n", r"minimumROISize: .*whole number.*\[50\]"),
    parameters("setting twice", "setting:\n  binWidth: 25\n  binWidth: 10\n", "line 3: .*valid YAML.*second time"),
    parameters("unknown part", "images: {}", "must hold supported parts only, but found 'images'"),
    parameters("syntax", "setting: {binWidth: 25", r"line \d+: must be valid YAML"),
    parameters("list", "- 1", "must hold imageType, featureClass and setting, but found list"),
    model("no JSON", "not json", "must be JSON"),
    model("list", "[1]", "model"),
    model("nested without end", "[" * 100_000, "must be JSON"),
    model("NaN", json.dumps(ALARM).replace("-2.0", "NaN"), "must be JSON", "not finite"),
    model("number beyond floats", json.dumps(ALARM).replace("-2.0", "1e999"), "must be JSON", "not finite"),
    model("name twice", json.dumps(ALARM).replace('"notes"', '"model"'), "must be JSON", "twice"),
    model("later version", lambda content: content.update(version=2), "version 1", "2"),
    model("other model", lambda content: content.update(model="amap_ct"), "must hold the model 'alarm'", "'amap_ct'"),
    model("no combination", lambda content: content.pop("combination"), "whole model", "combination"),
    model("word for a weight", lambda content: content["combination"].update(coefficients=["x"]), "coefficients.0"),
    model("scale of 0", lambda content: content["combination"].update(scales=[0.0]), "positive scales", "0.0"),
    model("weights for nobody", lambda content: content["combination"].update(names=[]), "one mean, scale and"),
    model("unknown setting", lambda content: content["parameters"].update(colour=1), "whole model", "colour"),
    model("setting of another type", lambda content: content["parameters"].update(lasso_folds="x"), "lasso_folds"),
    model("columns of two lengths", lambda content: content["selection_counts"].update(step=[]), "whole model"),
    weights("text", b"no weights at all", "must be a safetensors file"),
    weights("header of an exabyte", safetensors(b"{}", 1 << 60), "must be a safetensors file"),
    weights("tensors behind its end", safetensors(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'), "file"),
    weights("nobody's", safetensors(b"{}"), "format", "no hccbook metadata"),
    Bad("weights: absent", lambda folder: Segmenter.load(folder / "w.safetensors"), ModelError, ("must exist",)),
    Bad(
        "list of entries: a mapping",
        _text("entries.yaml", "id: a", lambda file: read_entries(file, Assumption)),
        DataError,
        (r"entries\.yaml", "list of entries"),
    ),
    Bad(
        "list of entries: none that is known",
        _text("entries.yaml", "- {id: a, title: ''}", lambda file: read_entries(file, Assumption)),
        DataError,
        (r"entries\.yaml: a: title", "at least 1 character"),
    ),
)  # fmt: skip


def _with_a_two(image: sitk.Image) -> sitk.Image:
    labels = to_array(image)
    labels[0, 0, 0] = 2
    return from_array(labels, image)


def test_the_table_has_every_kind_once() -> None:
    """Sixty kinds and more, none of them twice."""
    names = [bad.name for bad in TABLE]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize("bad", TABLE, ids=[bad.name for bad in TABLE])
def test_bad_input(tmp_path: Path, bad: Bad) -> None:
    """One error of the right kind with place, rule, value and hint; no memory address, no folder, not without end."""
    with pytest.raises(bad.error) as caught:
        bad.read(tmp_path)
    said = str(caught.value)
    for word in bad.words:
        assert re.search(word, said, re.DOTALL), said
    assert all(map(str, (caught.value.place, caught.value.rule, caught.value.found, caught.value.hint)))
    assert len(said) < 3000 and "0x7" not in said and str(tmp_path) not in said


def test_the_inputs_that_the_table_changes_are_sound(tmp_path: Path) -> None:
    """Unchanged, each of them is read."""
    assert len(read_manifest(write_manifest(tmp_path, patients(2)))) == 2
    read_image(_series(tmp_path))
    read_image(nifti(tmp_path / "ct.nii", HU))
    read_image(nifti(tmp_path / "abdomen.nii", ABDOMEN))
    write_image(ball(ct()), tmp_path / "m.nii.gz")
    read_mask(tmp_path / "m.nii.gz", ct())
    write_model(tmp_path / "model.json", "alarm", {k: v for k, v in ALARM.items() if k not in ("format", "version")})
    loaded = AlarmModel.from_json(tmp_path / "model.json")
    risk = loaded.predict_proba(pd.DataFrame({"amap": [50.0]}))[0, 1]
    assert risk == pytest.approx(1 / (1 + np.exp(2)))


# --- damaged at random -----------------------------------------------------------------------------------------------


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_, KINDS, _, INPUTS = map(load, ("mutations", "mutated_kinds", "mutated_models", "mutated_inputs"))
NUMBER = 300
QUICK = ("dicom", "nifti", "nifti-plain", "profile", "parameters")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.thorough) for name in INPUTS.KINDS if name not in QUICK)]
)
@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide):RuntimeWarning")
def test_damaged_inputs(tmp_path: Path, name: str) -> None:
    """Whatever befell a file, it is read as its bytes say, or refused by an error of ours."""
    (tmp_path / "sound").mkdir()
    number = NUMBER // 2 if name.startswith("nifti") else NUMBER
    results = list(INPUTS.tried(name, range(number), tmp_path / "sound", tmp_path / "input"))
    wrong = [result for result in results if result.outcome in INPUTS.FAULTS]
    assert not wrong, "\n".join(map(str, wrong[:5]))
    outcomes = {result.outcome for result in results}
    assert {INPUTS.REFUSED, INPUTS.READ} <= outcomes


# --- code that would run what a file says ----------------------------------------------------------------------------

FORBIDDEN = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "dill.load", "cloudpickle.load",
    "joblib.load", "pandas.read_pickle", "pd.read_pickle", "shelve.open", "eval", "exec", "os.system", "os.popen",
    "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.unsafe_load", "yaml.full_load", "yaml.load",
    "yaml.load_all", "yaml.full_load_all", "yaml.unsafe_load_all", "tempfile.mktemp",
}  # fmt: skip
"""Calls that run what a file says, or could."""


def _dangers(source: str) -> list[str]:
    """Calls of a module that would run what a file says, and guards that hide whatever goes wrong."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"line {node.lineno}: a bare except")
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name in FORBIDDEN:
            found.append(f"line {node.lineno}: {name}")
        if options.get("shell", "False") != "False" or options.get("allow_pickle", "False") != "False":
            found.append(f"line {node.lineno}: {name} with {options}")
        if name == "torch.load" and options.get("weights_only") != "True":
            found.append(f"line {node.lineno}: torch.load of objects")
    return found


@pytest.mark.parametrize(
    "source",
    (
        *("import pickle\npickle.load(f)", "subprocess.run('ls', shell=True)", "yaml.load(f, Loader)", "eval(text)"),
        *("np.load(f, allow_pickle=True)", "torch.load(f)", "try:\n    x()\nexcept:\n    pass"),
    ),
)
def test_what_is_looked_for_is_found(source: str) -> None:
    """Each of the dangers, where it stands."""
    assert len(_dangers(source)) == 1


def test_nothing_runs_what_a_file_says(project_root: Path) -> None:
    """No pickle, no shell, no YAML but the safe one, and no guard without a type."""
    files = sorted((project_root / "src").rglob("*.py"))
    found = [f"{file.name}, {danger}" for file in files for danger in _dangers(file.read_text(encoding="utf-8"))]
    assert len(files) > 100 and found == []


def test_fewer_bytes_than_a_length_says(tmp_path: Path) -> None:
    """A value that says it has 2 GB, in a file of some KB, is read without the memory for it: the rest is there."""
    file = write_series(tmp_path / "s", stored_values())[0]
    content = file.read_bytes()
    at = content.rindex(b"\xe0\x7f\x10\x00OW")
    file.write_bytes(content[: at + 8] + struct.pack("<I", 0x7FFFFFFE) + content[at + 12 :])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(next(one for one in Path("/proc/self/status").read_text().splitlines() if "VmSize" in one).split()[1])
    resource.setrlimit(resource.RLIMIT_AS, ((used << 10) + (1 << 30), limits[1]))
    try:
        np.testing.assert_array_equal(to_array(read_image(tmp_path / "s")), stored_values() - 1024)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
