"""Sound models, weights and a described paper, and independent readings of them; for `mutated_inputs.py`."""

from __future__ import annotations

import contextlib
import csv
import json
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import mutations
import numpy as np
import pandas as pd
from mutated_kinds import Kind

from hccbook.audit.papers import audit_folder
from hccbook.audit.template import write_template
from hccbook.audit.transcription import OPTIONAL, Transcription
from hccbook.models import AlarmModel, AmapCtFamily, AmapCtModel, NestedAlarmModel

# --- models ----------------------------------------------------------------------------------------------------------

MODELS = {
    "alarm.json": AlarmModel,
    "nested_alarm.json": NestedAlarmModel,
    "amap_ct.json": AmapCtModel,
    "amap_ct_family.json": AmapCtFamily,
}
SCORES = {"alarm": ("radiomics_score", "deep_score"), "amap_ct": ("image_score",)}
NAMES = {"radiomics_score": "radiomics", "deep_score": "deep", "image_score": "ct_image"}


@cache
def _patients(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    outcome = np.repeat([1, 0], [16, 30])
    columns = {"amap": 58 + 6 * random.normal(size=46) + 3 * outcome, "spleen_volume_ml": random.normal(300, 90, 46)}
    for phase, organ, kind in (
        (phase, organ, kind)
        for phase in ("arterial", "venous")
        for organ in ("liver", "spleen")
        for kind in ("original_f", "deep_")
    ):
        for number in range(4):
            columns[f"{phase}.{organ}.{kind}{number:03d}"] = random.normal(5, 2, 46) + 2 * outcome * (number < 2)
    return pd.DataFrame(columns, index=[f"P{number:04d}" for number in range(1, 47)]), outcome


def _make_models(folder: Path) -> None:
    table, outcome = _patients(1)
    for name, model in MODELS.items():
        settings = {"folds": 3} if model is NestedAlarmModel else {}
        own = table if model is AmapCtFamily else table.drop(columns="spleen_volume_ml")
        model(lasso_folds=3, **settings).fit(own, outcome).to_json(folder / name)


def _read_models(folder: Path) -> dict[str, np.ndarray]:
    table = _patients(2)[0]
    risks = {}
    for name, kind in MODELS.items():
        model = kind.from_json(folder / name)
        if isinstance(model, AmapCtFamily):
            risks |= {f"{name} {member}": risk.to_numpy() for member, risk in model.probabilities(table).items()}
        else:
            risks[name] = model.predict_proba(table)[:, 1]
    return risks


def _weighted(score: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    terms = zip(score["names"], score["means"], score["scales"], score["coefficients"], strict=True)
    return score["intercept"] + sum(
        weight * (columns[name] - mean) / scale for name, mean, scale, weight in terms
    ) * np.ones(46)


def _misread_models(folder: Path, risks: dict[str, np.ndarray]) -> str | None:
    """Probabilities by the formula that the file's own numbers give."""
    columns = {name: column.to_numpy() for name, column in _patients(2)[0].items()}
    for name, found in risks.items():
        file, _, member = name.partition(" ")
        content = json.loads((folder / file).read_text(encoding="utf-8-sig"))
        content = content["members"][member] if member else content
        known = SCORES["amap_ct" if "amap_ct" in file else "alarm"]
        with np.errstate(all="ignore"):
            image = {NAMES[score]: _weighted(content[score], columns) for score in known}
            risk = 1 / (1 + np.exp(-_weighted(content["combination"], columns | image)))
        if not np.allclose(found, risk, rtol=1e-9, atol=1e-12, equal_nan=True):
            return f"{name}: probabilities up to {np.abs(found - risk).max():.3g} away"
    return ""


# --- weights ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _tiny() -> Iterator[None]:
    """ResNet-18 with 2 to 16 channels in place of 64 to 512."""
    from unittest.mock import patch

    import monai.networks.nets.resnet as resnet

    from hccbook.features.deep import network

    widths = {"resnet18": 16, "resnet50": 64}
    with patch.object(resnet, "get_inplanes", lambda: [2, 4, 8, 16]), patch.object(network, "WIDTHS", widths):
        yield


def _make_weights(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from hccbook.features.deep import FineTunedNetwork, load_backbone
    from hccbook.features.deep.fine_tuned_network import ProjectionHead
    from hccbook.features.deep.network import split_network, weights_sum
    from hccbook.segmentation.network import IntensityNormalisation, Provenance, Segmenter, build_network

    torch.manual_seed(3)
    how = Provenance(2, 4, 16, 5.0, 1, 0, 2, 1, 1, 0.1, 0.9, "", 3)
    network = build_network(2, 4, 16).eval()
    Segmenter(network, IntensityNormalisation(-100, 200, 60, 40), how, (1.5,), torch.device("cpu")).save(
        folder / "network.safetensors"
    )
    with _tiny():
        backbone = load_backbone("resnet18", device="cpu")
        weights = {name: tensor.clone() for name, tensor in backbone.module.state_dict().items()}
        save_file(weights, folder / "backbone.safetensors")
        torch.save(weights, folder / "backbone.pt")
        last = split_network(backbone.module, "last_stage")[1]
        zeros = np.zeros((2, 16), np.float32)
        head = ProjectionHead(zeros, zeros + 1, np.ones((4, 16), np.float32), zeros[0, :4], zeros[1, :4], zeros[0, :1])
        history = [{"epoch": 0, "tuned": "", "train_loss": None, "inner_loss": 0.7, "inner_auc": 0.5}]
        card = {"depth": "last_stage", "epochs_allowed": 3, "seed": 1, "start_sha256": weights_sum(backbone.module)}
        card |= {"history": history, "organ": "liver", "phases": ["arterial", "venous"], "start": "resnet18"}
        FineTunedNetwork(backbone, last, head, card).save(folder / "tuned.safetensors")


def _read_weights(folder: Path) -> dict[str, Mapping[str, Any]]:
    from hccbook.features.deep import FineTunedNetwork, load_backbone
    from hccbook.segmentation.network import Segmenter

    with _tiny():
        loaded = {"network.safetensors": Segmenter.load(folder / "network.safetensors", "cpu").network.state_dict()}
        for name in ("backbone.safetensors", "backbone.pt"):
            loaded[name] = load_backbone("resnet18", folder / name, device="cpu").module.state_dict()
        tuned = FineTunedNetwork.load(folder / "tuned.safetensors", load_backbone("resnet18", device="cpu"))
    own = {f"network.{name}": tensor for name, tensor in tuned.network.state_dict().items()}
    loaded["tuned.safetensors"] = own | {f"projection.{name}": array for name, array in vars(tuned.head).items()}
    return loaded


def _misread_weights(folder: Path, loaded: dict[str, Mapping[str, Any]]) -> str | None:
    """Each tensor by the format's own description: a length, a JSON header, and numbers at the offsets in it."""
    for name, tensors in loaded.items():
        if not name.endswith(".safetensors"):
            continue
        content = (folder / name).read_bytes()
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        for key, entry in header.items():
            if key == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            kind = {"F32": "<f4", "I64": "<i8", "F64": "<f8", "I32": "<i4", "F16": "<f2"}.get(entry["dtype"])
            if kind is None:
                return None
            values = np.frombuffer(content[8 + length + start : 8 + length + end], kind)
            if key in tensors and not np.array_equal(np.ravel(np.asarray(tensors[key])), values.astype(np.float32)):
                return f"{name}: {key}"
    return ""


def safetensors_header(content: bytes, random: np.random.Generator) -> bytes:
    """Weights whose header, or what our own programs wrote into it, holds other values."""
    (length,) = struct.unpack_from("<Q", content)
    header, ways = content[8 : 8 + length], (mutations.json_values, mutations.json_tricks, mutations.word)
    way = ways[int(random.integers(len(ways)))]
    parsed = json.loads(header)
    texts = list(parsed.get("__metadata__", {}))
    if texts and int(random.integers(3)):
        text = parsed["__metadata__"][texts[0]].encode()
        parsed["__metadata__"][texts[0]] = way(text, random).decode(errors="replace")
        header = json.dumps(parsed).encode()
    else:
        header = way(header, random)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


# --- a described paper -----------------------------------------------------------------------------------------------


def _make_paper(folder: Path) -> None:
    write_template(folder)


def _read_paper(folder: Path) -> Transcription:
    audit_folder(folder)
    return Transcription.read(folder)


def _misread_paper(folder: Path, paper: Transcription) -> str | None:
    with (folder / "numbers.csv").open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    if len(rows) != len(paper.numbers):
        return f"{len(paper.numbers)} numbers of {len(rows)}"
    for row, (_, found) in zip(rows, paper.numbers.iterrows(), strict=True):
        wrong = [name for name in row if (row[name] or "") != found[name] and name not in (*OPTIONAL, None)]
        if wrong:
            return f"{wrong[0]}: {row[wrong[0]]!r} became {found[wrong[0]]!r}"
    return ""


KINDS = {
    "models": Kind(
        "models, JSON of each kind", 4_000, {".json": mutations.JSON}, _make_models, _read_models, _misread_models
    ),
    "weights": Kind(
        "weights and model cards",
        2_000,
        {
            ".safetensors": (*mutations.DAMAGE, *[safetensors_header] * 12),
            ".pt": mutations.DAMAGE,
            ".json": mutations.JSON,
        },
        _make_weights,
        _read_weights,
        _misread_weights,
    ),
    "paper": Kind(
        "a paper to audit, YAML and CSV",
        4_000,
        {".yaml": mutations.YAML, ".csv": mutations.TABLE},
        _make_paper,
        _read_paper,
        _misread_paper,
    ),
}
