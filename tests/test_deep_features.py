"""Deep features: crops worked out by hand, networks and their weights, the cohort's table, projection, fine-tuning."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from pathlib import Path

import monai.networks.nets.resnet as resnet
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score

from hccbook.errors import DataError, MaskError, ModelError, SettingsError
from hccbook.features.deep import (
    CONTROL_COLUMNS,
    HISTORY_COLUMNS,
    PATIENCE,
    Crops,
    FineTunedNetwork,
    Tuning,
    crop_to_box,
    deep_table,
    extract_deep,
    fine_tune,
    fine_tuning,
    largest_box,
    load_backbone,
    negative_control,
    network,
    organ_extent,
    pooled_features,
    shrink_crop,
    shuffled_outcomes,
    stage_values,
    stored_fine_tuning,
)
from hccbook.features.deep.convolutions import narrowed, widened
from hccbook.features.deep.patients import significant
from hccbook.images import write_image
from hccbook.parallel import FAILURE_COLUMNS
from hccbook.pipeline import features as stage
from hccbook.pipeline import files
from hccbook.report import figures
from hccbook.run import Case, RunPaths
from hccbook.settings import PHASES, FeatureSettings, PreprocessingSettings
from hccbook.store import Store

TINY = 16  # values that a tiny ResNet-18 pools to


@pytest.fixture
def tiny(monkeypatch):
    """Networks with 2 to 16 channels in place of 64 to 512."""
    monkeypatch.setattr(resnet, "get_inplanes", lambda: [2, 4, 8, TINY])
    monkeypatch.setattr(network, "WIDTHS", {"resnet18": TINY, "resnet50": 4 * TINY})


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
    assert largest_box([(3, 1, 6), (2, 5, 2), (4, 1, 1)]) == (4, 5, 6)
    with pytest.raises(DataError, match="at least one organ"):
        largest_box([])


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


def test_device_is_the_gpu_where_there_is_one(monkeypatch):
    """auto takes a GPU where torch has one and the CPU elsewhere; cpu is always the CPU."""
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert network._device("auto").type == expected
        assert network._device("cpu").type == "cpu"


def test_crops_of_another_shape_are_refused(tiny):
    """One channel, three axes."""
    with pytest.raises(DataError, match=r"shape \(n, 1, z, y, x\)"):
        pooled_features(load_backbone("resnet18"), np.zeros((2, 16, 16, 16)))


# --- the cohort ------------------------------------------------------------------------------------------------------


BOXES = {"liver": (10, 8, 9), "spleen": (4, 5, 4)}
CROPS = Crops(BOXES, voxels=8)
extract = functools.partial(extract_deep, progress=False)


@pytest.fixture
def cohort(tmp_path) -> dict[str, Case]:
    """Nine patients with two phases, liver and spleen; more volumes than fit one batch."""
    cases = files.cases(
        RunPaths(tmp_path / "run"), "amap_ct", ("arterial", "venous"), [f"P{number:04d}" for number in range(1, 10)]
    )
    for number, case in enumerate(cases.values(), start=1):
        rng = np.random.default_rng(number)
        labels = np.zeros((16, 18, 20), np.uint8)
        labels[3 : 11 + number % 3, 4:12, 3:12] = 1
        labels[5:9, 10:15, 14:18] = 2
        for phase in case.phases:
            image = sitk.GetImageFromArray(rng.normal(50, 60, labels.shape).astype(np.float32))
            write_image(image, case.image(phase))
            write_image(sitk.GetImageFromArray(labels), case.labels(phase))
    return cases


def arrays_of(case: Case, phase: str) -> tuple[np.ndarray, np.ndarray]:
    files_of_phase = (case.image(phase), case.labels(phase))
    image, labels = (sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in files_of_phase)
    return image, labels


def stored_values(cases: dict[str, Case]) -> list[Path]:
    return sorted((cases["P0001"].run.store.root / "deep").rglob("*.npy"))


def test_box_of_the_cohort(cohort):
    """Eight to ten slices of liver, always the same spleen."""
    assert Crops.fitted(cohort.values(), ("liver", "spleen"), 8) == CROPS
    assert CROPS.of("spleen").boxes == {"spleen": (4, 5, 4)}


def test_box_of_nobody_is_refused(cohort):
    """No patient, or one without the organ, who is named with phase and organ."""
    with pytest.raises(DataError, match="at least one organ"):
        Crops.fitted([], ("liver",), 8)
    case = cohort["P0004"]
    labels = sitk.ReadImage(str(case.labels("venous")))
    write_image(sitk.Cast(labels == 1, sitk.sitkUInt8), case.labels("venous"))
    with pytest.raises(MaskError, match="P0004, venous, spleen: label map must hold the label 2"):
        Crops.fitted(cohort.values(), ("liver", "spleen"), 8)


def test_table_of_the_cohort(tiny, cohort):
    """Columns by phase, organ and number; each value that of the volume alone, to six digits."""
    backbone = load_backbone("resnet18", seed=4)
    outcome = extract(cohort, backbone, CROPS)
    assert outcome.computed == 9
    assert outcome.failures.empty
    table = deep_table(outcome.results)
    assert table.shape == (9, 2 * 2 * TINY)
    assert table.index.name == "patient"
    assert table.columns[0] == "arterial.liver.deep_000"
    assert table.columns[-1] == f"venous.spleen.deep_{TINY - 1:03d}"
    image, labels = arrays_of(cohort["P0005"], "venous")
    crop = shrink_crop(crop_to_box(image, labels == 1, BOXES["liver"]), 8)
    alone = pooled_features(backbone, crop[None, None])[0]
    own = table.loc["P0005", [column for column in table if column.startswith("venous.liver.")]]
    np.testing.assert_allclose(own, alone, rtol=5e-6)
    assert all(float(f"{value:.5e}") == value for value in own)


def test_interrupted_run_does_not_repeat_patients(tiny, cohort, tmp_path):
    """Half of the patients first, then all: the same table as at once, and only the others computed."""
    backbone = load_backbone("resnet18", seed=4)
    half = dict(list(cohort.items())[:5])
    extract(half, backbone, CROPS)
    kept = stored_values(cohort)
    assert len(kept) == 5 * 4
    kept[0].write_bytes(b"half a file")
    whole = extract(cohort, backbone, CROPS)
    assert whole.computed == 4 + 1
    (tmp_path / "store").rename(tmp_path / "first_store")
    at_once = extract(cohort, backbone, CROPS)
    assert at_once.computed == 9
    assert deep_table(whole.results).to_csv() == deep_table(at_once.results).to_csv()


def test_other_network_box_or_crop_is_computed_anew(tiny, cohort):
    """Results are kept under all that a value depends on."""
    backbone = load_backbone("resnet18", seed=4)
    some = {"P0001": cohort["P0001"]}
    assert extract(some, backbone, CROPS).computed == 1
    assert extract(some, backbone, CROPS).computed == 0
    assert extract(some, load_backbone("resnet18", seed=5), CROPS).computed == 1
    for changes in ({"boxes": BOXES | {"spleen": (4, 5, 5)}}, {"voxels": 7}, {"window": (-50, 150)}):
        assert extract(some, backbone, dataclasses.replace(CROPS, **changes)).computed == 1


def test_failing_patient_does_not_stop_the_others(tiny, cohort):
    """A missing file and a missing spleen become rows that name patient, phase and organ."""
    cohort["P0002"].image("venous").unlink()
    labels = sitk.ReadImage(str(cohort["P0004"].labels("venous")))
    write_image(sitk.Cast(labels == 1, sitk.sitkUInt8), cohort["P0004"].labels("venous"))
    outcome = extract(cohort, load_backbone("resnet18"), CROPS)
    assert list(outcome.results) == [f"P{number:04d}" for number in (1, 3, 5, 6, 7, 8, 9)]
    reasons = dict(zip(outcome.failures["patient"], outcome.failures["reason"], strict=True))
    assert reasons["P0002"].startswith("P0002, venous: image must exist")
    assert reasons["P0004"].startswith("P0004, venous, spleen: label map must hold the label 2")


def test_a_stored_file_that_cannot_be_read_costs_its_patient(tiny, cohort, monkeypatch):
    """One of 36 files is damaged after all were made: one patient is left out, and made again the next time."""

    @contextlib.contextmanager
    def damage_at_the_end(*_: object, **__: object):
        yield lambda: None
        stored_values(cohort)[0].write_bytes(b"half a file")

    backbone = load_backbone("resnet18", seed=4)
    with monkeypatch.context() as patch:
        patch.setattr("hccbook.features.deep.patients.progress_line", damage_at_the_end)
        outcome = extract(cohort, backbone, CROPS)
    assert (len(outcome.results), len(outcome.failures)) == (8, 1)
    assert outcome.failures["reason"][0].startswith("lost from the store, or damaged there")
    again = extract(cohort, backbone, CROPS)
    assert (len(again.results), again.computed) == (9, 1)


def test_table_of_unequal_patients_is_refused():
    """A missing phase never becomes empty cells."""
    with pytest.raises(DataError, match=r"deep features of P0002: must be those of P0001"):
        deep_table({"P0001": {"arterial.liver": np.zeros(3)}, "P0002": {"venous.liver": np.zeros(3)}})
    with pytest.raises(DataError, match="at least one patient"):
        deep_table({})


# --- the projection --------------------------------------------------------------------------------------------------

POOLED = 256


def toy(patients: int, hcc: int, effect: float, seed: int) -> tuple[dict[str, dict[str, np.ndarray]], pd.Series]:
    """Pooled values with twenty latent directions, one of which HCC shifts by `effect` SD."""
    directions = np.random.default_rng(0).normal(size=(20, POOLED))
    rng = np.random.default_rng(seed)
    y = (np.arange(patients) < hcc).astype(int)
    latent = rng.normal(size=(patients, 1, 20)) + 0.5 * rng.normal(size=(patients, 3, 20))
    latent[:, :, 3] += effect * y[:, None]
    values = latent @ directions + rng.normal(size=(patients, 3, POOLED)) + np.array([1.0, 5.0, 9.0])[:, None]
    index = pd.Index([f"P{number + 1:04d}" for number in range(patients)], name="patient")
    names = [f"{phase}.liver" for phase in PHASES]
    return {key: dict(zip(names, own, strict=True)) for key, own in zip(index, values, strict=True)}, pd.Series(
        y, index=index
    )


def changed(inputs: dict[str, dict[str, np.ndarray]], units: slice, change) -> dict[str, dict[str, np.ndarray]]:
    """The same pooled values, some units of the arterial phase changed."""
    copies = {key: {name: values.copy() for name, values in own.items()} for key, own in inputs.items()}
    for own in copies.values():
        own["arterial.liver"][units] = change(own["arterial.liver"][units])
    return copies


@pytest.fixture(scope="module")
def pooler():
    """Network that made the pooled values; it plays no part but in the card."""
    return load_backbone("resnet18")


def projection_of(backbone, inputs, hcc, *, epochs: int, seed: int = 7) -> FineTunedNetwork:
    return fine_tune(backbone, inputs, hcc, Tuning("projection", epochs, seed))


@pytest.fixture(scope="module")
def tuned(pooler) -> FineTunedNetwork:
    """Projection tuned on 64 toy patients, 13 of them with HCC."""
    return projection_of(pooler, *toy(64, 13, 2.5, seed=1), epochs=15)


def test_projection_finds_a_planted_signal(tuned):
    """On patients that it never saw, its logit ranks HCC above the others, far above chance."""
    pooled, hcc = toy(300, 60, 2.5, seed=2)
    assert roc_auc_score(hcc, tuned.logit(pooled)) > 0.75
    assert tuned.card["epochs"] > 0
    assert 0.6 < tuned.card["inner_auc"] <= 1
    assert tuned.history["tuned"].unique().tolist() == ["projection"]
    assert tuned.history["inner_auc"][tuned.card["epochs"]] == tuned.card["inner_auc"]


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


def test_projection_of_noise_finds_nothing(pooler):
    """Of four cohorts without a signal each ranks unseen patients by chance."""
    pooled, hcc = toy(400, 100, 0.0, seed=4)
    for number in range(4):
        tuned = projection_of(pooler, *toy(64, 13, 0.0, seed=100 + number), epochs=10)
        # The standard error of such an AUC is 0.034.
        assert roc_auc_score(hcc, tuned.logit(pooled)) == pytest.approx(0.5, abs=0.1)


def test_projection_is_the_same_for_the_same_seed(pooler, tuned):
    """Tuned twice, the values agree to the last digit; with another seed they do not."""
    pooled, hcc = toy(64, 13, 2.5, seed=1)
    again = projection_of(pooler, pooled, hcc, epochs=15)
    assert again.transform(pooled).to_csv() == tuned.transform(pooled).to_csv()
    other = projection_of(pooler, pooled, hcc, epochs=0, seed=8)
    assert not np.allclose(other.transform(pooled), tuned.transform(pooled))


def test_no_epochs_leave_the_random_projection(pooler):
    """The outcomes then play no part."""
    pooled, hcc = toy(64, 13, 2.5, seed=1)
    plain, flipped = (projection_of(pooler, pooled, outcome, epochs=0) for outcome in (hcc, 1 - hcc))
    np.testing.assert_array_equal(plain.head.weight, flipped.head.weight)
    assert not plain.head.risk.any()
    assert (plain.card["epochs"], plain.card["inner_auc"], plain.card["note"]) == (0, None, "not tuned: epochs = 0")


def test_too_few_events_leave_the_random_projection(pooler):
    """Three patients with HCC cannot choose a number of epochs; the card says so."""
    untuned = projection_of(pooler, *toy(20, 3, 2.5, seed=1), epochs=15)
    assert untuned.card["epochs"] == 0
    assert untuned.card["note"] == "not tuned: 3 patients of the rarer outcome, 4 needed to choose the epochs"


def test_constant_values_are_harmless(pooler):
    """Units of the network that never fire are left at zero, not divided by their SD of zero."""
    pooled, hcc = toy(30, 8, 1.0, seed=1)
    pooled = changed(pooled, np.s_[:5], lambda values: 0.0)
    tuned = projection_of(pooler, pooled, hcc, epochs=2)
    later = changed(pooled, np.s_[:5], lambda values: 0.3)
    np.testing.assert_allclose(tuned.transform(later), tuned.transform(pooled), atol=0.5)


def test_unit_that_hardly_fired_does_not_drown_the_others(pooler):
    """A thousand SD of one unit move the projected values no more than five SD do."""
    pooled, hcc = toy(30, 8, 1.0, seed=1)
    tuned = projection_of(pooler, pooled, hcc, epochs=0)
    values = {"P0001": pooled["P0001"]}
    sd = np.std([own["arterial.liver"][0] for own in pooled.values()], ddof=1)
    outlier = changed(values, np.s_[:1], lambda unit: unit + 1000 * sd)
    # Five SD and the patient's own, times weights of 1/16: the SD of a random projection of 256 values.
    assert (tuned.transform(outlier) - tuned.transform(values)).abs().to_numpy().max() < 10 * 4 / 16


def test_only_outcomes_of_patients_with_inputs_may_enter(pooler):
    """Outcomes of others, unknown ones and a patient twice are refused."""
    pooled, hcc = toy(64, 13, 2.5, seed=1)
    some = {key: pooled[key] for key in hcc.index[:60]}
    with pytest.raises(DataError, match="inputs of every development patient, but found none of P0061"):
        projection_of(pooler, some, hcc, epochs=0)
    with pytest.raises(DataError, match="must hold 0 and 1"):
        projection_of(pooler, pooled, hcc.astype(float).where(hcc == 0, np.nan), epochs=0)
    with pytest.raises(DataError, match="must hold each patient once"):
        projection_of(pooler, pooled, pd.concat([hcc, hcc.iloc[:1]]), epochs=0)


def test_missing_or_undefined_values_are_refused(pooler, tuned):
    """The message names what is missing, or the patient."""
    pooled, hcc = toy(10, 5, 0.0, seed=1)
    missing = {key: {name: own[name] for name in own if not name.startswith("venous")} for key, own in pooled.items()}
    with pytest.raises(DataError, match=r"P0001, venous\.liver: inputs must be there .*but found none"):
        tuned.transform(missing)
    pooled["P0004"]["arterial.liver"][0] = np.nan
    with pytest.raises(DataError, match="deep features of P0004: must be finite"):
        tuned.transform(pooled)
    with pytest.raises(DataError, match="deep features of P0004: must be finite"):
        projection_of(pooler, pooled, hcc, epochs=0)
    two = {key: own | {"venous.spleen": own["venous.liver"]} for key, own in pooled.items()}
    with pytest.raises(DataError, match="needs the inputs of one organ"):
        projection_of(pooler, two, hcc, epochs=0)


# --- where a network parts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("depth", ["network", "last_stage", "projection"])
def test_both_parts_together_are_the_network(tiny, name, depth):
    """What stays and then what is tuned give the pooled values of the network itself, and its weights' names."""
    backbone = load_backbone(name, seed=4)
    crops = np.random.default_rng(0).normal(size=(3, 1, 24, 20, 32)).astype(np.float32)
    before, tuned = network.split_network(backbone.module, depth)
    assert {**before.state_dict(), **tuned.state_dict()}.keys() == backbone.module.state_dict().keys()
    values = network.values_of(tuned, stage_values(backbone, depth, crops), backbone.device, 16)
    np.testing.assert_array_equal(values, pooled_features(backbone, crops))


def test_input_of_the_last_stage(tiny):
    """ResNet-50's third stage has 4 times 8 tiny channels, and a sixteenth of the crop's edge."""
    backbone = load_backbone("resnet50", seed=4)
    crops = np.zeros((2, 1, 32, 32, 16), np.float32)
    assert stage_values(backbone, "last_stage", crops).shape == (2, 4 * 8, 2, 2, 1)
    np.testing.assert_array_equal(stage_values(backbone, "network", crops), crops)
    with pytest.raises(SettingsError, match="must be one of network, last_stage, projection, but found 'head'"):
        stage_values(backbone, "head", crops)


@pytest.mark.parametrize(
    ("edges", "stride", "kernel"),
    [
        ((1, 1, 1), 1, (1, 1, 1)),  # the window reaches one voxel beyond on either side
        ((1, 1, 1), 2, (1, 1, 1)),
        ((2, 2, 2), 2, (2, 2, 2)),  # the only window begins one voxel before the volume
        ((2, 2, 2), 1, (3, 3, 3)),  # two windows, which between them use every tap
        ((3, 2, 1), 2, (3, 2, 1)),
        ((8, 8, 8), 1, (3, 3, 3)),
    ],
)
def test_taps_that_see_padding_only_are_cut(edges, stride, kernel):
    """Of a kernel of 3 x 3 x 3 with padding 1 as many taps stay as reach a voxel; values and gradients stay too."""
    torch.manual_seed(1)
    whole = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 3, stride=stride, padding=1))
    part, taps = narrowed(whole, (2, *edges))
    assert part[0].weight.shape[2:] == kernel
    inputs = torch.randn(4, 2, *edges)
    torch.testing.assert_close(part(inputs), whole(inputs))
    whole(inputs).square().sum().backward()
    part(inputs).square().sum().backward()
    expected = torch.zeros_like(whole[0].weight)
    expected[(slice(None), slice(None), *taps.get("0", (slice(None),) * 3))] = part[0].weight.grad
    torch.testing.assert_close(whole[0].weight.grad, expected)
    again = widened(part, taps, whole)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), whole.parameters(), strict=True))


# --- inputs of the tuned part ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["network", "last_stage", "projection"])
def test_inputs_of_the_cohort(tiny, cohort, depth):
    """Those of each volume alone; kept, and computed again only where a file is not whole."""
    backbone = load_backbone("resnet50", seed=4)
    some = {key: cohort[key] for key in ("P0001", "P0002")}
    outcome = extract(some, backbone, CROPS, depth=depth)
    assert outcome.computed == 2
    image, labels = arrays_of(cohort["P0002"], "venous")
    crop = shrink_crop(crop_to_box(image, labels == 2, BOXES["spleen"]), 8)
    alone = stage_values(backbone, depth, crop[None, None])[0]
    np.testing.assert_allclose(outcome.results["P0002"]["venous.spleen"], alone, rtol=5e-6)
    kept = stored_values(cohort)
    assert len(kept) == 2 * 4
    kept[0].write_bytes(kept[0].read_bytes()[:-7])
    assert extract(some, backbone, CROPS, depth=depth).computed == 1
    assert extract(some, backbone, CROPS, depth=depth).computed == 0


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_inputs_of_the_last_stage_keep_no_file_open(tiny, cohort):
    """A system lets a process open 1,024 files; ALARM's 1,858 patients have 5,574 volumes."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    outcome = extract(cohort, load_backbone("resnet50", seed=4), CROPS, depth="last_stage")
    assert len(outcome.results) == 9
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


# --- fine-tuning -----------------------------------------------------------------------------------------------------

STAGE = (32, 2, 1, 2)  # channels, z, y, x of what a tiny ResNet-50's last stage sees


def stage_toy(patients: int, hcc: int, effect: float, seed: int, shape=STAGE):
    """Inputs with a latent direction that HCC shifts by `effect` SD; patients in mixed order."""
    directions = np.random.default_rng(0).normal(size=(6, *shape))
    rng = np.random.default_rng(seed)
    y = rng.permutation((np.arange(patients) < hcc).astype(int))
    latent = rng.normal(size=(patients, 1, 6)) + 0.5 * rng.normal(size=(patients, 3, 6))
    latent[:, :, 2] += effect * y[:, None]
    values = np.maximum(np.tensordot(latent, directions, 1) + 0.5 * rng.normal(size=(patients, 3, *shape)), 0)
    keys = [f"P{number + 1:04d}" for number in range(patients)]
    inputs = {
        key: {f"{phase}.liver": own[place].astype(np.float32) for place, phase in enumerate(PHASES)}
        for key, own in zip(keys, values, strict=True)
    }
    return inputs, pd.Series(y, index=keys)


RUN = Tuning("last_stage", epochs=6, seed=7)


@pytest.fixture
def start(tiny):
    """Tiny ResNet-50 with random weights."""
    return load_backbone("resnet50", seed=4)


@pytest.fixture
def fine_tuned(start) -> FineTunedNetwork:
    """Last stage tuned on 40 toy patients, 12 of them with HCC."""
    return fine_tune(start, *stage_toy(40, 12, 2.5, seed=1), RUN)


def content(tuned: FineTunedNetwork, folder) -> tuple[bytes, bytes]:
    tuned.save(folder / "net.safetensors")
    return (folder / "net.safetensors").read_bytes(), (folder / "net.json").read_bytes()


def test_fine_tuning_finds_a_planted_signal(start, fine_tuned):
    """Patients that it never saw are ranked far above chance, and the last stage did change."""
    inputs, hcc = stage_toy(200, 60, 2.5, seed=2)
    assert roc_auc_score(hcc, fine_tuned.logit(inputs)) > 0.75
    history = fine_tuned.history
    assert tuple(history) == HISTORY_COLUMNS
    assert history["tuned"].unique().tolist() == ["projection", "last_stage"]
    assert history["epoch"].tolist() == list(range(len(history)))
    assert fine_tuned.card["epochs"] in history.index[history["tuned"] == "last_stage"]
    changed = [
        name
        for name, value in fine_tuned.network.state_dict().items()
        if not torch.equal(value, start.module.state_dict()[name])
    ]
    assert any("conv" in name for name in changed)
    assert not any("running" in name for name in changed)


def test_values_are_those_of_the_whole_network(tiny, start):
    """The tuned last stage put into the network gives, from the crops, what it gives from the kept inputs."""
    rng = np.random.default_rng(0)
    # Twice the contrast where there is HCC, so that there is something to tune for.
    outcome = np.arange(16) % 2
    crops = (1 + outcome.reshape(-1, 1, 1, 1, 1, 1)) * rng.normal(size=(16, 3, 1, 32, 16, 32))
    crops = crops.astype(np.float32)
    inputs = {
        f"P{number:04d}": dict(zip([f"{phase}.liver" for phase in PHASES], own, strict=True))
        for number, own in enumerate(
            stage_values(start, "last_stage", crops.reshape(-1, *crops.shape[2:])).reshape(16, 3, 32, 2, 1, 2)
        )
    }
    hcc = pd.Series(outcome, index=list(inputs))
    tuned = fine_tune(start, inputs, hcc, RUN)
    whole = load_backbone("resnet50", seed=4)
    whole.module.load_state_dict({**whole.module.state_dict(), **tuned.network.state_dict()})
    expected = pooled_features(whole, crops.reshape(-1, *crops.shape[2:])).reshape(16, -1)
    assert not np.allclose(expected, pooled_features(start, crops.reshape(-1, *crops.shape[2:])).reshape(16, -1))
    # Six digits of either are kept.
    np.testing.assert_allclose(tuned.pooled(inputs).reshape(16, -1), expected, rtol=1e-5, atol=1e-7)


def test_fine_tuning_is_the_same_for_the_same_seed(start, fine_tuned, tmp_path):
    """To the byte, with one thread and with two; with another seed it is not."""
    inputs, hcc = stage_toy(40, 12, 2.5, seed=1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        again = fine_tune(start, inputs, hcc, RUN)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert content(again, tmp_path / "two") == content(fine_tuned, tmp_path / "one")
    other = fine_tune(start, inputs, hcc, dataclasses.replace(RUN, seed=8))
    assert content(other, tmp_path / "other")[0] != content(fine_tuned, tmp_path / "one")[0]


def test_best_epoch_is_restored(fine_tuned):
    """The kept weights have the inner loss that the history gives for the kept epoch, which is the least of all."""
    inputs, hcc = stage_toy(40, 12, 2.5, seed=1)
    history = fine_tuned.history
    kept = fine_tuned.card["epochs"]
    assert history["inner_loss"].idxmin() == kept
    # The inner split: one of four stratified folds, which holds a quarter of either outcome.
    assert (fine_tuned.card["inner_patients"], fine_tuned.card["inner_hcc"]) == (10, 3)
    development = fine_tuning._Development.split(hcc.to_numpy(), 3, 7)
    held = development.held_out
    assert (len(development.fitted), hcc.iloc[held].sum()) == (30, 3)
    own = {key: inputs[key] for key in hcc.index[held]}
    values = fine_tuned.transform(own).to_numpy().reshape(10, 3, 100)
    p = 1 / (1 + np.exp(-(values @ fine_tuned.head.risk + fine_tuned.head.offset)))
    y = hcc.iloc[held].to_numpy()[:, None]
    # Among the 30 tuned on, 9 have HCC: each weighs as much as 21 / 9 others.
    loss = -np.mean(21 / 9 * y * np.log(p) + (1 - y) * np.log(1 - p))
    assert history["inner_loss"][kept] == pytest.approx(loss, rel=1e-4)
    assert history["inner_auc"][kept] == pytest.approx(roc_auc_score(y[:, 0], np.log(p / (1 - p)).mean(axis=1)))


class GivenLosses(torch.nn.Module):
    """Stands in for a model and its patients: epoch by epoch the inner losses that it is given."""

    def __init__(self, name: str, losses: list[float]) -> None:
        super().__init__()
        self.name, self.stream, self.losses = name, 0, losses
        self.fitted, self.held_out = "fitted", "held out"
        self.register_buffer("passed", torch.zeros(1))

    def optimiser(self) -> None:
        return None

    def epoch(self, model, optimiser, rng) -> float:
        self.passed += 1
        return 0.0

    def scores(self, model, patients) -> tuple[float, float]:
        return self.losses[int(self.passed)], 0.5


def trained_by(name: str, losses: list[float], epochs: int, before=None):
    """What the loop says of the losses, and the epochs after which the model was left."""
    model = GivenLosses(name, losses)
    return fine_tuning._train(model, model, Tuning("network", epochs, 7), before), int(model.passed)


def test_stopping_after_epochs_without_a_lower_loss():
    """Of the losses 9 8 7 8 8 8 8 8 1 the ninth is not waited for; in a second step the first one's best may stay."""
    stopped, left = trained_by("projection", [9.0, 8.0, 7.0, 8.0, 8.0, 8.0, 8.0, 8.0, 1.0], 20)
    assert PATIENCE == 5
    assert (stopped.epoch, left, len(stopped.history)) == (2, 2, 8)
    assert stopped.why == "projection: stopped after 7 epochs, 5 without a lower inner loss"
    worse, left = trained_by("network", [7.0, 7.5, 7.5], 2, stopped)
    assert (worse.epoch, left, worse.history[-1]["epoch"]) == (2, 0, 9)
    assert worse.why.endswith("; network: all 2 epochs")
    better, left = trained_by("network", [7.0, 7.5, 6.5], 2, stopped)
    assert (better.epoch, left) == (9, 2)
    with pytest.raises(ModelError, match="projection, epoch 0: the loss must stay finite, but found nan"):
        trained_by("projection", [np.nan], 2)


def test_a_small_gain_is_none():
    """After a loss of 8, where a hundredth counts, 7.921 is no better and 7.919 is."""
    model = GivenLosses("projection", [9.0, 8.0, 7.99, 7.93, 7.921])
    assert fine_tuning._train(model, model, Tuning("network", 4, 7, min_gain=0.01)).epoch == 1
    model = GivenLosses("projection", [9.0, 8.0, 7.99, 7.93, 7.919])
    assert fine_tuning._train(model, model, Tuning("network", 4, 7, min_gain=0.01)).epoch == 4


def test_only_development_patients_are_seen(start, fine_tuned, tmp_path):
    """Others in the inputs, with nothing but NaN, change no byte; they need not be there."""
    inputs, hcc = stage_toy(40, 12, 2.5, seed=1)
    poison = {
        f"U{number}": {f"{phase}.liver": np.full(STAGE, np.nan, np.float32) for phase in PHASES} for number in (1, 2)
    }
    again = fine_tune(start, {"U0": poison["U1"], **inputs, **poison}, hcc, RUN)
    assert content(again, tmp_path / "two") == content(fine_tuned, tmp_path / "one")
    with pytest.raises(DataError, match="inputs of every development patient, but found none of P0040"):
        fine_tune(start, {key: inputs[key] for key in list(inputs)[:-1]}, hcc, RUN)
    inputs["P0003"]["venous.liver"] = inputs["P0003"]["venous.liver"] * np.nan
    with pytest.raises(DataError, match="deep features of P0003: must be finite"):
        fine_tune(start, inputs, hcc, RUN)


def test_depths(start):
    """The projection alone is the first step of the others; the whole network changes from its first weights on."""
    inputs, hcc = stage_toy(24, 8, 2.5, seed=1, shape=(1, 20, 16, 16))
    whole = fine_tune(start, inputs, hcc, dataclasses.replace(RUN, depth="network", epochs=2))
    assert not torch.equal(whole.network.conv1.weight, start.module.conv1.weight)
    assert whole.tuning.depth == "network"
    pooled = {
        key: {name: significant(pooled_features(start, volume[None])[0]) for name, volume in own.items()}
        for key, own in inputs.items()
    }
    alone = fine_tune(start, pooled, hcc, dataclasses.replace(RUN, depth="projection", epochs=2))
    first = whole.history[whole.history["tuned"] == "projection"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.history, first)
    assert len(alone.network) == 0


def test_nothing_is_tuned_where_nothing_can_be(start, tmp_path):
    """Without epochs, or with three events, the network and a random projection are left, and the card says why."""
    inputs, hcc = stage_toy(20, 3, 2.5, seed=1)
    for epochs, why in ((0, "not tuned: epochs = 0"), (6, "not tuned: 3 patients of the rarer outcome, 4 needed")):
        tuned = fine_tune(start, inputs, hcc, dataclasses.replace(RUN, epochs=epochs))
        assert tuned.card["note"].startswith(why)
        assert (tuned.card["epochs"], tuned.card["inner_auc"], len(tuned.history)) == (0, None, 0)
        assert not tuned.logit(inputs).any()
        assert tuned.transform(inputs).std().min() > 0.01
        tuned.save(tmp_path / "net.safetensors")
        again = FineTunedNetwork.load(tmp_path / "net.safetensors", start)
        assert again.transform(inputs).to_csv() == tuned.transform(inputs).to_csv()
        assert tuple(again.history) == HISTORY_COLUMNS
        for name, value in tuned.network.state_dict().items():
            assert torch.equal(value, start.module.state_dict()[name]), name


def test_wrong_inputs_are_refused(start):
    """Unknown depth, outcomes beyond 0 and 1, a missing phase, another shape."""
    inputs, hcc = stage_toy(16, 6, 2.5, seed=1)
    with pytest.raises(SettingsError, match="must be one of network, last_stage, projection, but found 'all'"):
        fine_tune(start, inputs, hcc, dataclasses.replace(RUN, depth="all"))
    with pytest.raises(DataError, match="hcc: must hold 0 and 1"):
        fine_tune(start, inputs, hcc + 1, RUN)
    short = inputs | {"P0004": {name: value[:, :1] for name, value in inputs["P0004"].items()}}
    with pytest.raises(DataError, match=r"P0004, arterial\.liver: inputs must be there and of one shape"):
        fine_tune(start, short, hcc, RUN)
    short = inputs | {"P0004": {"arterial.liver": inputs["P0004"]["arterial.liver"]}}
    with pytest.raises(DataError, match=r"P0004, venous\.liver: .*but found none"):
        fine_tune(start, short, hcc, RUN)


def test_shift_by_hand():
    """A volume of 32 voxels moves by at most two, and what comes in is empty."""
    volume = np.arange(1.0, 33.0, dtype=np.float32).reshape(1, 1, 1, 32)
    moves = set()
    rng = np.random.default_rng(0)
    for _ in range(60):
        moved = fine_tuning._shifted(volume, rng)[0, 0, 0]
        step = int(np.argmax(moved == 16)) - 15
        expected = [position - step if 1 <= position - step <= 32 else 0 for position in range(1, 33)]
        assert moved.tolist() == expected
        moves.add(step)
    assert moves == {-2, -1, 0, 1, 2}


# --- saved, and started from a file ----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["last_stage", "projection"])
def test_fine_tuned_network_comes_back_from_its_file(start, tmp_path, depth):
    """The same outputs and history; the card says what, on whom, by which seed and from where."""
    inputs, hcc = stage_toy(40, 12, 2.5, seed=1, shape=STAGE if depth == "last_stage" else (4 * TINY,))
    tuned = fine_tune(start, inputs, hcc, dataclasses.replace(RUN, depth=depth))
    tuned.save(tmp_path / "net.safetensors")
    again = FineTunedNetwork.load(tmp_path / "net.safetensors", load_backbone("resnet50", seed=4))
    others, _ = stage_toy(5, 2, 0, seed=3, shape=STAGE if depth == "last_stage" else (4 * TINY,))
    assert again.transform(others).to_csv() == tuned.transform(others).to_csv()
    pd.testing.assert_frame_equal(again.history, tuned.history)
    card = json.loads((tmp_path / "net.json").read_text())
    assert (card["data"], card["patients"], card["hcc"], card["seed"]) == ("development cohort only", 40, 12, 7)
    assert (card["depth"], card["start"].split(",")[0], len(card["start_sha256"])) == (depth, "resnet50", 64)
    assert card["history"][0].keys() == set(HISTORY_COLUMNS)
    assert not any(key in (tmp_path / "net.json").read_text() for key in inputs)


def test_pretrained_weights_are_where_it_starts(tiny, tmp_path):
    """Weights of a file are tuned further, and the file fits no other start; objects in a file are not run."""
    pretrained = load_backbone("resnet50", seed=11)
    start = load_backbone("resnet50", saved(pretrained.module.state_dict(), tmp_path / "weights.pt"), seed=4)
    inputs, hcc = stage_toy(40, 12, 2.5, seed=1)
    tuned = fine_tune(start, inputs, hcc, RUN)
    assert tuned.card["network_weights"].startswith("file ")
    distance = [
        sum(
            float((value - backbone.module.state_dict()[name]).square().sum())
            for name, value in tuned.network.state_dict().items()
            if "conv" in name
        )
        for backbone in (pretrained, load_backbone("resnet50", seed=4))
    ]
    assert 0 < distance[0] < distance[1] / 100
    tuned.save(tmp_path / "net.safetensors")
    assert FineTunedNetwork.load(tmp_path / "net.safetensors", pretrained).tuning.depth == "last_stage"
    with pytest.raises(ModelError, match=r"net\.safetensors: needs the network that it was tuned from .*seed 4"):
        FineTunedNetwork.load(tmp_path / "net.safetensors", load_backbone("resnet50", seed=4))


def test_fine_tuned_file_that_is_none_is_refused(fine_tuned, tmp_path):
    """No file, another ending, weights of another depth, a card without history, a missing array, no card."""
    file, card_file = tmp_path / "net.safetensors", tmp_path / "net.json"
    with pytest.raises(ModelError, match=r"net\.safetensors: file of the model must exist"):
        FineTunedNetwork.load(file, fine_tuned.backbone)
    with pytest.raises(ModelError, match=r"must be a \.safetensors file"):
        fine_tuned.save(tmp_path / "net.pt")
    fine_tuned.save(file)
    card = json.loads(card_file.read_text())
    card_file.write_text(json.dumps(card | {"depth": "network"}))
    with pytest.raises(ModelError, match="must hold the weights of the network"):
        FineTunedNetwork.load(file, fine_tuned.backbone)
    card_file.write_text(json.dumps(_without(card, "history")))
    with pytest.raises(ModelError, match=r"net\.json: history: Field required"):
        FineTunedNetwork.load(file, fine_tuned.backbone)
    card_file.write_text(json.dumps(card))
    save_file({"projection.mean": torch.zeros(1)}, file)
    with pytest.raises(ModelError, match=r"must hold mean, .*but found \['mean'\]"):
        FineTunedNetwork.load(file, fine_tuned.backbone)
    file.write_bytes(b"no weights at all")
    with pytest.raises(ModelError, match=r"net\.safetensors: model must be a safetensors file"):
        FineTunedNetwork.load(file, fine_tuned.backbone)
    card_file.unlink()
    with pytest.raises(ModelError, match=r"net\.json: file of the model must exist"):
        FineTunedNetwork.load(file, fine_tuned.backbone)


def test_fine_tuning_is_kept(start, tmp_path, monkeypatch):
    """A second run repeats nothing; other patients, seeds or starts have files of their own."""
    inputs, hcc = stage_toy(16, 6, 2.5, seed=1)
    tuning, store = Tuning("last_stage", epochs=1, seed=7), Store(tmp_path)
    file = stored_fine_tuning(start, inputs, hcc, tuning, store)
    unseen = pd.Series([0, 1], index=["P0001", "P0002"])
    tuned = FineTunedNetwork.load(file, start)
    control = {"inputs": inputs, "hcc": hcc, "unseen": unseen, "shuffles": 1, "store": store}
    table = shuffled_outcomes(tuned, **control)
    others = [
        stored_fine_tuning(start, inputs, hcc, dataclasses.replace(tuning, seed=8), store),
        stored_fine_tuning(start, inputs, 1 - hcc, tuning, store),
        stored_fine_tuning(start, inputs | {"P0001": inputs["P0002"]}, hcc, tuning, store),
        stored_fine_tuning(load_backbone("resnet50", seed=5), inputs, hcc, tuning, store),
    ]
    assert len({file, *others}) == 5

    @functools.wraps(fine_tune)  # the step of the store's key stays the same
    def never(*_, **__):
        raise AssertionError("tuned again")

    monkeypatch.setattr(negative_control, "fine_tune", never)
    assert stored_fine_tuning(start, inputs, hcc, tuning, store) == file
    pd.testing.assert_frame_equal(shuffled_outcomes(tuned, **control), table)
    with pytest.raises(AssertionError, match="tuned again"):
        shuffled_outcomes(tuned, **control | {"shuffles": 2})


# --- the negative control --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["last_stage", "projection"])
def test_shuffled_outcomes_carry_nothing(start, tmp_path, depth):
    """With the true outcomes unseen patients are ranked above chance, with shuffled ones by chance."""
    shape = STAGE if depth == "last_stage" else (4 * TINY,)
    inputs, hcc = stage_toy(40, 12, 2.5, seed=1, shape=shape)
    others, unseen = stage_toy(300, 150, 2.5, seed=2, shape=shape)
    unseen.index = [f"U{key}" for key in unseen.index]
    inputs |= {f"U{key}": own for key, own in others.items()}
    tuned = fine_tune(start, inputs, hcc, dataclasses.replace(RUN, depth=depth))
    table = shuffled_outcomes(tuned, inputs, hcc, unseen, shuffles=6, store=Store(tmp_path))
    assert tuple(table) == CONTROL_COLUMNS
    assert table["outcomes"].tolist() == ["observed"] + ["shuffled"] * 6
    assert table["unseen_auc"][0] > 0.75
    assert table["unseen_auc"][0] == pytest.approx(
        roc_auc_score(unseen, tuned.logit({k: inputs[k] for k in unseen.index}))
    )
    # A direction drawn at random ranks by chance on average, but any one of them may lie along the signal.
    assert table["unseen_auc"][1:].mean() == pytest.approx(0.5, abs=0.2)
    assert table["unseen_auc"][0] > table["unseen_auc"][1:].max()


def test_shuffles_resemble_the_truth_no_more_than_chance_does():
    """12 of 40 have HCC: by chance 12 x 12 / 40 = 3.6 of them are called so again, that is 3 and 4 in turn."""
    _, hcc = stage_toy(40, 12, 0, seed=1)
    drawn = [negative_control._shuffle(hcc, number, np.random.default_rng(number)) for number in range(1, 5)]
    assert [int(own.sum()) for own in drawn] == [12] * 4
    assert [int((own & hcc).sum()) for own in drawn] == [3, 4, 3, 4]
    assert all(own.index.equals(hcc.index) for own in drawn)
    assert len({tuple(own) for own in drawn}) == 4


def test_control_without_unseen_patients_of_both_outcomes(fine_tuned, tmp_path):
    """There is no AUC then, and the cell is empty; without shuffles the true outcomes alone are told."""
    inputs, hcc = stage_toy(40, 12, 2.5, seed=1)
    table = shuffled_outcomes(fine_tuned, inputs, hcc, hcc[hcc == 0].iloc[:3], shuffles=0, store=Store(tmp_path))
    assert table["outcomes"].tolist() == ["observed"]
    assert table["unseen_auc"].isna().all()
    assert table["epochs"].tolist() == [fine_tuned.card["epochs"]]


# --- the stage -------------------------------------------------------------------------------------------------------

ROLES = ["development"] * 12 + ["validation"] * 3 + ["test"] * 3
FEATURES = FeatureSettings(crop_voxels=16, fine_tune_epochs=2, fine_tune_shuffles=1, seed=3)


def finished_run(root, poisoned: bool) -> RunPaths:
    """Files of the earlier stages for 18 patients; with `poisoned` the unseen ones have other images and outcomes."""
    run = RunPaths(root / "run")
    keys = [f"P{number:04d}" for number in range(1, len(ROLES) + 1)]
    hcc = np.arange(len(ROLES)) % 2
    for number, key in enumerate(keys):
        strange = poisoned and ROLES[number] != "development"
        rng = np.random.default_rng([number, strange])
        case = Case(run, "alarm", key, PHASES)
        labels = np.zeros((14, 14, 16), np.uint8)
        labels[2:11, 2:12, 2:13] = 1
        for phase in PHASES:
            image = rng.normal(50, 30 if strange else 60, labels.shape).astype(np.float32)
            write_image(sitk.GetImageFromArray(image), case.image(phase))
            write_image(sitk.GetImageFromArray(labels), case.labels(phase))
        hcc[number] = 1 - hcc[number] if strange else hcc[number]
    files.save_table(pd.DataFrame({"patient": keys, "role": ROLES, "hcc": hcc}), run.clinical("alarm"))
    files.save_json(PreprocessingSettings().model_dump(), run.stage("preprocessing") / "settings.json")
    features = run.stage("features")
    features.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(index=pd.Index(keys, name="patient")).to_parquet(features / "alarm_radiomics.parquet")
    files.save_table(pd.DataFrame(columns=list(FAILURE_COLUMNS)), features / "alarm_failures.csv")
    return run


def test_stage_tunes_on_the_discovery_cohort_alone(tiny, tmp_path):
    """Other images and outcomes of unseen patients change neither the network, nor its card, nor the others' values."""
    runs = [finished_run(tmp_path / name, name == "poisoned") for name in ("plain", "poisoned")]
    tables = [stage.extract_deep(run, "alarm", FEATURES, PHASES) for run in runs]
    for name in ("fine_tuned.safetensors", "fine_tuned.json", "fine_tuning_history.csv"):
        one, two = ((run.stage("features") / name).read_bytes() for run in runs)
        assert one == two, name
    assert tables[0].shape == (18, 300)
    pd.testing.assert_frame_equal(tables[0].iloc[:12], tables[1].iloc[:12])
    assert not np.allclose(tables[0].iloc[12:], tables[1].iloc[12:])
    control = pd.read_csv(runs[0].stage("features") / "fine_tuning_control.csv")
    assert tuple(control) == CONTROL_COLUMNS
    assert control["outcomes"].tolist() == ["observed", "shuffled"]


def test_stage_repeats_nothing(tiny, tmp_path, monkeypatch):
    """A second run tunes nothing, passes nothing through the network's first stages, and gives the same table."""
    run = finished_run(tmp_path, poisoned=False)
    table = stage.extract_deep(run, "alarm", FEATURES, PHASES)

    @functools.wraps(fine_tune)  # the step of the store's key stays the same
    def never(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(negative_control, "fine_tune", never)
    monkeypatch.setattr("hccbook.features.deep.patients.crop_to_box", never)
    pd.testing.assert_frame_equal(stage.extract_deep(run, "alarm", FEATURES, PHASES), table)


@pytest.mark.thorough
def test_stage_side_by_side_gives_the_same_bytes(tmp_path):
    """Two processes, each with some of the patients, leave what one process leaves; two patients fail in both."""
    features = FEATURES.model_copy(update={"fine_tune": "projection", "fine_tune_shuffles": 0})
    left = []
    for workers in (1, 2):
        run = finished_run(tmp_path / str(workers), poisoned=False)
        for key in ("P0014", "P0018"):
            Case(run, "alarm", key, PHASES).image("venous").unlink()
        stage.extract_deep(run, "alarm", features, PHASES, workers)
        folder = run.stage("features")
        left.append({file.name: file.read_bytes() for file in sorted(folder.iterdir())})
    assert left[0] == left[1]
    assert b"P0014,deep features" in left[0]["alarm_failures.csv"]


# --- figures ---------------------------------------------------------------------------------------------------------


def test_training_figures_draw_the_values_given():
    """Losses and AUC as they stand in the history, the kept epoch marked, a line where the tuned part changes."""
    rows = [(0, "projection", 1.0, 0.9, 0.5), (1, "projection", 0.8, 0.7, 0.6), (2, "last_stage", 0.6, 0.65, 0.8)]
    history = pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))
    _, axes = figures.panels(1, 2)
    loss, auc = axes[0]
    figures.plot_training_loss(loss, history, chosen=2)
    figures.plot_training_auc(auc, history, chosen=2)
    lines = {line.get_label(): list(line.get_ydata()) for line in loss.lines}
    assert lines["Tuned on"] == [1.0, 0.8, 0.6]
    assert lines["Held out"] == [0.9, 0.7, 0.65]
    assert any(set(line.get_xdata()) == {1.5} for line in loss.lines)
    assert loss.collections[0].get_offsets().tolist() == [[2, 0.65]]
    assert auc.collections[0].get_offsets().tolist() == [[2, 0.8]]
    assert {"projection", "last stage"} == {text.get_text() for text in auc.texts}
    assert [text.get_text() for text in auc.get_legend().get_texts()] == ["Held out", "Kept"]
    _, axes = figures.panels()
    figures.plot_training_loss(axes[0, 0], history.iloc[:0], chosen=0)
    assert "not tuned" in [text.get_text() for text in axes[0, 0].texts]
    with pytest.raises(DataError, match="inner_auc"):
        figures.plot_training_auc(auc, history.drop(columns="inner_auc"), chosen=2)


def test_shuffled_outcomes_are_drawn_beside_the_true_ones():
    """Every AUC of the table is a point; one that is absent is none."""
    rows = [("observed", 0, 6, 0.9, 0.8), ("shuffled", 1, 0, 0.5, 0.5), ("shuffled", 2, 3, 0.7, np.nan)]
    _, axes = figures.panels()
    ax = figures.plot_shuffled_outcomes(axes[0, 0], pd.DataFrame(rows, columns=list(CONTROL_COLUMNS)))
    heights = [points.get_offsets()[:, 1].compressed().tolist() for points in ax.collections]
    assert heights == [[0.9], [0.8], [0.5, 0.7], [0.5]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Outcomes as they are", "Outcomes shuffled"]
