"""Training and inference of liver and spleen masks, and masks from elsewhere, on volumes checked by hand."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import save_file

from hccbook.errors import DataError, MaskError, ModelError
from hccbook.images import from_array, same_grid, to_array, write_image
from hccbook.parallel import map_patients
from hccbook.run import Case, RunPaths, profile_file, project_root
from hccbook.segmentation import dice, external_labels, largest_components, organ_dice
from hccbook.segmentation.network import (
    IntensityNormalisation,
    Segmenter,
    body_box,
    build_network,
    network_grid,
    window_shape,
)
from hccbook.segmentation.patients import segment_patient
from hccbook.segmentation.training import (
    _cut,
    _patch,
    _shares,
    _TrainingImage,
    _turned,
    coarsened,
    supervised_loss,
    target_spacing,
    train_segmenter,
)
from hccbook.settings import CohortSettings, SegmentationSettings, load_profile
from hccbook.store import NotStoredError, reading_only

SPACING = 8.0
TINY = SegmentationSettings(
    filters=8,
    levels=4,
    patch_voxels=16,
    pretraining_iterations=20,
    iterations=120,
    batch_size=2,
    learning_rate=0.2,
    seed=7,
    device="cpu",
)


def blobs(number: int) -> tuple[sitk.Image, sitk.Image]:
    """A patient of 20 x 18 x 16 voxels (x, y, z): dim liver on the right, bright spleen on the left, air around."""
    rng = np.random.default_rng([3, number])
    z, y, x = np.indices((16, 18, 20)).astype(float)
    array = np.full(z.shape, -1000.0)
    array[((y - 9) / 8) ** 2 + ((x - 10) / 9) ** 2 < 1] = -80.0
    dz, dy, dx = rng.uniform(-1, 1, 3)
    liver = ((z - 8 - dz) / 5) ** 2 + ((y - 8 - dy) / 5) ** 2 + ((x - 6 - dx) / 4) ** 2 < 1
    spleen = ((z - 8 - dz) / 4) ** 2 + ((y - 10 - dy) / 3.2) ** 2 + ((x - 15 - dx) / 2.8) ** 2 < 1
    array[liver], array[spleen] = 70.0, 130.0
    array += rng.normal(0, 8, array.shape)
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing([SPACING] * 3)
    image.SetOrigin([-80.0, -70.0, 100.0])
    return image, from_array(liver.astype(np.uint8) + 2 * (spleen & ~liver).astype(np.uint8), image)


def label_map(shape: tuple[int, int, int], boxes: dict[int, list[tuple[slice, slice, slice]]], edge: float = 10.0):
    """Label map with boxes (z, y, x) of each label."""
    array = np.zeros(shape, np.uint8)
    for label, places in boxes.items():
        for place in places:
            array[place] = label
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([edge] * 3)
    return image


def centre_mm(labels: sitk.Image, label: int) -> tuple[float, ...]:
    """Centre of one organ in space (x, y, z), mm."""
    centre = [float(np.mean(index)) for index in np.nonzero(to_array(labels) == label)]
    return labels.TransformContinuousIndexToPhysicalPoint(centre[::-1])


@pytest.fixture(scope="module")
def trained() -> Segmenter:
    return train_segmenter([blobs(number) for number in range(6)], TINY)


# --- Dice -------------------------------------------------------------------------------------------------------------


def test_dice_of_three_and_four_voxels_that_share_two():
    """2 x 2 / (3 + 4) = 4/7."""
    a = np.array([[[1, 1, 1, 0, 0]]])
    b = np.array([[[0, 1, 1, 1, 1]]])
    assert dice(a, b) == pytest.approx(4 / 7)


@pytest.mark.parametrize(("a", "b", "expected"), [([0, 0], [0, 0], 1.0), ([0, 0], [1, 0], 0.0), ([1, 1], [1, 1], 1.0)])
def test_dice_at_its_ends(a, b, expected):
    """Two empty masks agree; an empty and a filled one do not."""
    assert dice(np.array([[a]]), np.array([[b]])) == expected


def test_dice_goes_by_organ():
    """Liver shares 1 of 2 and 1 voxels (2/3); spleen shares none of 1 and 2."""
    a, b = np.array([[[1, 1, 2, 0]]]), np.array([[[1, 2, 0, 2]]])
    assert organ_dice(a, b) == {"liver": pytest.approx(2 / 3), "spleen": 0.0}


def test_dice_refuses_other_shapes_and_grids():
    """Masks of two sizes, or in two places, have no overlap."""
    with pytest.raises(DataError, match="one shape"):
        dice(np.zeros((1, 1, 2)), np.zeros((1, 1, 3)))
    near = label_map((2, 2, 2), {1: [np.s_[:1, :1, :1]]})
    far = sitk.Image(near)
    far.SetOrigin([5.0, 0.0, 0.0])
    with pytest.raises(DataError, match="one grid"):
        dice(near, far)


# --- loss, optimiser, intensities -------------------------------------------------------------------------------------


def test_loss_by_hand():
    """Uniform scores: cross-entropy ln 3; soft Dice of an organ in k of n voxels is 2k/3 / (n/3 + k).

    With n = 8, liver in 2 and spleen in 1: (4/3)/(14/3) = 2/7 and (2/3)/(11/3) = 2/11.
    A second depth with the same scores leaves the weighted mean unchanged.
    """
    labels = torch.zeros((1, 2, 2, 2), dtype=torch.int64)
    labels[0, 0, 0, 0] = labels[0, 0, 0, 1] = 1
    labels[0, 1, 1, 1] = 2
    expected = np.log(3) + 1 - (2 / 7 + 2 / 11) / 2
    for depths in (1, 2):
        loss = supervised_loss(torch.zeros((1, depths, 3, 2, 2, 2)), labels)
        assert float(loss) == pytest.approx(expected, abs=1e-4)


def test_deeper_supervision_weighs_half():
    """A right first depth (loss 0) and an even second one (loss L): (1 x 0 + 1/2 x L) / (3/2) = L/3."""
    labels = torch.tensor([[[[1, 2]]]])
    even = torch.zeros((1, 1, 3, 1, 1, 2))
    right = torch.full((1, 1, 3, 1, 1, 2), -50.0)
    right[0, 0, 1, 0, 0, 0] = right[0, 0, 2, 0, 0, 1] = 50.0
    alone = float(supervised_loss(even, labels))
    assert float(supervised_loss(torch.cat([right, even], dim=1), labels)) == pytest.approx(alone / 3, abs=1e-4)


def test_intensities_are_clipped_and_scored():
    """0..200 HU: percentiles 1 and 199, mean 100, SD of 201 consecutive whole numbers sqrt((201^2 - 1) / 12)."""
    learned = IntensityNormalisation.fit(np.arange(201.0))
    sd = np.sqrt((201**2 - 1) / 12)
    assert (learned.lower, learned.upper, learned.mean, learned.sd) == pytest.approx((1.0, 199.0, 100.0, sd))
    assert learned(np.array([-1000.0, 100.0, 3000.0])) == pytest.approx([-99 / sd, 0.0, 99 / sd])
    assert learned.background == pytest.approx(-99 / sd)


def test_the_body_is_what_is_denser_than_air():
    """A block of -200 HU at z 1-2, y 0-1, x 3 in air; all-air images stay whole."""
    array = np.full((4, 3, 5), -1000.0)
    assert body_box(array) == np.s_[0:4, 0:3, 0:5]
    array[1:3, 0:2, 3] = -200.0
    assert body_box(array) == np.s_[1:3, 0:2, 3:4]


def test_masks_are_the_same_with_and_without_half_precision(trained, monkeypatch):
    """On a CPU only training rounds; and one image alone is segmented as it is among others."""
    images = [blobs(number)[0] for number in (130, 131)]
    found = {}
    for half in (True, False):
        monkeypatch.setattr("hccbook.segmentation.network.has_bfloat16", lambda device, half=half: half)
        found[half] = trained.predict_all(images)
    for image, half, whole in zip(images, found[True], found[False], strict=True):
        np.testing.assert_array_equal(to_array(half), to_array(whole))
        assert min(organ_dice(trained.predict(image), whole).values()) > 0.97


def test_the_demo_s_network_was_trained_as_its_settings_say():
    """By `benchmarks/network.py`, on three phases of each training patient, in the voxels of the demo's CT."""
    profile = load_profile(profile_file("demo"))
    made = asdict(Segmenter.load(project_root() / profile.segmentation.weights).provenance)
    assert made.pop("spacing_mm") == profile.cohort.acquisition_spacing_mm
    assert made.pop("images") == 3 * CohortSettings().segmentation_patients
    assert made == profile.segmentation.model_dump(include=set(made))


def test_outputs_begin_at_the_shares_of_the_classes():
    """Seven voxels of background, two of liver and one of spleen: biases ln 0.7, ln 0.2, ln 0.1 at every depth."""
    network = build_network(4, 5, 32)
    labels = np.array([0] * 7 + [1] * 2 + [2]).reshape(1, 2, 5)
    network.start_from(_shares([_TrainingImage(labels.astype(np.float32), labels, ())]))
    with torch.no_grad():
        for head in (network.unet.output_block, *network.unet.deep_supervision_heads):
            head.conv.conv.weight.zero_()
        scores = network.train()(torch.zeros(2, 1, 32, 32, 32))
    # As they are, before the block at whole resolution, and of two coarser levels.
    assert scores.shape == (2, 4, 3, 32, 32, 32)
    found = scores.amin(dim=(0, 1, 3, 4, 5)), scores.amax(dim=(0, 1, 3, 4, 5))
    for each in found:
        assert each.numpy() == pytest.approx(np.log([0.7, 0.2, 0.1]), abs=1e-6)


def test_each_corner_has_a_score_of_its_own():
    """Eight corners of a voxel of two: one is told apart from its seven neighbours where a weight says so."""
    network = build_network(4, 4, 16).eval()
    head = network.unet.output_block.conv.conv
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        # The liver's fifth corner: second half of z, first half of y, first half of x.
        head.bias[8 + 4] = 1.0
        scores = network(torch.zeros(1, 1, 16, 16, 16))[0]
    expected = torch.zeros(3, 16, 16, 16)
    expected[1, 1::2, ::2, ::2] = 1.0
    assert torch.equal(scores, expected)


# --- training ---------------------------------------------------------------------------------------------------------


def test_training_learns_two_organs(trained):
    """Loss falls to less than half, and a patient never seen is segmented."""
    assert len(trained.losses) == 20 + 120
    assert np.mean(trained.losses[-5:]) < np.mean(trained.losses[:5]) / 2
    image, truth = blobs(100)
    overlap = organ_dice(trained.predict(image), truth)
    assert overlap["liver"] > 0.85
    assert overlap["spleen"] > 0.8


def test_same_seed_same_file(tmp_path):
    """Two runs give the same bytes, with one core or two; another seed gives other weights."""
    cases = [blobs(number) for number in range(2)]
    short = TINY.model_copy(update={"pretraining_iterations": 2, "iterations": 4})
    files = []
    threads = torch.get_num_threads()
    for name, settings, number in (("a", short, 1), ("b", short, 2), ("c", short.model_copy(update={"seed": 8}), 1)):
        torch.set_num_threads(number)
        torch.manual_seed(number)
        train_segmenter(cases, settings).save(tmp_path / f"{name}.safetensors")
        files.append((tmp_path / f"{name}.safetensors").read_bytes())
    torch.set_num_threads(threads)
    assert files[0] == files[1] != files[2]


def test_training_leaves_torch_as_it_was():
    """Global random state, threads and determinism are the caller's."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    seen = []
    brief = TINY.model_copy(update={"pretraining_iterations": 1, "iterations": 2})
    train_segmenter([blobs(0)], brief, progress=lambda *step: seen.append(step))
    assert torch.rand(1) == expected
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    assert [step for step, _ in seen] == [1, 2, 3]


def test_training_refuses_what_it_cannot_learn_from():
    """Each message names the case and the rule."""
    image, labels = blobs(0)
    other = sitk.Image(image)
    other.SetSpacing([6.0] * 3)
    with pytest.raises(ModelError, match="at least one image"):
        train_segmenter([], TINY)
    with pytest.raises(MaskError, match="training image 1: label map must lie on the image's grid"):
        train_segmenter([(image, from_array(to_array(labels), other))], TINY)
    with pytest.raises(MaskError, match=r"label map must hold 0 .* 1 .* and 2 .* only"):
        train_segmenter([(image, labels * 3)], TINY)
    with pytest.raises(ModelError, match="spleen"):
        train_segmenter([(image, sitk.Cast(labels == 1, sitk.sitkUInt8))], TINY)
    with pytest.raises(ModelError, match="patch_voxels: must be a multiple of 8, and at least 16"):
        train_segmenter([(image, labels)], TINY.model_copy(update={"levels": 4, "patch_voxels": 20}))
    with pytest.raises(ModelError, match="levels"):
        train_segmenter([(image, labels)], TINY.model_copy(update={"levels": 2}))


@pytest.mark.parametrize("step", [5, 9])
def test_an_interrupted_training_ends_the_same(step, tmp_path, monkeypatch):
    """Stopped in the pre-training (8 steps) or after it, and begun again, it gives the uninterrupted one's bytes."""
    monkeypatch.setattr("hccbook.segmentation.checkpoint.CHECKPOINT_EVERY", 2)
    cases = [blobs(number) for number in range(2)]
    settings = TINY.model_copy(update={"pretraining_iterations": 8, "iterations": 6})
    train_segmenter(cases, settings).save(tmp_path / "whole.safetensors")
    seen = []

    def interrupt(number, loss):
        seen.append(number)
        if number == step and len(seen) == step:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_segmenter(cases, settings, interrupt, checkpoint)
    train_segmenter(cases, settings, interrupt, checkpoint).save(tmp_path / "resumed.safetensors")
    # The last checkpoint was after an even number of steps in either part.
    assert seen[step] == {5: 5, 9: 9}[step]
    assert seen[-1] == 14
    assert (tmp_path / "resumed.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_a_checkpoint_of_another_training_is_refused(tmp_path, monkeypatch):
    """Other settings, and a file that is no checkpoint, are named with the hint."""
    monkeypatch.setattr("hccbook.segmentation.checkpoint.CHECKPOINT_EVERY", 1)
    brief = TINY.model_copy(update={"pretraining_iterations": 0, "iterations": 1})
    checkpoint = tmp_path / "checkpoint.safetensors"
    train_segmenter([blobs(0)], brief, checkpoint=checkpoint)
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors: checkpoint must be of this training.*Delete it"):
        train_segmenter([blobs(0)], brief.model_copy(update={"seed": 8}), checkpoint=checkpoint)
    with pytest.raises(ModelError, match="checkpoint must be of this training"):
        train_segmenter([blobs(1)], brief, checkpoint=checkpoint)
    checkpoint.write_text("weights")
    with pytest.raises(ModelError, match="checkpoint must be a safetensors file"):
        train_segmenter([blobs(0)], brief, checkpoint=checkpoint)


def test_the_spacing_is_the_median_edge():
    """Edges 4, 4, 6 and 5, 5, 8 mm: the middle of 4, 4, 5, 5, 6, 8 is 5."""
    images = [sitk.Image(2, 2, 2, sitk.sitkInt16) for _ in range(2)]
    images[0].SetSpacing([4.0, 4.0, 6.0])
    images[1].SetSpacing([5.0, 5.0, 8.0])
    assert target_spacing(images) == 5.0


def test_edges_near_the_network_s_are_taken_as_they_are():
    """A voxel 15 % off keeps its values; 25 % off it is resampled to the network's."""
    image, _ = blobs(130)
    near, far = sitk.Image(image), sitk.Image(image)
    near.SetSpacing([0.85 * SPACING, SPACING, 1.15 * SPACING])
    far.SetSpacing([SPACING, SPACING, 1.25 * SPACING])
    assert np.array_equal(to_array(network_grid(near, SPACING)), to_array(image))
    assert network_grid(near, SPACING).GetSpacing() == near.GetSpacing()
    assert network_grid(far, SPACING).GetSpacing() == (SPACING,) * 3
    assert network_grid(far, SPACING).GetSize()[2] == 20  # 16 slices of 10 mm


def test_coarse_voxels_are_means_and_majorities():
    """2 x 2 x 2 voxels 0 to 7 become 3.5; four of eight liver is liver, three of eight spleen is not."""
    array = np.arange(8.0, dtype=np.float32).reshape(2, 2, 2)
    labels = np.zeros((2, 2, 5), np.uint8)
    labels[0, :, :2] = 1
    labels[0, :, 2] = labels[1, 0, 3] = 2
    wide = np.concatenate([array, 2 * array, np.zeros((2, 2, 1), np.float32)], axis=2)
    found = coarsened(_TrainingImage(wide, labels, ()), 2)
    assert found.array.tolist() == [[[3.5, 7.0]]]
    assert found.labels.tolist() == [[[1, 0]]]
    assert [voxels.tolist() for voxels in found.centres] == [[[0, 0, 0]], []]


def test_patches_are_mirrored_only_along_the_axes_asked_for():
    """Along x about half of them, image and labels together; without axes none."""
    volume = toy_volume()
    edges = np.array(volume.array.shape)

    def right_to_left(axes: str) -> list[bool]:
        swapped = []
        for seed in range(40):
            image, labels = _patch(volume, edges, False, axes, np.random.default_rng(seed))
            livers = [float(np.mean(np.nonzero(labels.numpy() == label)[2])) for label in (1, 2)]
            bright = float(image[0][labels == 2].mean()) > float(image[0][labels == 1].mean())
            assert bright  # the spleen's label still lies on the spleen
            swapped.append(livers[0] > livers[1])
        return swapped

    assert not any(right_to_left(""))
    assert not any(right_to_left("zy"))
    assert 10 <= sum(right_to_left("x")) <= 30


class FixedDraws:
    """Stands in for a random generator: angles (radian) and scale of a turned patch."""

    def __init__(self, angles: tuple[float, float, float], scale: float) -> None:
        self.angles, self.scale = np.array(angles), scale

    def uniform(self, low: float, high: float, size: int | None = None) -> np.ndarray | float:
        return self.scale if size is None else self.angles


def toy_volume() -> _TrainingImage:
    image, labels = blobs(140)
    return _TrainingImage((to_array(image) + 1000).astype(np.float32), to_array(labels), ())


def test_a_patch_turned_by_nothing_is_a_cut():
    """The two ways to a patch agree in place and filling, beyond the image too."""
    volume, start, edges = toy_volume(), np.array([-2, 3, 5]), np.array([24, 16, 8])
    cut = _cut(volume, start, edges, None)
    turned = _turned(volume, start, edges, FixedDraws((0.0, 0.0, 0.0), 1.0))
    assert np.allclose(turned[0], cut[0], atol=0.1)
    assert np.array_equal(turned[1], cut[1])
    assert not cut[0][:2].any()
    assert np.array_equal(cut[0][2:18, :15], volume.array[:, 3:18, 5:13])


def test_a_quarter_turn_about_z_moves_x_to_y():
    """A patch turned by 90 degrees in the slice is the cut one, turned: image and labels together."""
    volume, start, edges = toy_volume(), np.array([0, 1, 2]), np.array([16, 16, 16])
    image, labels = _cut(volume, start, edges, None)
    turned = _turned(volume, start, edges, FixedDraws((np.pi / 2, 0.0, 0.0), 1.0))
    quarter = [k for k in (1, -1) if np.array_equal(turned[1], torch.rot90(labels, k, (1, 2)))]
    assert len(quarter) == 1
    assert np.allclose(turned[0], torch.rot90(image, quarter[0], (1, 2)), atol=0.5)


# --- file -------------------------------------------------------------------------------------------------------------


def test_a_saved_network_predicts_the_same(trained, tmp_path):
    """Weights, intensities and provenance come back."""
    trained.save(tmp_path / "weights.safetensors")
    loaded = Segmenter.load(tmp_path / "weights.safetensors", "cpu")
    assert (loaded.intensity, loaded.provenance, loaded.losses) == (
        trained.intensity,
        trained.provenance,
        trained.losses,
    )
    assert loaded.provenance.spacing_mm == SPACING
    assert (loaded.provenance.seed, loaded.provenance.iterations, loaded.provenance.images) == (7, 120, 6)
    image, _ = blobs(101)
    assert np.array_equal(to_array(loaded.predict(image)), to_array(trained.predict(image)))


def test_wrong_weights_are_refused(trained, tmp_path):
    """A missing file, text, another program's weights, another version, and weights of another shape."""
    with pytest.raises(ModelError, match="must exist"):
        Segmenter.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("weights")
    with pytest.raises(ModelError, match="safetensors file"):
        Segmenter.load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="no hccbook metadata"):
        Segmenter.load(tmp_path / "other.safetensors")
    content = {"format": "hccbook segmenter 0"}
    save_file({"a": torch.zeros(1)}, tmp_path / "old.safetensors", metadata={"hccbook": json.dumps(content)})
    with pytest.raises(ModelError, match="segmenter 0"):
        Segmenter.load(tmp_path / "old.safetensors")
    trained.save(tmp_path / "good.safetensors")
    bytes_ = (tmp_path / "good.safetensors").read_bytes()
    (tmp_path / "shape.safetensors").write_bytes(bytes_.replace(b'\\"filters\\": 8', b'\\"filters\\": 9'))
    with pytest.raises(ModelError, match="fit the network"):
        Segmenter.load(tmp_path / "shape.safetensors")


# --- inference --------------------------------------------------------------------------------------------------------


def test_labels_lie_on_the_grid_of_the_image(trained):
    """Spacing, origin and direction are kept, and a flipped or permuted array is read by its direction."""
    image, _ = blobs(102)
    labels = trained.predict(image)
    assert labels.GetPixelID() == sitk.sitkUInt8
    for axes in ("RAS", "SPL", "LPS"):
        turned = sitk.DICOMOrient(image, axes)
        found = trained.predict(turned)
        assert same_grid(found, turned)
        assert found.GetDirection() == turned.GetDirection()
        assert np.array_equal(to_array(sitk.DICOMOrient(found, "LPS")), to_array(labels))


def test_another_spacing_is_resampled_and_back(trained):
    """The same patient at half the voxel edge gets the same organs in the same place on the finer grid.

    They are smaller by their rims, which interpolation has blurred: these images have sharper edges than a scanner's.
    """
    image, _ = blobs(103)
    coarse = trained.predict(image)
    fine = sitk.Resample(
        image,
        [2 * length for length in image.GetSize()],
        sitk.Transform(),
        sitk.sitkLinear,
        [start - SPACING / 4 for start in image.GetOrigin()],
        [SPACING / 2] * 3,
        image.GetDirection(),
        -1000.0,
    )
    found = trained.predict(fine)
    assert same_grid(found, fine)
    expected = sitk.Resample(coarse, fine, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert min(organ_dice(found, expected).values()) > 0.5
    for label in (1, 2):
        shift = np.subtract(centre_mm(found, label), centre_mm(coarse, label))
        assert np.abs(shift).max() < SPACING / 4


def test_a_patient_s_phases_together_or_alone(trained):
    """Labels do not depend on what else goes through the network."""
    images = [blobs(number)[0] for number in (104, 105, 106)]
    together = trained.predict_all(images)
    for image, found in zip(images, together, strict=True):
        assert organ_dice(trained.predict(image), found) == {"liver": pytest.approx(1, abs=0.01), "spleen": 1}


def test_the_network_sees_whole_volumes_where_they_fit():
    """Edges fill up to strides of 8 and end at the patch of 48."""
    assert window_shape((44, 47, 63), 48, 8) == (48, 48, 48)
    assert window_shape((3, 41, 48), 80, 8) == (16, 48, 48)


def test_volumes_larger_than_the_patch_go_through_in_windows(trained):
    """Two patients, one above the other, are twice as long as the patch; both livers and spleens are found."""
    (lower, below), (upper, above) = blobs(107), blobs(108)
    both = sitk.GetImageFromArray(np.concatenate([to_array(lower), to_array(upper)]))
    both.SetSpacing([SPACING] * 3)
    found = to_array(trained.predict(both))
    # Only one piece an organ stays, so each half is held against the truth where it was kept.
    for label, least in ((1, 0.8), (2, 0.7)):
        halves = [
            dice(half == label, to_array(truth) == label)
            for half, truth in zip(np.split(found, 2), (below, above), strict=True)
        ]
        assert max(halves) > least


def test_the_largest_piece_stays():
    """Of two livers of 4 and 2 voxels, and a spleen of 1, the 4 and the 1 stay; diagonal voxels do not join."""
    labels = np.zeros((1, 4, 6), np.uint8)
    labels[0, 0, :4] = 1
    labels[0, 1, 4] = labels[0, 1, 5] = 1
    labels[0, 3, 0] = 2
    kept = largest_components(labels)
    expected = labels.copy()
    expected[0, 1] = 0
    assert np.array_equal(kept, expected)
    assert np.array_equal(largest_components(np.zeros((1, 2, 2), np.uint8)), np.zeros((1, 2, 2), np.uint8))


# --- masks from elsewhere ---------------------------------------------------------------------------------------------


def given(boxes: list[tuple[slice, slice, slice]], edge: float = 5.0, shape=(20, 20, 20)) -> sitk.Image:
    return label_map(shape, {1: boxes}, edge)


def test_finer_masks_keep_place_and_volume():
    """Boxes of 8^3 and 4^3 voxels of 5 mm become 4^3 and 2^3 voxels of 10 mm at the same place."""
    liver, spleen = given([np.s_[2:10, 2:10, 2:10]]), given([np.s_[12:16, 12:16, 12:16]])
    image = sitk.Image([10, 10, 10], sitk.sitkInt16)
    image.SetSpacing([10.0] * 3)
    image.SetOrigin([2.5] * 3)
    labels = external_labels(liver, spleen, image)
    expected = np.zeros((10, 10, 10), np.uint8)
    expected[1:5, 1:5, 1:5] = 1
    expected[6:8, 6:8, 6:8] = 2
    assert same_grid(labels, image)
    assert np.array_equal(to_array(labels), expected)


def test_masks_move_with_their_phase():
    """A translation of two voxels, from points of the image to points of the mask, as in resampling."""
    liver, spleen = given([np.s_[2:10, 2:10, 4:8]]), given([np.s_[12:16, 12:16, 12:16]])
    moved = external_labels(liver, spleen, liver, transform=sitk.TranslationTransform(3, [10.0, 0.0, 0.0]))
    assert np.array_equal(to_array(moved)[2:10, 2:10, 2:6], np.ones((8, 8, 4), np.uint8))


def test_a_small_overlap_becomes_spleen():
    """One voxel of 512 shared with a spleen of 125 is 0.8 % of the smaller organ."""
    liver, spleen = given([np.s_[2:10, 2:10, 2:10]]), given([np.s_[9:14, 9:14, 9:14]])
    labels = to_array(external_labels(liver, spleen, liver))
    assert labels[9, 9, 9] == 2
    assert (np.count_nonzero(labels == 1), np.count_nonzero(labels == 2)) == (511, 125)


def test_masks_that_do_not_fit_are_refused():
    """A large overlap, an empty mask, other values, and a mask elsewhere in space."""
    liver, spleen = given([np.s_[2:10, 2:10, 2:10]]), given([np.s_[12:16, 12:16, 12:16]])
    with pytest.raises(MaskError, match=r"P0001, venous: .* share at most 1% .* found 100.0%"):
        external_labels(liver, liver, liver, place="P0001, venous")
    with pytest.raises(MaskError, match="masks, spleen: mask must not be empty"):
        external_labels(liver, given([]), liver)
    with pytest.raises(MaskError, match="masks, liver: mask must hold 0 and 1 only"):
        external_labels(liver * 2, spleen, liver)
    far = sitk.Image(spleen)
    far.SetOrigin([5000.0, 0.0, 0.0])
    with pytest.raises(MaskError, match="masks, spleen: mask must lie within its image"):
        external_labels(liver, far, liver)


# --- patients ---------------------------------------------------------------------------------------------------------


SHIFTS = {"arterial": (0.0, 0.0, 0.0), "venous": (0.0, 0.0, SPACING)}


@pytest.fixture
def case(tmp_path) -> Case:
    """A patient whose working images are the sources."""
    sources = {phase: str(tmp_path / "source" / f"{phase}.nii.gz") for phase in SHIFTS}
    made = Case(RunPaths(tmp_path / "run"), "alarm", "P0001", tuple(SHIFTS), sources)
    for number, phase in enumerate(SHIFTS):
        for file in (made.source(phase), made.image(phase)):
            write_image(blobs(110 + number)[0], file)
    return made


@pytest.fixture
def weights(trained, tmp_path) -> Path:
    trained.save(tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def segment(case: Case, weights: Path, shifts_mm=SHIFTS) -> list[str]:
    return segment_patient(case, weights, shifts_mm, "cpu")


def stored(case: Case, weights: Path, shifts_mm=SHIFTS) -> list[str] | None:
    """What the store has of a patient."""
    try:
        with reading_only():
            return segment(case, weights, shifts_mm)
    except NotStoredError:
        return None


def test_a_patient_is_segmented_once(case, weights, trained):
    """The store keeps the labels, and another patient with the same images takes them from there."""
    assert stored(case, weights) is None
    task = functools.partial(segment, weights=weights)
    outcome = map_patients(task, {"P0001": case}, stage="segmentation", stored=True, progress=False)
    assert outcome.computed == 1
    assert outcome.results == {"P0001": ["arterial", "venous"]}
    written = sitk.ReadImage(str(case.native_labels("venous")))
    assert min(organ_dice(written, trained.predict(blobs(111)[0])).values()) > 0.98
    # The venous phase is moved by one voxel towards the head: what lies at z + 1 comes to z.
    moved = to_array(sitk.ReadImage(str(case.labels("venous"))))
    assert np.array_equal(moved[:-1], to_array(written)[1:])
    still = [to_array(sitk.ReadImage(str(file("arterial")))) for file in (case.native_labels, case.labels)]
    assert np.array_equal(*still)
    kept = {file: file.stat().st_mtime_ns for file in (case.run.store.root / "segmentation").rglob("*.nii.gz")}
    assert len(kept) == 4
    again = dataclasses.replace(case, key="P0007")
    for phase in case.phases:
        shutil.copy(case.image(phase), again.image(phase))
    assert stored(again, weights) == ["arterial", "venous"]
    assert again.labels("venous").read_bytes() == case.labels("venous").read_bytes()
    assert {file: file.stat().st_mtime_ns for file in (case.run.store.root / "segmentation").rglob("*.nii.gz")} == kept


def test_stored_labels_go_with_image_and_weights(case, weights):
    """A changed image, another shift, or other weights, are no longer done."""
    segment(case, weights)
    assert stored(case, weights) is not None
    write_image(blobs(120)[0], case.source("venous"))
    assert stored(case, weights) is None
    segment(case, weights)
    assert stored(case, weights, dict.fromkeys(SHIFTS, (1.0, 0.0, 0.0))) is None
    stamp = weights.stat().st_mtime_ns + 10**9
    train_segmenter([blobs(0)], TINY.model_copy(update={"iterations": 1})).save(weights)
    os.utime(weights, ns=(stamp, stamp))
    assert stored(case, weights) is None


def test_one_unreadable_patient_does_not_stop_the_other(case, weights):
    """It becomes a row of the failures table that names patient and phase."""
    broken = dataclasses.replace(case, key="P0002", phases=("venous",), sources={"venous": "none.nii.gz"})
    items = {"P0002": broken, "P0001": case}
    task = functools.partial(segment, weights=weights)
    outcome = map_patients(task, items, stage="segmentation", stored=True, progress=False)
    assert list(outcome.results) == ["P0001"]
    assert outcome.failures[["patient", "stage", "kind"]].values.tolist() == [["P0002", "segmentation", "ImageError"]]
    assert "P0002, venous" in outcome.failures["reason"].iloc[0]
