"""A fine-tuned network: what it makes of its inputs, its file, and its model card."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hccbook.errors import DataError, ModelError
from hccbook.features.deep.network import DEPTHS, Backbone, batch_of, split_network, values_of, weights_sum
from hccbook.features.deep.patients import deep_table, significant
from hccbook.features.deep.projection import RUN_AGAIN, ProjectionHead, read_with_card, write_with_card

HISTORY_COLUMNS = ("epoch", "tuned", "train_loss", "inner_loss", "inner_auc")
"""Columns of a training history; `tuned` is the part that the epoch changed."""

Inputs = Mapping[str, Mapping[str, np.ndarray]]
"""By patient key, ``<phase>.<organ>`` to what the tuned part sees: ``results`` of `extract_deep`."""


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
        From the pooled values to those of ALARM; its card says what was tuned, on whom, and how it went.
    """

    backbone: Backbone
    network: torch.nn.Module
    head: ProjectionHead

    @property
    def depth(self) -> str:
        """How deep fine-tuning went, one of `DEPTHS`."""
        return self.head.card["depth"]

    @property
    def history(self) -> pd.DataFrame:
        """Training history, a row an epoch, columns `HISTORY_COLUMNS`; empty where nothing could be tuned."""
        return pd.DataFrame(self.head.card["history"], columns=list(HISTORY_COLUMNS))

    def pooled(self, inputs: Inputs) -> pd.DataFrame:
        """Pooled values of the tuned network.

        Parameters
        ----------
        inputs : mapping of str to mapping
            By patient key, ``<phase>.<organ>`` to what the tuned part sees, as from `extract_deep` with the
            same depth.

        Returns
        -------
        pandas.DataFrame
            As from `deep_table`, for the organ that was tuned.

        Raises
        ------
        DataError
            If a patient lacks a phase, or has an input of another shape.
        """
        names = [f"{phase}.{self.head.organ}" for phase in self.head.phases]
        values = pooled_array(self.network, inputs, list(inputs), names, self.backbone)
        return deep_table({key: dict(zip(names, own, strict=True)) for key, own in zip(inputs, values, strict=True)})

    def transform(self, inputs: Inputs) -> pd.DataFrame:
        """The projected values, columns ``<phase>.<organ>.deep_000`` and on; `inputs` as for `pooled`."""
        return self.head.transform(self.pooled(inputs))

    def logit(self, inputs: Inputs) -> pd.Series:
        """The logit that it was tuned with, averaged over the phases; a higher value means a higher risk."""
        return self.head.logit(self.pooled(inputs))

    def save(self, file: str | Path) -> None:
        """Write the tuned weights (safetensors) and, beside them, the model card (JSON).

        Parameters
        ----------
        file : path-like
            Ends in ``.safetensors``. The part that was not tuned is not written: the card holds the SHA-256 sum of the
            weights that it started from.
        """
        weights = {f"network.{name}": value.cpu() for name, value in self.network.state_dict().items()}
        projection = {f"projection.{name}": value for name, value in self.head.tensors().items()}
        card = {**self.head.card, "organ": self.head.organ, "phases": list(self.head.phases)}
        write_with_card(file, {**weights, **projection}, card)

    @classmethod
    def load(cls, file: str | Path, backbone: Backbone) -> FineTunedNetwork:
        """Read what `save` wrote.

        Parameters
        ----------
        file : path-like
            Ends in ``.safetensors``.
        backbone : Backbone
            What it started from.

        Returns
        -------
        FineTunedNetwork
            The same outputs as before it was saved.

        Raises
        ------
        ModelError
            If the file or its card is missing or incomplete, or it started from another network.
        """
        tensors, card = read_with_card(file)
        name = Path(file).name
        missing = {"depth", "history", "start_sha256"} - set(card)
        if missing or card["depth"] not in DEPTHS:
            found = f"without {', '.join(sorted(missing))}" if missing else f"depth {card['depth']!r}"
            raise ModelError(name, "the card must say what was tuned, and from where", found, RUN_AGAIN)
        if card["start_sha256"] != weights_sum(backbone.module):
            raise ModelError(
                name,
                f"needs the network that it was tuned from ({card.get('start')})",
                backbone.origin,
                "Give the same weights file and seed, or tune anew.",
            )
        head = ProjectionHead.of_tensors(_named(tensors, "projection."), card, name)
        network = copy.deepcopy(split_network(backbone.module, card["depth"])[1])
        try:
            network.load_state_dict(_named(tensors, "network."))
        except RuntimeError as error:
            found = str(error).splitlines()[-1].strip()
            raise ModelError(name, f"must hold the weights of the {card['depth']}", found, RUN_AGAIN) from error
        return cls(backbone, network, head)


def _named(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def pooled_array(
    network: torch.nn.Module, inputs: Inputs, keys: Sequence[str], names: Sequence[str], backbone: Backbone
) -> np.ndarray:
    """Pooled values of shape (patients, phases, pooled), in six digits."""
    volumes = []
    for key in keys:
        for name in names:
            if name not in inputs[key] or inputs[key][name].shape != inputs[keys[0]][names[0]].shape:
                found = f"the shape {inputs[key][name].shape}" if name in inputs[key] else "none"
                raise DataError(
                    f"{key}, {name}", "inputs must be there and of one shape", found, "Extract them with one depth."
                )
            volumes.append(inputs[key][name])
    shape = volumes[0].shape
    if len(network) == 0:
        return np.stack(volumes).reshape(len(keys), len(names), *shape)
    size = batch_of(shape[1:])
    values = [
        values_of(network, np.stack(some).astype(np.float32, copy=False), backbone.device, size)
        for some in (volumes[first : first + size] for first in range(0, len(volumes), size))
    ]
    pooled = significant(np.concatenate(values)).reshape(len(keys), len(names), -1)
    if not np.isfinite(pooled).all():
        key = keys[int(np.flatnonzero(~np.isfinite(pooled).all(axis=(1, 2)))[0])]
        raise DataError(f"deep features of {key}", "must be finite", "a value that is not", "Look at its images.")
    return pooled
