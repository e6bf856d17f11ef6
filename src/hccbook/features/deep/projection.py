"""The projection that ALARM's 100 values a phase need: how it is applied, kept, and tuned on a frozen network."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from hccbook.errors import DataError, ModelError
from hccbook.features.deep.network import Backbone
from hccbook.features.deep.patients import feature_names, significant
from hccbook.store import atomic_path

RUN_AGAIN = "Run the features stage again."
"""Hint of a model file that is not what it should be."""

PROJECTED = 100
"""Values a phase in ALARM."""

_ARRAYS = ("mean", "scale", "weight", "bias", "risk")
MAX_SD = 5.0
"""Where z-scores of pooled values are clipped."""

INNER_FOLDS = 4
"""Inner folds of the development cohort, and the patients of the rarer outcome that tuning needs."""

_LEARNING_RATE = 1e-4
_WEIGHT_DECAY = 1.0

DROPOUT = 0.5
"""Share of the pooled values that a training step does not see."""

_TUNING_BATCH = 32


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
        volumes = pooled_volumes(pooled, self.organ, self.phases, self.weight.shape[1])
        values = np.tanh(z_scores(volumes, self.mean, self.scale) @ self.weight.T + self.bias)
        columns = [name for phase in self.phases for name in feature_names(f"{phase}.{self.organ}", len(self.bias))]
        return pd.DataFrame(significant(values.reshape(len(pooled), -1)), index=pooled.index, columns=columns)

    def logit(self, pooled: pd.DataFrame) -> pd.Series:
        """Logit that the projection was tuned with, averaged over the phases.

        Parameters
        ----------
        pooled : pandas.DataFrame
            As for `transform`.

        Returns
        -------
        pandas.Series
            By patient; a higher value means a higher risk. Zero throughout where the projection was not tuned.
        """
        values = self.transform(pooled).to_numpy().reshape(len(pooled), len(self.phases), -1)
        return pd.Series((values @ self.risk + self.offset).mean(axis=1), index=pooled.index, name="logit")

    def tensors(self) -> dict[str, torch.Tensor]:
        """The arrays by name, as they are written to a file."""
        arrays = {name: getattr(self, name) for name in _ARRAYS} | {"offset": np.array([self.offset])}
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any], file: str) -> ProjectionHead:
        """What `tensors` gave, and the card, put together again.

        Parameters
        ----------
        tensors : mapping of str to tensor
        card : mapping
            The model card with organ and phases.
        file : str
            Name for messages.

        Raises
        ------
        ModelError
            If an array, the organ or the phases are missing.
        """
        missing = {*_ARRAYS, "offset"} - set(tensors)
        if missing or not {"organ", "phases"} <= set(card):
            rule = f"must hold {', '.join(_ARRAYS)}, offset, and in its card organ and phases"
            raise ModelError(file, rule, f"{sorted(missing) or sorted(card)}", RUN_AGAIN)
        rest = {name: value for name, value in card.items() if name not in ("organ", "phases")}
        arrays = {name: tensors[name].numpy() for name in _ARRAYS}
        return cls(card["organ"], tuple(card["phases"]), offset=float(tensors["offset"][0]), card=rest, **arrays)

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
        write_with_card(file, self.tensors(), {**self.card, "organ": self.organ, "phases": list(self.phases)})

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
        tensors, card = read_with_card(file)
        return cls.of_tensors(tensors, card, Path(file).name)


def write_with_card(file: str | Path, tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> None:
    """Write tensors (safetensors) and, beside them, the model card (JSON).

    Raises
    ------
    ModelError
        If the file does not end in ``.safetensors``.
    """
    file = _safetensors(file)
    with atomic_path(file) as temporary:
        save_file(dict(tensors), temporary)
    with atomic_path(file.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_with_card(file: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_with_card` wrote.

    Raises
    ------
    ModelError
        If the file or its card is missing or unreadable; the message names the file.
    """
    file = _safetensors(file)
    for needed in (file, file.with_suffix(".json")):
        if not needed.is_file():
            raise ModelError(needed.name, "file of the model must exist", "no such file", RUN_AGAIN)
    try:
        return load_file(file), json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    except (SafetensorError, ValueError, OSError) as error:
        raise ModelError(file.name, "model and its card must be readable", str(error), RUN_AGAIN) from error


def _safetensors(file: str | Path) -> Path:
    file = Path(file)
    if file.suffix != ".safetensors":
        raise ModelError(file.name, "model must be a .safetensors file", repr(file.suffix), "Change the ending.")
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
    describes and that is not public; `fine_tune` tunes the network itself. The paper does not say how 2,048 pooled
    values became 100 either.

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
    outcome = checked_outcome(pooled, hcc)
    volumes = pooled_volumes(pooled, organ, phases, width)
    mean, scale = mean_and_scale(volumes)
    z = z_scores(volumes, mean, scale)
    start = random_projection(outputs, width, seed)
    with one_thread():
        chosen, history, note = _chosen_epochs(z, outcome, start, epochs, seed)
        tuned, _ = next(itertools.islice(tuning_epochs(z, outcome, start, [seed, 1]), chosen, None))
    card = {
        "name": "projection of pooled 3D ResNet values",
        "what": f"{width} pooled values of a frozen network to {outputs}; the projection alone is tuned",
        "use": "research and teaching; not for clinical use",
        "data": "development cohort only",
        "patients": len(outcome),
        "hcc": int(outcome.sum()),
        "inner_patients": len(outcome) if history else 0,
        "inner_hcc": int(outcome.sum()) if history else 0,
        "network": backbone.name if backbone else "not given",
        "network_weights": backbone.origin if backbone else "not given",
        "seed": seed,
        "epochs_allowed": epochs,
        "epochs": chosen,
        "note": note,
        "inner_auc": history[chosen]["inner_auc"] if history else None,
        "inner_folds": INNER_FOLDS if history else 0,
        "history": history,
    }
    return ProjectionHead(organ=organ, phases=phases, mean=mean, scale=scale, card=card, **tuned.arrays())


def checked_outcome(pooled: pd.DataFrame, hcc: pd.Series) -> np.ndarray:
    """Outcome of every patient as 0.0 and 1.0, shape (patients,)."""
    if not pooled.index.equals(hcc.index) or not pooled.index.is_unique or len(pooled) == 0:
        odd = list(pooled.index.symmetric_difference(hcc.index))[:3] or "another order, or a patient twice"
        raise DataError(
            "deep features", "patients and outcomes must have the same index", odd, "Pass development patients only."
        )
    outcome = hcc.to_numpy()
    if not np.isin(outcome, (0, 1)).all():
        raise DataError("hcc", "must hold 0 and 1", sorted(set(outcome) - {0, 1})[:3], "Leave out unknown outcomes.")
    return outcome.astype(float)


def pooled_volumes(pooled: pd.DataFrame, organ: str, phases: Sequence[str], width: int) -> np.ndarray:
    """Values of shape (patients, phases, pooled)."""
    columns = [name for phase in phases for name in feature_names(f"{phase}.{organ}", width)]
    missing = [name for name in columns if name not in pooled.columns]
    if missing or not columns:
        found = f"{len(missing)} missing, the first {missing[0]}" if missing else f"none of {organ}"
        raise DataError("deep features", "must hold the pooled values of every phase", found, "Extract them first.")
    values = pooled[columns].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        key = pooled.index[~np.isfinite(values).all(axis=1)][0]
        raise DataError(f"deep features of {key}", "must be finite", "a value that is not", "Extract them again.")
    return values.reshape(len(pooled), len(phases), width)


def mean_and_scale(volumes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD over patients, shape (phases, pooled); where a value is constant its scale is 1."""
    mean, scale = volumes.mean(axis=0), volumes.std(axis=0)
    return mean, np.where(scale > 1e-9 * np.maximum(np.abs(mean), 1e-9), scale, 1.0)


def random_projection(outputs: int, width: int, seed: int) -> torch.Tensor:
    """Where every projection starts, shape (outputs, width), float64."""
    return torch.from_numpy(np.random.default_rng([seed, 0]).normal(0, width**-0.5, (outputs, width)))


def z_scores(volumes: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Departures from the mean in SD, clipped at `MAX_SD`."""
    # A unit that hardly fired in development has a tiny SD: in one later patient it would drown all others.
    return np.clip((volumes - mean) / scale, -MAX_SD, MAX_SD)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread an operation, put back afterwards."""
    # The matrices are too small to be worth sharing between threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _chosen_epochs(
    z: np.ndarray, outcome: np.ndarray, start: torch.Tensor, epochs: int, seed: int
) -> tuple[int, list[dict[str, Any]], str]:
    """Number of epochs, losses and AUC on held-out patients by epoch, and what to say about it."""
    if why := why_not_tuned(outcome, epochs):
        return 0, [], why
    curves = np.mean(_inner_curves(z, outcome, start, epochs, seed), axis=0)
    chosen = int(np.argmin(curves[:, 1]))
    history = [history_row(epoch, "projection", *values) for epoch, values in enumerate(curves)]
    return chosen, history, f"tuned for {chosen} epochs" if chosen else "not tuned: held-out loss never fell"


def why_not_tuned(outcome: np.ndarray, epochs: int) -> str:
    """Why nothing can be tuned; empty where it can."""
    rarer = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if epochs == 0:
        return "not tuned: epochs = 0"
    if rarer < INNER_FOLDS:
        return f"not tuned: {rarer} patients of the rarer outcome, {INNER_FOLDS} needed to choose the epochs"
    return ""


def inner_folds(outcome: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds of the development patients: positions to fit to, and positions held out."""
    folds = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed % 2**32)
    return list(folds.split(outcome, outcome))


def history_row(epoch: int, tuned: str, train_loss: float, inner_loss: float, inner_auc: float) -> dict[str, Any]:
    """One epoch of a training history; None where there is no loss to tell."""
    losses = {"train_loss": train_loss, "inner_loss": inner_loss, "inner_auc": inner_auc}
    return {"epoch": epoch, "tuned": tuned} | {
        name: None if np.isnan(value) else round(float(value), 6) for name, value in losses.items()
    }


def _inner_curves(
    z: np.ndarray, outcome: np.ndarray, start: torch.Tensor, epochs: int, seed: int
) -> list[list[tuple[float, float, float]]]:
    """Training loss, and loss and AUC on held-out patients, after 0, 1, ... epochs, fold by fold."""
    curves = []
    for number, (fit, held_out) in enumerate(inner_folds(outcome, seed)):
        samples = torch.from_numpy(z[held_out])
        weight = weight_of_hcc(outcome[fit])
        curve = []
        steps = tuning_epochs(z[fit], outcome[fit], start, [seed, 2, number])
        for _, (model, train_loss) in zip(range(epochs + 1), steps, strict=False):
            with torch.no_grad():
                curve.append((train_loss, *held_out_scores(model(samples), outcome[held_out], weight)))
        curves.append(curve)
    return curves


def held_out_scores(logits: torch.Tensor, outcome: np.ndarray, weight: torch.Tensor) -> tuple[float, float]:
    """Loss over patients and phases, and AUC of the patients' mean logits, of logits of shape (patients, phases)."""
    truth = torch.from_numpy(np.repeat(outcome[:, None], logits.shape[1], axis=1)).to(logits)
    loss = float(weighted_loss(logits, truth, weight.to(logits)))
    return loss, float(roc_auc_score(outcome, logits.mean(dim=1).cpu().numpy()))


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


def weight_of_hcc(outcome: np.ndarray) -> torch.Tensor:
    """Patients without HCC for each with HCC."""
    return torch.tensor((len(outcome) - outcome.sum()) / max(outcome.sum(), 1.0), dtype=torch.float64)


def weighted_loss(logits: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in which a patient with HCC weighs as much as `weight` others."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight)


def tuning_epochs(
    z: np.ndarray,
    outcome: np.ndarray,
    start: torch.Tensor,
    seeds: Sequence[int],
    logit_rate: float = _LEARNING_RATE,
) -> Iterator[tuple[_Projection, float]]:
    """The projection before and after every epoch, without end, and the mean loss of the epoch's steps.

    Float64, so that another number of threads cannot show in six digits.

    Parameters
    ----------
    z : ndarray of shape (patients, phases, pooled)
    outcome : ndarray of shape (patients,)
    start : tensor of shape (outputs, pooled)
    seeds : sequence of int
        Of the order of the samples, and of what is dropped.
    logit_rate : float
        Learning rate of the logit's weights; the projection has its own.
    """
    rng = np.random.default_rng(np.random.SeedSequence(list(seeds)))
    model = _Projection(start)
    logit = (model.risk, model.offset)
    groups = [{"params": (model.change, model.bias)}, {"params": logit, "lr": logit_rate}]
    optimiser = torch.optim.AdamW(groups, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    samples = torch.from_numpy(np.ascontiguousarray(z.reshape(-1, z.shape[-1])))
    truth = torch.from_numpy(np.repeat(outcome, z.shape[1]))
    weight = weight_of_hcc(outcome)
    with torch.no_grad():
        yield model, float(weighted_loss(model(samples), truth, weight))
    while True:
        order = rng.permutation(len(truth))
        losses = []
        for first in range(0, len(order), _TUNING_BATCH):
            chosen = torch.from_numpy(order[first : first + _TUNING_BATCH])
            kept = torch.from_numpy(rng.random((len(chosen), z.shape[-1]), dtype=np.float32) >= DROPOUT)
            loss = weighted_loss(model(samples[chosen] * kept / (1 - DROPOUT)), truth[chosen], weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        yield model, float(np.mean(losses))
