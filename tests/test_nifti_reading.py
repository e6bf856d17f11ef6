"""NIfTI files as tools leave them: where their voxels lie and what they mean, by the standard's own formulas."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from test_images import OBLIQUE, OBLIQUE_NORMAL, ct, refused, stored_values

from hccbook.errors import ImageError, MaskError
from hccbook.images import from_array, read_image, read_mask, to_array, volume_ml, write_image
from hccbook.images.remarks import collected

HU = stored_values() - 1000
EDGES = (0.8, 0.7, 2.5)
PLAIN = np.array([[-0.8, 0, 0, 50], [0, -0.7, 0, 40], [0, 0, 2.5, 100.0]])
"""Affine of voxels of `EDGES` along the patient's left, back and head; NIfTI's axes point right and to the front."""


def nifti(
    file: Path,
    values: np.ndarray,
    *,
    sform: np.ndarray | None = PLAIN,
    qform: tuple[float, ...] | None = None,
    edges: tuple[float, ...] = EDGES,
    kind: str = "<i2",
    version: int = 1,
    **fields: float,
) -> Path:
    """Write values (z, y, x) as NIfTI, its header by the standard's offsets.

    qform: b, c, d and the offset x, y, z; fields: qfac, units, slope, intercept, and code (of the type).
    """
    order, letters = kind[0], {1: "hfi", 2: "qdq"}[version]
    whole, real, _ = letters
    at = {
        1: {"dim": 40, "type": 70, "edges": 76, "start": 108, "scale": 112, "units": 123, "codes": 252, "q": 256},
        2: {"dim": 16, "type": 12, "edges": 104, "start": 168, "scale": 176, "units": 500, "codes": 344, "q": 352},
    }[version]
    length = {1: 348, 2: 540}[version]
    header = bytearray(length + 4)
    code = {"i2": 4, "u1": 2, "f4": 16, "f8": 64, "i4": 8}[kind[1:]]
    sizes = values.shape[::-1]
    struct.pack_into(order + "i", header, 0, length)
    struct.pack_into(f"{order}8{whole}", header, at["dim"], len(sizes), *sizes, *[1] * (7 - len(sizes)))
    struct.pack_into(order + "2h", header, at["type"], int(fields.get("code", code)), 8 * np.dtype(kind).itemsize)
    struct.pack_into(f"{order}8{real}", header, at["edges"], fields.get("qfac", 1.0), *edges, 0, 0, 0, 0)
    struct.pack_into(order + ("f" if version == 1 else "q"), header, at["start"], length + 4)
    struct.pack_into(f"{order}2{real}", header, at["scale"], fields.get("slope", 0.0), fields.get("intercept", 0.0))
    struct.pack_into(order + ("b" if version == 1 else "i"), header, at["units"], int(fields.get("units", 2)))
    codes = (int(qform is not None), int(sform is not None))
    struct.pack_into(order + ("2h" if version == 1 else "2i"), header, at["codes"], *codes)
    struct.pack_into(f"{order}6{real}", header, at["q"], *(qform or (0,) * 6))
    s = at["q"] + 6 * struct.calcsize("<" + real)
    struct.pack_into(f"{order}12{real}", header, s, *(np.zeros(12) if sform is None else np.ravel(sform)))
    magic = b"n+1\0" if version == 1 else b"n+2\0\r\n\032\n"
    start = 344 if version == 1 else 4
    header[start : start + len(magic)] = magic
    file.write_bytes(bytes(header) + values.astype(kind).tobytes())
    return file


def read(file: Path) -> tuple[sitk.Image, str]:
    """Image and, in one text, all that was remarked on the way."""
    with collected() as remarks:
        image = read_image(file, "P0003, venous")
    return image, "\n".join(map(str, remarks))


def is_plain(image: sitk.Image) -> None:
    """The image has the values of `HU` where `PLAIN` puts them."""
    np.testing.assert_array_equal(to_array(image), HU)
    np.testing.assert_allclose(image.GetSpacing(), EDGES, rtol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), (-50, -40, 100), rtol=1e-6)
    np.testing.assert_allclose(image.GetDirection(), np.eye(3).ravel(), atol=1e-6)


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["<i2", ">i2", "<f4", "<f8", ">i4"])
def test_versions_types_and_byte_orders(tmp_path, version, kind):
    """The same volume in every usual form, and without a remark."""
    image, said = read(nifti(tmp_path / "a.nii", HU, kind=kind, version=version))
    is_plain(image)
    assert said == ""


def test_compressed_and_cut_off(tmp_path):
    """A compressed file that breaks off, and one whose voxels do before it was compressed."""
    content = nifti(tmp_path / "a.nii", HU).read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content))
    is_plain(read(tmp_path / "b.nii.gz")[0])
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(content)[:-20])
    with refused(ImageError, "readable", "Copy or convert"):
        read(tmp_path / "c.nii.gz")
    (tmp_path / "d.nii.gz").write_bytes(gzip.compress(content[:-100]))
    with refused(ImageError, "240 bytes", "140 bytes"):
        read(tmp_path / "d.nii.gz")


def test_fourth_dimension_of_one_volume(tmp_path):
    """Of four dimensions with one volume, that volume is read; two volumes are refused."""
    image, said = read(nifti(tmp_path / "a.nii", HU[None]))
    is_plain(image)
    assert "4 dimensions, of which the last hold one volume; that volume taken" in said
    with refused(ImageError, "3-D", "4 dimensions"):
        read(nifti(tmp_path / "b.nii", np.stack([HU, HU])))


@pytest.mark.parametrize(
    ("slope", "intercept", "factor", "plus"), [(2, -1024, 2, -1024), (0, 5, 1, 0), (np.nan, 5, 1, 0), (0.5, 1, 0.5, 1)]
)
def test_scale(tmp_path, slope, intercept, factor, plus):
    """Value x slope + intercept; a slope of 0 says that there is no scale (nifti1.h), and so does none at all."""
    stored = np.arange(120).reshape(4, 5, 6) * 5 - (0 if plus == -1024 else 400)
    image, _ = read(nifti(tmp_path / "a.nii", stored, slope=slope, intercept=intercept))
    np.testing.assert_allclose(to_array(image), stored * factor + plus)


# --- place -----------------------------------------------------------------------------------------------------------


def test_sform_alone(tmp_path):
    """Of an sform without a qform, pixdim is no part (nifti1.h, method 3): 0.8 x 0.7 x 2.5 mm, not 1 x 1 x 1.

    8 voxels of 1.4 mm^3 are 0.0112 mL.
    """
    image, said = read(nifti(tmp_path / "a.nii", HU, edges=(1, 1, 1)))
    is_plain(image)
    assert "voxel edges of 1 x 1 x 1 mm in pixdim; 0.8 x 0.7 x 2.5 mm taken, from the sform" in said
    block = np.zeros((4, 5, 6))
    block[1:3, 1:3, 1:3] = 1
    with collected():
        mask = read_mask(nifti(tmp_path / "m.nii", block, edges=(1, 1, 1), kind="<u1"), image)
    assert volume_ml(mask) == pytest.approx(0.0112)


@pytest.mark.parametrize(
    ("qform", "qfac", "direction"),
    [
        ((0.0, 0.0, 1.0), 1.0, np.eye(3)),  # half a turn about the axis to the head: NIfTI's axes become LPS
        ((0.0, 0.0, 0.0), 1.0, np.diag([-1, -1, 1])),
        ((0.0, 0.0, 1.0), -1.0, np.diag([1, 1, -1])),
        # A quarter turn about the first axis, a = b = sqrt(1/2): (x, y, z) goes to (x, -z, y), in NIfTI's axes.
        ((0.5**0.5, 0.0, 0.0), 1.0, np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0]])),
    ],
)
def test_qform_alone(tmp_path, qform, qfac, direction):
    """Directions by hand from the quaternion, turned into LPS by negating the first two rows."""
    image, said = read(nifti(tmp_path / "a.nii", HU, sform=None, qform=(*qform, 50, 40, 100), qfac=qfac))
    np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3)), direction, atol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), (-50, -40, 100))
    np.testing.assert_allclose(image.GetSpacing(), EDGES, rtol=1e-6)
    assert said == ""


def test_qform_and_sform_of_other_voxels(tmp_path):
    """Readers differ in which one they take (nifti_clib, issue 127), so neither is."""
    file = nifti(tmp_path / "a.nii", HU, qform=(0, 0, 1, 50, 40, 100), edges=(0.8, 0.7, 2.505))
    with refused(ImageError, "same in qform and sform", r"2\.51 mm in the qform", r"2\.5 mm in the sform", "axis z"):
        read(file)


def test_qform_and_sform_in_other_places(tmp_path):
    """The same voxels a millimetre away: the sform is taken, as for every mask beside it, and it is said."""
    image, said = read(nifti(tmp_path / "a.nii", HU, qform=(0, 0, 1, 51, 40, 100)))
    is_plain(image)
    assert "qform and sform up to 1 mm apart; the sform taken" in said


def test_neither_qform_nor_sform(tmp_path):
    """The voxel edges are known, but not which side is left."""
    image, said = read(nifti(tmp_path / "a.nii", HU, sform=None))
    np.testing.assert_array_equal(to_array(image), HU)
    np.testing.assert_allclose(image.GetSpacing(), EDGES, rtol=1e-6)
    assert "no qform and no sform, so no direction" in said


@pytest.mark.parametrize(("unit", "scale", "name"), [(1, 0.001, "metres"), (3, 1000.0, "micrometres")])
def test_units(tmp_path, unit, scale, name):
    """Metres and micrometres by the header are converted; without its word they are refused with the likely unit.

    A header that says metres over voxel edges of 0.8 mm means mm.
    """
    affine, edges = PLAIN * scale, tuple(edge * scale for edge in EDGES)
    image, said = read(nifti(tmp_path / "a.nii", HU, sform=affine, edges=edges, units=unit))
    is_plain(image)
    assert f"a header in {name}; converted to mm" in said
    with refused(ImageError, r"0\.1 to 20 mm", f"They would do in {name}"):
        read(nifti(tmp_path / "b.nii", HU, sform=affine, edges=edges, units=0))
    image, said = read(nifti(tmp_path / "c.nii", HU, units=unit))
    is_plain(image)
    assert "taken for mm" in said


@pytest.mark.parametrize("edge", [0.0, np.nan])
def test_edges_that_are_none(tmp_path, edge):
    """A voxel edge of 0 or NaN in the only form there is."""
    words = "above 0 mm" if edge == 0 else "finite"
    with refused(ImageError, words):
        read(nifti(tmp_path / "a.nii", HU, sform=None, edges=(0.8, 0.7, edge), qform=(0, 0, 1, 50, 40, 100)))
    affine = PLAIN.copy()
    affine[2, 2] = edge
    with refused(ImageError, words):
        read(nifti(tmp_path / "b.nii", HU, sform=affine))


def test_oblique(tmp_path):
    """An oblique volume is read as it lies, without being resampled."""
    rows = np.stack([OBLIQUE[:3], OBLIQUE[3:], OBLIQUE_NORMAL], axis=1)
    affine = np.column_stack([rows * EDGES, (-50, -40, 100)]) * np.array([[-1], [-1], [1]])
    image, said = read(nifti(tmp_path / "a.nii", HU, sform=affine))
    np.testing.assert_array_equal(to_array(image), HU)
    np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3)), rows, atol=1e-6)
    assert said == ""


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["slices first", "slices second", "slices last"])
def test_sheared(tmp_path, axis):
    """Slices that lie a pixel further to the back each are straightened, whichever axis of the file they are.

    A mask with the same matrix lies on the same voxels.
    """
    steps = np.diag(EDGES)
    steps[1, 2] = 0.7
    order = {0: [2, 0, 1], 1: [0, 2, 1], 2: [0, 1, 2]}[axis]
    affine = np.column_stack([steps[:, order], (-50, -40, 100)]) * np.array([[-1], [-1], [1]])
    values = HU.transpose([2 - other for other in reversed(order)])
    edges = np.linalg.norm(steps, axis=0)[order]
    image, said = read(nifti(tmp_path / "a.nii", values, sform=affine, edges=tuple(edges)))
    expected = np.full((4, 8, 6), -1024)
    for level in range(4):
        expected[level, level : level + 5] = HU[level]
    np.testing.assert_array_equal(to_array(image), expected)
    np.testing.assert_allclose(image.GetSpacing(), EDGES, rtol=1e-6)
    assert "0 of 4 slices interpolated" in said
    marked = (values > 0).astype(int)
    mask = read_mask(nifti(tmp_path / "m.nii", marked, sform=affine, edges=tuple(edges), kind="<u1"), image)
    np.testing.assert_array_equal(to_array(mask), expected > 0)


def test_warped(tmp_path):
    """No two axes at right angles: a volume that a registration sheared."""
    affine = PLAIN.copy()
    affine[0, 1] = affine[1, 2] = affine[2, 0] = 0.3
    with refused(ImageError, "two axes", "degrees", "registration"):
        read(nifti(tmp_path / "a.nii", HU, sform=affine, edges=tuple(np.linalg.norm(affine[:, :3], axis=0))))


# --- HU --------------------------------------------------------------------------------------------------------------


def abdomen() -> np.ndarray:
    """Organs of 40 HU with bone in them, in fat of -100 HU, in air."""
    hu = np.full((8, 20, 20), -1000)
    hu[:, 4:-4, 4:-4] = -100
    hu[:, 6:-6, 6:-6] = 40
    hu[:, 9:11, 9:11] = 1500
    return hu


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda hu: hu - 1024, ("soft tissue", "0.0%", "subtracted twice")),
        (lambda hu: np.where(np.arange(20) == 0, -2000, hu + 1024), ("dense as bone", "36%", "never added")),
        (lambda hu: (hu - hu.mean()) / hu.std(), ("span 50 HU", "normalisation")),
        (lambda hu: hu / 1000, ("span 50 HU",)),
        (lambda hu: hu * 10, ("-8192", "-10000")),
    ],
    ids=["twice", "never, with padding", "z-scores", "thousandths", "tenfold"],
)
def test_values_that_are_no_hu(tmp_path, change, words):
    """The organs are 36 % of the volume: beyond the bounds once the scale is wrong, and well within them otherwise."""
    np.testing.assert_array_equal(to_array(read(nifti(tmp_path / "a.nii", abdomen()))[0]), abdomen())
    with refused(ImageError, *words):
        read(nifti(tmp_path / "b.nii", change(abdomen().astype(float)), kind="<f4"))


# --- masks -----------------------------------------------------------------------------------------------------------


def block(value: float = 1.0) -> np.ndarray:
    """2 x 2 x 2 voxels of a value."""
    array = np.zeros((4, 5, 6))
    array[1:3, 1:3, 1:3] = value
    return array


@pytest.mark.parametrize("value", [0.99999994, 1.0005])
def test_mask_of_almost_one(tmp_path, value):
    """What scaling left of a 1 is a 1."""
    image = read(nifti(tmp_path / "a.nii", HU))[0]
    with collected() as remarks:
        mask = read_mask(nifti(tmp_path / "m.nii", block(value), kind="<f4"), image)
    np.testing.assert_array_equal(to_array(mask), block())
    assert "beside whole numbers; rounded" in str(remarks[0])


def test_mask_of_almost_one_but_not_near_enough(tmp_path):
    """The value that breaks the rule is printed so that it does not look like one that keeps it."""
    image = read(nifti(tmp_path / "a.nii", HU))[0]
    with refused(MaskError, r"the values 0, 0\.99"):
        read_mask(nifti(tmp_path / "m.nii", block(0.99), kind="<f4"), image)
    values = block()
    values[0, 0, 0] = 1.0000001 + 2e-3
    with refused(MaskError, r"the values 0, 1, 1\.002"):
        read_mask(nifti(tmp_path / "n.nii", values, kind="<f8"), image)


def test_grids_that_look_alike(tmp_path):
    """Two grids are printed to the digits in which they differ."""
    image = ct(spacing=(0.70312, 0.70312, 2.5), shape=(4, 5, 400))
    mask = from_array(np.ones((4, 5, 400), np.uint8), image)
    mask.SetSpacing((0.70341, 0.70312, 2.5))
    write_image(mask, tmp_path / "m.nii.gz")
    with refused(MaskError, r"0\.7034 x 0\.7031 x 2\.5", r"0\.7031 x 0\.7031 x 2\.5"):
        read_mask(tmp_path / "m.nii.gz", image)


@pytest.mark.parametrize("seed", range(4))
def test_where_itk_puts_them(tmp_path, seed):
    """ITK, which wrote the file, reads the same edges, place and directions, to single precision."""
    random = np.random.default_rng(seed)
    image = ct(spacing=tuple(random.uniform(0.5, 5, 3)))
    image.SetOrigin(tuple(random.uniform(-300, 300, 3)))
    rows = np.stack([OBLIQUE[:3], OBLIQUE[3:], np.array(OBLIQUE_NORMAL) * (-1) ** seed], axis=1)
    image.SetDirection(rows.ravel().tolist())
    write_image(image, tmp_path / "a.nii.gz")
    ours, said = read(tmp_path / "a.nii.gz")
    itk = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(to_array(ours), sitk.GetArrayFromImage(itk))
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(ours, get)(), getattr(itk, get)(), rtol=1e-6, atol=1e-6)
    assert said == ""
