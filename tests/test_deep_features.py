"""Deep features: crops worked out by hand, networks and their weights, the cohort's table, the projection."""

from __future__ import annotations

import json

import monai.networks.nets.resnet as resnet
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score

import hccbook.deep_features as deep_features
from hccbook.deep_features import (
    DeepTask,
    ProjectionHead,
    crop_to_box,
    deep_table,
    extract_deep_features,
    fit_projection,
    largest_box,
    largest_boxes,
    load_backbone,
    organ_extent,
    organ_extents_task,
    pooled_features,
    shrink_crop,
)
from hccbook.errors import DataError, MaskError, ModelError, SettingsError
from hccbook.images import write_image
from hccbook.parallel import map_patients

TINY = 16  # values that a tiny ResNet-18 pools to


@pytest.fixture
def tiny(monkeypatch):
    """Networks with 2 to 16 channels in place of 64 to 512."""
    monkeypatch.setattr(resnet, "get_inplanes", lambda: [2, 4, 8, TINY])
    monkeypatch.setattr(deep_features, "WIDTHS", {"resnet18": TINY, "resnet50": 4 * TINY})


# --- organ crops -----------------------------------------------------------------------------------------------------


def test_organ_comes_to_the_middle_of_the_box():
    """An organ of 2 x 1 x 3 voxels in a box of 4 x 3 x 5: one empty voxel on either side."""
    image = np.full((6, 6, 6), 40.0)
    image[1:3, 4, 3:6] = [[-60, 40, 140], [-100, 90, 900]]
    mask = np.zeros((6, 6, 6), bool)
    mask[1:3, 4, 3:6] = True
    expected = np.zeros((4, 3, 5))
    # Clipped to -60 and 140 HU their sum is 290, the mean 290 / 6; one unit is 25 HU.
    expected[1:3, 1, 1:4] = (np.array([[-60, 40, 140], [-60, 90, 140]]) - 290 / 6) / 25
    np.testing.assert_allclose(crop_to_box(image, mask, (4, 3, 5)), expected, atol=1e-6)


def test_neighbours_of_the_organ_are_not_seen():
    """Voxels outside the mask are at the organ's mean, whatever they hold."""
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 1:4] = mask[1, 2, 2] = True
    quiet, loud = np.full((5, 5, 5), 40.0), np.where(mask, 40.0, 3000.0)
    np.testing.assert_array_equal(crop_to_box(quiet, mask, (3, 3, 3)), crop_to_box(loud, mask, (3, 3, 3)))


def test_organ_larger_than_the_box_is_cut_on_both_sides():
    """Six voxels in a box of four: the first and the last go; of seven in four, one and two."""
    image = np.arange(10.0).reshape(1, 1, 10)
    mask = np.ones((1, 1, 10), bool)
    mask[..., :2] = mask[..., 8:] = False
    # The mean of 2 to 7 is 4.5, that of 2 to 8 is 5; one unit is 25 HU.
    shown = crop_to_box(image, mask, (1, 1, 4), (0, 10))[0, 0] * 25
    np.testing.assert_allclose(shown, [-1.5, -0.5, 0.5, 1.5], rtol=1e-6)
    mask[..., 8] = True
    np.testing.assert_allclose(crop_to_box(image, mask, (1, 1, 4), (0, 10))[0, 0] * 25, [-2, -1, 0, 1], atol=1e-5)


def test_organ_at_the_border_of_the_image():
    """The box may reach beyond the image; there it is empty."""
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[0, 0, 1] = True
    image = np.zeros((3, 3, 3))
    image[0, 0, 1] = 100.0
    crop = crop_to_box(image, mask, (3, 3, 4))
    # The mean is 50 HU: two units below and above it, and nothing elsewhere.
    assert crop[1, 1].tolist() == [0, -2, 2, 0]
    assert np.abs(crop).sum() == 4


def test_crop_of_other_shapes_or_of_nothing_is_refused():
    """A mask of another image, an empty mask."""
    with pytest.raises(MaskError, match="image and mask must be 3-D of one shape"):
        crop_to_box(np.zeros((3, 3, 3)), np.ones((3, 3, 4), bool), (3, 3, 3))
    with pytest.raises(MaskError, match="at least one voxel"):
        crop_to_box(np.zeros((3, 3, 3)), np.zeros((3, 3, 3), bool), (3, 3, 3))


def test_largest_box_holds_every_organ():
    """The largest edge of each axis, which need not come from one organ."""
    mask = np.zeros((9, 9, 9), bool)
    mask[1:4, 2, 3:9] = True
    assert organ_extent(mask) == (3, 1, 6)
    assert largest_box([(3, 1, 6), (2, 5, 2)]) == (3, 5, 6)
    boxes = largest_boxes([{"liver": [(3, 1, 6)], "spleen": [(1, 1, 1)]}, {"liver": [(2, 5, 2), (4, 1, 1)]}])
    assert boxes == {"liver": (4, 5, 6), "spleen": (1, 1, 1)}
    for none in (lambda: largest_box([]), lambda: largest_boxes([])):
        with pytest.raises(DataError, match="at least one organ"):
            none()


def test_shrinking_keeps_the_mean_and_averages_over_noise():
    """Halving is the mean of two voxels; a fourth and less is the mean of all voxels that fall together."""
    crop = np.arange(8, dtype=np.float32).reshape(1, 1, 8)
    np.testing.assert_allclose(shrink_crop(crop, 4)[0, 0], [0.5, 2.5, 4.5, 6.5])
    np.testing.assert_allclose(shrink_crop(crop, 2)[0, 0], [1.5, 5.5])
    assert shrink_crop(crop, 8) is crop
    fine = np.random.default_rng(1).random((30, 40, 50), dtype=np.float32)
    small = shrink_crop(fine, 10)
    assert small.shape == (10, 10, 10)
    assert small.mean() == pytest.approx(fine.mean(), abs=0.01)
    # 60 voxels become one: noise of SD 0.29 falls to well below a third of that.
    assert small.std() < 0.09


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "width"), [("resnet18", 512), ("resnet50", 2048)])
def test_networks_pool_to_the_papers_numbers_of_values(name, width):
    """512 of ResNet-18 (aMAP-CT: 1,536 of three phases), 2,048 of ResNet-50; other crops change nothing."""
    backbone = load_backbone(name, seed=3)
    crops = np.random.default_rng(0).random((3, 1, 16, 12, 20), dtype=np.float32)
    values = pooled_features(backbone, crops)
    assert values.shape == (3, width)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(pooled_features(backbone, crops[::-1])[::-1], values)
    np.testing.assert_array_equal(pooled_features(backbone, crops[1:2]), values[1:2])
    # A crop must be told from another.
    assert (np.ptp(values, axis=0) > 0).mean() > 0.5


def test_values_do_not_depend_on_the_number_of_threads():
    """One and two threads give the same bits, at the batch that the cohort is taken with."""
    backbone = load_backbone("resnet50", seed=3)
    crops = np.random.default_rng(0).random((4, 1, 16, 16, 16), dtype=np.float32)
    threads = torch.get_num_threads()
    try:
        values = []
        for number in (1, 2):
            torch.set_num_threads(number)
            values.append(pooled_features(backbone, crops))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*values)


def test_seed_makes_the_weights(tiny):
    """The same seed the same network, another seed another, and torch's own random numbers go on as before."""
    torch.manual_seed(5)
    before = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = (load_backbone("resnet18", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), before)
    for (name, a), b in zip(one.module.state_dict().items(), two.module.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(one.module.conv1.weight, other.module.conv1.weight)
    assert not one.module.training
    assert not any(parameter.requires_grad for parameter in one.module.parameters())


def saved(weights: dict[str, torch.Tensor], file, nest: bool = False):
    if file.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in weights.items()}, file)
    else:
        torch.save({"state_dict": weights, "epoch": 3} if nest else weights, file)
    return file


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_come_back_from_a_file(tiny, tmp_path, ending, prefix):
    """Of safetensors and of torch's own files, with MedicalNet's prefix, nesting and segmentation head."""
    backbone = load_backbone("resnet18", seed=11)
    weights = {prefix + name: value for name, value in backbone.module.state_dict().items()}
    weights[prefix + "conv_seg.0.weight"] = torch.zeros(2, 2)
    file = saved(weights, tmp_path / f"weights{ending}", nest=bool(prefix))
    crops = np.random.default_rng(0).random((2, 1, 16, 16, 16), dtype=np.float32)
    loaded = load_backbone("resnet18", file, seed=99)
    np.testing.assert_array_equal(pooled_features(loaded, crops), pooled_features(backbone, crops))
    assert loaded.origin.startswith("file ")


def _without(weights, name):
    return {key: value for key, value in weights.items() if key != name}


WRONG_WEIGHTS = {
    "missing": (
        lambda own: _without(own, "layer1.0.conv1.weight"),
        r"must hold all weights of resnet18, but found 1 missing, the first 'layer1\.0\.conv1\.weight'",
    ),
    "other": (
        lambda own: own | {"layer9.weight": torch.zeros(1)},
        r"must hold weights of resnet18 only, but found 1 others, the first 'layer9\.weight'",
    ),
    "shape": (
        lambda own: own | {"conv1.weight": torch.zeros(2, 3, 7, 7, 7)},
        r"'conv1\.weight' must have the shape \(2, 1, 7, 7, 7\), but found \(2, 3, 7, 7, 7\)",
    ),
    "not finite": (
        lambda own: own | {"bn1.bias": torch.full((2,), torch.nan)},
        r"'bn1\.bias' must be finite",
    ),
}


@pytest.mark.parametrize("case", WRONG_WEIGHTS)
def test_weights_that_do_not_fit_are_refused(tiny, tmp_path, case):
    """The message names the file and the first name that is wrong."""
    change, message = WRONG_WEIGHTS[case]
    own = load_backbone("resnet18").module.state_dict()
    file = saved(change(dict(own)), tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=r"net\.safetensors: " + message):
        load_backbone("resnet18", file)


class Harmful:
    """Something else than a tensor."""


def test_weights_files_that_are_none_are_refused(tiny, tmp_path):
    """Missing, of another kind, broken, with objects in place of tensors, with no names."""
    with pytest.raises(ModelError, match=r"absent\.pt: weights file must exist"):
        load_backbone("resnet18", tmp_path / "absent.pt")
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"net\.onnx: weights must be \.safetensors, \.pt or \.pth"):
        load_backbone("resnet18", tmp_path / "net.onnx")
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(ModelError, match=name):
            load_backbone("resnet18", tmp_path / name)
    torch.save({"state_dict": Harmful()}, tmp_path / "harmful.pt")
    with pytest.raises(ModelError, match=r"harmful\.pt: weights file must hold tensors only"):
        load_backbone("resnet18", tmp_path / "harmful.pt")
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "numbers.pt")
    with pytest.raises(ModelError, match=r"numbers\.pt: weights file must hold tensors only, but found 'epoch'"):
        load_backbone("resnet18", tmp_path / "numbers.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(ModelError, match=r"tensor\.pt: weights file must map names to tensors"):
        load_backbone("resnet18", tmp_path / "tensor.pt")


def test_unknown_network_or_device_is_refused():
    """The message lists what there is."""
    with pytest.raises(SettingsError, match="must be one of resnet18, resnet50"):
        load_backbone("resnet34")
    with pytest.raises(SettingsError, match="must be auto, cpu or cuda"):
        load_backbone("resnet18", device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="'cuda' needs a GPU"):
            load_backbone("resnet18", device="cuda")


def test_crops_of_another_shape_are_refused(tiny):
    """One channel, three axes."""
    with pytest.raises(DataError, match=r"shape \(n, 1, z, y, x\)"):
        pooled_features(load_backbone("resnet18"), np.zeros((2, 16, 16, 16)))


# --- the cohort ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cohort(tmp_path) -> dict[str, DeepTask]:
    """Nine patients with two phases, liver and spleen; more volumes than fit one batch."""
    tasks = {}
    for number in range(1, 10):
        key = f"P{number:04d}"
        rng = np.random.default_rng(number)
        labels = np.zeros((16, 18, 20), np.uint8)
        labels[3 : 11 + number % 3, 4:12, 3:12] = 1
        labels[5:9, 10:15, 14:18] = 2
        images, maps = [], []
        for phase in ("arterial", "venous"):
            image, label = tmp_path / key / f"{phase}.nii", tmp_path / key / f"{phase}_labels.nii"
            write_image(sitk.GetImageFromArray(rng.normal(50, 60, labels.shape).astype(np.float32)), image)
            write_image(sitk.GetImageFromArray(labels), label)
            images.append((phase, image))
            maps.append((phase, label))
        tasks[key] = DeepTask(key, tuple(images), tuple(maps), ("liver", "spleen"), tmp_path / "store")
    return tasks


BOXES = {"liver": (10, 8, 9), "spleen": (4, 5, 4)}


def test_box_of_the_cohort(cohort):
    """Eight to ten slices of liver, always the same spleen."""
    outcome = map_patients(organ_extents_task, cohort, stage="features", progress=False)
    assert largest_boxes(outcome.results.values()) == BOXES


def test_table_of_the_cohort(tiny, cohort):
    """Columns by phase, organ and number; each value that of the volume alone, to six digits."""
    backbone = load_backbone("resnet18", seed=4)
    outcome = extract_deep_features(cohort, backbone, BOXES, crop_voxels=8, progress=False)
    assert outcome.computed == 9
    assert outcome.failures.empty
    table = deep_table(outcome.results)
    assert table.shape == (9, 2 * 2 * TINY)
    assert table.index.name == "patient"
    assert table.columns[0] == "arterial.liver.deep_000"
    assert table.columns[-1] == f"venous.spleen.deep_{TINY - 1:03d}"
    image, labels = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(dict(files)["venous"])))
        for files in (cohort["P0005"].images, cohort["P0005"].labels)
    )
    crop = shrink_crop(crop_to_box(image, labels == 1, BOXES["liver"]), 8)
    alone = pooled_features(backbone, crop[None, None])[0]
    own = table.loc["P0005", [column for column in table if column.startswith("venous.liver.")]]
    np.testing.assert_allclose(own, alone, rtol=5e-6)
    assert all(float(f"{value:.5e}") == value for value in own)


def test_interrupted_run_does_not_repeat_patients(tiny, cohort, monkeypatch):
    """Half of the patients first, then all: the same table as at once, and only the others computed."""
    backbone = load_backbone("resnet18", seed=4)
    half = dict(list(cohort.items())[:5])
    extract_deep_features(half, backbone, BOXES, crop_voxels=8, progress=False)
    kept = sorted((cohort["P0001"].store / "deep").glob("*.npy"))
    assert len(kept) == 5 * 4
    kept[0].write_bytes(b"half a file")
    whole = extract_deep_features(cohort, backbone, BOXES, crop_voxels=8, progress=False)
    assert whole.computed == 4 + 1
    apart = {key: DeepTask(key, t.images, t.labels, t.organs, t.store / "apart") for key, t in cohort.items()}
    at_once = extract_deep_features(apart, backbone, BOXES, crop_voxels=8, progress=False)
    assert deep_table(whole.results).to_csv() == deep_table(at_once.results).to_csv()


def test_other_network_box_or_crop_is_computed_anew(tiny, cohort):
    """Results are kept under all that a value depends on."""
    backbone = load_backbone("resnet18", seed=4)
    some = {"P0001": cohort["P0001"]}
    run = {"tasks": some, "backbone": backbone, "boxes": BOXES, "crop_voxels": 8, "progress": False}
    assert extract_deep_features(**run).computed == 1
    assert extract_deep_features(**run).computed == 0
    assert extract_deep_features(**run | {"backbone": load_backbone("resnet18", seed=5)}).computed == 1
    assert extract_deep_features(**run | {"boxes": BOXES | {"spleen": (4, 5, 5)}}).computed == 1
    assert extract_deep_features(**run | {"crop_voxels": 7}).computed == 1
    assert extract_deep_features(**run, window=(-50, 150)).computed == 1


def test_failing_patient_does_not_stop_the_others(tiny, cohort):
    """A missing file and a missing spleen become rows that name patient, phase and organ."""
    dict(cohort["P0002"].images)["venous"].unlink()
    labels = sitk.ReadImage(str(dict(cohort["P0004"].labels)["venous"]))
    write_image(sitk.Cast(labels == 1, sitk.sitkUInt8), dict(cohort["P0004"].labels)["venous"])
    outcome = extract_deep_features(cohort, load_backbone("resnet18"), BOXES, crop_voxels=8, progress=False)
    assert list(outcome.results) == [f"P{number:04d}" for number in (1, 3, 5, 6, 7, 8, 9)]
    reasons = dict(zip(outcome.failures["patient"], outcome.failures["reason"], strict=True))
    assert reasons["P0002"].startswith("P0002, venous: image must exist")
    assert reasons["P0004"].startswith("P0004, venous, spleen: label map must hold the label 2")
    with pytest.raises(SettingsError, match="must hold every organ, but found none of spleen"):
        extract_deep_features(cohort, load_backbone("resnet18"), {"liver": (3, 3, 3)}, crop_voxels=8)


def test_table_of_unequal_patients_is_refused():
    """A missing phase never becomes empty cells."""
    with pytest.raises(DataError, match=r"deep features of P0002: must be those of P0001"):
        deep_table({"P0001": {"arterial.liver": np.zeros(3)}, "P0002": {"venous.liver": np.zeros(3)}})
    with pytest.raises(DataError, match="at least one patient"):
        deep_table({})


# --- the projection --------------------------------------------------------------------------------------------------

PHASES = ("arterial", "venous", "delayed")
POOLED = 256


def toy(patients: int, hcc: int, effect: float, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Pooled values with twenty latent directions, one of which HCC shifts by `effect` SD."""
    directions = np.random.default_rng(0).normal(size=(20, POOLED))
    rng = np.random.default_rng(seed)
    y = (np.arange(patients) < hcc).astype(int)
    latent = rng.normal(size=(patients, 1, 20)) + 0.5 * rng.normal(size=(patients, 3, 20))
    latent[:, :, 3] += effect * y[:, None]
    values = latent @ directions + rng.normal(size=(patients, 3, POOLED)) + np.array([1.0, 5.0, 9.0])[:, None]
    columns = [f"{phase}.liver.deep_{number:03d}" for phase in PHASES for number in range(POOLED)]
    index = pd.Index([f"P{number + 1:04d}" for number in range(patients)], name="patient")
    return pd.DataFrame(values.reshape(patients, -1), index=index, columns=columns), pd.Series(y, index=index)


def logit(head: ProjectionHead, pooled: pd.DataFrame) -> np.ndarray:
    """Mean over phases of the logit that the projection was tuned with."""
    values = head.transform(pooled).to_numpy().reshape(len(pooled), len(PHASES), -1)
    return (values @ head.risk + head.offset).mean(axis=1)


@pytest.fixture(scope="module")
def tuned() -> ProjectionHead:
    """Projection tuned on 64 toy patients, 13 of them with HCC."""
    return fit_projection(*toy(64, 13, 2.5, seed=1), epochs=15, seed=7)


def test_projection_finds_a_planted_signal(tuned):
    """On patients that it never saw, its logit ranks HCC above the others, far above chance."""
    pooled, hcc = toy(300, 60, 2.5, seed=2)
    assert roc_auc_score(hcc, logit(tuned, pooled)) > 0.75
    assert tuned.card["epochs"] > 0
    assert 0.6 < tuned.card["inner_auc"] <= 1


def test_projected_values_are_a_hundred_and_differ(tuned):
    """100 a phase, within -1 and 1, none constant, none a copy of another."""
    pooled, _ = toy(300, 60, 2.5, seed=2)
    table = tuned.transform(pooled)
    assert table.shape == (300, 300)
    assert list(table.columns[[0, 99, 100]]) == [
        "arterial.liver.deep_000",
        "arterial.liver.deep_099",
        "venous.liver.deep_000",
    ]
    assert table.abs().to_numpy().max() < 1
    assert table.std().min() > 0.2
    correlation = np.abs(np.corrcoef(table.to_numpy()[:, :100].T) - np.eye(100))
    assert correlation.max() < 0.95


def test_projection_of_noise_finds_nothing():
    """Of four cohorts without a signal most stay untuned, and unseen patients are ranked by chance."""
    heads = [fit_projection(*toy(64, 13, 0.0, seed=100 + number), epochs=10, seed=7) for number in range(4)]
    assert sum(head.card["epochs"] == 0 for head in heads) >= 2
    pooled, hcc = toy(400, 100, 0.0, seed=4)
    for head in heads:
        # The standard error of such an AUC is 0.034.
        assert roc_auc_score(hcc, logit(head, pooled)) == pytest.approx(0.5, abs=0.1)


def test_projection_is_the_same_for_the_same_seed(tuned):
    """Tuned twice, the values agree to the last digit; with another seed they do not."""
    pooled, hcc = toy(64, 13, 2.5, seed=1)
    again = fit_projection(pooled, hcc, epochs=15, seed=7)
    assert again.transform(pooled).to_csv() == tuned.transform(pooled).to_csv()
    other = fit_projection(pooled, hcc, epochs=0, seed=8)
    assert not np.allclose(other.transform(pooled), tuned.transform(pooled))


def test_no_epochs_leave_the_random_projection():
    """The outcomes then play no part."""
    pooled, hcc = toy(64, 13, 2.5, seed=1)
    head = fit_projection(pooled, hcc, epochs=0, seed=7)
    flipped = fit_projection(pooled, 1 - hcc, epochs=0, seed=7)
    np.testing.assert_array_equal(head.weight, flipped.weight)
    assert not head.risk.any()
    assert (head.card["epochs"], head.card["inner_auc"], head.card["note"]) == (0, None, "not tuned: epochs = 0")


def test_too_few_events_leave_the_random_projection():
    """Three patients with HCC cannot choose a number of epochs; the card says so."""
    head = fit_projection(*toy(20, 3, 2.5, seed=1), epochs=15, seed=7)
    assert head.card["epochs"] == 0
    assert head.card["note"] == "not tuned: 3 patients of the rarer outcome, 4 needed to choose the epochs"


def test_constant_values_are_harmless():
    """Units of the network that never fire are left at zero, not divided by their SD of zero."""
    pooled, hcc = toy(30, 8, 1.0, seed=1)
    pooled.iloc[:, :5] = 0.0
    head = fit_projection(pooled, hcc, epochs=2, seed=7)
    later = pooled.copy()
    later.iloc[:, :5] = 0.3
    np.testing.assert_allclose(head.transform(later), head.transform(pooled), atol=0.5)


def test_unit_that_hardly_fired_does_not_drown_the_others():
    """A thousand SD of one unit move the projected values no more than five SD do."""
    pooled, hcc = toy(30, 8, 1.0, seed=1)
    head = fit_projection(pooled, hcc, epochs=0, seed=7)
    values = pooled.iloc[:1].copy()
    outlier = values.copy()
    outlier.iloc[0, 0] += 1000 * pooled.iloc[:, 0].std()
    # Five SD and the patient's own, times weights of 1/16: the SD of a random projection of 256 values.
    assert (head.transform(outlier) - head.transform(values)).abs().to_numpy().max() < 10 * 4 / 16


def test_only_development_patients_may_enter(tuned):
    """Outcomes of others cannot be passed along with the table, and the projection of others needs none."""
    pooled, hcc = toy(64, 13, 2.5, seed=1)
    with pytest.raises(DataError, match=r"must have the same index, but found \['P0061'"):
        fit_projection(pooled.iloc[:60], hcc, epochs=0, seed=7)
    with pytest.raises(DataError, match="must hold 0 and 1"):
        fit_projection(pooled, hcc.astype(float).where(hcc == 0, np.nan), epochs=0, seed=7)


def test_missing_or_undefined_values_are_refused(tuned):
    """The message names what is missing, or the patient."""
    pooled, hcc = toy(10, 5, 0.0, seed=1)
    with pytest.raises(DataError, match=r"256 missing, the first venous\.liver\.deep_000"):
        tuned.transform(pooled[[column for column in pooled if not column.startswith("venous")]])
    pooled.iloc[3, 0] = np.nan
    with pytest.raises(DataError, match="deep features of P0004: must be finite"):
        tuned.transform(pooled)
    with pytest.raises(DataError, match="none of spleen"):
        fit_projection(pooled, hcc, epochs=0, seed=7, organ="spleen")


def test_projection_comes_back_from_its_file(tuned, tmp_path):
    """The arrays as safetensors, the model card as JSON beside them."""
    tuned.save(tmp_path / "projection.safetensors")
    again = ProjectionHead.load(tmp_path / "projection.safetensors")
    pooled, _ = toy(10, 5, 0.0, seed=1)
    assert again.transform(pooled).to_csv() == tuned.transform(pooled).to_csv()
    card = json.loads((tmp_path / "projection.json").read_text())
    assert card["data"] == "development cohort only"
    assert (card["patients"], card["hcc"], card["seed"], card["phases"]) == (64, 13, 7, list(PHASES))
    assert again.card == tuned.card


def test_projection_file_that_is_none_is_refused(tuned, tmp_path):
    """Missing file, missing card, other ending, missing array."""
    with pytest.raises(ModelError, match=r"projection\.safetensors: file of the projection must exist"):
        ProjectionHead.load(tmp_path / "projection.safetensors")
    with pytest.raises(ModelError, match=r"must be a \.safetensors file"):
        tuned.save(tmp_path / "projection.pt")
    tuned.save(tmp_path / "projection.safetensors")
    save_file({"mean": torch.zeros(1)}, tmp_path / "projection.safetensors")
    with pytest.raises(ModelError, match=r"must hold mean, .*but found \['bias', 'offset'"):
        ProjectionHead.load(tmp_path / "projection.safetensors")
    (tmp_path / "projection.json").unlink()
    with pytest.raises(ModelError, match=r"projection\.json: file of the projection must exist"):
        ProjectionHead.load(tmp_path / "projection.safetensors")
