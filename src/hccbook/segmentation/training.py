"""Training of the segmentation network, nnU-Net's way at a size for two cores."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from scipy.spatial.transform import Rotation
from torch.nn import functional

from hccbook.errors import MaskError, ModelError
from hccbook.images import same_grid, to_array
from hccbook.segmentation.checkpoint import TrainingState, fingerprint
from hccbook.segmentation.masks import LABELS, check_labels
from hccbook.segmentation.network import (
    IntensityNormalisation,
    Provenance,
    Segmenter,
    SubvoxelUNet,
    body_box,
    build_network,
    choose_device,
    class_scores,
    network_grid,
    window_shape,
)
from hccbook.settings import ORGANS, TRAINING_THREADS, SegmentationSettings

WEIGHT_DECAY = 3e-5
DECAY_POWER = 0.9
GRADIENT_NORM = 12.0
"""nnU-Net's optimiser: weight decay, power of the learning rate's decay, clipped gradient."""

FOREGROUND_SHARE = 1 / 3
"""Share of the patches that are centred on an organ, as in nnU-Net."""

TURNED_SHARE = 0.2
NOISE_SHARE = 0.15
"""Shares of the patches that are turned and scaled a little, and that get noise; about nnU-Net's.

Every patch turned is interpolated once more, and loses some of the edge that it is to teach.
"""

_VOXELS_KEPT = 10_000  # organ voxels an image keeps for intensities and patch centres; nnU-Net keeps as many


@dataclass(frozen=True)
class _Step:
    """One of the two steps of the training."""

    iterations: int
    volumes: Sequence[_TrainingImage]
    background: float  # normalised intensity of air


@dataclass(frozen=True)
class _TrainingImage:
    """One training image on the network's grid, cut to the body."""

    array: np.ndarray  # (z, y, x); HU, later normalised with air at zero
    labels: np.ndarray  # (z, y, x), uint8
    centres: tuple[np.ndarray, ...]  # by organ: (voxels, 3) indices z, y, x

    @classmethod
    def of(cls, array: np.ndarray, labels: np.ndarray) -> _TrainingImage:
        """With at most `_VOXELS_KEPT` voxels of each organ, spread over it."""
        centres = []
        for label in LABELS.values():
            voxels = np.argwhere(labels == label)
            if len(voxels) > _VOXELS_KEPT:
                voxels = voxels[np.linspace(0, len(voxels) - 1, _VOXELS_KEPT).astype(int)]
            centres.append(voxels.astype(np.int32))
        return cls(array, labels, tuple(centres))


def train_segmenter(
    cases: Sequence[tuple[sitk.Image, sitk.Image]],
    settings: SegmentationSettings,
    progress: Callable[[int, float], None] | None = None,
    checkpoint: str | Path | None = None,
) -> Segmenter:
    """Train a network that segments liver and spleen, in two steps.

    nnU-Net's way at a small size: intensities clipped and scored by the organs' own, a third of the patches on an
    organ, Dice plus cross-entropy at all depths, Nesterov SGD with polynomial decay, rotation, scaling, mirroring
    (where asked for), contrast, level and noise as augmentation.
    The first step, the pre-training, sees the volumes coarsened, where a step costs a quarter; the second one starts
    from its weights and sees them as they are.
    Unlike nnU-Net, a patch is the whole body where it fits (see `hccbook.segmentation.network.window_shape`).

    Parameters
    ----------
    cases : sequence of (image, labels)
        CT volumes in HU and their label maps on the same grid; patients and phases side by side, one pair each.
        Volumes are brought to `target_spacing`, if they are not near it.
    settings : SegmentationSettings
        Architecture, patch, optimiser steps, seed, device.
    progress : callable, optional
        Called after each optimiser step with the number of steps done in both steps together, and its loss.
    checkpoint : path-like, optional
        File ending in ``.safetensors`` that is written every `CHECKPOINT_EVERY` optimiser steps.
        Where it exists, training goes on from it.

    Returns
    -------
    Segmenter
        The same one, to the bit, for the same cases, settings and hardware, interrupted or not; the number of cores
        plays no part.

    Raises
    ------
    ModelError
        If there is no case, an organ is in no label map, the patch does not fit the levels, the loss stops being
        finite, or the checkpoint is of another training.
    MaskError
        If a label map lies on another grid than its image, or holds other values than 0, 1 and 2.

    References
    ----------
    Isensee et al., nnU-Net, Nature Methods 2021;18:203-211, Methods.
    aMAP-CT, Methods: nnU-Net, "a two-step process of pre-training and formal training".
    """
    network = _initial_network(settings)
    spacing = target_spacing([image for image, _ in cases])
    volumes = [_training_image(image, labels, spacing, number) for number, (image, labels) in enumerate(cases, start=1)]
    intensity = IntensityNormalisation.fit(_organ_voxels(volumes))
    # Air becomes zero, which is what patches that reach beyond the image are filled with.
    volumes = [
        _TrainingImage(intensity(v.array) - np.float32(intensity.background), v.labels, v.centres) for v in volumes
    ]
    network.start_from(_shares(volumes))
    device = choose_device(settings.device)
    network = network.to(device).train()
    steps = [_Step(settings.iterations, volumes, intensity.background)]
    if settings.pretraining_iterations:
        coarse = [coarsened(volume, settings.coarse_factor) for volume in volumes]
        steps.insert(0, _Step(settings.pretraining_iterations, coarse, intensity.background))
    provenance = Provenance(
        spacing_mm=spacing,
        images=len(volumes),
        **settings.model_dump(include={field.name for field in fields(Provenance)}),
    )
    state = TrainingState(network, Path(checkpoint) if checkpoint else None, fingerprint(provenance, intensity))
    state.resume()
    with _reproducible(device):
        for number, step in enumerate(steps):
            _optimise(state, number, step, settings, progress)
    return Segmenter(network.eval(), intensity, provenance, tuple(state.losses), device)


def target_spacing(images: Sequence[sitk.Image]) -> float:
    """Voxel edge that the network shall know: the median of the training images' edges.

    nnU-Net takes the median of each axis; here one serves all three, as on the working grid.

    Returns
    -------
    float
        mm.

    Raises
    ------
    ModelError
        If there is no image.

    References
    ----------
    Isensee et al., nnU-Net, Nature Methods 2021;18:203-211, Methods, target spacing.
    """
    if not images:
        raise ModelError("training set", "must hold at least one image", "none", "Give images with their label maps.")
    return round(float(np.median([image.GetSpacing() for image in images])), 6)


def _optimise(
    state: TrainingState,
    number: int,
    step: _Step,
    settings: SegmentationSettings,
    progress: Callable[[int, float], None] | None,
) -> None:
    """One of the two steps, from where `state` stands in it."""
    if state.done_in(number) >= step.iterations:
        return
    network = state.network
    parameters = list(network.parameters())
    device = parameters[0].device
    optimiser = torch.optim.SGD(
        parameters, settings.learning_rate, momentum=settings.momentum, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    state.enter(number, optimiser)
    windows = [window_shape(volume.array.shape, settings.patch_voxels, network.stride) for volume in step.volumes]
    for iteration in range(state.done_in(number), step.iterations):
        optimiser.param_groups[0]["lr"] = settings.learning_rate * (1 - iteration / step.iterations) ** DECAY_POWER
        # Either step draws its own patches.
        image, labels = _batch(step, windows, settings, np.random.default_rng([settings.seed, number, iteration]))
        loss = supervised_loss(class_scores(network, image, device), labels.to(device))
        if not torch.isfinite(loss):
            place, hint = f"segmentation, step {len(state.losses) + 1}", "Lower segmentation.learning_rate."
            raise ModelError(place, "the loss must stay finite", loss.item(), hint)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        optimiser.step()
        state.advance(loss.item())
        if progress is not None:
            progress(len(state.losses), state.losses[-1])


def supervised_loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """MONAI's Dice plus cross-entropy over all depths of supervision, background left out of the Dice as in nnU-Net.

    Parameters
    ----------
    outputs : tensor of shape (batch, depth, class, z, y, x)
        Class scores, the finest depth first.
    labels : tensor of shape (batch, z, y, x)
        Labels, int64.

    Returns
    -------
    tensor
        Scalar: the depths' losses weighted 1, 1/2, 1/4, ..., divided by the weights' sum.

    References
    ----------
    Isensee et al., nnU-Net, Nature Methods 2021;18:203-211, Methods, training.
    """
    weights = 0.5 ** np.arange(outputs.shape[1])
    loss = DeepSupervisionLoss(
        DiceCELoss(include_background=False, to_onehot_y=True, softmax=True), weights=list(weights / weights.sum())
    )
    return loss(list(torch.unbind(outputs, dim=1)), labels[:, None])


# --- training set -----------------------------------------------------------------------------------------------------


def _initial_network(settings: SegmentationSettings) -> SubvoxelUNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return build_network(settings.filters, settings.levels, settings.patch_voxels)


def _shares(volumes: Sequence[_TrainingImage]) -> np.ndarray:
    """Share of the voxels of each class, at which the outputs of the network begin.

    The spleen is about one voxel in a hundred. From even odds a run spends its first steps on learning that, and by
    then calls it so improbable that a short run may end before it is found (Lin et al. 2017, ICCV, section 3.3).
    """
    counts = sum(np.bincount(volume.labels.ravel(), minlength=len(ORGANS) + 1) for volume in volumes)
    return counts / counts.sum()


def _training_image(image: sitk.Image, labels: sitk.Image, spacing: float, number: int) -> _TrainingImage:
    place = f"training image {number}"
    if not same_grid(image, labels):
        raise MaskError(place, "label map must lie on the image's grid", "another grid", "Resample the label map.")
    array = to_array(network_grid(image, spacing)).astype(np.float32)
    organs = to_array(network_grid(labels, spacing, labels=True))
    check_labels(organs, place)
    body = body_box(array)
    return _TrainingImage.of(array[body], organs[body].astype(np.uint8))


def coarsened(volume: _TrainingImage, factor: int) -> _TrainingImage:
    """Training image with voxels of `factor` times the edge: mean intensity, and the label of at least half of it.

    What does not fill a whole coarse voxel at the far ends is cut off.
    """
    shape = [length // factor for length in volume.array.shape]
    z, y, x = (length * factor for length in shape)
    blocks = (shape[0], factor, shape[1], factor, shape[2], factor)

    def share(values: np.ndarray) -> np.ndarray:
        return values[:z, :y, :x].reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)

    labels = np.zeros(shape, np.uint8)
    for label in LABELS.values():
        labels[share(volume.labels == label) >= 0.5] = label
    return _TrainingImage.of(share(volume.array), labels)


def _organ_voxels(volumes: Sequence[_TrainingImage]) -> np.ndarray:
    for organ, voxels in zip(ORGANS, zip(*(volume.centres for volume in volumes), strict=True), strict=True):
        if not any(len(found) for found in voxels):
            raise ModelError(
                "training set", f"must hold the {organ} at least once", "no voxel of it", "Add images that show it."
            )
    return np.concatenate([v.array[tuple(indices.T)] for v in volumes for indices in v.centres])


# --- patches ----------------------------------------------------------------------------------------------------------


def _batch(
    step: _Step, windows: Sequence[tuple[int, ...]], settings: SegmentationSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches of one window, drawn from the volumes that have it: images (batch, 1, z, y, x) and labels."""
    window = windows[rng.integers(len(windows))]
    alike = [volume for volume, other in zip(step.volumes, windows, strict=True) if other == window]
    patches = []
    for _ in range(settings.batch_size):
        volume = alike[rng.integers(len(alike))]
        on_organ = rng.random() < FOREGROUND_SHARE
        patches.append(_patch(volume, np.array(window), on_organ, settings.mirror_axes, rng))
    image, labels = (torch.stack(part) for part in zip(*patches, strict=True))
    return image + step.background, labels


def _patch(
    volume: _TrainingImage, edges: np.ndarray, on_organ: bool, mirror_axes: str, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = np.array(volume.array.shape)
    # Patches lie inside the image where it is larger than they are, and hold all of it where it is smaller.
    low, high = np.minimum(0, shape - edges), np.maximum(0, shape - edges)
    present = [voxels for voxels in volume.centres if len(voxels)]
    if on_organ and present:
        voxels = present[rng.integers(len(present))]
        start = np.clip(voxels[rng.integers(len(voxels))] - edges // 2, low, high)
    else:
        start = rng.integers(low, high + 1)
    image, labels = (_turned if rng.random() < TURNED_SHARE else _cut)(volume, start, edges, rng)
    # Air stays air; the rest changes in contrast, level and noise.
    image = image * float(rng.uniform(0.9, 1.1)) + float(rng.normal(0, 0.1)) * (image > 0)
    if rng.random() < NOISE_SHARE:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0, 0.2))
        image = image + torch.from_numpy(noise) * (image > 0)
    mirrored = [axis for axis, name in enumerate("zyx") if name in mirror_axes and rng.random() < 0.5]
    return image.flip(mirrored)[None], labels.flip(mirrored)


def _cut(
    volume: _TrainingImage, start: np.ndarray, edges: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Patch as it is, filled up with air beyond the body."""
    shape = volume.array.shape
    inside = tuple(slice(max(s, 0), min(s + edge, n)) for s, edge, n in zip(start, edges, shape, strict=True))
    target = tuple(slice(part.start - s, part.stop - s) for part, s in zip(inside, start, strict=True))
    image, labels = torch.zeros(tuple(edges)), torch.zeros(tuple(edges), dtype=torch.int64)
    image[target] = torch.from_numpy(volume.array[inside])
    labels[target] = torch.from_numpy(volume.labels[inside].astype(np.int64))
    return image, labels


def _turned(
    volume: _TrainingImage, start: np.ndarray, edges: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Patch turned by up to 10 degrees about each axis and scaled by up to 15 %."""
    angles = rng.uniform(-np.pi / 18, np.pi / 18, 3)
    scale = rng.uniform(0.85, 1.15)
    turn = Rotation.from_euler("XYZ", angles).as_matrix()  # about the array's axes, whatever their names
    shape = np.array(volume.array.shape, float)
    # grid_sample counts from -1 to 1 across the image, x first; a patch spans edges / shape of it.
    matrix = scale * turn * edges / shape[:, None]
    shift = (2 * (start + edges / 2) - shape) / shape
    affine = torch.from_numpy(np.concatenate([matrix[::-1, ::-1], shift[::-1, None]], axis=1).astype(np.float32))
    grid = functional.affine_grid(affine[None], [1, 1, *edges], align_corners=False)
    image = functional.grid_sample(
        torch.from_numpy(volume.array)[None, None], grid, "bilinear", "zeros", align_corners=False
    )
    organs = torch.from_numpy(volume.labels.astype(np.float32))[None, None]
    labels = functional.grid_sample(organs, grid, "nearest", "zeros", align_corners=False)
    return image[0, 0], labels[0, 0].long()


@contextlib.contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Always as many threads an operation, and deterministic algorithms; put back afterwards."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    relaxed = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_num_threads(TRAINING_THREADS)
    if device.type == "cpu":
        # On a GPU the gradient of upsampling has no deterministic form: there the same seed agrees up to rounding.
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # it would cost time, and nothing here reads it
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=relaxed)
        torch.utils.deterministic.fill_uninitialized_memory = fill
