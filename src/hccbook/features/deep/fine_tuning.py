"""Fine-tuning on the development cohort: one loop with early stopping, for the projection and for the network."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from hccbook.errors import DataError, ModelError
from hccbook.features.deep.convolutions import narrowed, widened
from hccbook.features.deep.fine_tuned_network import (
    HISTORY_COLUMNS,
    MAX_SD,
    FineTunedNetwork,
    Inputs,
    ProjectionHead,
    Tuning,
    pooled_array,
    z_scores,
)
from hccbook.features.deep.network import Backbone, reproducible, split_network, weights_sum

PROJECTED = 100
"""Values a phase in ALARM."""

PATIENCE = 5
"""Epochs without a lower inner loss after which tuning stops."""

INNER_FOLDS = 4
"""One of so many patients is held out; tuning needs as many of the rarer outcome."""

DROPOUT = 0.5
"""Share of the pooled values that a training step does not see."""

_WEIGHT_DECAY = 1.0
_SHIFT = 16


def fine_tune(backbone: Backbone, inputs: Inputs, hcc: pd.Series, tuning: Tuning) -> FineTunedNetwork:
    """Tune a network, and a projection of what it pools to 100 values, on the development cohort.

    Parameters
    ----------
    backbone : Backbone
        Where it starts; left as it is.
    inputs : mapping of str to mapping
        By patient key, ``<phase>.<organ>`` to what the tuned part sees, as from `extract_deep` with the same depth and
        one organ. Patients who are not in `hcc` are not looked at.
    hcc : pandas.Series of 0 and 1
        Whether each development patient develops HCC, by patient key; nobody else may be in it.
    tuning : Tuning
        How deep, how long, and the seed.

    Returns
    -------
    FineTunedNetwork
        The same one, to the bit, for the same patients, seed and hardware, whatever the number of threads. (On a GPU
        gradients of pooling have no deterministic form: there the same seed agrees up to rounding.)

    Raises
    ------
    SettingsError
        If the depth is unknown.
    DataError
        If a patient or a phase is absent, inputs are of two organs, of different shapes or not finite, or outcomes are
        other than 0 and 1.
    ModelError
        If the loss stops being finite.

    Notes
    -----
    ALARM's way is in a supplement that is not public, and the paper does not say how 2,048 pooled values became 100
    either. Here it goes in two steps, because gradients through a head that has learnt nothing spoil what the network
    has: first the projection on the network as it is, then, from its best epoch, projection and network together. With
    the depth ``projection`` the first step is all.

    A quarter of the development patients, stratified, with all their phases, is held out. The epoch with the least loss
    on them is what is kept, which is 0 where nothing is learnt, and `PATIENCE` epochs without a lower one end each
    step. The loss is cross-entropy weighted for the rarity of HCC. A cohort of some 60 patients cannot tell 200,000
    weights, so the tuning is held tight: AdamW's decay draws the weights towards where they started, not to zero, so
    that the 100 values cannot collapse onto one, and half of the pooled values are dropped at a time. Statistics of
    batch normalisation stay as they were, so that a patient's values do not depend on the others in a batch. With
    ``network`` the crops are shifted by up to a sixteenth of their edges; the input of the last stage is left as it is,
    because mirroring it raised the inner loss. Values of the development patients are in-sample.

    References
    ----------
    ALARM, Methods, Feature extraction; Results: 100 x 3 deep learning signatures. Kumar and others, ICLR 2022,
    arXiv:2202.10054 (the head first). Li and others, ICML 2018, arXiv:1802.01483 (decay towards the start).
    """
    part = split_network(backbone.module, tuning.depth)[1]
    outcome = _checked_outcome(hcc, inputs)
    learnt = {key: inputs[key] for key in hcc.index}
    names = list(learnt[hcc.index[0]])
    organs = sorted({name.rpartition(".")[2] for name in names})
    if len(organs) != 1:
        raise DataError("fine-tuning", "needs the inputs of one organ", organs or "none", "Extract one organ alone.")
    with one_thread(), reproducible(backbone.device):
        pooled = pooled_array(part, learnt, names, backbone)
        why_not = _why_not_tuned(outcome, tuning.epochs)
        development = _Development.split(outcome, len(names), None if why_not else tuning.seed)
        mean, scale = _mean_and_scale(pooled[development.fitted])
        model = projection = _Projection(z_scores(pooled, mean, scale), tuning.seed)
        trained = _Trained(0, why_not, [])
        if not why_not:
            trained = _train(projection, development, tuning)
            if tuning.depth != "projection":
                volumes = [learnt[key][name] for key in learnt for name in names]
                model = _Network(part, volumes, (mean, scale), projection.arrays(), backbone.device, tuning.depth)
                trained = _train(model, development, tuning, trained)
    alone = tuning.depth == "projection"
    last, parts = (_Projection, "projection") if alone else (_Network, f"{tuning.depth} and projection")
    card = {
        "name": "3D ResNet with a projection of its pooled values",
        "what": f"{parts} of {backbone.width} pooled values to {PROJECTED}, tuned",
        "use": "research and teaching; not for clinical use",
        "data": "development cohort only",
        "patients": len(outcome),
        "hcc": int(outcome.sum()),
        "inner_patients": len(development.held_out),
        "inner_hcc": int(outcome[development.held_out].sum()),
        "network": backbone.name,
        "network_weights": backbone.origin,
        "seed": tuning.seed,
        "epochs_allowed": tuning.epochs,
        "min_gain": tuning.min_gain,
        "epochs": trained.epoch,
        "note": trained.why,
        "inner_auc": trained.history[trained.epoch]["inner_auc"] if trained.history else None,
        "inner_folds": 0 if why_not else 1,
        "depth": tuning.depth,
        "start": f"{backbone.name}, {backbone.origin}",
        "start_sha256": weights_sum(backbone.module),
        "learning_rate": last.learning_rate,
        "decay_towards_the_start": _WEIGHT_DECAY,
        "batch": last.max_batch,
        "device": backbone.device.type,
        "torch": torch.__version__,
        "history": trained.history,
        "organ": organs[0],
        "phases": [name.rpartition(".")[0] for name in names],
    }
    tuned = model.whole(part) if isinstance(model, _Network) else copy.deepcopy(part)
    return FineTunedNetwork(backbone, tuned, ProjectionHead(mean, scale, **model.arrays()), card)


def _checked_outcome(hcc: pd.Series, inputs: Inputs) -> np.ndarray:
    """Outcome of every development patient as 0.0 and 1.0, shape (patients,)."""
    absent = [key for key in hcc.index if key not in inputs]
    if absent or len(hcc) == 0:
        found = f"none of {', '.join(map(str, absent[:3]))}" if absent else "no patient"
        raise DataError("fine-tuning", "needs the inputs of every development patient", found, "Extract them first.")
    if not hcc.index.is_unique:
        raise DataError("hcc", "must hold each patient once", "one twice", "Pass development patients only.")
    outcome = hcc.to_numpy()
    if not np.isin(outcome, (0, 1)).all():
        raise DataError("hcc", "must hold 0 and 1", sorted(set(outcome) - {0, 1})[:3], "Leave out unknown outcomes.")
    return outcome.astype(float)


def _why_not_tuned(outcome: np.ndarray, epochs: int) -> str:
    """Why nothing can be tuned; empty where it can."""
    rarer = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if epochs == 0:
        return "not tuned: epochs = 0"
    if rarer < INNER_FOLDS:
        return f"not tuned: {rarer} patients of the rarer outcome, {INNER_FOLDS} needed to choose the epochs"
    return ""


def _mean_and_scale(pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD over patients, shape (phases, pooled); where a value is constant its scale is 1."""
    mean, scale = pooled.mean(axis=0), pooled.std(axis=0)
    return mean, np.where(scale > 1e-9 * np.maximum(np.abs(mean), 1e-9), scale, 1.0)


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


# --- the loop --------------------------------------------------------------------------------------------------------


class _Trained(NamedTuple):
    """Where training stopped: the epoch kept, why it ended, and the history so far."""

    epoch: int
    why: str
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class _Development:
    """Patients whose outcomes are learnt, and those held out to choose the epoch, by position.

    A sample is a phase of a patient; samples are counted patient by patient.
    """

    outcome: np.ndarray
    phases: int
    fitted: np.ndarray
    held_out: np.ndarray

    @classmethod
    def split(cls, outcome: np.ndarray, phases: int, seed: int | None) -> _Development:
        """The first of the stratified folds held out; nobody without a seed."""
        fitted, held_out = np.arange(len(outcome)), np.arange(0)
        if seed is not None:
            folds = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed % 2**32)
            fitted, held_out = next(folds.split(outcome, outcome))
        return cls(outcome, phases, fitted, held_out)

    def samples(self, patients: np.ndarray) -> np.ndarray:
        """All phases of some patients."""
        return (patients[:, None] * self.phases + np.arange(self.phases)).ravel()

    def loss(self, logits: torch.Tensor, samples: np.ndarray) -> torch.Tensor:
        """Mean cross-entropy in which the patients with HCC weigh as much as the others, among those tuned on."""
        hcc = self.outcome[self.fitted].sum()
        weight = torch.tensor((len(self.fitted) - hcc) / max(hcc, 1.0), dtype=torch.float64).to(logits)
        truth = torch.from_numpy(self.outcome[samples // self.phases]).to(logits)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight)

    def epoch(self, model: _Model, optimiser: torch.optim.Optimizer, rng: np.random.Generator) -> float:
        """Pass once over the samples tuned on; mean loss of the steps."""
        samples = self.samples(self.fitted)
        losses = []
        for batch in model.batches(samples[rng.permutation(len(samples))]):
            loss = self.loss(model(batch, rng), batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            model.decay()
            losses.append(loss.item())
        return float(np.mean(losses))

    def scores(self, model: _Model, patients: np.ndarray) -> tuple[float, float]:
        """Loss over patients and phases, and AUC of the patients' mean logits."""
        samples = self.samples(patients)
        with torch.no_grad():
            logits = torch.cat([model(batch) for batch in model.batches(samples)])
        by_patient = logits.reshape(-1, self.phases).mean(dim=1).cpu().numpy()
        return float(self.loss(logits, samples)), float(roc_auc_score(self.outcome[patients], by_patient))


def _train(model: _Model, development: _Development, tuning: Tuning, before: _Trained | None = None) -> _Trained:
    """Train a model, and leave it as it was after the epoch with the least loss on the patients held out.

    It starts at the best epoch of the step `before`, whose history goes on.
    """
    rng = np.random.default_rng(np.random.SeedSequence([tuning.seed, model.stream]))
    optimiser = model.optimiser()
    history = list(before.history) if before else []
    first = max(len(history) - 1, 0)
    best, min_loss, best_state, since = 0, np.inf, {}, 0
    why = f"{model.name}: all {tuning.epochs} epochs"
    for number in range(tuning.epochs + 1):
        train_loss = development.epoch(model, optimiser, rng) if number else np.nan
        inner_loss, inner_auc = development.scores(model, development.held_out)
        if not np.isfinite(inner_loss):
            place, hint = f"fine-tuning, {model.name}, epoch {number}", "Check the inputs and the pretrained weights."
            raise ModelError(place, "the loss must stay finite", inner_loss, hint)
        if not before and not number:
            train_loss = development.scores(model, development.fitted)[0]
        if number or not before:  # what the step before left is in the history already
            history.append(_history_row(first + number, model.name, train_loss, inner_loss, inner_auc))
        if inner_loss < min_loss * (1 - tuning.min_gain):
            best, min_loss, since = number, inner_loss, 0
            best_state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        else:
            since += 1
        if since == PATIENCE:
            why = f"{model.name}: stopped after {number} epochs, {PATIENCE} without a lower inner loss"
            break
    model.load_state_dict(best_state)
    if before:
        return _Trained(first + best if best else before.epoch, f"{before.why}; {why}", history)
    return _Trained(best, why, history)


def _history_row(epoch: int, tuned: str, *values: float) -> dict[str, Any]:
    """One epoch of a training history; None where there is no loss to tell."""
    rounded = (None if np.isnan(value) else round(float(value), 6) for value in values)
    return dict(zip(HISTORY_COLUMNS, (epoch, tuned, *rounded), strict=True))


# --- what is trained -------------------------------------------------------------------------------------------------


class _Model(torch.nn.Module):
    """A projection and its logit, with what makes the z-scores before it; from samples to logits."""

    name: str
    stream: int  # of random numbers: the steps draw different ones
    learning_rate: float
    max_batch: int

    def batches(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        return (samples[first : first + self.batch] for first in range(0, len(samples), self.batch))

    @property
    def batch(self) -> int:
        return self.max_batch

    def decay(self) -> None:
        """What follows an optimiser step."""

    def logits(self, z: torch.Tensor, weight: torch.Tensor, rng: np.random.Generator | None) -> torch.Tensor:
        """Logits of z-scores (n, pooled); with a generator some of them are dropped."""
        if rng is not None:
            kept = torch.from_numpy(rng.random(z.shape, dtype=np.float32) >= DROPOUT).to(z.device)
            z = z * kept / (1 - DROPOUT)
        return torch.tanh(z @ weight.T + self.bias) @ self.risk + self.offset


class _Projection(_Model):
    """Projection alone, from a random start; in float64, so that the number of threads cannot show in six digits."""

    name, stream, learning_rate, max_batch = "projection", 3, 1e-4, 32
    _logit_rate = 1e-3

    def __init__(self, z: np.ndarray, seed: int) -> None:
        super().__init__()
        width = z.shape[-1]
        self.z = torch.from_numpy(np.ascontiguousarray(z.reshape(-1, width)))
        start = torch.from_numpy(np.random.default_rng([seed, 0]).normal(0, width**-0.5, (PROJECTED, width)))
        self.register_buffer("start", start)
        # The change is what is decayed, and not the projection.
        self.change = torch.nn.Parameter(torch.zeros_like(start))
        self.bias = torch.nn.Parameter(start.new_zeros(PROJECTED))
        self.risk = torch.nn.Parameter(start.new_zeros(PROJECTED))
        self.offset = torch.nn.Parameter(start.new_zeros(1))

    def forward(self, samples: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
        return self.logits(self.z[torch.from_numpy(samples)], self.start + self.change, rng)

    def optimiser(self) -> torch.optim.Optimizer:
        groups = [{"params": (self.change, self.bias)}, {"params": (self.risk, self.offset), "lr": self._logit_rate}]
        return torch.optim.AdamW(groups, lr=self.learning_rate, weight_decay=_WEIGHT_DECAY)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `ProjectionHead` takes."""
        arrays = {name: getattr(self, name).detach().numpy() for name in ("bias", "risk", "offset")}
        return {"weight": (self.start + self.change).detach().numpy(), **arrays}


class _Network(_Model):
    """Tuned part of the network, z-scores, projection and logit, all in float32."""

    stream, learning_rate, max_batch = 4, 1e-5, 24

    def __init__(
        self,
        part: torch.nn.Module,
        volumes: Sequence[np.ndarray],
        mean_and_scale: tuple[np.ndarray, np.ndarray],
        head: dict[str, np.ndarray],
        device: torch.device,
        depth: str,
    ) -> None:
        super().__init__()
        self.name, self.volumes = depth, volumes
        self.part, self.taps = narrowed(part, volumes[0].shape)
        for name, array in zip(("mean", "scale"), mean_and_scale, strict=True):
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32))
        for name, array in head.items():
            self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(array.astype(np.float32))))
        self.to(device).requires_grad_(True)
        self._starts = [parameter.detach().clone() for parameter in self.parameters()]

    @property
    def batch(self) -> int:
        # Of crops larger than 64 voxels an edge, fewer fit into memory.
        voxels = int(np.prod(self.volumes[0].shape[1:]))
        return max(1, min(self.max_batch, self.max_batch * 64**3 // voxels))

    def forward(self, samples: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
        volumes = [np.asarray(self.volumes[sample]) for sample in samples]
        if rng is not None and self.name == "network":
            volumes = [_shifted(volume, rng) for volume in volumes]
        device = self.mean.device
        phase = torch.from_numpy(samples % len(self.mean)).to(device)
        pooled = self.part(torch.from_numpy(np.stack(volumes)).to(device))
        z = ((pooled - self.mean[phase]) / self.scale[phase]).clamp(-MAX_SD, MAX_SD)
        return self.logits(z, self.weight, rng)

    def optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=0.0, fused=True)

    def decay(self) -> None:
        """Draw every weight towards where it started."""
        with torch.no_grad():
            for parameter, start in zip(self.parameters(), self._starts, strict=True):
                parameter.lerp_(start, self.learning_rate * _WEIGHT_DECAY)

    def whole(self, part: torch.nn.Module) -> torch.nn.Module:
        """The tuned part with the shape of `part`, frozen again."""
        return widened(self.part, self.taps, part).requires_grad_(False)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `ProjectionHead` takes."""
        return {
            name: getattr(self, name).detach().cpu().double().numpy() for name in ("weight", "bias", "risk", "offset")
        }


def _shifted(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Volume (channels, z, y, x) moved by up to a sixteenth of each edge; what comes in from outside is empty."""
    moved = np.zeros_like(volume)
    source, target = [slice(None)], [slice(None)]
    for edge in volume.shape[1:]:
        step = int(rng.integers(-(edge // _SHIFT), edge // _SHIFT + 1))
        source.append(slice(max(-step, 0), edge - max(step, 0)))
        target.append(slice(max(step, 0), edge - max(-step, 0)))
    moved[tuple(target)] = volume[tuple(source)]
    return moved
