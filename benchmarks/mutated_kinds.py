"""Sound inputs of each kind, the package's reader for them, and an independent reading; for `mutated_inputs.py`."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mutations
import numpy as np
import pandas as pd
import pydicom
import SimpleITK as sitk
import yaml
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from hccbook.cohort.manifest import COLUMNS, usable_patients
from hccbook.features.radiomics import ExtractionSettings
from hccbook.images import read_image
from hccbook.images.remarks import collected
from hccbook.settings import PHASES, load_profile

SIZE = (4, 8, 8)


class Kind(NamedTuple):
    """A kind of input.

    Attributes
    ----------
    title : str
        What it is.
    number : int
        How many are tried.
    mutations : dict of str to tuple
        What may befall the files of each ending.
    make : callable
        Writes a sound input into a folder.
    read : callable
        The package's reading of a folder.
    misread : callable
        Given folder and reading: how it differs from an independent one, empty where not, None where there is none.
    """

    title: str
    number: int
    mutations: dict[str, tuple[mutations.Mutation, ...]]
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    misread: Callable[[Path, Any], str | None]


# --- manifest --------------------------------------------------------------------------------------------------------

MANIFEST = """\
patient_id,centre,cohort,age,sex,bilirubin,albumin,platelets,afp,alt,etiology,hcc,months,bclc,arterial,venous,delayed
A-1,North,,50,male,17.1,40,150,3.5,30,HBV,0,36,,a1.nii,v1.nii,d1.nii
"Bell, Ann",North,,61,female,21,38.5,98,12,41,HCV,1,14,A,a2.nii,v2.nii,d2.nii
C/3,South,,47,male,12,44,210,,28,NASH,0,60,,a3.nii,v3.nii,d3.nii
D 4,South,,70,female,33,31,75,140,55,alcohol,1,8,B,a4.nii,v4.nii,d4.nii
"""


def _make_manifest(folder: Path) -> None:
    (folder / "manifest.csv").write_text(MANIFEST, encoding="utf-8")
    for phase, number in itertools.product("avd", range(1, 5)):
        (folder / f"{phase}{number}.nii").touch()


def _read_manifest(folder: Path) -> pd.DataFrame:
    return usable_patients(folder / "manifest.csv", PHASES)[0]


def _misread_manifest(folder: Path, table: pd.DataFrame) -> str | None:
    """Each row that is taken, cell by cell, against Python's own csv."""
    text = (folder / "manifest.csv").read_bytes().decode("utf-8-sig")
    header, *rows = (row for row in csv.reader(io.StringIO(text, newline="")) if any(cell.strip() for cell in row))
    names = ["centre" if name.strip() == "center" else name.strip() for name in header]
    for key, patient in table.iterrows():
        cells = dict(zip(names, rows[int(str(key)[1:]) - 1], strict=True))
        for name in set(names) & set(COLUMNS):
            cell, value = cells[name].strip(), patient.get(name, "")
            kind = COLUMNS[name].kind
            if kind == "number":
                same = math.isnan(float(value)) if not cell else float(cell) == float(value)
            elif kind == "path":
                same = str(value) == (str(folder.resolve() / cell) if cell else "")
            else:
                same = str(value).casefold() == cell.casefold()
            if not same:
                return f"{name}: {cell!r} became {value!r}"
    return ""


# --- images ----------------------------------------------------------------------------------------------------------


def _body() -> np.ndarray:
    """HU (z, y, x): air, and soft tissue that differs from voxel to voxel."""
    hu = np.full(SIZE, -1000)
    hu[:, 2:6, 1:7] = np.arange(4 * 4 * 6).reshape(4, 4, 6) + 20
    return hu


def _make_dicom(folder: Path) -> None:
    for number, plane in enumerate(_body()):
        slice_ = Dataset()
        slice_.file_meta = FileMetaDataset()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID = CTImageStorage
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{number + 1}"
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID, slice_.FrameOfReferenceUID = "1.2.3", "1.2.4", "1.2.5"
        slice_.Modality, slice_.ImageType, slice_.PatientID, slice_.PatientName = "CT", ["ORIGINAL"], "X1", "X^Y"
        slice_.SeriesNumber, slice_.SeriesDescription, slice_.InstanceNumber = 3, "venous", number + 1
        slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        slice_.ImagePositionPatient = [-10.5, 20.25, 2.5 * number]
        slice_.PixelSpacing, slice_.SliceThickness, slice_.SpacingBetweenSlices = [0.7, 0.8], 2.5, 2.5
        slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = *plane.shape, 1
        slice_.PhotometricInterpretation = "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 12, 11, 0
        slice_.RescaleSlope, slice_.RescaleIntercept, slice_.RescaleType = 1, -1024, "HU"
        slice_.PixelData = (plane + 1024).astype("<u2").tobytes()
        slice_.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def _read_dicom(folder: Path) -> tuple[sitk.Image, list[str]]:
    with collected() as remarks:
        return read_image(folder, "P0001, venous"), [str(said) for said in remarks]


def _numbers(element: Any) -> list[float]:
    values = (
        element.value if isinstance(element.value, str | bytes | int | float) else "\\".join(map(str, element.value))
    )
    text = values.decode("latin-1") if isinstance(values, bytes) else str(values)
    return [float(part.strip(" \0").replace(",", ".")) for part in text.split("\\")]


def _slice_values(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Places (mm) and HU of a slice's pixels, by the standard's formulas: PS3.3 C.7.6.2.1, C.11.1, PS3.5 8.1.1."""
    data = pydicom.dcmread(file, force=True)
    allocated, stored, high = (int(data[name].value) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    rows, columns = int(data.Rows), int(data.Columns)
    cells = np.frombuffer(bytes(data.PixelData)[: rows * columns * allocated // 8], f"<u{allocated // 8}")
    values = (cells.astype(np.int64) >> (high + 1 - stored)) & (2**stored - 1)
    if int(data.get("PixelRepresentation", 0)):
        values = np.where(values >= 2 ** (stored - 1), values - 2**stored, values)
    hu = values * _numbers(data.get_item("RescaleSlope"))[0] + _numbers(data.get_item("RescaleIntercept"))[0]
    position, cosines, edges = (
        np.array(_numbers(data.get_item(name))[:count])
        for name, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
    )
    row, column = np.divmod(np.arange(rows * columns), columns)
    return position + np.outer(column * edges[1], cosines[:3]) + np.outer(row * edges[0], cosines[3:]), hu


def _misplaced(image: sitk.Image, places: np.ndarray, values: np.ndarray) -> str:
    """Voxels of an image that are not where, or what, they should be."""
    array = sitk.GetArrayViewFromImage(image)
    if array.size != len(values):
        return f"{array.size} voxels of {len(values)}"
    origin, edges = np.array(image.GetOrigin()), np.array(image.GetSpacing())
    steps = np.array(image.GetDirection()).reshape(3, 3) * edges
    indices = np.linalg.solve(steps, (places - origin).T).T
    at = np.rint(indices).astype(int)
    off = np.abs((indices - at) * edges).max()
    if off > 0.2 or (at < 0).any() or (at >= array.shape[::-1]).any() or len(np.unique(at, axis=0)) < len(at):
        return f"voxels up to {off:.3g} mm from where they belong"
    away = np.abs(array[tuple(at.T[::-1])] - values).max()
    return (
        f"values up to {away:.3g} HU away" if away > max(1e-3, 1e-6 * np.abs(values).max()) + 0.5 * (away < 1) else ""
    )


def _misread_dicom(folder: Path, reading: tuple[sitk.Image, list[str]]) -> str | None:
    image, remarks = reading
    if any("straightened" in said or "even steps" in said or "left out" in said for said in remarks):
        return None  # interpolated or left out with a remark, which other tests look at
    try:
        slices = [_slice_values(file) for file in sorted(folder.iterdir())]
    except Exception:
        return None
    return _misplaced(image, *(np.concatenate(parts) for parts in zip(*slices, strict=True)))


def _make_nifti(folder: Path, name: str = "ct.nii.gz") -> None:
    image = sitk.GetImageFromArray(_body().astype(np.int16))
    image.SetSpacing((0.8, 0.7, 2.5))
    image.SetOrigin((-10.5, 20.25, 30))
    sitk.WriteImage(image, str(folder / name))


def _read_nifti(folder: Path) -> tuple[sitk.Image, list[str]]:
    (file,) = folder.iterdir()
    with collected() as remarks:
        return read_image(file, "P0001, venous"), [str(said) for said in remarks]


def _misread_nifti(folder: Path, reading: tuple[sitk.Image, list[str]]) -> str | None:
    """By the standard's header and its three methods (nifti1.h), read with struct alone."""
    image, remarks = reading
    if any("straightened" in said for said in remarks):
        return None
    (file,) = folder.iterdir()
    content = file.read_bytes()
    content = gzip.decompress(content) if file.suffix == ".gz" else content
    order = "<" if struct.unpack_from("<i", content)[0] == 348 else ">"
    if struct.unpack_from(order + "i", content)[0] != 348:
        return None  # NIfTI-2
    sizes = struct.unpack_from(order + "8h", content, 40)[1:4]
    code, _ = struct.unpack_from(order + "2h", content, 70)
    pixdim = struct.unpack_from(order + "8f", content, 76)
    start, slope, intercept = struct.unpack_from(order + "3f", content, 108)
    letters = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
    values = np.frombuffer(content, order + letters[code], math.prod(sizes), int(start)).astype(float)
    if slope and math.isfinite(slope):
        values = values * slope + intercept
    q_code, s_code = struct.unpack_from(order + "2h", content, 252)
    if s_code > 0:
        affine = np.array(struct.unpack_from(order + "12f", content, 280)).reshape(3, 4)
    elif q_code > 0:
        affine = _by_quaternion(struct.unpack_from(order + "6f", content, 256), pixdim)
    else:
        affine = np.column_stack([np.diag(np.abs(pixdim[1:4])), np.zeros(3)])
    unit = content[123] & 7
    if unit in (1, 3) and any("converted" in said for said in remarks):
        affine = affine * {1: 1000.0, 3: 0.001}[unit]
    z, y, x = np.unravel_index(np.arange(len(values)), sizes[::-1])
    places = (affine @ np.stack([x, y, z, np.ones(len(values))])).T * (-1, -1, 1)
    return _misplaced(image, places, values)


def _by_quaternion(q_form: tuple[float, ...], pixdim: tuple[float, ...]) -> np.ndarray:
    b, c, d, *offset = q_form
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    turn = Rotation.from_quat([b, c, d, a]).as_matrix()
    return np.column_stack([turn * np.abs(pixdim[1:4]) * (1, 1, -1 if pixdim[0] < 0 else 1), offset])


# --- settings --------------------------------------------------------------------------------------------------------


def _libyaml(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)


def _same(written: Any, value: Any) -> bool:
    """Whether a setting is what its file says: numbers by value, lists item by item."""
    if isinstance(written, list | tuple) or isinstance(value, list | tuple):
        return len(written) == len(value) and all(map(_same, written, value))
    if isinstance(written, bool) or isinstance(value, bool):
        return written is value
    if isinstance(value, int | float):
        return float(written) == float(value)
    return written == value


PROFILE = """\
run: {synthetic: false, phases: "arterial,venous", papers: alarm}
cohort:
  seed: 7
  split: outcome
  acquisition_spacing_mm: 5.5
preprocessing:
  spacing_mm: 2.0
  align_phases: true
  window_level: 45
segmentation: {mask_source: manifest, masks: "m/{patient_id}", patch_voxels: 64, learning_rate: 0.05}
features: {engine: fast, bin_width: 20, alarm_filters: "wavelet,log:2", perturbations: "given,erosion:2"}
alarm: {p_threshold: 0.01, lasso_folds: 5, lambda_rule: min}
stepwise_stratification: {amap_low: 49.5}
figures_and_tables: {dpi: 90}
"""


def _make_profile(folder: Path) -> None:
    (folder / "own.yaml").write_text(PROFILE, encoding="utf-8")


def _misread_profile(folder: Path, profile: Any) -> str | None:
    for section, fields in (_libyaml(folder / "own.yaml") or {}).items():
        for name, written in (fields or {}).items():
            value = getattr(getattr(profile, section), name)
            if not _same(written, value) and not (isinstance(written, str) and name in ("phases", "papers")):
                return f"{section}.{name}: {written!r} became {value!r}"
    return ""


PARAMETERS = """\
imageType:
  Original: {}
  LoG: {sigma: [1.0, 3.0], binWidth: 20}
  Wavelet: {start_level: 0, level: 1, wavelet: coif1}
  Gradient: {gradientUseSpacing: true}
featureClass:
  shape:
  firstorder: [Mean, Energy]
  glcm:
setting:
  binWidth: 25
  label: 2
  normalize: false
  resampledPixelSpacing: [1, 1, 1]
  interpolator: sitkBSpline
  minimumROISize: 50
  resegmentRange: [-3, 3]
  resegmentMode: sigma
  distances: [1, 2]
  force2D: false
  weightingNorm:
"""


def _make_parameters(folder: Path) -> None:
    (folder / "params.yaml").write_text(PARAMETERS, encoding="utf-8")


OPTIONS = {
    "binWidth": "bin_width",
    "label": "label",
    "normalize": "normalize",
    "interpolator": "interpolator",
    "resampledPixelSpacing": "resampled_spacing_mm",
    "resegmentRange": "resegment_range",
    "resegmentMode": "resegment_mode",
    "distances": "distances",
    "force2D": "force_2d",
    "weightingNorm": "weighting_norm",
}


def _misread_parameters(folder: Path, settings: ExtractionSettings) -> str | None:
    content = _libyaml(folder / "params.yaml") or {}
    for name, field in OPTIONS.items():
        written = (content.get("setting") or {}).get(name)
        if written is not None and not _same(written, getattr(settings, field)):
            return f"{name}: {written!r} became {getattr(settings, field)!r}"
    asked = {"".join(letter for letter in str(name).lower()) for name in content.get("imageType") or {"Original": 0}}
    taken = {name.replace("-", "") for name in settings.image_types}
    if asked != taken:
        return f"images {sorted(asked)} became {sorted(taken)}"
    for name, features in (content.get("featureClass") or {}).items():
        if name not in settings.feature_classes or (features and set(features) != set(settings.features[name])):
            return f"features of {name}"
    return ""


KINDS: dict[str, Kind] = {
    "manifest": Kind(
        "manifest, CSV", 10_000, {".csv": mutations.TABLE}, _make_manifest, _read_manifest, _misread_manifest
    ),
    "dicom": Kind(
        "folder of DICOM slices", 10_000, {".dcm": mutations.DICOM}, _make_dicom, _read_dicom, _misread_dicom
    ),
    "nifti": Kind("NIfTI, compressed", 5_000, {".gz": mutations.NIFTI}, _make_nifti, _read_nifti, _misread_nifti),
    "nifti-plain": Kind(
        "NIfTI, not compressed",
        5_000,
        {".nii": mutations.NIFTI[:-2]},
        lambda folder: _make_nifti(folder, "ct.nii"),
        _read_nifti,
        _misread_nifti,
    ),
    "profile": Kind(
        "profile, YAML",
        10_000,
        {".yaml": mutations.YAML},
        _make_profile,
        lambda folder: load_profile(folder / "own.yaml"),
        _misread_profile,
    ),
    "parameters": Kind(
        "PyRadiomics' parameter file",
        10_000,
        {".yaml": mutations.YAML},
        _make_parameters,
        lambda folder: ExtractionSettings.from_yaml(folder / "params.yaml"),
        _misread_parameters,
    ),
}
