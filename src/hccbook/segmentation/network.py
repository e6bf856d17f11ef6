"""The segmentation network: its architecture, its file, and what it says about an image."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import DynUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle
from safetensors import safe_open
from safetensors.torch import save_file
from scipy import ndimage

from hccbook.documents import checked, parse_json
from hccbook.errors import ImageError, ModelError, reading
from hccbook.images import from_array, same_grid, to_array
from hccbook.images.preprocessing import resample
from hccbook.segmentation.masks import largest_components
from hccbook.settings import ORGANS, SegmentationSettings
from hccbook.store import atomic_path

FILE_FORMAT = "hccbook segmenter 3"
"""First entry of a weights file's metadata; its number grows when the file's content changes."""

ORIENTATION = "LPS"
"""Axes of the arrays that the network sees: x grows to the patient's left, y to the back, z to the head."""

SPACING_TOLERANCE = 0.2
"""Share by which voxel edges may differ from the network's spacing before an image is resampled for it.

Training shows organs up to 15 % larger or smaller, so that scanners of about one voxel size need no resampling, which
would blur the very edges that a mask is about.
"""

IMAGES_TOGETHER = 2
"""Images that go through the network at once.

torch hands a convolution of one small image in whole precision to a method that takes 2.6 times as long (a step of
training on 64 x 48 x 48 voxels, one thread of a processor held to AVX2: 0.39 s alone, 0.15 s in a pair).
"""

_AIR_HU = -500.0  # between air, or lung, and everything else
_MAX_FILTERS = 320  # nnU-Net's bound on the filters of a 3-D network
_BORDER_FILTERS = 8
_LEAST_LEVELS = 4
_METADATA_KEY = "hccbook"
_Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class IntensityNormalisation:
    """Clip and z-score of intensities, learned from the organs' voxels of the training set.

    Attributes
    ----------
    lower, upper : float
        0.5th and 99.5th percentile, HU.
    mean, sd : float
        Mean and standard deviation, HU.

    References
    ----------
    Isensee et al., nnU-Net, Nature Methods 2021;18:203-211, Methods, intensity normalisation for CT.
    """

    lower: float
    upper: float
    mean: float
    sd: float

    @classmethod
    def fit(cls, voxels: np.ndarray) -> IntensityNormalisation:
        """Learn from the organs' voxels (HU)."""
        lower, upper = np.percentile(voxels, (0.5, 99.5))
        mean, sd = float(np.mean(voxels)), float(np.std(voxels))
        if not sd > 0:
            raise ModelError(
                "training set", "the organs' voxels must vary", "one value throughout", "Check that images are CT."
            )
        return cls(float(lower), float(upper), mean, sd)

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise ModelError("intensity", "must have an SD above 0", self.sd, "Train the network again.")

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Normalised intensities, float32, of an array in HU."""
        return ((np.clip(array, self.lower, self.upper) - self.mean) / self.sd).astype(np.float32)

    @property
    def background(self) -> float:
        """Normalised intensity of air, which fills what lies outside an image."""
        return (self.lower - self.mean) / self.sd


@dataclass(frozen=True)
class Provenance:
    """How a network came to be; kept in its file.

    Attributes
    ----------
    filters, levels, patch_voxels : int
        Architecture and patch, as in `hccbook.settings.SegmentationSettings`.
    spacing_mm : float
        Isotropic voxel edge that the network knows, mm; see `hccbook.segmentation.training.target_spacing`.
    seed, pretraining_iterations, coarse_factor, iterations, batch_size : int
        As in the settings.
    learning_rate, momentum : float
        As in the settings.
    mirror_axes : str
        As in the settings.
    images : int
        Number of training images (one a patient and phase).
    """

    filters: int
    levels: int
    patch_voxels: int
    spacing_mm: float
    seed: int
    pretraining_iterations: int
    coarse_factor: int
    iterations: int
    batch_size: int
    learning_rate: float
    momentum: float
    mirror_axes: str
    images: int


def read_tensors(file: Path, key: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What a safetensors file says of itself under a key of its metadata, and its tensors.

    Raises
    ------
    ModelError
        If a tensor holds a value that is not finite; what the library raises over a file that is none of its own.
    """
    with safe_open(file, framework="pt") as opened:
        content = parse_json((opened.metadata() or {}).get(key, "{}"))
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ModelError(file.name, "weights must be finite", f"others in {broken[0]!r}", "Copy the file again.")
    return content, tensors


class SubvoxelUNet(torch.nn.Module):
    """nnU-Net's U-Net at half the resolution, which sorts the eighths of its voxels, and two convolutions at the whole.

    A convolution at the whole resolution costs eight times what it costs at half of it, and holds few filters.
    So the image goes in as eight channels, one for each corner of a voxel of two (space to depth), MONAI's `DynUNet`
    gives scores of every class for every corner (sub-pixel convolution), and a small residual block looks at these
    scores beside the image, which puts the border right.

    After 400 and 350 steps on 36 simulated patients, Dice in 16 others, two seeds: liver 0.978 and 0.973, spleen 0.968
    and 0.959; of the U-Net at whole resolution with eight filters 0.978 and 0.975, 0.969 and 0.965; without the
    residual block 0.965 and 0.957 (one seed). A step of one image of 64 x 48 x 48 voxels in a pair, one thread of a
    processor held to AVX2: 0.15 s; of the U-Net at whole resolution 0.25 s.

    Parameters
    ----------
    filters : int
        Filters at half the resolution, doubled by each deeper level.
    levels : int
        Resolution levels, the whole one among them; at least 4.

    Attributes
    ----------
    stride : int
        What each edge of an image must be a multiple of.

    References
    ----------
    Isensee et al., nnU-Net, Nature Methods 2021;18:203-211, Methods (instance norm, filters, deep supervision).
    Shi et al. 2016, CVPR, section 3 (sub-pixel convolution).
    """

    def __init__(self, filters: int, levels: int) -> None:
        super().__init__()
        self.stride = 2 ** (levels - 1)
        classes, corners = len(ORGANS) + 1, 2**3
        strides = [1] + [2] * (levels - 2)
        self.unet = DynUNet(
            spatial_dims=3,
            in_channels=corners,
            out_channels=classes * corners,
            kernel_size=[3] * len(strides),
            strides=strides,
            upsample_kernel_size=strides[1:],
            filters=[min(filters * 2**level, _MAX_FILTERS) for level in range(len(strides))],
            norm_name=("INSTANCE", {"affine": True}),
            deep_supervision=True,
            deep_supr_num=levels - 3,
        )
        self.border = torch.nn.Sequential(
            torch.nn.Conv3d(classes + 1, _BORDER_FILTERS, 3, padding=1, bias=False),
            torch.nn.InstanceNorm3d(_BORDER_FILTERS, affine=True),
            torch.nn.LeakyReLU(0.01, inplace=True),
            torch.nn.Conv3d(_BORDER_FILTERS, classes, 3, padding=1),
        )
        # It begins by changing nothing.
        for start in (self.border[-1].weight, self.border[-1].bias):
            torch.nn.init.zeros_(start)

    def start_from(self, shares: np.ndarray) -> None:
        """Let each output begin at its class's share of the voxels, shape (n_classes,)."""
        logits = torch.from_numpy(np.log(shares).astype(np.float32))
        with torch.no_grad():
            for head in (self.unet.output_block, *self.unet.deep_supervision_heads):
                # Corners of one class stand side by side.
                bias = head.conv.conv.bias
                bias.copy_(logits.repeat_interleave(len(bias) // len(logits)))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Class scores (batch, class, z, y, x) of images (batch, 1, z, y, x).

        In training (batch, depth, class, z, y, x): as they are, before the last block, and of the coarser levels.
        """
        halved = self.unet(_in_layout(pixelunshuffle(image, 3, 2)))
        scores = [pixelshuffle(part, 3, 2) for part in (torch.unbind(halved, dim=1) if self.training else [halved])]
        final = scores[0] + self.border(_in_layout(torch.cat([scores[0], image], dim=1)))
        return torch.stack([final, *scores], dim=1) if self.training else final


def _in_layout(batch: torch.Tensor) -> torch.Tensor:
    # oneDNN's convolutions are a tenth faster in this layout than in torch's own on a processor held to AVX2.
    return batch.contiguous(memory_format=torch.channels_last_3d)


def build_network(filters: int, levels: int, patch_voxels: int) -> SubvoxelUNet:
    """Network of random weights.

    Parameters
    ----------
    filters, levels
        As of `SubvoxelUNet`.
    patch_voxels : int
        Edge of the training patch, which must leave at least two voxels at the lowest level.

    Raises
    ------
    ModelError
        If there are too few levels, or the patch does not fit them.
    """
    if levels < _LEAST_LEVELS:
        hint = "MONAI's DynUNet starts at 3, one below."
        raise ModelError("segmentation.levels", f"must be at least {_LEAST_LEVELS}", levels, hint)
    stride = 2 ** (levels - 1)
    if patch_voxels % stride or patch_voxels < 2 * stride:
        raise ModelError(
            "segmentation.patch_voxels",
            f"must be a multiple of {stride}, and at least {2 * stride}, for {levels} levels",
            patch_voxels,
            f"Take {max(2, round(patch_voxels / stride)) * stride}, or fewer levels.",
        )
    return SubvoxelUNet(filters, levels).to(memory_format=torch.channels_last_3d)


def window_shape(shape: Sequence[int], patch_voxels: int, stride: int) -> tuple[int, ...]:
    """What the network sees of a body at once, in training and in inference alike.

    Instance norm goes by the mean and SD of all that it sees. A network trained on parts and used on the whole finds
    organs of another size, so both take the whole body where it fits the patch, and windows of the patch elsewhere.

    Parameters
    ----------
    shape : sequence of int
        Body (z, y, x), voxels.
    patch_voxels : int
        Longest edge of the window.
    stride : int
        What each edge must be a multiple of.

    Returns
    -------
    tuple of int
        Window (z, y, x): the body's edges filled up to whole strides, at least two, at most the patch.
    """
    return tuple(min(max(2, -(-length // stride)) * stride, patch_voxels) for length in shape)


def body_box(array: np.ndarray) -> _Box:
    """Smallest box that holds the body (and a table, if there is one): all that is denser than air.

    Parameters
    ----------
    array : ndarray of shape (z, y, x)
        HU.

    Returns
    -------
    tuple of slice
        Box (z, y, x); the whole array where all of it is air.
    """
    boxes = ndimage.find_objects((array > _AIR_HU).view(np.uint8))
    return boxes[0] if boxes else tuple(slice(0, length) for length in array.shape)


def choose_device(name: str) -> torch.device:
    """Device by name; ``auto`` is the first GPU where there is one.

    Raises
    ------
    ModelError
        If ``cuda`` is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("segmentation.device", "cuda needs a GPU that torch can use", "none", "Set device to auto.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


_WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has half-precision convolutions; without, they would be slower than whole ones.

    oneDNN may be limited to fewer instructions than the processor has, so that a run does what an older one would.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper() in _WITHOUT_BFLOAT16:
        return False
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def class_scores(network: SubvoxelUNet, batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Output of the network; in training, and on a GPU, in mixed precision (bfloat16) where the hardware has it.

    So nnU-Net runs. But masks of one network shall be the same on every processor, which they are to a voxel or so
    where no CPU rounds to three digits.

    Parameters
    ----------
    network : SubvoxelUNet
    batch : tensor of shape (batch, 1, z, y, x)
        Normalised intensities.
    device : torch.device

    Returns
    -------
    tensor of float32
        Class scores of shape (batch, class, z, y, x); in training (batch, depth, class, z, y, x).
    """
    # In half precision oneDNN's weight gradient of a volume of two slices takes in memory that was never written.
    thin = batch.shape[2] == 2 * network.stride
    half = has_bfloat16(device) and (device.type == "cuda" or (network.training and not thin))
    # Each weight is used once a pass, and the cache of converted weights would be shared between threads.
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half, cache_enabled=False):
        return network(batch.to(device, memory_format=torch.channels_last_3d)).float()


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network for liver and spleen.

    Attributes
    ----------
    network : SubvoxelUNet
        Weights.
    intensity : IntensityNormalisation
        How its inputs are normalised.
    provenance : Provenance
        How it was made.
    losses : tuple of float
        Training loss by iteration, the pre-training's first.
    device : torch.device
        Where it runs.
    """

    network: SubvoxelUNet
    intensity: IntensityNormalisation
    provenance: Provenance
    losses: tuple[float, ...]
    device: torch.device

    def predict(self, image: sitk.Image) -> sitk.Image:
        """Mask liver and spleen.

        Parameters
        ----------
        image : SimpleITK.Image
            CT volume in HU, of any spacing and orientation.
            One whose voxel edges lie further than `SPACING_TOLERANCE` from the network's is resampled for it, and the
            class probabilities are brought back, as in nnU-Net.

        Returns
        -------
        SimpleITK.Image
            Label map (uint8) on the grid of `image`; each organ in one piece.

        Raises
        ------
        ImageError
            If the image is not 3-D.
        """
        return self.predict_all([image])[0]

    def predict_all(self, images: Sequence[sitk.Image]) -> list[sitk.Image]:
        """Label maps of several images, such as a patient's phases, in their order, as `predict` makes them.

        Images of one size go through the network together, which is faster on a CPU.
        """
        for image in images:
            if image.GetDimension() != 3:
                found = f"{image.GetDimension()} dimensions"
                raise ImageError("segmentation", "image must be 3-D", found, "Pass a volume.")
        seen = [network_grid(image, self.provenance.spacing_mm) for image in images]
        scores = self._body_scores([to_array(image) for image in seen])
        return [
            _voxel_labels(found, box, grid, image)
            if _has_spacing(image, self.provenance.spacing_mm)
            else _resampled_labels(found, box, grid, image)
            for (found, box), grid, image in zip(scores, seen, images, strict=True)
        ]

    def save(self, file: str | Path) -> None:
        """Write the network as safetensors, with everything else in the file's metadata.

        The same network always gives the same bytes.

        Parameters
        ----------
        file : path-like
            File ending in ``.safetensors``.
        """
        content = {
            "format": FILE_FORMAT,
            "organs": list(ORGANS),
            "intensity": asdict(self.intensity),
            "provenance": asdict(self.provenance),
            "losses": list(self.losses),
        }
        # DynUNet lists some layers under two names; safetensors wants each tensor to stand alone.
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self.network.state_dict().items()
        }
        with atomic_path(Path(file)) as part:
            # One metadata entry: safetensors writes several in no fixed order.
            save_file(tensors, part, metadata={_METADATA_KEY: json.dumps(content, sort_keys=True)})

    @classmethod
    def load(cls, file: str | Path, device: str = "auto") -> Segmenter:
        """Read a network that `save` wrote.

        Parameters
        ----------
        file : path-like
            Weights file.
        device : {"auto", "cpu", "cuda"}
            Where it shall run.

        Raises
        ------
        ModelError
            If the file is missing, is no safetensors file, was not written by `save`, or was written by another
            version of it.
        """
        file = Path(file)
        hint = "Name a file that training here wrote, or leave segmentation.weights empty to train one."
        if not file.is_file():
            raise ModelError(file.name, "weights file must exist", "no such file", hint)
        with reading(ModelError, file.name, "weights must be a safetensors file", hint):
            content, tensors = read_tensors(file, _METADATA_KEY)
        with reading(ModelError, file.name, "weights must fit the network that the file names", hint):
            written = content.get("format", "no hccbook metadata")
            if written != FILE_FORMAT:
                raise ModelError(file.name, f"weights must be of format {FILE_FORMAT!r}", written, hint)
            provenance = checked(Provenance, content["provenance"], file.name, ModelError, hint)
            # A network of any size could be asked for.
            sizes = {name: getattr(provenance, name) for name in ("filters", "levels", "patch_voxels")}
            SegmentationSettings.checked(file.name, sizes)
            if not provenance.spacing_mm > 0:
                raise ModelError(file.name, "spacing must be above 0 mm", provenance.spacing_mm, hint)
            intensity = checked(IntensityNormalisation, content["intensity"], file.name, ModelError, hint)
            network = build_network(**sizes)
            network.load_state_dict(tensors)
            # DynUNet has some layers under two names: of two that differ, the later one would count.
            loaded = network.state_dict()
            twofold = [name for name, tensor in tensors.items() if not torch.equal(loaded[name], tensor)]
            if twofold:
                rule = "weights must be the same under each name of a layer"
                raise ModelError(file.name, rule, f"others in {twofold[0]!r}", "Copy the file again.")
            losses = checked(tuple[float, ...], content["losses"], file.name, ModelError, hint)
        chosen = choose_device(device)
        return cls(network.to(chosen).eval(), intensity, provenance, losses, chosen)

    @property
    def _stride(self) -> int:
        return 2 ** (self.provenance.levels - 1)

    def _body_scores(self, arrays: Sequence[np.ndarray]) -> list[tuple[torch.Tensor, _Box]]:
        """Class scores (class, z, y, x) inside each body's box, and the box."""
        boxes = [body_box(np.asarray(array)) for array in arrays]
        bodies = [self._padded(np.asarray(array)[box]) for array, box in zip(arrays, boxes, strict=True)]
        shapes = [body.shape for body in bodies]
        found: list[torch.Tensor] = [torch.empty(0)] * len(arrays)
        for shape in dict.fromkeys(shapes):
            members = [index for index, other in enumerate(shapes) if other == shape]
            batch = torch.from_numpy(np.stack([bodies[index] for index in members])[:, None])
            for index, scores in zip(members, self._scores(batch), strict=True):
                z, y, x = np.asarray(arrays[index])[boxes[index]].shape
                found[index] = scores[:, :z, :y, :x].cpu()
        return list(zip(found, boxes, strict=True))

    def _padded(self, array: np.ndarray) -> np.ndarray:
        """Normalised array, filled up with air to its window where it is shorter."""
        window = window_shape(array.shape, self.provenance.patch_voxels, self._stride)
        shape = np.maximum(array.shape, window)
        padded = np.full(shape, self.intensity.background, np.float32)
        padded[tuple(slice(length) for length in array.shape)] = self.intensity(array)
        return padded

    def _scores(self, batch: torch.Tensor) -> torch.Tensor:
        """Class scores of shape (batch, class, z, y, x)."""
        shape = tuple(batch.shape[2:])
        window = window_shape(shape, self.provenance.patch_voxels, self._stride)
        with torch.inference_mode():
            if shape == window:
                return class_scores(self.network, batch, self.device)
            return sliding_window_inference(
                batch,
                roi_size=window,
                sw_batch_size=IMAGES_TOGETHER,
                predictor=lambda part: class_scores(self.network, part, self.device),
                overlap=0.5,
                mode="gaussian",
                sw_device=self.device,
                device="cpu",
            )


def network_grid(image: sitk.Image, spacing_mm: float, *, labels: bool = False) -> sitk.Image:
    """Image as the network sees it.

    Parameters
    ----------
    image : SimpleITK.Image
        CT volume in HU, or a label map.
    spacing_mm : float
        Isotropic voxel edge, mm.
    labels : bool
        Whether it is a label map.

    Returns
    -------
    SimpleITK.Image
        The image with its axes in the order and direction of `ORIENTATION`, voxel by voxel, if its voxel edges are
        within `SPACING_TOLERANCE` of the spacing; otherwise resampled to it.
    """
    if _has_spacing(image, spacing_mm):
        return sitk.DICOMOrient(image, ORIENTATION)
    return resample(image, spacing_mm, labels=labels)


def _has_spacing(image: sitk.Image, spacing_mm: float) -> bool:
    return np.allclose(image.GetSpacing(), spacing_mm, rtol=SPACING_TOLERANCE, atol=0)


def _likeliest(scores: torch.Tensor) -> np.ndarray:
    """Class of the highest score, the lower of equal ones; several times as fast as `argmax` over so few classes."""
    first, *others = scores.numpy()
    best, labels = first.copy(), np.zeros(first.shape, np.uint8)
    for label, score in enumerate(others, start=1):
        labels[score > best] = label
        np.maximum(best, score, out=best)
    return labels


def _voxel_labels(scores: torch.Tensor, box: _Box, grid: sitk.Image, image: sitk.Image) -> sitk.Image:
    """Label map of `image` from class scores inside a box of `grid`, which holds the same voxels in other axes."""
    array = np.zeros(grid.GetSize()[::-1], np.uint8)
    array[box] = largest_components(_likeliest(scores))
    labels = from_array(array, grid)
    if same_grid(labels, image):
        labels.CopyInformation(image)
        return labels
    return sitk.Resample(labels, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)


def _resampled_labels(scores: torch.Tensor, box: _Box, grid: sitk.Image, image: sitk.Image) -> sitk.Image:
    """Label map of `image` from class scores inside a box of `grid`, whose voxels are others.

    The probabilities are interpolated, not the labels: a mask between two voxels stays between them.
    """
    best = np.zeros(image.GetSize()[::-1], np.float32)
    array = np.zeros(best.shape, np.uint8)
    for label, shares in enumerate(torch.softmax(scores, dim=0).numpy()):
        whole = np.full(grid.GetSize()[::-1], float(label == 0), np.float32)
        whole[box] = shares
        found = sitk.Resample(from_array(whole, grid), image, sitk.Transform(), sitk.sitkLinear, float(label == 0))
        shares = sitk.GetArrayViewFromImage(found)
        array[shares > best] = label
        np.maximum(best, shares, out=best)
    return from_array(largest_components(array), image)
