"""3D residual networks: pretrained or random weights, what they pool to, and where they part for fine-tuning."""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # what torch raises where loading a file would run code; nothing is pickled here

import numpy as np
import torch
from safetensors.torch import load_file

from hccbook.errors import DataError, ModelError, SettingsError, reading
from hccbook.provenance import digest

WIDTHS = {"resnet18": 512, "resnet50": 2048}
"""Networks at hand and the number of values that each pools to."""

BATCH = 16
"""Crops a forward pass, fewer where crops are larger than 64 voxels an edge.

A value's last bits depend on the size of its batch, so the last pass is filled up with empty crops. With 16 they do not
depend on the number of threads either (with 8 they do), nor on the place in the batch, nor on the other crops.
"""

DEPTHS = ("network", "last_stage", "projection")
"""How deep fine-tuning goes: everything, the fourth residual stage and what follows, or nothing of the network."""

_PARTS = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
_HEADS_OF_OTHERS = ("fc.", "conv_seg.", "classifier.")
_PREFIXES = ("module.", "state_dict.", "model.", "backbone.")


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
        with reading(ModelError, file.name, "weights file must be readable", "Copy or download it again."):
            safe = file.suffix == ".safetensors"
            content = load_file(file) if safe else torch.load(file, map_location="cpu", weights_only=True)
    except ModelError as error:
        if isinstance(error.__cause__, UnpicklingError):
            rule, hint = "weights file must hold tensors only", "Save the state_dict alone."
            raise ModelError(file.name, rule, "other objects, or no weights", hint) from error
        raise
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
    hint = f"Name weights of a 3D {network} for one channel, such as MedicalNet's."
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    if missing:
        rule = f"must hold all weights of {network}"
        raise ModelError(file, rule, f"{len(missing)} missing, the first {missing[0]!r}", hint)
    unknown = [key for key in given if key not in own]
    if unknown:
        rule = f"must hold weights of {network} only"
        raise ModelError(file, rule, f"{len(unknown)} others, the first {unknown[0]!r}", hint)
    for key, value in given.items():
        if value.shape != own[key].shape:
            rule = f"{key!r} must have the shape {tuple(own[key].shape)}"
            raise ModelError(file, rule, f"{tuple(value.shape)}", hint)
        if not torch.isfinite(value).all():
            raise ModelError(file, f"{key!r} must be finite", "NaN or infinite weights", "Copy or download it again.")
    module.load_state_dict(given, strict=False)


def pooled_features(backbone: Backbone, crops: np.ndarray) -> np.ndarray:
    """Average-pooled activations of a frozen network.

    Parameters
    ----------
    backbone : Backbone
    crops : ndarray of float32, shape (n, 1, z, y, x)
        Organ crops, as from `crop_to_box`.

    Returns
    -------
    ndarray of float32, shape (n, width)
        512 values of ResNet-18, 2,048 of ResNet-50.

    Raises
    ------
    DataError
        If the shape is another one, or a value comes out that is not finite.
    """
    pooled = stage_values(backbone, "projection", crops)
    if not np.isfinite(pooled).all():
        raise DataError(backbone.name, "must give finite values", "NaN or infinite ones", "Check crops and weights.")
    return pooled


def stage_values(backbone: Backbone, depth: str, crops: np.ndarray) -> np.ndarray:
    """What the part of a network sees that fine-tuning would change.

    Parameters
    ----------
    backbone : Backbone
    depth : {"network", "last_stage", "projection"}
        See `DEPTHS`.
    crops : ndarray of float32, shape (n, 1, z, y, x)
        Organ crops, as from `crop_to_box`.

    Returns
    -------
    ndarray of float32
        The crops themselves, the output of the third stage, shape (n, channels, z, y, x), or the pooled values, shape
        (n, width).

    Raises
    ------
    DataError
        If the shape is another one.
    """
    crops = np.asarray(crops, dtype=np.float32)
    if crops.ndim != 5 or crops.shape[1] != 1:
        raise DataError("organ crops", "must have the shape (n, 1, z, y, x)", crops.shape, "Stack the crops.")
    before, _ = split_network(backbone.module, depth)
    return values_of(before, crops, backbone.device, batch_of(crops.shape[2:]))


def split_network(module: torch.nn.Module, depth: str) -> tuple[torch.nn.Sequential, torch.nn.Sequential]:
    """The part of a network that stays as it is, and the part behind it that is tuned.

    Parameters
    ----------
    module : torch.nn.Module
        `Backbone.module`.
    depth : {"network", "last_stage", "projection"}
        See `DEPTHS`.

    Returns
    -------
    before, tuned : torch.nn.Sequential
        One after the other they are the network; they share its weights, whose names stay the same.

    Raises
    ------
    SettingsError
        If the depth is unknown.
    """
    if depth not in DEPTHS:
        raise SettingsError("fine_tune", f"must be one of {', '.join(DEPTHS)}", repr(depth), "Check the spelling.")
    parts = OrderedDict((name, module.get_submodule(name)) for name in _PARTS)
    parts["flatten"] = torch.nn.Flatten(1)
    names = list(parts)
    cut = {"network": 0, "last_stage": names.index("layer4"), "projection": len(names)}[depth]
    pieces = [OrderedDict((name, parts[name]) for name in some) for some in (names[:cut], names[cut:])]
    before, tuned = (torch.nn.Sequential(piece).train(module.training) for piece in pieces)
    return before, tuned


def values_of(module: torch.nn.Module, inputs: np.ndarray, device: torch.device, batch: int) -> np.ndarray:
    """Outputs of a frozen module, whose last pass is filled up with empty inputs (see `BATCH`).

    Parameters
    ----------
    module : torch.nn.Module
        On `device`, in evaluation mode.
    inputs : ndarray of float32, shape (n, ...)
    batch : int
        Inputs a pass.

    Returns
    -------
    ndarray of float32, shape (n, ...)
    """
    outputs = []
    with torch.inference_mode(), reproducible(device):
        for start in range(0, len(inputs), batch):
            part = inputs[start : start + batch]
            full = np.zeros((batch, *inputs.shape[1:]), dtype=np.float32)
            full[: len(part)] = part
            outputs.append(module(torch.from_numpy(full).to(device))[: len(part)].float().cpu().numpy())
    return np.concatenate(outputs)


def weights_sum(module: torch.nn.Module) -> str:
    """SHA-256 sum over names, shapes and values of all weights, hexadecimal."""
    total = hashlib.sha256()
    for name, value in module.state_dict().items():
        total.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def batch_of(shape: Sequence[int]) -> int:
    """Crops a pass for crops of this shape (z, y, x)."""
    return max(1, min(BATCH, BATCH * 64**3 // int(np.prod(shape))))


@contextlib.contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Deterministic convolutions on a GPU; on a CPU nothing needs to be done."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
