"""The fast engine: its loops against hand work and other programs, and its values against PyRadiomics."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import pywt
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from hccbook.features.radiomics import ExtractionSettings, extract_features, find_engine
from hccbook.features.radiomics.filters import filtered_images
from hccbook.features.radiomics.grey_levels import assign_levels, bin_edges
from hccbook.features.radiomics.shape import shape_features
from hccbook.features.radiomics.texture_matrices import (
    co_occurrence_matrices,
    dependence_matrix,
    neighbour_offsets,
    neighbourhood_difference,
    run_length_matrix,
    size_zone_matrix,
)
from hccbook.phantom import render_patient
from hccbook.settings import CohortSettings

EVERY_IMAGE = ("original", "wavelet", "square", "squareroot", "logarithm", "exponential", "gradient", "log")


def as_image(array, spacing=(1.0, 1.0, 1.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(np.asarray(array))
    image.SetSpacing(spacing)
    return image


def texture(shape=(24, 31, 29), smoothing=1.0, seed=3) -> np.ndarray:
    """Smooth noise of a liver's mean and spread, HU."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), smoothing)
    return (noise / noise.std() * 30 + 60).astype(np.float32)


def blobs(shape=(24, 31, 29), seed=5) -> np.ndarray:
    """Several pieces, some of them at the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return (noise > 0).astype(np.uint8)


def part(*where) -> np.ndarray:
    """Voxels of the usual grid in a region."""
    mask = np.zeros((24, 31, 29), np.uint8)
    mask[where] = 1
    return mask


def levels_of(seed: int, shape=(3, 4, 3), largest=3) -> np.ndarray:
    """Random levels, 0 among them; at least one voxel inside."""
    levels = np.random.default_rng(seed).integers(0, largest + 1, shape)
    levels.flat[0] = largest
    return levels


# --- matrices --------------------------------------------------------------------------------------------------------


def test_co_occurrence_of_haralicks_example():
    """The four matrices that Haralick (1973) prints for his 4 x 4 image (Fig. 3)."""
    levels = np.array([[[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]]]) + 1
    printed = {
        (0, 0, 1): [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]],
        (0, 1, 0): [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]],
        (0, 1, -1): [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]],
        (0, 1, 1): [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]],
    }
    for offset, matrix in printed.items():
        np.testing.assert_array_equal(co_occurrence_matrices(levels, np.array([offset]))[0], matrix)


def test_run_lengths_counted_by_hand():
    """The horizontal and diagonal runs of a 4 x 4 image, counted by hand."""
    levels = np.array([[[1, 2, 3, 4], [1, 3, 4, 4], [3, 2, 2, 2], [4, 1, 4, 1]]])
    horizontal = [[4, 0, 0, 0], [1, 0, 1, 0], [3, 0, 0, 0], [3, 1, 0, 0]]
    np.testing.assert_array_equal(run_length_matrix(levels, np.array([0, 0, 1])), horizontal)
    up_right = [[4, 0, 0, 0], [4, 0, 0, 0], [0, 0, 1, 0], [3, 1, 0, 0]]
    np.testing.assert_array_equal(run_length_matrix(levels, np.array([0, -1, 1])), up_right)


def test_directions_are_half_of_the_neighbours():
    """13 of 26 in three dimensions, 4 of 8 in a slice, 62 of 124 with distance 2; none longer than the box."""
    assert len(neighbour_offsets((5, 5, 5))) == 13
    assert len(neighbour_offsets((1, 5, 5))) == len(neighbour_offsets((5, 5, 5), force_2d=True)) == 4
    assert len(neighbour_offsets((5, 5, 5), (1, 2))) == 62
    assert len(neighbour_offsets((1, 1, 2), (1, 2))) == 1
    offsets = {tuple(offset) for offset in neighbour_offsets((5, 5, 5))}
    assert offsets.isdisjoint({tuple(-np.array(offset)) for offset in offsets})


@given(st.integers(0, 10**6))
def test_zones_are_those_of_scipy(seed):
    """Connected parts of one level (scipy.ndimage.label, 26 neighbours), by size."""
    levels = levels_of(seed)
    expected = np.zeros((3, levels.size), int)
    for level in (1, 2, 3):
        parts, count = ndimage.label(levels == level, np.ones((3, 3, 3)))
        for number in range(1, count + 1):
            expected[level - 1, (parts == number).sum() - 1] += 1
    found = size_zone_matrix(levels, neighbour_offsets(levels.shape))
    np.testing.assert_array_equal(found, expected[:, : found.shape[1]])
    assert expected[:, found.shape[1] :].sum() == 0


def walk(levels: np.ndarray):
    """Every voxel inside, with the levels of its neighbours inside."""
    padded = np.pad(levels, 1)
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
    for place in np.argwhere(levels):
        near = [padded[tuple(place + 1 + step)] for step in steps]
        yield levels[tuple(place)], [level for level in near if level]


@given(st.integers(0, 10**6), st.integers(0, 2))
def test_dependence_counts_neighbours_one_by_one(seed, alpha):
    """A plain walk over voxels and their 26 neighbours."""
    levels = levels_of(seed)
    expected = np.zeros((3, 27), int)
    for level, near in walk(levels):
        expected[level - 1, sum(abs(int(other) - int(level)) <= alpha for other in near)] += 1
    found = dependence_matrix(levels, neighbour_offsets((3, 4, 3)), alpha)
    np.testing.assert_array_equal(found, expected)


@given(st.integers(0, 10**6))
def test_neighbourhood_differences_one_by_one(seed):
    """A plain walk: the difference from the neighbours' mean, none for a voxel without neighbours."""
    levels = levels_of(seed)
    expected = np.zeros((3, 2))
    for level, near in walk(levels):
        expected[level - 1] += 1, abs(level - np.mean(near)) if near else 0
    np.testing.assert_allclose(neighbourhood_difference(levels, neighbour_offsets((3, 4, 3))), expected, atol=1e-12)


@given(st.integers(0, 10**6))
def test_runs_split_the_lines(seed):
    """Runs along x are those that itertools.groupby finds; every direction's runs hold every voxel once."""
    levels = levels_of(seed, (2, 3, 6))
    expected = np.zeros((3, 6), int)
    for line in levels.reshape(-1, 6):
        for level, run in itertools.groupby(line):
            if level:
                expected[level - 1, len(list(run)) - 1] += 1
    np.testing.assert_array_equal(run_length_matrix(levels, np.array([0, 0, 1])), expected)
    for offset in neighbour_offsets(levels.shape):
        counts = run_length_matrix(levels, offset)
        np.testing.assert_array_equal(counts @ np.arange(1, 7), [(levels == level).sum() for level in (1, 2, 3)])


# --- grey levels and filters -----------------------------------------------------------------------------------------


@given(st.lists(st.floats(-500, 500, width=32), min_size=2, max_size=40), st.sampled_from([0.7, 5.0, 25.0]))
def test_levels_are_those_of_numpy(values, width):
    """Levels between PyRadiomics' edges, as numpy.digitize assigns them."""
    imageoperations = pytest.importorskip("radiomics.imageoperations")
    array = np.array(values, dtype=np.float32)
    edges = imageoperations.getBinEdges(array, binWidth=width)
    own = bin_edges(array.min(), array.max(), width)
    np.testing.assert_array_equal(own, edges)
    np.testing.assert_array_equal(assign_levels(array.astype(float), own), np.digitize(array, edges))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wavelet", ["coif1", "haar", "db3"])
@pytest.mark.parametrize(
    "box", [np.s_[8:14, 7:15, 9:13], np.s_[0:5, 12:22, 1:20], np.s_[0:20, 0:22, 0:20]], ids=["inside", "edge", "whole"]
)
def test_wavelets_are_those_of_pywavelets_to_the_last_bit(dtype, wavelet, box):
    """A voxel that rounds the other way at the edge of a bin would change the textures."""
    array = np.clip(texture((20, 22, 20)).astype(dtype), 20, 90)
    organ = np.ones(tuple(part.stop - part.start for part in box), dtype=bool)
    settings = ExtractionSettings(image_types=("wavelet",), wavelet=wavelet)
    expected = pywt.swtn(array, pywt.Wavelet(wavelet), level=1, axes=(2, 1, 0))[0]
    for image in filtered_images(as_image(array), box, organ, settings):
        band = image.name.removeprefix("wavelet-").replace("L", "a").replace("H", "d")
        np.testing.assert_array_equal(image.values(), expected[band][box].ravel())


# --- shape -----------------------------------------------------------------------------------------------------------


def test_every_cube_configuration_has_pyradiomics_surface():
    """All 256 ways in which eight voxels can lie inside or outside, with edges of three lengths."""
    shape = pytest.importorskip("radiomics.shape")
    for number in range(1, 256):
        organ = np.array([number >> bit & 1 for bit in range(8)], dtype=np.uint8).reshape(2, 2, 2)
        volume = as_image(organ, (0.31, 2.7, 1.9))
        theirs = shape.RadiomicsShape(volume, volume, label=1)
        found = shape_features(organ > 0, (1.9, 2.7, 0.31))
        assert found["SurfaceArea"] == pytest.approx(theirs.SurfaceArea, rel=1e-12), number
        assert found["MeshVolume"] == pytest.approx(theirs.Volume, rel=1e-9, abs=1e-12), number
        diameters = [found[f"Maximum{name}"] for name in ("2DDiameterSlice", "2DDiameterColumn", "2DDiameterRow")]
        np.testing.assert_allclose([*diameters, found["Maximum3DDiameter"]], theirs.diameters, rtol=1e-12)


def test_mesh_of_a_ball():
    """Volume and area approach those of the ball; the diameter is the ball's, to a voxel."""
    radius = 20
    distance = np.linalg.norm(np.indices((45, 45, 45)) - 22, axis=0)
    found = shape_features(distance <= radius, (1.0, 1.0, 1.0))
    assert found["MeshVolume"] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01)
    assert found["VoxelVolume"] == (distance <= radius).sum()
    assert found["Maximum3DDiameter"] == pytest.approx(2 * radius + 1, abs=0.5)
    assert found["Elongation"] == pytest.approx(1)


def test_shape_does_not_depend_on_the_axes():
    """The same organ with its axes exchanged: the slices' diameters exchanged, the mesh nearly the same.

    (Nearly, because PyRadiomics does not cut ambiguous cubes alike along all axes.)
    """
    organ = blobs() > 0
    found = shape_features(organ, (2.5, 0.8, 1.1))
    turned = shape_features(organ.transpose(2, 0, 1), (1.1, 2.5, 0.8))
    assert turned["MeshVolume"] == pytest.approx(found["MeshVolume"], rel=1e-3)
    assert turned["Maximum3DDiameter"] == pytest.approx(found["Maximum3DDiameter"])
    assert turned["Maximum2DDiameterSlice"] == pytest.approx(found["Maximum2DDiameterRow"])


# --- against PyRadiomics ---------------------------------------------------------------------------------------------

CASES = {
    "several parts at the border": (texture(), blobs(), {}),
    "anisotropic": (texture(), blobs(), {"spacing": (0.7, 0.8, 2.5)}),
    "narrow bins": (texture(smoothing=0.5), part(slice(5, 18), slice(6, 20), slice(8, 22)), {"bin_width": 3.0}),
    "one slice": (texture(), part(10, slice(4, 25), slice(3, 26)), {}),
    "one coronal slice": (texture(), part(slice(2, 20), 12, slice(3, 26)), {}),
    "a line": (texture(), part(3, 4, slice(5, 22)), {}),
    "eight voxels": (texture(), part(slice(3, 5), slice(4, 6), slice(5, 7)), {}),
    "flat": (np.full((24, 31, 29), 37.3, np.float32), blobs(), {}),
    "flat, whole numbers": (np.full((24, 31, 29), 40, np.int16), blobs(), {}),
    "clipped": (np.clip(texture(), 45, 75), blobs(), {}),
    "double precision": (texture().astype(float), blobs(), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_pyradiomics(case):
    """All 1,502 features of thirteen images, the gradient and two Laplacians of Gaussian, within 1e-6."""
    image, mask, changes = CASES[case]
    spacing = changes.get("spacing", (1.0, 1.0, 1.0))
    settings = ExtractionSettings(
        image_types=EVERY_IMAGE,
        log_sigma=(1.5, 3.0),
        bin_width=changes.get("bin_width", 25.0),
        minimum_roi_voxels=2,
        minimum_roi_dimensions=1,
    )
    volumes = as_image(image, spacing), as_image(mask, spacing)
    expected = extract_features(*volumes, settings, "pyradiomics")
    found = extract_features(*volumes, settings, "fast")
    assert len(found) == 1502
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("organ", [1, 2], ids=["liver", "spleen"])
def test_organs_of_a_synthetic_patient(organ):
    """Liver and spleen of a rendered patient in ALARM's window."""
    patient = {"image_seed": 41, "centre": "C01", "liver_latent": 0.3, "spleen_latent": 0.8, "spleen_size": 1.0}
    image, labels = _rendered(patient)
    settings = ExtractionSettings(
        image_types=EVERY_IMAGE[:6], window_lower=-60, window_upper=140, label=organ, bin_width=25
    )
    expected = extract_features(image, labels, settings, "pyradiomics")
    np.testing.assert_allclose(extract_features(image, labels, settings, "fast"), expected, rtol=1e-6, atol=1e-9)


def _rendered(patient) -> tuple[sitk.Image, sitk.Image]:
    return next(iter(render_patient(patient, CohortSettings()).values()))


@pytest.mark.parametrize("voxels", [[(3, 4, 5), (3, 4, 6)], [(3, 4, 5), (9, 9, 9)]], ids=["touching", "apart"])
def test_what_pyradiomics_leaves_undefined_is_undefined(voxels):
    """Two voxels: the same features are NaN in both engines, the others agree."""
    organ = np.zeros((24, 31, 29), dtype=bool)
    for voxel in voxels:
        organ[voxel] = True
    settings = ExtractionSettings(minimum_roi_voxels=2)
    expected = find_engine("pyradiomics").extract(as_image(texture()), organ, settings)
    found = find_engine("fast").extract(as_image(texture()), organ, settings)
    names = sorted(expected)
    assert np.isnan([expected[name] for name in names]).any()
    np.testing.assert_allclose([found[name] for name in names], [expected[name] for name in names], 1e-6, 1e-7)


def test_threads_change_nothing():
    """Three filtered images at once, or one after another: the same bits."""
    settings = ExtractionSettings(image_types=EVERY_IMAGE[:6])
    volumes = as_image(texture()), as_image(blobs())
    alone = extract_features(*volumes, settings)
    np.testing.assert_array_equal(extract_features(*volumes, settings, threads=3), alone)


def test_negative_intensities_keep_their_sign():
    """Roots and logarithms of negative intensities are those of their size, with their sign: nothing is refused."""
    image = np.zeros((4, 4, 4))
    image[:] = np.linspace(-60, 140, 64).reshape(4, 4, 4)
    settings = ExtractionSettings(image_types=("squareroot", "logarithm"), feature_classes=("firstorder",))
    found = extract_features(as_image(image), as_image(np.ones((4, 4, 4), np.uint8)), settings)
    assert found["squareroot_firstorder_Minimum"] == pytest.approx(-np.sqrt(60 * 140))
    assert found["logarithm_firstorder_Minimum"] == pytest.approx(-np.log(61) * 140 / np.log(141))


# --- compilation -----------------------------------------------------------------------------------------------------


@pytest.mark.thorough  # compiles every loop: half a minute
def test_loops_are_compiled_once_a_machine(tmp_path):
    """The first process leaves the compiled loops on disk; the next one writes nothing and reads them all."""
    program = (
        "from hccbook.features.radiomics import find_engine, texture_matrices, texture_features, shape\n"
        "find_engine('fast')\n"
        "loops = [texture_matrices._count_runs, texture_features._size_statistics, shape._planes]\n"
        "print(sum(sum(loop.stats.cache_misses.values()) for loop in loops))\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    states = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=300
        )
        files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb?")}
        states.append((int(done.stdout), files))
    assert states[0][0] > 0
    assert states[1][0] == 0
    assert states[0][1] == states[1][1] != {}
