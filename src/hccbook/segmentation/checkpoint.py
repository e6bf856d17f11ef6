"""Training that survives an interruption: its state, and the file that keeps it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file

from hccbook.errors import ModelError, reading
from hccbook.segmentation.network import IntensityNormalisation, Provenance, read_tensors
from hccbook.store import atomic_path

CHECKPOINT_EVERY = 50
"""Optimiser steps between two checkpoints."""

_METADATA_KEY = "hccbook checkpoint"


def fingerprint(provenance: Provenance, intensity: IntensityNormalisation) -> str:
    """Short hash of what a training is: its settings, and its images by their intensities and number."""
    content = json.dumps([asdict(provenance), asdict(intensity)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass
class TrainingState:
    """Where a training stands.

    Attributes
    ----------
    network : torch.nn.Module
        Being trained, in place.
    file : pathlib.Path or None
        Checkpoint; None to keep none.
    training : str
        `fingerprint` of the training.
    losses : list of float
        Loss of each optimiser step so far, of all training steps.
    done : list of int
        Optimiser steps done in each training step so far.
    """

    network: torch.nn.Module
    file: Path | None
    training: str
    losses: list[float] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    _optimiser: torch.optim.Optimizer | None = None
    _momenta: dict[int, torch.Tensor] = field(default_factory=dict)

    def done_in(self, number: int) -> int:
        """Optimiser steps done in the training step `number`."""
        return self.done[number] if number < len(self.done) else 0

    def enter(self, number: int, optimiser: torch.optim.Optimizer) -> None:
        """Begin the training step `number` with its optimiser, or go on in it with the momenta that were kept."""
        if number == len(self.done):
            self.done.append(0)
        else:
            for position, parameter in enumerate(optimiser.param_groups[0]["params"]):
                optimiser.state[parameter]["momentum_buffer"] = self._momenta[position].to(parameter.device)
        self._optimiser = optimiser

    def advance(self, loss: float) -> None:
        """Note an optimiser step, and write the checkpoint when it is time."""
        self.losses.append(round(loss, 5))
        self.done[-1] += 1
        if self.file is not None and self.done[-1] % CHECKPOINT_EVERY == 0:
            self._write(self.file)

    def resume(self) -> None:
        """Go back to what the checkpoint holds, if there is one.

        Raises
        ------
        ModelError
            If the file is no checkpoint, or one of another training.
        """
        if self.file is None or not self.file.is_file():
            return
        hint = "Delete it to begin anew, or name another file."
        with reading(ModelError, self.file.name, "checkpoint must be a safetensors file", hint):
            content, tensors = read_tensors(self.file, _METADATA_KEY)
        if content.get("training") != self.training:
            found = content.get("training", "no checkpoint of a segmentation")
            raise ModelError(self.file.name, f"checkpoint must be of this training, {self.training}", found, hint)
        with reading(ModelError, self.file.name, "checkpoint must be whole", hint):
            momenta = {name: tensors.pop(name) for name in list(tensors) if name.startswith("momentum.")}
            self.network.load_state_dict({name.removeprefix("network."): part for name, part in tensors.items()})
            self._momenta = {int(name.removeprefix("momentum.")): part for name, part in momenta.items()}
            self.losses, self.done = content["losses"], content["done"]

    def _write(self, file: Path) -> None:
        tensors = {
            f"network.{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self.network.state_dict().items()
        }
        for position, parameter in enumerate(self._optimiser.param_groups[0]["params"]):
            momentum = self._optimiser.state[parameter]["momentum_buffer"].cpu()
            tensors[f"momentum.{position}"] = momentum.clone(memory_format=torch.contiguous_format)
        content = {"training": self.training, "losses": self.losses, "done": self.done}
        with atomic_path(file) as part:
            save_file(tensors, part, metadata={_METADATA_KEY: json.dumps(content)})
