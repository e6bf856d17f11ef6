"""Fine-tuning that is kept, and its negative control: the same with outcomes that were shuffled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from hccbook.features.deep.fine_tuned_network import FineTunedNetwork, Inputs, Tuning
from hccbook.features.deep.fine_tuning import fine_tune, one_thread
from hccbook.features.deep.network import Backbone
from hccbook.store import Store

_TUNED = "fine_tuned.safetensors"

CONTROL_COLUMNS = ("outcomes", "shuffle", "epochs", "inner_auc", "unseen_auc")
"""Columns of the negative control; `outcomes` is ``observed`` or ``shuffled``."""


def stored_fine_tuning(backbone: Backbone, inputs: Inputs, hcc: pd.Series, tuning: Tuning, store: Store) -> Path:
    """File of the fine-tuned network: from an earlier run, or tuned now; its model card lies beside it.

    Parameters
    ----------
    backbone, inputs, hcc, tuning
        As for `fine_tune`.
    store : hccbook.store.Store
        Keeps both.
    """
    key = store.key("fine_tuning", fine_tune, *_inputs_of(backbone, inputs, hcc, tuning))

    def make(folder: Path) -> None:
        fine_tune(backbone, inputs, hcc, tuning).save(folder / _TUNED)

    return store.get_or_make(key, make) / _TUNED


def shuffled_outcomes(
    tuned: FineTunedNetwork, inputs: Inputs, hcc: pd.Series, unseen: pd.Series, *, shuffles: int, store: Store
) -> pd.DataFrame:
    """Negative control: the same fine-tuning with the development patients' outcomes shuffled.

    Parameters
    ----------
    tuned : FineTunedNetwork
        Fine-tuned with the true outcomes.
    inputs : mapping of str to mapping
        As for `fine_tune`, of the unseen patients too.
    hcc : pandas.Series of 0 and 1
        Outcomes of the development patients, by patient key.
    unseen : pandas.Series of 0 and 1
        Outcomes of patients who took no part; they are ranked at the end and never tuned on.
    shuffles : int
        How often.
    store : hccbook.store.Store
        Keeps the table, so that a second run repeats nothing.

    Returns
    -------
    pandas.DataFrame
        Columns `CONTROL_COLUMNS`, first the true outcomes, then one row per shuffle. `epochs` is the epoch kept. The
        inner AUC is that of the held-out development patients, by the outcomes that were tuned on: it is of the epoch
        chosen on them. The unseen AUC is by their true outcomes; empty where they are all alike. Where nothing was
        learnt (epoch 0) all patients tie, and the AUC is one half.

    Notes
    -----
    Each shuffle calls as many of the patients with HCC by that name as chance does on average (rounded down and up in
    turn): otherwise a shuffle that happens to resemble the truth would pass for a find. A single unseen AUC may still
    lie far from one half, on either side: where patients differ along few directions, any outcomes lie along them,
    one way or the other. The mean over shuffles is what belongs near one half.

    Shuffles run side by side, each on one thread: their number of threads changes nothing.
    """
    development = _inputs_of(tuned.backbone, inputs, hcc, tuned.tuning)
    patients = (tuple(unseen.items()), _sum(inputs, unseen.index))
    key = store.key("shuffled_outcomes", shuffled_outcomes, shuffles, *development, *patients)

    def make(folder: Path) -> None:
        table = _shuffled_table(tuned, inputs, hcc, unseen, shuffles)
        table.to_csv(folder / "control.csv", index=False, lineterminator="\n")

    return pd.read_csv(store.get_or_make(key, make) / "control.csv")


def _shuffled_table(
    tuned: FineTunedNetwork, inputs: Inputs, hcc: pd.Series, unseen: pd.Series, shuffles: int
) -> pd.DataFrame:
    backbone, tuning = tuned.backbone, tuned.tuning
    others = {key: inputs[key] for key in unseen.index}

    def row(outcomes: str, number: int, model: FineTunedNetwork) -> tuple[Any, ...]:
        auc = roc_auc_score(unseen, model.logit(others)) if unseen.nunique() == 2 else np.nan
        return outcomes, number, model.card["epochs"], model.card["inner_auc"], auc

    def shuffled(number: int) -> tuple[Any, ...]:
        outcome = _shuffle(hcc, number, np.random.default_rng([tuning.seed, 5, number]))
        return row("shuffled", number, fine_tune(backbone, inputs, outcome, tuning))

    threads = torch.get_num_threads() if backbone.device.type == "cpu" else 1
    with (
        one_thread(),
        ThreadPoolExecutor(max(1, min(shuffles, threads)), initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        rows = [row("observed", 0, tuned), *pool.map(shuffled, range(1, shuffles + 1))]
    return pd.DataFrame(rows, columns=list(CONTROL_COLUMNS)).round(6)


def _shuffle(hcc: pd.Series, number: int, rng: np.random.Generator) -> pd.Series:
    """As many events as before, among them as many of the true ones as chance gives; the `number` rounds down or up."""
    outcome = hcc.to_numpy()
    events, others = np.flatnonzero(outcome == 1), np.flatnonzero(outcome != 1)
    expected = len(events) ** 2 / len(outcome)
    common = int(np.floor(expected) if number % 2 else np.ceil(expected))
    drawn = np.zeros_like(outcome)
    drawn[rng.permutation(events)[:common]] = 1
    drawn[rng.permutation(others)[: len(events) - common]] = 1
    return pd.Series(drawn, index=hcc.index)


def _inputs_of(backbone: Backbone, inputs: Inputs, hcc: pd.Series, tuning: Tuning) -> tuple[object, ...]:
    network = (backbone.name, backbone.origin, backbone.device.type)
    return network, tuning, tuple(hcc.items()), _sum(inputs, hcc.index)


def _sum(inputs: Inputs, keys: Sequence[str]) -> str:
    total = hashlib.sha256()
    for key in keys:
        for name, values in inputs[key].items():
            total.update(f"{key} {name} {values.shape} {values.dtype}".encode())
            total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()
