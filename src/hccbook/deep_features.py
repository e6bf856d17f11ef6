"""Deep features: organ crops, 3D residual networks, pooling, and the projection that ALARM's 100 values need.

Two steps, apart: `extract_deep_features` pools a frozen network over every organ crop (no outcome enters), and
`fit_projection` tunes a projection of those values on the development cohort alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what torch raises where loading a file would run code; nothing is pickled here
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from hccbook.errors import DataError, ImageError, MaskError, ModelError, SettingsError
from hccbook.images import read_image, read_label_map, to_array
from hccbook.parallel import FAILURE_COLUMNS, Outcome, atomic_path, digest, progress_line
from hccbook.radiomics.regions import bounding_box, organ_label

DEEP_VERSION = 2
"""Version of cropping and pooling; raised whenever a stored value would change."""

WIDTHS = {"resnet18": 512, "resnet50": 2048}
"""Networks at hand and the number of values that each pools to."""

UNIT_HU = 25.0
"""HU that are one unit in a crop: the papers' usual bin width."""

WINDOW_HU = (-60.0, 140.0)
"""ALARM's window, width 200 and level 40."""

BATCH = 16
"""Crops a forward pass, fewer where crops are larger than 64 voxels an edge.

A value's last bits depend on the size of its batch, so the last pass is filled up with empty crops. With 16 they do not
depend on the number of threads either (with 8 they do), nor on the place in the batch, nor on the other crops.
"""

PROJECTED = 100
"""Values a phase in ALARM."""

_DIGITS = 6
_MOST_SD = 5.0
_INNER_FOLDS = 4
_LEARNING_RATE = 1e-4
_WEIGHT_DECAY = 1.0
_DROPOUT = 0.5
_TUNING_BATCH = 32
_HEADS_OF_OTHERS = ("fc.", "conv_seg.", "classifier.")
_PREFIXES = ("module.", "state_dict.", "model.", "backbone.")

Box = tuple[int, int, int]


# --- organ crops -----------------------------------------------------------------------------------------------------


def organ_extent(mask: np.ndarray) -> Box:
    """Extent of an organ.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)

    Returns
    -------
    tuple of int
        Edges of its bounding box (z, y, x), voxels.

    Raises
    ------
    MaskError
        If the mask is empty.
    """
    return tuple(part.stop - part.start for part in bounding_box(np.asarray(mask, dtype=bool)))


def largest_box(extents: Iterable[Sequence[int]]) -> Box:
    """Smallest box into which every organ fits.

    Parameters
    ----------
    extents : iterable of (z, y, x)
        Extents of one organ over patients and phases, voxels.

    Returns
    -------
    tuple of int
        The largest edge along each axis (z, y, x), voxels.

    Raises
    ------
    DataError
        If there is none.

    References
    ----------
    aMAP-CT, Methods, and its supplementary figure on cropping: images and masks are cropped to the maximal
    three-dimensional dimensions of the segmentation.
    """
    edges = np.array(list(extents), dtype=int)
    if edges.size == 0:
        raise DataError("organ box", "needs the extent of at least one organ", "none", "Look at the failures table.")
    return tuple(int(edge) for edge in edges.max(axis=0))


def crop_to_box(
    image_array: np.ndarray, mask_array: np.ndarray, box: Sequence[int], window: tuple[float, float] = WINDOW_HU
) -> np.ndarray:
    """One organ, alone, in the middle of a box.

    Parameters
    ----------
    image_array : ndarray of shape (z, y, x)
        HU.
    mask_array : ndarray of bool, shape (z, y, x)
        The organ.
    box : sequence of 3 int
        Edges (z, y, x), voxels. The middle of the organ's bounding box comes to its middle; an organ larger than the
        box is cut on both sides.
    window : pair of float
        HU beyond these bounds are clipped.

    Returns
    -------
    ndarray of float32, shape `box`
        Departure from the organ's mean in units of `UNIT_HU`; 0 outside the organ and outside the image.

    Notes
    -----
    Neither paper says how the crops were scaled. With a constant outside the organ and the window scaled to 0 to 1,
    the organ's edge is twenty times as strong as its texture and an untrained network sees little else.

    Raises
    ------
    MaskError
        If shapes differ, or the mask is empty.
    """
    mask = np.asarray(mask_array, dtype=bool)
    if mask.shape != np.shape(image_array) or mask.ndim != 3:
        raise MaskError(
            "organ crop",
            "image and mask must be 3-D of one shape",
            f"{np.shape(image_array)} and {mask.shape} (z, y, x)",
            "Pass the mask that was drawn on this image.",
        )
    crop = np.zeros(tuple(box), dtype=np.float32)
    source, target = [], []
    for part, edge in zip(bounding_box(mask), box, strict=True):
        inside = part.start + (part.stop - part.start - edge) // 2
        start, stop = max(part.start, inside), min(part.stop, inside + edge)
        source.append(slice(start, stop))
        target.append(slice(start - inside, stop - inside))
    lower, upper = window
    clipped = np.clip(np.asarray(image_array, dtype=np.float32), lower, upper)
    organ = (clipped[tuple(source)] - clipped[mask].mean(dtype=float)) / UNIT_HU
    crop[tuple(target)] = np.where(mask[tuple(source)], organ, 0)
    return crop


def shrink_crop(crop: np.ndarray, crop_voxels: int) -> np.ndarray:
    """Crop of at most `crop_voxels` an axis; a smaller axis stays as it is.

    Parameters
    ----------
    crop : ndarray of float32, shape (z, y, x)
    crop_voxels : int
        Longest edge wanted, voxels.

    Returns
    -------
    ndarray of float32
        Trilinear, after averaging over blocks where an axis shrinks to less than half, so that noise between the
        sampled points is averaged and not picked.
    """
    target = [min(edge, crop_voxels) for edge in crop.shape]
    if target == list(crop.shape):
        return crop
    volume = torch.from_numpy(np.ascontiguousarray(crop))[None, None]
    blocks = [min(edge, 2 * length) for edge, length in zip(crop.shape, target, strict=True)]
    if blocks != list(crop.shape):
        volume = torch.nn.functional.adaptive_avg_pool3d(volume, blocks)
    return torch.nn.functional.interpolate(volume, size=target, mode="trilinear", align_corners=False)[0, 0].numpy()


# --- networks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backbone:
    """A frozen network that turns an organ crop into a row of values.

    Attributes
    ----------
    name : str
        ``resnet18`` or ``resnet50``.
    module : torch.nn.Module
        In evaluation mode, without a classifier.
    width : int
        Values that it pools to.
    origin : str
        Where its weights come from: a seed, or the hash of a file.
    device : torch.device
        Where it runs.
    """

    name: str
    module: torch.nn.Module
    width: int
    origin: str
    device: torch.device


def load_backbone(name: str, weights_file: str | Path = "", seed: int = 0, device: str = "auto") -> Backbone:
    """3D residual network of MONAI with pretrained or random weights.

    Parameters
    ----------
    name : str
        ``resnet18`` (512 values, aMAP-CT) or ``resnet50`` (2,048 values, ALARM).
    weights_file : path-like
        Local file of pretrained weights, ``.safetensors``, ``.pt`` or ``.pth``, such as those of MedicalNet;
        empty for random weights. Prefixes such as ``module.`` are taken off the names; heads for classification or
        segmentation are left out.
    seed : int
        Seed of the random weights.
    device : str
        ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.

    Returns
    -------
    Backbone

    Raises
    ------
    SettingsError
        If the network is unknown, or ``cuda`` is asked for where there is none.
    ModelError
        If the file is missing, unreadable, holds anything else than tensors, or its names or shapes are not those of
        the network; the message names the file and the first name that is wrong.

    Notes
    -----
    The stem is MedicalNet's (7 x 7 x 7, stride 2, then pooling), so that its weights fit; it also makes a pass three
    to ten times cheaper than stride 1. Neither paper says where its weights come from. Random weights are no
    substitute for pretrained ones: they are random, but fixed, texture filters.

    References
    ----------
    He and others, CVPR 2016:770-778. Chen and others, Med3D, arXiv:1904.00625. ALARM, Methods; aMAP-CT, Methods.
    """
    if name not in WIDTHS:
        raise SettingsError("network", f"must be one of {', '.join(WIDTHS)}", repr(name), "Check the spelling.")
    # MONAI takes seconds to import: only what builds a network waits for it.
    from monai.networks.nets.resnet import ResNet, get_inplanes, resnet_params

    where = _device(device)
    block, layers, shortcut, bias_downsample, _ = resnet_params[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = ResNet(
            block=block,
            layers=layers,
            block_inplanes=get_inplanes(),
            spatial_dims=3,
            n_input_channels=1,
            conv1_t_stride=2,
            shortcut_type=shortcut,
            feed_forward=False,
            bias_downsample=bias_downsample,
        )
    origin = f"seed {seed}, torch {torch.__version__}"
    if str(weights_file):
        file = Path(weights_file)
        _load_weights(module, _read_weights(file), file.name, name)
        origin = f"file {digest(file)}"
    module.requires_grad_(False)
    return Backbone(name, module.eval().to(where), WIDTHS[name], origin, where)


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise SettingsError("device", "must be auto, cpu or cuda", repr(name), "Check the spelling.")
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device", "'cuda' needs a GPU that torch can use", "none", "Set it to auto or cpu.")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def _read_weights(file: Path) -> dict[str, torch.Tensor]:
    if not file.is_file():
        raise ModelError(file.name, "weights file must exist", "no such file", "Correct the path, or leave it empty.")
    if file.suffix not in (".safetensors", ".pt", ".pth"):
        raise ModelError(
            file.name, "weights must be .safetensors, .pt or .pth", repr(file.suffix), "Convert them to safetensors."
        )
    try:
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, EOFError, KeyError) as error:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(file.name, "weights file must be readable", found, "Copy or download it again.") from error
    except UnpicklingError as error:
        rule, cure = "weights file must hold tensors only", "Save the state_dict alone."
        raise ModelError(file.name, rule, "other objects, or no weights", cure) from error
    while isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise ModelError(
            file.name, "weights file must map names to tensors", type(content).__name__, "Save the state_dict alone."
        )
    odd = next((key for key, value in content.items() if not isinstance(value, torch.Tensor)), None)
    if odd is not None:
        raise ModelError(file.name, "weights file must hold tensors only", repr(odd), "Save the state_dict alone.")
    return dict(content)


def _load_weights(module: torch.nn.Module, weights: dict[str, torch.Tensor], file: str, network: str) -> None:
    own = module.state_dict()
    given: dict[str, torch.Tensor] = {}
    for key, value in weights.items():
        plain = key
        while prefix := next((prefix for prefix in _PREFIXES if plain.startswith(prefix)), ""):
            plain = plain.removeprefix(prefix)
        if not plain.startswith(_HEADS_OF_OTHERS):
            given[plain] = value
    cure = f"Name weights of a 3D {network} for one channel, such as MedicalNet's."
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    if missing:
        rule = f"must hold all weights of {network}"
        raise ModelError(file, rule, f"{len(missing)} missing, the first {missing[0]!r}", cure)
    unknown = [key for key in given if key not in own]
    if unknown:
        rule = f"must hold weights of {network} only"
        raise ModelError(file, rule, f"{len(unknown)} others, the first {unknown[0]!r}", cure)
    for key, value in given.items():
        if value.shape != own[key].shape:
            raise ModelError(
                file, f"{key!r} must have the shape {tuple(own[key].shape)}", f"{tuple(value.shape)}", cure
            )
        if not torch.isfinite(value).all():
            raise ModelError(file, f"{key!r} must be finite", "NaN or infinite weights", "Copy or download it again.")
    module.load_state_dict(given, strict=False)


def pooled_features(backbone: Backbone, crops: np.ndarray, batch: int | None = None) -> np.ndarray:
    """Average-pooled activations of a frozen network.

    Parameters
    ----------
    backbone : Backbone
    crops : ndarray of float32, shape (n, 1, z, y, x)
        Organ crops, as from `crop_to_box`.
    batch : int, optional
        Crops a pass; the last pass is filled up with empty crops. See `BATCH`.

    Returns
    -------
    ndarray of float32, shape (n, width)
        512 values of ResNet-18, 2,048 of ResNet-50.

    Raises
    ------
    DataError
        If the shape is another one, or a value comes out that is not finite.
    """
    crops = np.asarray(crops, dtype=np.float32)
    if crops.ndim != 5 or crops.shape[1] != 1:
        raise DataError("organ crops", "must have the shape (n, 1, z, y, x)", crops.shape, "Stack the crops.")
    batch = _batch_of(crops.shape[2:]) if batch is None else batch
    pooled = np.empty((len(crops), backbone.width), dtype=np.float32)
    with torch.inference_mode(), _reproducible(backbone.device):
        for start in range(0, len(crops), batch):
            part = crops[start : start + batch]
            full = np.zeros((batch, *crops.shape[1:]), dtype=np.float32)
            full[: len(part)] = part
            values = backbone.module(torch.from_numpy(full).to(backbone.device))
            pooled[start : start + len(part)] = values[: len(part)].float().cpu().numpy()
    if not np.isfinite(pooled).all():
        raise DataError(
            f"{backbone.name}", "must give finite values", "NaN or infinite ones", "Check crops and weights."
        )
    return pooled


def _batch_of(shape: Sequence[int]) -> int:
    return max(1, min(BATCH, BATCH * 64**3 // int(np.prod(shape))))


@contextlib.contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


# --- the cohort ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DeepTask:
    """One patient's volumes.

    Parameters
    ----------
    key : str
        The patient's key, such as ``P0001``.
    images : tuple of (str, path) pairs
        Phase and its image on the working grid.
    labels : tuple of (str, path) pairs
        Phase and its label map on the same grid.
    organs : tuple of str
        Organs to take, out of `hccbook.settings.ORGANS`.
    store : pathlib.Path
        Folder of the results kept; they go to its folder ``deep``.
    """

    key: str
    images: tuple[tuple[str, Path], ...]
    labels: tuple[tuple[str, Path], ...]
    organs: tuple[str, ...]
    store: Path

    def __post_init__(self) -> None:
        phases = [phase for phase, _ in self.images]
        if not phases or phases != [phase for phase, _ in self.labels] or len(set(phases)) != len(phases):
            raise SettingsError(
                f"{self.key}, deep features",
                "images and labels must name the same phases, each once and in one order",
                f"{phases} and {[phase for phase, _ in self.labels]}",
                "Build both from the phases of the run.",
            )


def organ_extents_task(task: DeepTask) -> dict[str, list[Box]]:
    """Extents of one patient's organs, for `hccbook.parallel.map_patients`.

    Parameters
    ----------
    task : DeepTask

    Returns
    -------
    dict of str to list of (z, y, x)
        By organ, one extent a phase, voxels.

    Raises
    ------
    MaskError
        If an organ is not outlined; the message names patient, phase and organ.
    """
    extents: dict[str, list[Box]] = {organ: [] for organ in task.organs}
    for phase, path in task.labels:
        array = to_array(read_label_map(path, place=f"{task.key}, {phase}"))
        for organ in task.organs:
            extents[organ].append(organ_extent(_organ(array, organ, f"{task.key}, {phase}")))
    return extents


def largest_boxes(extents: Iterable[Mapping[str, Sequence[Box]]]) -> dict[str, Box]:
    """Box of every organ over patients.

    Parameters
    ----------
    extents : iterable of mappings
        What `organ_extents_task` gave, one a patient. Take the development patients: a box is part of the model, and
        an organ of a later patient that is larger is cut.

    Returns
    -------
    dict of str to (z, y, x)
        By organ, voxels.
    """
    every: dict[str, list[Box]] = {}
    for patient in extents:
        for organ, boxes in patient.items():
            every.setdefault(organ, []).extend(boxes)
    if not every:
        largest_box(())
    return {organ: largest_box(boxes) for organ, boxes in every.items()}


def _organ(labels: np.ndarray, organ: str, place: str) -> np.ndarray:
    mask = labels == organ_label(organ)
    if not mask.any():
        raise MaskError(
            f"{place}, {organ}",
            f"label map must hold the label {organ_label(organ)}",
            "no such voxel",
            "Look at the segmentation of this patient.",
        )
    return mask


class _Pending(NamedTuple):
    file: Path
    crop: np.ndarray


def extract_deep_features(
    tasks: Mapping[str, DeepTask],
    backbone: Backbone,
    boxes: Mapping[str, Sequence[int]],
    *,
    crop_voxels: int,
    window: tuple[float, float] = WINDOW_HU,
    stage: str = "features",
    progress: bool = True,
) -> Outcome:
    """Pooled values of every patient, phase and organ; what is in the store is not computed again.

    Parameters
    ----------
    tasks : mapping of str to DeepTask
        By patient key.
    backbone : Backbone
    boxes : mapping of str to (z, y, x)
        Box of every organ, voxels, as from `largest_boxes`.
    crop_voxels : int
        Longest edge of what the network sees, voxels.
    window : pair of float
        HU beyond these bounds are clipped.
    stage : str
        Name for the progress bar and the failures table.
    progress : bool
        Whether to show a progress bar where there is a terminal.

    Returns
    -------
    hccbook.parallel.Outcome
        ``results`` holds by patient a dict of ``<phase>.<organ>`` to an array of `backbone.width` values. A patient
        whose image or label map is refused becomes a row of ``failures``; the others go on.

    Notes
    -----
    This runs in one process, whose forward passes use all cores. Values are kept with six significant digits: that is
    far more than the networks carry, and hides what little another processor or library version would change in the
    last bits. The number of threads and the other patients change nothing (see `BATCH`).

    References
    ----------
    ALARM, Results: average pooling layer of the 3D ResNet-50. aMAP-CT, Results: 512 values of ResNet-18 a phase.
    """
    for task in tasks.values():
        for organ in task.organs:
            if organ not in boxes:
                raise SettingsError("organ boxes", "must hold every organ", f"none of {organ}", "See largest_boxes.")
    files: dict[str, dict[str, Path]] = {}
    failed: dict[str, tuple[str, str]] = {}
    waiting: dict[str, list[_Pending]] = {}
    computed = 0

    def flush(organ: str) -> None:
        batch = waiting.pop(organ, [])
        if not batch:
            return
        values = pooled_features(backbone, np.stack([item.crop for item in batch])[:, None])
        for item, row in zip(batch, _rounded(values), strict=True):
            with atomic_path(item.file) as temporary:
                np.save(temporary, row, allow_pickle=False)

    with progress_line(f"{stage}, {backbone.name}", len(tasks), show=progress) as advance:
        for key, task in tasks.items():
            try:
                files[key] = _result_files(task, backbone, boxes, crop_voxels, window)
                missing = {name for name, file in files[key].items() if _read_values(file, backbone.width) is None}
                crops = list(_crops(task, files[key], missing, boxes, crop_voxels, window))
                computed += bool(missing)
            except Exception as error:  # a patient must not stop the others, whatever goes wrong in it
                failed[key] = (type(error).__name__, str(error) or "no message")
                crops = []
            for organ, item in crops:
                waiting.setdefault(organ, []).append(item)
                if len(waiting[organ]) == _batch_of(item.crop.shape):
                    flush(organ)
            advance()
        for organ in list(waiting):
            flush(organ)
    results = {
        key: {name: _read_values(file, backbone.width) for name, file in own.items()}
        for key, own in files.items()
        if key not in failed
    }
    rows = [(key, stage, *reason) for key, reason in failed.items()]
    return Outcome(results, pd.DataFrame(rows, columns=list(FAILURE_COLUMNS)), computed)


def _result_files(
    task: DeepTask,
    backbone: Backbone,
    boxes: Mapping[str, Sequence[int]],
    crop_voxels: int,
    window: tuple[float, float],
) -> dict[str, Path]:
    """Where the values of every phase and organ are kept, whether they exist or not."""
    labels = dict(task.labels)
    network = (backbone.name, backbone.origin, backbone.device.type, BATCH, DEEP_VERSION)
    files = {}
    for phase, image in task.images:
        for what, path, error in (("image", image, ImageError), ("label map", labels[phase], MaskError)):
            if not path.exists():
                raise error(
                    f"{task.key}, {phase}", f"{what} must exist", f"no file {path.name!r}", "Run the earlier stages."
                )
        content = digest(image, labels[phase])
        for organ in task.organs:
            box = tuple(int(edge) for edge in boxes[organ])
            name = digest("deep", content, organ, box, crop_voxels, tuple(map(float, window)), network)
            files[f"{phase}.{organ}"] = task.store / "deep" / f"{name}.npy"
    return files


def _crops(
    task: DeepTask,
    files: Mapping[str, Path],
    missing: set[str],
    boxes: Mapping[str, Sequence[int]],
    crop_voxels: int,
    window: tuple[float, float],
) -> Iterator[tuple[str, _Pending]]:
    labels = dict(task.labels)
    for phase, path in task.images:
        wanted = [organ for organ in task.organs if f"{phase}.{organ}" in missing]
        if not wanted:
            continue
        place = f"{task.key}, {phase}"
        image = read_image(path, place)
        label_map = to_array(read_label_map(labels[phase], image, place))
        array = to_array(image)
        for organ in wanted:
            crop = crop_to_box(array, _organ(label_map, organ, place), boxes[organ], window)
            yield organ, _Pending(files[f"{phase}.{organ}"], shrink_crop(crop, crop_voxels))


def _read_values(file: Path, width: int) -> np.ndarray | None:
    """Values kept in a file; None if it is absent or not whole, so that they are computed again."""
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return values if values.shape == (width,) else None


def _rounded(values: np.ndarray) -> np.ndarray:
    """Values with `_DIGITS` significant digits, as float64."""
    # By way of text: scaling and rounding would leave the last bit to chance.
    return np.char.mod(f"%.{_DIGITS - 1}e", values).astype(float)


def deep_table(results: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Table of all patients' deep features.

    Parameters
    ----------
    results : mapping of str to mapping
        By patient key, ``<phase>.<organ>`` to values: ``results`` of `extract_deep_features`.

    Returns
    -------
    pandas.DataFrame
        Index "patient", a row a patient; columns ``<phase>.<organ>.deep_000`` and on.

    Raises
    ------
    DataError
        If there is no patient, or patients have different phases, organs or numbers of values.
    """
    if not results:
        raise DataError("deep features", "must hold at least one patient", "none", "Look at the failures table.")
    first = next(iter(results))
    layout = {name: len(values) for name, values in results[first].items()}
    for key, own in results.items():
        found = {name: len(values) for name, values in own.items()}
        if list(found.items()) != list(layout.items()):
            raise DataError(f"deep features of {key}", f"must be those of {first}: {layout}", found, "Extract again.")
    columns = [name for part, count in layout.items() for name in _columns(part, count)]
    rows = np.array([np.concatenate(list(own.values())) for own in results.values()], dtype=float)
    return pd.DataFrame(rows, index=pd.Index(results, name="patient"), columns=columns)


def _columns(part: str, count: int) -> list[str]:
    return [f"{part}.deep_{number:03d}" for number in range(count)]


# --- the projection --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProjectionHead:
    """What makes ALARM's 100 values a phase out of the 2,048 that ResNet-50 pools to.

    One projection serves all phases: z-scores of the pooled values (each phase by its own mean and SD in the
    development cohort, clipped at 5), times a matrix, through tanh.

    Attributes
    ----------
    organ : str
        Organ of the crops.
    phases : tuple of str
        Phases, in the order of `mean` and `scale`.
    mean, scale : ndarray of shape (phases, pooled)
        Of the development cohort; where a value is constant its scale is 1.
    weight : ndarray of shape (outputs, pooled)
    bias : ndarray of shape (outputs,)
    risk : ndarray of shape (outputs,)
        Weights of the logit that the projection was tuned with; zero where it was not tuned.
    offset : float
        Its intercept.
    card : dict
        What it is, which data and seed it was tuned with, and how it did inside the development cohort.
    """

    organ: str
    phases: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    risk: np.ndarray
    offset: float
    card: dict[str, Any] = field(compare=False)

    def transform(self, pooled: pd.DataFrame) -> pd.DataFrame:
        """Projected values.

        Parameters
        ----------
        pooled : pandas.DataFrame
            A row a patient, columns as from `deep_table`; more columns do no harm.

        Returns
        -------
        pandas.DataFrame
            Columns ``<phase>.<organ>.deep_000`` and on, -1 to 1, six significant digits.

        Raises
        ------
        DataError
            If columns are missing or values are not finite.
        """
        volumes = _volumes(pooled, self.organ, self.phases, self.weight.shape[1])
        values = np.tanh(_z_scores(volumes, self.mean, self.scale) @ self.weight.T + self.bias)
        columns = [name for phase in self.phases for name in _columns(f"{phase}.{self.organ}", len(self.bias))]
        return pd.DataFrame(_rounded(values.reshape(len(pooled), -1)), index=pooled.index, columns=columns)

    def save(self, file: str | Path) -> None:
        """Write the arrays (safetensors) and, beside them, the model card (JSON).

        Parameters
        ----------
        file : path-like
            Ends in ``.safetensors``; the card has the same name with ``.json``.

        Raises
        ------
        ModelError
            If the ending is another one.
        """
        file = _projection_file(file)
        arrays = {name: getattr(self, name) for name in ("mean", "scale", "weight", "bias", "risk")}
        arrays["offset"] = np.array([self.offset])
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        card = {**self.card, "organ": self.organ, "phases": list(self.phases)}
        with atomic_path(file) as temporary:
            save_file(tensors, temporary)
        with atomic_path(file.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: str | Path) -> ProjectionHead:
        """Read what `save` wrote.

        Parameters
        ----------
        file : path-like
            Ends in ``.safetensors``.

        Returns
        -------
        ProjectionHead

        Raises
        ------
        ModelError
            If the file or its card is missing, unreadable, or lacks an array; the message names the file.
        """
        file = _projection_file(file)
        cure = "Run the features stage again."
        for needed in (file, file.with_suffix(".json")):
            if not needed.is_file():
                raise ModelError(needed.name, "file of the projection must exist", "no such file", cure)
        try:
            arrays = {name: tensor.numpy() for name, tensor in load_file(file).items()}
            card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        except (SafetensorError, ValueError, OSError) as error:
            raise ModelError(file.name, "projection and its card must be readable", str(error), cure) from error
        missing = {"mean", "scale", "weight", "bias", "risk", "offset"} - set(arrays)
        if missing or not {"organ", "phases"} <= set(card):
            rule = "must hold mean, scale, weight, bias, risk, offset, and in its card organ and phases"
            raise ModelError(file.name, rule, f"{sorted(missing) or sorted(card)}", cure)
        offset = float(arrays.pop("offset")[0])
        organ, phases = card.pop("organ"), tuple(card.pop("phases"))
        return cls(organ=organ, phases=phases, offset=offset, card=card, **arrays)


def _projection_file(file: str | Path) -> Path:
    file = Path(file)
    if file.suffix != ".safetensors":
        raise ModelError(file.name, "projection must be a .safetensors file", repr(file.suffix), "Change the ending.")
    return file


def fit_projection(
    pooled: pd.DataFrame,
    hcc: pd.Series,
    *,
    epochs: int,
    seed: int,
    outputs: int = PROJECTED,
    organ: str = "liver",
    backbone: Backbone | None = None,
) -> ProjectionHead:
    """Tune the projection on the development cohort.

    Parameters
    ----------
    pooled : pandas.DataFrame
        Pooled values of the development patients, and of no others, as from `deep_table`.
    hcc : pandas.Series of 0 and 1
        Whether each of them develops HCC, with the same index.
    epochs : int
        Most passes over the cohort; with 0 the projection stays as the seed made it.
    seed : int
        Seed of the projection, of the inner folds, and of the batches.
    outputs : int
        Values a phase.
    organ : str
        Organ whose columns are taken.
    backbone : Backbone, optional
        Network that made `pooled`; only named in the model card.

    Returns
    -------
    ProjectionHead

    Raises
    ------
    DataError
        If patients and outcomes differ, values are not finite, or outcomes are other than 0 and 1.

    Notes
    -----
    **Frozen backbone; the projection is what is tuned.** ALARM fine-tunes its ResNet-50, in a way that its supplement
    describes and that is not public; tuning the network itself is left to a later setting. The paper does not say how
    2,048 pooled values became 100 either.

    Every phase of every patient is a sample; a patient's phases stay together in the inner folds. The loss is
    cross-entropy, weighted for the rarity of HCC. A cohort of some 60 patients cannot tell 200,000 weights, so the
    tuning is held tight: it starts from a random projection and AdamW decays its *change*, not the projection, so that
    the 100 values cannot collapse onto one; half of the inputs are dropped at a time; and the number of epochs is that
    at which the loss on held-out patients (four stratified folds) was least, which is 0 where nothing is learnt.
    Values of the development patients are in-sample.

    References
    ----------
    ALARM, Methods, Feature extraction; Results: 100 x 3 deep learning signatures.
    """
    own = [parts for parts in (column.split(".") for column in pooled.columns) if parts[1:2] == [organ]]
    phases = tuple(dict.fromkeys(parts[0] for parts in own))
    width = len(own) // max(len(phases), 1)
    outcome = _checked_outcome(pooled, hcc)
    volumes = _volumes(pooled, organ, phases, width)
    mean, scale = volumes.mean(axis=0), volumes.std(axis=0)
    scale = np.where(scale > 1e-9 * np.maximum(np.abs(mean), 1e-9), scale, 1.0)
    z = _z_scores(volumes, mean, scale)

    start = torch.from_numpy(np.random.default_rng([seed, 0]).normal(0, width**-0.5, (outputs, width)))
    with _one_thread():
        chosen, inner_auc, note = _chosen_epochs(z, outcome, start, epochs, seed)
        tuned = _tune(z, outcome, start, chosen, np.random.SeedSequence([seed, 1]))
    card = {
        "name": "projection of pooled 3D ResNet values",
        "what": f"{width} pooled values of a frozen network to {outputs}; the projection alone is tuned",
        "use": "research and teaching; not for clinical use",
        "data": "development cohort only",
        "patients": len(outcome),
        "hcc": int(outcome.sum()),
        "network": backbone.name if backbone else "not given",
        "network_weights": backbone.origin if backbone else "not given",
        "seed": seed,
        "epochs_allowed": epochs,
        "epochs": chosen,
        "note": note,
        "inner_auc": inner_auc,
        "inner_folds": 0 if inner_auc is None else _INNER_FOLDS,
    }
    return ProjectionHead(organ=organ, phases=phases, mean=mean, scale=scale, card=card, **tuned.arrays())


def _checked_outcome(pooled: pd.DataFrame, hcc: pd.Series) -> np.ndarray:
    if not pooled.index.equals(hcc.index) or not pooled.index.is_unique or len(pooled) == 0:
        odd = list(pooled.index.symmetric_difference(hcc.index))[:3] or "another order, or a patient twice"
        raise DataError(
            "deep features", "patients and outcomes must have the same index", odd, "Pass development patients only."
        )
    outcome = hcc.to_numpy()
    if not np.isin(outcome, (0, 1)).all():
        raise DataError("hcc", "must hold 0 and 1", sorted(set(outcome) - {0, 1})[:3], "Leave out unknown outcomes.")
    return outcome.astype(float)


def _volumes(pooled: pd.DataFrame, organ: str, phases: Sequence[str], width: int) -> np.ndarray:
    """Values of shape (patients, phases, pooled)."""
    columns = [name for phase in phases for name in _columns(f"{phase}.{organ}", width)]
    missing = [name for name in columns if name not in pooled.columns]
    if missing or not columns:
        found = f"{len(missing)} missing, the first {missing[0]}" if missing else f"none of {organ}"
        raise DataError("deep features", "must hold the pooled values of every phase", found, "Extract them first.")
    values = pooled[columns].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        key = pooled.index[~np.isfinite(values).all(axis=1)][0]
        raise DataError(f"deep features of {key}", "must be finite", "a value that is not", "Extract them again.")
    return values.reshape(len(pooled), len(phases), width)


def _z_scores(volumes: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    # A unit that hardly fired in development has a tiny SD: in one later patient it would drown all others.
    return np.clip((volumes - mean) / scale, -_MOST_SD, _MOST_SD)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    # The matrices are too small to be worth sharing between threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _chosen_epochs(
    z: np.ndarray, outcome: np.ndarray, start: torch.Tensor, epochs: int, seed: int
) -> tuple[int, float | None, str]:
    """Number of epochs, AUC on held-out patients after as many, and what to say about it."""
    rarer = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if epochs == 0:
        return 0, None, "not tuned: epochs = 0"
    if rarer < _INNER_FOLDS:
        return 0, None, f"not tuned: {rarer} patients of the rarer outcome, {_INNER_FOLDS} needed to choose the epochs"
    curves = _inner_curves(z, outcome, start, epochs, seed)
    chosen = int(np.argmin(np.mean([losses for losses, _ in curves], axis=0)))
    auc = round(float(np.mean([aucs[chosen] for _, aucs in curves])), 4)
    return chosen, auc, f"tuned for {chosen} epochs" if chosen else "not tuned: held-out loss never fell"


def _inner_curves(
    z: np.ndarray, outcome: np.ndarray, start: torch.Tensor, epochs: int, seed: int
) -> list[tuple[list[float], list[float]]]:
    """Loss and AUC on held-out patients after 0, 1, ... epochs, fold by fold."""
    folds = StratifiedKFold(_INNER_FOLDS, shuffle=True, random_state=seed % 2**32)
    curves = []
    for number, (fit, held_out) in enumerate(folds.split(z[:, 0], outcome)):
        losses: list[float] = []
        aucs: list[float] = []
        samples = torch.from_numpy(z[held_out])
        truth = torch.from_numpy(np.repeat(outcome[held_out, None], z.shape[1], axis=1))
        weight = _weight_of_hcc(outcome[fit])

        def watch(model: _Projection, samples=samples, truth=truth, weight=weight, losses=losses, aucs=aucs) -> None:
            with torch.no_grad():
                logits = model(samples)
                losses.append(float(_loss(logits, truth, weight)))
                aucs.append(float(roc_auc_score(truth[:, 0].numpy(), logits.mean(dim=1).numpy())))

        _tune(z[fit], outcome[fit], start, epochs, np.random.SeedSequence([seed, 2, number]), watch)
        curves.append((losses, aucs))
    return curves


class _Projection(torch.nn.Module):
    """tanh(z (start + change)' + bias) and its logit; only the change is decayed."""

    def __init__(self, start: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("start", start)
        self.change = torch.nn.Parameter(torch.zeros_like(start))
        self.bias = torch.nn.Parameter(start.new_zeros(len(start)))
        self.risk = torch.nn.Parameter(start.new_zeros(len(start)))
        self.offset = torch.nn.Parameter(start.new_zeros(1))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z @ (self.start + self.change).T + self.bias) @ self.risk + self.offset

    def arrays(self) -> dict[str, Any]:
        weight = (self.start + self.change).detach().numpy()
        bias, risk = self.bias.detach().numpy(), self.risk.detach().numpy()
        return {"weight": weight, "bias": bias, "risk": risk, "offset": float(self.offset.detach())}


def _weight_of_hcc(outcome: np.ndarray) -> torch.Tensor:
    return torch.tensor((len(outcome) - outcome.sum()) / max(outcome.sum(), 1.0), dtype=torch.float64)


def _loss(logits: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight)


def _tune(
    z: np.ndarray,
    outcome: np.ndarray,
    start: torch.Tensor,
    epochs: int,
    seeds: np.random.SeedSequence,
    watch: Any = None,
) -> _Projection:
    """Projection after so many epochs; float64, so that another number of threads cannot show in six digits."""
    rng = np.random.default_rng(seeds)
    model = _Projection(start)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    samples = torch.from_numpy(np.ascontiguousarray(z.reshape(-1, z.shape[-1])))
    truth = torch.from_numpy(np.repeat(outcome, z.shape[1]))
    weight = _weight_of_hcc(outcome)
    if watch:
        watch(model)
    for _ in range(epochs):
        order = rng.permutation(len(truth))
        for first in range(0, len(order), _TUNING_BATCH):
            chosen = torch.from_numpy(order[first : first + _TUNING_BATCH])
            kept = torch.from_numpy(rng.random((len(chosen), z.shape[-1]), dtype=np.float32) >= _DROPOUT)
            logits = model(samples[chosen] * kept / (1 - _DROPOUT))
            optimiser.zero_grad()
            _loss(logits, truth[chosen], weight).backward()
            optimiser.step()
        if watch:
            watch(model)
    return model
