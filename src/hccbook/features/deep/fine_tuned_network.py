"""A fine-tuned network: how it was tuned, what it makes of its inputs, its file, and its model card."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from hccbook.documents import checked, read_json
from hccbook.errors import DataError, ModelError, reading
from hccbook.features.deep.network import DEPTHS, Backbone, batch_of, split_network, values_of, weights_sum
from hccbook.features.deep.patients import deep_table, significant
from hccbook.store import atomic_path

HISTORY_COLUMNS = ("epoch", "tuned", "train_loss", "inner_loss", "inner_auc")
"""Columns of a training history; `tuned` is the part that the epoch changed."""

MAX_SD = 5.0
"""Where z-scores of pooled values are clipped."""

Inputs = Mapping[str, Mapping[str, np.ndarray]]
"""By patient key, ``<phase>.<organ>`` to what the tuned part sees: ``results`` of `extract_deep`."""

_RUN_AGAIN = "Run the features stage again."


@dataclass(frozen=True)
class Tuning:
    """How a network is fine-tuned.

    Attributes
    ----------
    depth : {"network", "last_stage", "projection"}
        What is tuned: the whole network (for a GPU, or patience) or its last residual stage, with the projection behind
        it, or the projection alone.
    epochs : int
        Most passes over the cohort for each part; with 0 nothing is tuned.
    seed : int
        Seed of the projection, of the inner split, of the batches, and of what is dropped and shifted.
    min_gain : float
        Share by which the inner loss must fall below that of the best epoch for a better one.
    """

    depth: str
    epochs: int
    seed: int
    min_gain: float = 0.0


@dataclass(frozen=True)
class _Card:
    """What is read of a model card."""

    depth: str
    epochs_allowed: int
    min_gain: float
    seed: int
    history: list[dict[str, int | float | str | None]]
    start_sha256: str
    organ: str
    phases: list[str]


@dataclass(frozen=True, eq=False)
class ProjectionHead:
    """What makes ALARM's 100 values a phase out of the 2,048 that ResNet-50 pools to.

    One projection serves all phases: z-scores of the pooled values (each phase by its own mean and SD in the
    development cohort, clipped at `MAX_SD`), times a matrix, through tanh.

    Attributes
    ----------
    mean, scale : ndarray of shape (phases, pooled)
        Of the development cohort; where a value is constant its scale is 1.
    weight : ndarray of shape (outputs, pooled)
    bias : ndarray of shape (outputs,)
    risk : ndarray of shape (outputs,)
        Weights of the logit that the projection was tuned with; zero where it was not tuned.
    offset : ndarray of shape (1,)
        Its intercept.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    risk: np.ndarray
    offset: np.ndarray

    def __post_init__(self) -> None:
        shapes = [value.shape for value in vars(self).values()]
        outputs, pooled = self.weight.shape if self.weight.ndim == 2 else (0, 0)
        of_phases = (len(self.mean), pooled) if self.mean.ndim else ()
        if shapes != [of_phases, of_phases, (outputs, pooled), (outputs,), (outputs,), (1,)]:
            raise ModelError("projection", "arrays must fit together", shapes, _RUN_AGAIN)
        if not all(np.isfinite(value).all() for value in vars(self).values()) or not (self.scale > 0).all():
            raise ModelError("projection", "must be finite, with scales above 0", "others", _RUN_AGAIN)

    def values(self, pooled: np.ndarray) -> np.ndarray:
        """Projected values of pooled ones, both (patients, phases, values); -1 to 1, six significant digits."""
        return significant(np.tanh(z_scores(pooled, self.mean, self.scale) @ self.weight.T + self.bias))

    def logit(self, pooled: np.ndarray) -> np.ndarray:
        """Logit of each patient, averaged over the phases; a higher value means a higher risk."""
        return (self.values(pooled) @ self.risk + self.offset).mean(axis=1)


def z_scores(pooled: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Departures from the mean in SD, clipped at `MAX_SD`."""
    # A unit that hardly fired in development has a tiny SD: in one later patient it would drown all others.
    return np.clip((pooled - mean) / scale, -MAX_SD, MAX_SD)


@dataclass(frozen=True, eq=False)
class FineTunedNetwork:
    """A network whose last part, with the projection behind it, was tuned on the development cohort.

    Attributes
    ----------
    backbone : Backbone
        What it started from; its first part is unchanged.
    network : torch.nn.Module
        The tuned part, from its inputs to the pooled values; empty where the projection alone was tuned.
    head : ProjectionHead
        From the pooled values to those of ALARM.
    card : dict
        What was tuned, on whom, and how it went.
    """

    backbone: Backbone
    network: torch.nn.Module
    head: ProjectionHead
    card: dict[str, Any]

    @property
    def tuning(self) -> Tuning:
        """How it was tuned."""
        return Tuning(self.card["depth"], self.card["epochs_allowed"], self.card["seed"], self.card["min_gain"])

    @property
    def history(self) -> pd.DataFrame:
        """Training history, one row per epoch, columns `HISTORY_COLUMNS`; empty where nothing could be tuned."""
        return pd.DataFrame(self.card["history"], columns=list(HISTORY_COLUMNS))

    def pooled(self, inputs: Inputs) -> np.ndarray:
        """Pooled values of the tuned network.

        Parameters
        ----------
        inputs : Inputs
            As from `extract_deep` with the same depth.

        Returns
        -------
        ndarray of shape (patients, phases, pooled)

        Raises
        ------
        DataError
            If a patient lacks a phase, has an input of another shape, or gives a value that is not finite.
        """
        return pooled_array(self.network, inputs, self._names, self.backbone)

    def transform(self, inputs: Inputs) -> pd.DataFrame:
        """The projected values, columns ``<phase>.<organ>.deep_000`` and on; `inputs` as for `pooled`."""
        values = self.head.values(self.pooled(inputs))
        rows = (dict(zip(self._names, row, strict=True)) for row in values)
        return deep_table(dict(zip(inputs, rows, strict=True)))

    def logit(self, inputs: Inputs) -> pd.Series:
        """The logit that it was tuned with, averaged over the phases; a higher value means a higher risk."""
        patients = pd.Index(list(inputs), name="patient")
        return pd.Series(self.head.logit(self.pooled(inputs)), index=patients, name="logit")

    @property
    def _names(self) -> list[str]:
        return [f"{phase}.{self.card['organ']}" for phase in self.card["phases"]]

    def save(self, file: str | Path) -> None:
        """Write the tuned weights (``.safetensors``) and, beside them, the model card (JSON).

        The part that was not tuned is not written: the card holds the SHA-256 sum of the weights that it started from.

        Raises
        ------
        ModelError
            If the ending is another one.
        """
        file = _safetensors(file)
        tensors = {f"network.{name}": value.cpu() for name, value in self.network.state_dict().items()}
        for name, array in vars(self.head).items():
            tensors[f"projection.{name}"] = torch.from_numpy(np.ascontiguousarray(array))
        with atomic_path(file) as temporary:
            save_file(tensors, temporary)
        with atomic_path(file.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(self.card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: str | Path, backbone: Backbone) -> FineTunedNetwork:
        """Read what `save` wrote; the outputs are the same as before it was saved.

        Parameters
        ----------
        file : path-like
            Ends in ``.safetensors``.
        backbone : Backbone
            What it started from.

        Raises
        ------
        ModelError
            If the file or its card is missing, unreadable or incomplete, or it started from another network.
        """
        file = _safetensors(file)
        for needed in (file, file.with_suffix(".json")):
            if not needed.is_file():
                raise ModelError(needed.name, "file of the model must exist", "no such file", _RUN_AGAIN)
        with reading(ModelError, file.name, "model must be a safetensors file", _RUN_AGAIN):
            tensors = load_file(file)
        card = read_json(file.with_suffix(".json"), ModelError, _RUN_AGAIN)
        checked(_Card, card, file.with_suffix(".json").name, ModelError, _RUN_AGAIN)
        if card["depth"] not in DEPTHS:
            rule = f"depth must be one of {', '.join(DEPTHS)}"
            raise ModelError(file.with_suffix(".json").name, rule, repr(card["depth"]), _RUN_AGAIN)
        if card["start_sha256"] != weights_sum(backbone.module):
            rule = f"needs the network that it was tuned from ({card.get('start')})"
            hint = "Give the same weights file and seed, or tune anew."
            raise ModelError(file.name, rule, backbone.origin, hint)
        arrays = {name: value.numpy() for name, value in _named(tensors, "projection.").items()}
        needed_arrays = ProjectionHead.__dataclass_fields__
        if set(arrays) != set(needed_arrays):
            raise ModelError(file.name, f"must hold {', '.join(needed_arrays)}", sorted(arrays), _RUN_AGAIN)
        network = copy.deepcopy(split_network(backbone.module, card["depth"])[1])
        with reading(ModelError, file.name, f"must hold the weights of the {card['depth']}", _RUN_AGAIN):
            network.load_state_dict(_named(tensors, "network."))
        return cls(backbone, network, ProjectionHead(**arrays), card)


def _safetensors(file: str | Path) -> Path:
    file = Path(file)
    if file.suffix != ".safetensors":
        raise ModelError(file.name, "model must be a .safetensors file", repr(file.suffix), "Change the ending.")
    return file


def _named(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def pooled_array(network: torch.nn.Module, inputs: Inputs, names: Sequence[str], backbone: Backbone) -> np.ndarray:
    """Pooled values of shape (patients, phases, pooled), in six digits; `names` are those of the phases' inputs."""
    volumes = []
    for key, by_name in inputs.items():
        for name in names:
            if name not in by_name or (volumes and by_name[name].shape != volumes[0].shape):
                found = f"the shape {by_name[name].shape}" if name in by_name else "none"
                raise DataError(
                    f"{key}, {name}", "inputs must be there and of one shape", found, "Extract them with one depth."
                )
            volumes.append(by_name[name])
    if len(network):
        size = batch_of(volumes[0].shape[1:])
        values = [
            values_of(network, np.stack(some).astype(np.float32, copy=False), backbone.device, size)
            for some in (volumes[first : first + size] for first in range(0, len(volumes), size))
        ]
        pooled = significant(np.concatenate(values))
    else:
        pooled = np.stack(volumes).astype(float)
    pooled = pooled.reshape(len(inputs), len(names), -1)
    if not np.isfinite(pooled).all():
        key = list(inputs)[int(np.flatnonzero(~np.isfinite(pooled).all(axis=(1, 2)))[0])]
        raise DataError(f"deep features of {key}", "must be finite", "a value that is not", "Look at its images.")
    return pooled
