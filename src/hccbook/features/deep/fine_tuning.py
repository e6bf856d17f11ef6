"""Fine-tuning of the network on the development cohort, with early stopping on an inner split."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch

from hccbook.errors import DataError, ModelError, SettingsError
from hccbook.features.deep.convolutions import narrowed, widened
from hccbook.features.deep.fine_tuned_network import FineTunedNetwork, Inputs, pooled_array
from hccbook.features.deep.network import (
    DEPTHS,
    Backbone,
    reproducible,
    split_network,
    weights_sum,
)
from hccbook.features.deep.patients import deep_table
from hccbook.features.deep.projection import (
    DROPOUT,
    MAX_SD,
    PROJECTED,
    ProjectionHead,
    checked_outcome,
    fit_projection,
    held_out_scores,
    history_row,
    inner_folds,
    mean_and_scale,
    one_thread,
    random_projection,
    tuning_epochs,
    weight_of_hcc,
    weighted_loss,
    why_not_tuned,
    z_scores,
)

PATIENCE = 5
"""Epochs without a lower inner loss after which tuning stops."""

_LEARNING_RATE = 1e-5
_LOGIT_RATE = 1e-3
_WEIGHT_DECAY = 1.0
_BATCH = 24
_BATCH_VOXELS = _BATCH * 64**3
_SHIFT = 16

T = TypeVar("T")


def fine_tune(
    backbone: Backbone,
    inputs: Inputs,
    hcc: pd.Series,
    *,
    depth: str,
    epochs: int,
    seed: int,
    organ: str = "liver",
    outputs: int = PROJECTED,
) -> FineTunedNetwork:
    """Tune a network on the development cohort.

    Parameters
    ----------
    backbone : Backbone
        Where it starts; left as it is.
    inputs : mapping of str to mapping
        By patient key, ``<phase>.<organ>`` to what the tuned part sees, as from `extract_deep` with the same
        depth. Patients who are not in `hcc` are not looked at.
    hcc : pandas.Series of 0 and 1
        Whether each development patient develops HCC, by patient key; nobody else may be in it.
    depth : {"network", "last_stage", "projection"}
        What is tuned: the whole network (for a GPU, or patience), its last residual stage, or the projection behind it
        alone (`fit_projection`).
    epochs : int
        Most passes over the cohort for each part; with 0 nothing is tuned.
    seed : int
        Seed of the projection, of the inner split, of the batches, and of what is dropped and shifted.
    organ : str
        Organ whose crops are taken.
    outputs : int
        Values a phase.

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
        If a patient or a phase is absent, inputs are of different shapes or not finite, or outcomes are other than 0
        and 1.
    ModelError
        If the loss stops being finite.

    Notes
    -----
    ALARM's way is in a supplement that is not public. With ``projection`` nothing but `fit_projection` is done. Deeper
    ones go in two steps, because gradients through a head that has learnt nothing spoil what the network has:
    first the projection on the network as it is, then, from its best epoch, projection and network together.

    A quarter of the development patients, stratified, with all their phases, is held out. The epoch with the least loss
    on them is what is kept, and `PATIENCE` epochs without a lower one end each step. The loss is cross-entropy weighted
    for the rarity of HCC; AdamW's decay draws the weights towards where they started, not to zero; half of the pooled
    values are dropped at a time. Statistics of batch normalisation stay as they were, so that a patient's values do
    not depend on the others in a batch. With ``network`` the crops are shifted by up to a sixteenth of their edges;
    the input of the last stage is left as it is, because mirroring it raised the inner loss.

    References
    ----------
    ALARM, Methods, Feature extraction. Kumar and others, ICLR 2022, arXiv:2202.10054 (the head first). Li and others,
    ICML 2018, arXiv:1802.01483 (decay towards the start).
    """
    if depth not in DEPTHS:
        raise SettingsError("fine_tune", f"must be one of {', '.join(DEPTHS)}", repr(depth), "Check the spelling.")
    absent = [key for key in hcc.index if key not in inputs]
    if absent or len(hcc) == 0:
        found = f"none of {', '.join(map(str, absent[:3]))}" if absent else "no patient"
        raise DataError("fine-tuning", "needs the inputs of every development patient", found, "Extract them first.")
    own = {key: inputs[key] for key in hcc.index}
    names = [name for name in next(iter(own.values())) if name.rpartition(".")[2] == organ]
    if not names:
        raise DataError("fine-tuning", f"needs the {organ} of every patient", f"none of {organ}", "Extract it first.")
    if depth == "projection":
        pooled = deep_table({key: {name: values[name] for name in names} for key, values in own.items()})
        head = fit_projection(pooled, hcc, epochs=epochs, seed=seed, outputs=outputs, organ=organ, backbone=backbone)
        tuned, facts = torch.nn.Sequential(), {}
    else:
        head, tuned, facts = _fine_tune(backbone, own, names, hcc, depth, epochs, seed, outputs)
    card = {
        **head.card,
        "depth": depth,
        "start": f"{backbone.name}, {backbone.origin}",
        "start_sha256": weights_sum(backbone.module),
        **facts,
    }
    card["history"] = card.pop("history")  # the longest entry comes last
    return FineTunedNetwork(backbone, tuned, replace(head, card=card))


def _fine_tune(
    backbone: Backbone, own: Inputs, names: list[str], hcc: pd.Series, depth: str, epochs: int, seed: int, outputs: int
) -> tuple[ProjectionHead, torch.nn.Module, dict[str, Any]]:
    """Projection with its card, tuned part of the network, and what else the card says."""
    part = split_network(backbone.module, depth)[1]
    outcome = checked_outcome(hcc.to_frame(), hcc)
    with one_thread(), reproducible(backbone.device):
        pooled = pooled_array(part, own, list(own), names, backbone)
        split = inner_folds(outcome, seed)[0] if not (why := why_not_tuned(outcome, epochs)) else None
        fitted, held_out = split or (np.arange(len(outcome)), np.arange(0))
        mean, scale = mean_and_scale(pooled[fitted])
        start = random_projection(outputs, backbone.width, seed)
        if why:
            state = {"weight": start.numpy(), "bias": np.zeros(outputs), "risk": np.zeros(outputs), "offset": 0.0}
            best = _Stopped(0, state, why, [])
            tuned = copy.deepcopy(part)
        else:
            z = z_scores(pooled, mean, scale)
            best = _tuned_projection(z, outcome, start, fitted, held_out, epochs, seed)
            volumes = [[own[key][name] for name in names] for key in own]
            model = _Network(part, volumes[0][0].shape, mean, scale, best.state, backbone.device)
            best = _tuned_network(model, volumes, outcome, fitted, held_out, best, depth, epochs, seed)
            model.load_state_dict(best.state)
            tuned, best = model.whole(part), best._replace(state=model.arrays())
    organ, phases = names[0].rpartition(".")[2], tuple(name.rpartition(".")[0] for name in names)
    card = {
        "name": "3D ResNet with a projection of its pooled values",
        "what": f"{depth} and projection of {backbone.width} pooled values to {outputs}, tuned",
        "use": "research and teaching; not for clinical use",
        "data": "development cohort only",
        "patients": len(outcome),
        "hcc": int(outcome.sum()),
        "inner_patients": len(held_out),
        "inner_hcc": int(outcome[held_out].sum()),
        "network": backbone.name,
        "network_weights": backbone.origin,
        "seed": seed,
        "epochs_allowed": epochs,
        "epochs": best.epoch,
        "note": best.why,
        "inner_auc": best.history[best.epoch]["inner_auc"] if best.history else None,
        "inner_folds": 0 if why else 1,
        "history": best.history,
    }
    facts = {
        "learning_rate": _LEARNING_RATE,
        "decay_towards_the_start": _WEIGHT_DECAY,
        "batch": _BATCH,
        "device": backbone.device.type,
        "torch": torch.__version__,
    }
    return ProjectionHead(organ=organ, phases=phases, mean=mean, scale=scale, card=card, **best.state), tuned, facts


# --- early stopping --------------------------------------------------------------------------------------------------


class _Stopped(NamedTuple):
    """Where tuning stopped: best epoch, what was kept of it, why it ended, and the history so far."""

    epoch: int
    state: Any
    why: str
    history: list[dict[str, Any]]


def _stopped_early(
    steps: Iterator[tuple[T, float]],
    scores: Callable[[T], tuple[float, float]],
    keep: Callable[[T], Any],
    epochs: int,
    tuned: str,
    before: _Stopped | None = None,
) -> _Stopped:
    """Epoch with the least inner loss, among those from where the earlier step left off.

    `steps` gives the model before its first epoch, then after each one.
    """
    history = list(before.history) if before else []
    offset = max(len(history) - 1, 0)
    best, least, model_kept = before.epoch if before else 0, np.inf, None
    why = f"{tuned}: all {epochs} epochs"
    for number, (model, train_loss) in zip(range(epochs + 1), steps, strict=False):
        inner_loss, inner_auc = scores(model)
        if not np.isfinite(inner_loss):
            raise ModelError(
                f"fine-tuning, {tuned}, epoch {number}",
                "the loss must stay finite",
                inner_loss,
                "Check the inputs and the pretrained weights.",
            )
        if number or not before:  # what the earlier step left is in the history already
            history.append(history_row(offset + number, tuned, train_loss, inner_loss, inner_auc))
        if inner_loss < least:
            least, model_kept, since = inner_loss, keep(model), 0
            best = offset + number if number or not before else before.epoch
        else:
            since += 1
        if since == PATIENCE:
            why = f"{tuned}: stopped after {number} epochs, {PATIENCE} without a lower inner loss"
            break
    return _Stopped(best, model_kept, "; ".join(filter(None, [before.why if before else "", why])), history)


def _tuned_projection(
    z: np.ndarray,
    outcome: np.ndarray,
    start: torch.Tensor,
    fitted: np.ndarray,
    held_out: np.ndarray,
    epochs: int,
    seed: int,
) -> _Stopped:
    """The projection alone; its `state` is what `ProjectionHead` takes."""
    weight = weight_of_hcc(outcome[fitted])
    samples = torch.from_numpy(z[held_out])

    def scores(model: torch.nn.Module) -> tuple[float, float]:
        with torch.no_grad():
            return held_out_scores(model(samples), outcome[held_out], weight)

    steps = tuning_epochs(z[fitted], outcome[fitted], start, [seed, 3], _LOGIT_RATE)
    return _stopped_early(steps, scores, lambda model: copy.deepcopy(model.arrays()), epochs, "projection")


# --- the network -----------------------------------------------------------------------------------------------------


class _Network(torch.nn.Module):
    """Tuned part of the network, z-scores, projection and logit, all in float32."""

    def __init__(
        self,
        part: torch.nn.Module,
        shape: Sequence[int],
        mean: np.ndarray,
        scale: np.ndarray,
        head: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        super().__init__()
        self.part, self.taps = narrowed(part, shape)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        for name in ("weight", "bias", "risk", "offset"):
            value = torch.from_numpy(np.atleast_1d(head[name]).astype(np.float32))
            self.register_parameter(name, torch.nn.Parameter(value))
        self.to(device).requires_grad_(True)

    def forward(self, inputs: torch.Tensor, phase: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        z = ((self.part(inputs) - self.mean[phase]) / self.scale[phase]).clamp(-MAX_SD, MAX_SD)
        if kept is not None:
            z = z * kept / (1 - DROPOUT)
        return torch.tanh(z @ self.weight.T + self.bias) @ self.risk + self.offset

    def whole(self, part: torch.nn.Module) -> torch.nn.Module:
        """The tuned part with the shape of `part`, frozen again."""
        return widened(self.part, self.taps, part).requires_grad_(False)

    def arrays(self) -> dict[str, Any]:
        """What `ProjectionHead` takes."""
        own = {name: getattr(self, name).detach().cpu().double().numpy() for name in ("weight", "bias", "risk")}
        return {**own, "offset": float(self.offset.detach())}


def _tuned_network(
    model: _Network,
    volumes: Sequence[Sequence[np.ndarray]],
    outcome: np.ndarray,
    fitted: np.ndarray,
    held_out: np.ndarray,
    before: _Stopped,
    depth: str,
    epochs: int,
    seed: int,
) -> _Stopped:
    """Network and projection together; `state` is the model's."""
    weight = weight_of_hcc(outcome[fitted])
    phases = len(volumes[0])

    def scores(model: _Network) -> tuple[float, float]:
        samples = [(patient, phase) for patient in held_out for phase in range(phases)]
        with torch.no_grad():
            parts = [model(*_stacked(volumes, some, model)) for some in _batches(samples, volumes)]
        return held_out_scores(torch.cat(parts).reshape(len(held_out), phases), outcome[held_out], weight)

    def keep(model: _Network) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in model.state_dict().items()}

    steps = _network_epochs(model, volumes, outcome, fitted, weight, [seed, 4], shift=depth == "network")
    return _stopped_early(steps, scores, keep, epochs, depth, before)


def _network_epochs(
    model: _Network,
    volumes: Sequence[Sequence[np.ndarray]],
    outcome: np.ndarray,
    fitted: np.ndarray,
    weight: torch.Tensor,
    seeds: Sequence[int],
    shift: bool,
) -> Iterator[tuple[_Network, float]]:
    """The model before and after every epoch, without end, and the mean loss of the epoch's steps."""
    rng = np.random.default_rng(np.random.SeedSequence(list(seeds)))
    parameters = list(model.parameters())
    start = [parameter.detach().clone() for parameter in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=0.0, fused=True)
    samples = [(patient, phase) for patient in fitted for phase in range(len(volumes[0]))]
    weight = weight.to(model.mean)
    yield model, float("nan")  # known from the step before
    while True:
        losses = []
        order = [samples[place] for place in rng.permutation(len(samples))]
        for some in _batches(order, volumes):
            inputs, phase = _stacked(volumes, some, model, rng if shift else None)
            kept = torch.from_numpy(rng.random((len(some), model.mean.shape[1]), dtype=np.float32) >= DROPOUT)
            truth = torch.from_numpy(outcome[[patient for patient, _ in some]]).to(inputs)
            loss = weighted_loss(model(inputs, phase, kept.to(inputs.device)), truth, weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                for parameter, origin in zip(parameters, start, strict=True):
                    parameter.lerp_(origin, _LEARNING_RATE * _WEIGHT_DECAY)
            losses.append(loss.item())
        yield model, float(np.mean(losses))


def _batches(samples: list[tuple[int, int]], volumes: Sequence[Sequence[np.ndarray]]) -> Iterator[list]:
    # Of crops larger than 64 voxels an edge, fewer fit into memory.
    size = max(1, min(_BATCH, _BATCH_VOXELS // int(np.prod(volumes[0][0].shape[1:]))))
    return (samples[first : first + size] for first in range(0, len(samples), size))


def _stacked(
    volumes: Sequence[Sequence[np.ndarray]],
    samples: Sequence[tuple[int, int]],
    model: _Network,
    rng: np.random.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (n, channels, z, y, x) and phases (n,) of some samples; with a generator each is shifted."""
    inputs = [np.asarray(volumes[patient][phase]) for patient, phase in samples]
    if rng is not None:
        inputs = [_shifted(volume, rng) for volume in inputs]
    device = model.mean.device
    return torch.from_numpy(np.stack(inputs)).to(device), torch.tensor([phase for _, phase in samples], device=device)


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
