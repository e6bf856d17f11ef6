"""Features and models under other masks: what of the papers' scores depends on who drew the organ.

Stage 04 takes the features of some development patients under every mask, and their intraclass correlation.
The chapter on masks applies the fitted models to unseen patients under the same masks; nothing is fitted there.
"""

from __future__ import annotations

import filecmp
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.evaluation.agreement import icc_table
from hccbook.evaluation.association import feature_family
from hccbook.features import deep as deep_features
from hccbook.features.radiomics import (
    ExtractionSettings,
    RadiomicsTask,
    extract_radiomics_task,
    radiomics_table,
    stored_radiomics,
)
from hccbook.features.selection import unreliable_features
from hccbook.images import read_label_map, write_image
from hccbook.models import AlarmModel, AmapCtModel
from hccbook.models.development import CLINICAL, phase_organ_name
from hccbook.parallel import FAILURE_COLUMNS, digest, map_patients
from hccbook.pipeline.files import (
    ORGANS_OF_PAPER,
    label_map,
    model_table,
    read_feature_settings,
    read_preprocessing_settings,
    reference_labels,
    save_table,
    working_image,
)
from hccbook.pipeline.stages import window_hu
from hccbook.run import RunPaths
from hccbook.segmentation.perturbation import PERTURBATION_VERSION, Perturbation, perturb
from hccbook.settings import PHASES, FeatureSettings

USED, GIVEN = "used", "given"
"""Masks that are no change of another one: the one that the features come from, and the manifest's."""

ICC_COLUMNS = ("feature", "family", "patients", "masks", "icc", "lower", "upper", "note")
"""Columns of ``<paper>_icc.csv``; behind them stands one for each mask beside the one used."""

_MODELS = {"alarm": AlarmModel, "amap_ct": AmapCtModel}
_DIGITS = 6
_BETWEEN = " | "
_PATIENTS_AT_ONCE = 4


def listed_perturbations(text: str) -> tuple[str | Perturbation, ...]:
    """Masks that a setting lists beside the one used.

    Parameters
    ----------
    text : str
        Comma-separated: ``given`` for the manifest's, and changes such as ``erosion:2``.

    Returns
    -------
    tuple of str or Perturbation

    Raises
    ------
    SettingsError
        If a part is neither.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(part if part == GIVEN else Perturbation.parse(part) for part in dict.fromkeys(parts))


# --- one patient ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PerturbationTask:
    """One patient whose features are taken under several masks.

    Attributes
    ----------
    key : str
        The patient's key, such as ``P0001``.
    labels : tuple of (str, path) pairs
        Phase and the label map that is changed.
    given : tuple of (str, path) pairs
        Phase and the manifest's label map; empty where that is not asked for.
    changes : tuple of Perturbation
    extractions : tuple of RadiomicsTask
        What to take of every mask; their label maps are replaced. Empty where no radiomics are asked for.
    store : pathlib.Path
        Folder of the results kept; the changed label maps go to its folder ``masks``.
    seed : int
        Of what is random.
    """

    key: str
    labels: tuple[tuple[str, Path], ...]
    given: tuple[tuple[str, Path], ...]
    changes: tuple[Perturbation, ...]
    extractions: tuple[RadiomicsTask, ...]
    store: Path
    seed: int

    def files(self) -> dict[str, dict[str, Path]]:
        """Label map by mask and phase; those of the changes are there once `features_by_segmentation` has run."""
        files = {GIVEN: dict(self.given)} if self.given else {}
        for change in self.changes:
            files[str(change)] = {}
        for phase, path in self.labels:
            content = digest(path)
            for change in self.changes:
                name = digest("mask", content, str(change), self._seed(phase), PERTURBATION_VERSION)
                files[str(change)][phase] = self.store / "masks" / f"{name}.nii.gz"
        return files

    def images(self) -> dict[str, Path]:
        """Image by phase, of the phases that something is extracted from."""
        return {phase: path for extraction in self.extractions for phase, path in extraction.images}

    def _seed(self, phase: str) -> int:
        # A reader's hand wavers anew in every phase.
        return int(digest(self.key, phase, self.seed)[:8], 16)


def features_by_segmentation(task: PerturbationTask) -> dict[str, dict[str, float]]:
    """Change the masks of one patient and take the radiomics of each.

    Parameters
    ----------
    task : PerturbationTask

    Returns
    -------
    dict of str to dict of str to float
        By mask, values by ``<phase>.<organ>.<feature>``.

    Raises
    ------
    MaskError
        If an organ would vanish, or becomes too small for its features.
    ImageError, DataError
        As `hccbook.features.radiomics.extract_features` and the readers.
    """
    files = task.files()
    for phase, path in task.labels:
        waiting = [change for change in task.changes if not files[str(change)][phase].is_file()]
        if waiting:
            place = f"{task.key}, {phase}"
            changed = perturb(read_label_map(path, place=place), waiting, task._seed(phase), place)
            for change, labels in zip(waiting, changed, strict=True):
                write_image(labels, files[str(change)][phase])
    return {mask: _taken(task, own, extract_radiomics_task) for mask, own in files.items()}


def stored_features_by_segmentation(task: PerturbationTask) -> dict[str, dict[str, float]] | None:
    """What `features_by_segmentation` gives, out of the store; None unless all of it is there."""
    if not all(path.is_file() for path in (*task.images().values(), *dict(task.labels).values())):
        return None
    files = task.files()
    if not all(file.is_file() for own in files.values() for file in own.values()):
        return None
    found = {mask: _taken(task, own, stored_radiomics) for mask, own in files.items()}
    return None if any(values is None for values in found.values()) else found


def _taken(
    task: PerturbationTask,
    labels: Mapping[str, Path],
    take: Callable[[RadiomicsTask], dict[str, float] | None],
) -> dict[str, float] | None:
    values: dict[str, float] = {}
    for extraction in task.extractions:
        found = take(replace(extraction, labels=tuple((phase, labels[phase]) for phase, _ in extraction.images)))
        if found is None:
            return None
        values |= found
    return values


# --- features of a cohort under every mask -------------------------------------------------------------------------


def restricted(settings: ExtractionSettings, features: Iterable[str]) -> ExtractionSettings:
    """Settings that take no more images and features than are asked for, with the same values.

    Parameters
    ----------
    settings : ExtractionSettings
    features : iterable of str
        Names such as ``wavelet-LLH_glcm_Idm``, of one phase and organ.

    Returns
    -------
    ExtractionSettings
        Whose `feature_names` hold all of `features`, and few others: each class is taken of each image.

    Raises
    ------
    DataError
        If the settings do not give one of the features, or none is asked for.
    """
    wanted = set(features)
    unknown = sorted(wanted - set(settings.feature_names))
    if unknown or not wanted:
        raise DataError(
            "features under other masks",
            "must be some of those that the settings give",
            unknown[0] if unknown else "none",
            "Fit the model on features of this run.",
        )
    parts = [name.split("_", 2) for name in wanted]
    # An image's name begins with that of its type, but for the level of a wavelet: wavelet2-LLH.
    types = {image.partition("-")[0].rstrip("0123456789") for image, kind, _ in parts if kind != "shape"}
    chosen = {kind: tuple(sorted({name for _, own, name in parts if own == kind})) for _, kind, _ in parts}
    update = {
        "image_types": tuple(types) or ("original",),
        "log_sigma": settings.log_sigma if "log" in types else (),
        "feature_classes": tuple(chosen),
        "features": chosen,
    }
    return ExtractionSettings(**settings.model_dump() | update)


@dataclass(frozen=True)
class NetworkTask:
    """A few patients whose deep features are taken under several masks.

    Attributes
    ----------
    run : RunPaths
    paper : {"alarm", "amap_ct"}
    settings : FeatureSettings
    labels : dict
        Label map by patient, mask and phase.
    parts : dict of str to tuple of str
        Phases wanted, by organ; with a tuned network all phases that it was tuned on.
    boxes : dict of str to (z, y, x)
        Box of every organ, voxels, as stage 04 has it.
    """

    run: RunPaths
    paper: str
    settings: FeatureSettings
    labels: dict[str, dict[str, dict[str, Path]]]
    parts: dict[str, tuple[str, ...]]
    boxes: dict[str, tuple[int, int, int]]


def deep_by_segmentation(task: NetworkTask) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Deep features of a few patients under every mask.

    Parameters
    ----------
    task : NetworkTask

    Returns
    -------
    tables : dict of str to pandas.DataFrame
        By mask, a row a patient that got through; a mask is absent where nobody did.
    failures : pandas.DataFrame
        With `hccbook.parallel.FAILURE_COLUMNS`.

    Raises
    ------
    ModelError
        If the networks of stage 04 are not there.
    """
    tuned_file = task.run.stage("features") / "fine_tuned.safetensors"
    modified = tuned_file.stat().st_mtime_ns if tuned_file.is_file() else 0
    backbone, tuned = _networks(task.run, task.paper, task.settings, modified)
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    failures = []
    for organ, own in task.parts.items():
        tasks = {
            f"{key}{_BETWEEN}{mask}": deep_features.DeepTask(
                key,
                tuple((phase, working_image(task.run, task.paper, key, phase)) for phase in own),
                tuple((phase, segmented[phase]) for phase in own),
                (organ,),
                task.run.store,
            )
            for key, masks in task.labels.items()
            for mask, segmented in masks.items()
        }
        outcome = deep_features.extract_stage_inputs(
            tasks,
            backbone,
            task.boxes,
            depth="projection" if tuned is None else tuned.depth,
            crop_voxels=task.settings.crop_voxels,
            window=window_hu(read_preprocessing_settings(task.run)),
            stage="deep features",
            progress=False,
        )
        rows = outcome.failures
        failures.append(rows.assign(patient=[name.partition(_BETWEEN)[0] for name in rows["patient"]]))
        for name, values in outcome.results.items():
            key, _, mask = name.partition(_BETWEEN)
            found.setdefault(mask, {}).setdefault(key, {}).update(values)
    make = deep_features.deep_table if tuned is None else tuned.transform
    whole = sum(len(own) for own in task.parts.values())
    through = {
        mask: {key: values for key, values in patients.items() if len(values) == whole}
        for mask, patients in found.items()
    }
    return {mask: make(patients) for mask, patients in through.items() if patients}, _rows(failures)


@functools.lru_cache(maxsize=1)
def _networks(
    run: RunPaths, paper: str, settings: FeatureSettings, modified_ns: int
) -> tuple[deep_features.Backbone, deep_features.FineTunedNetwork | None]:
    """Networks of one paper, read once a process and again when the tuned one changes."""
    network, weights = {
        "alarm": ("resnet50", settings.resnet50_weights),
        "amap_ct": ("resnet18", settings.resnet18_weights),
    }[paper]
    backbone = deep_features.load_backbone(network, weights, settings.seed, settings.device)
    if paper != "alarm":
        return backbone, None
    return backbone, deep_features.FineTunedNetwork.load(run.stage("features") / "fine_tuned.safetensors", backbone)


def _deep_tables(
    run: RunPaths,
    paper: str,
    settings: FeatureSettings,
    development: Sequence[str],
    phases: tuple[str, ...],
    labels: Mapping[str, dict[str, dict[str, Path]]],
    parts: Mapping[str, tuple[str, ...]],
    workers: int,
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Deep features by mask, and the failures, with a few patients a task."""
    organs = ORGANS_OF_PAPER[paper]
    boxes = deep_features.largest_boxes(
        deep_features.organ_extents_task(
            deep_features.DeepTask(
                key,
                tuple((phase, working_image(run, paper, key, phase)) for phase in phases),
                tuple((phase, label_map(run, paper, key, phase)) for phase in phases),
                organs,
                run.store,
            )
        )
        for key in development
    )
    wanted = dict.fromkeys(parts, phases) if paper == "alarm" else dict(parts)
    keys = list(labels)
    tasks = {}
    for first in range(0, len(keys), _PATIENTS_AT_ONCE):
        some = keys[first : first + _PATIENTS_AT_ONCE]
        tasks[", ".join(some)] = NetworkTask(run, paper, settings, {key: labels[key] for key in some}, wanted, boxes)
    outcome = map_patients(deep_by_segmentation, tasks, stage="deep features", workers=workers)
    if len(outcome.failures):  # of the networks: what patients lack comes back with the others' tables
        failed = outcome.failures.iloc[0]
        raise DataError(
            f"deep features, {failed['patient']}",
            "must be taken under every mask",
            failed["reason"],
            "Run stage 04 again.",
        )
    tables: dict[str, list[pd.DataFrame]] = {}
    for own, _ in outcome.results.values():
        for mask, table in own.items():
            tables.setdefault(mask, []).append(table)
    fallen = _rows(failures for _, failures in outcome.results.values())
    return {mask: pd.concat(own) for mask, own in tables.items()}, fallen.drop_duplicates("patient")


def _rows(failures: Iterable[pd.DataFrame]) -> pd.DataFrame:
    return pd.DataFrame([row for table in failures for row in table.to_dict("records")], columns=list(FAILURE_COLUMNS))


def features_by_perturbation(
    run: RunPaths,
    paper: str,
    known: tuple[pd.DataFrame, pd.DataFrame],
    patients: Sequence[str],
    features: Sequence[str],
    settings: FeatureSettings,
    workers: int,
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Some features of some patients under every mask that the settings list.

    Parameters
    ----------
    run : RunPaths
        Up to stage 04.
    paper : {"alarm", "amap_ct"}
    known : pair of pandas.DataFrame
        Clinical table and features under the masks used, as from `hccbook.pipeline.files.model_table`.
    patients : sequence of str
        Keys.
    features : sequence of str
        Columns, ``<phase>.<organ>.<name>``.
    settings : FeatureSettings
        Those of stage 04.
    workers : int
        Processes over patients; the values do not depend on it.

    Returns
    -------
    tables : dict of str to pandas.DataFrame
        By mask, the one used first; a row a patient that got through under all of them, columns `features`.
        The manifest's masks are left out unless every patient has them and somewhere they differ from those used.
    failures : pandas.DataFrame
        The other patients, with `hccbook.parallel.FAILURE_COLUMNS`.
    """
    masks = listed_perturbations(settings.perturbations)
    clinical, stored = known
    phases = tuple(phase for phase in PHASES if any(name.startswith(f"{phase}.") for name in stored))
    extraction = getattr(ExtractionSettings, paper)(settings, read_preprocessing_settings(run))
    radiomics: dict[tuple[str, str], list[str]] = {}
    deep: dict[str, tuple[str, ...]] = {}
    for phase, organ, name in map(phase_organ_name, features):
        if name.startswith("deep_"):
            deep[organ] = tuple(dict.fromkeys((*deep.get(organ, ()), phase)))
        else:
            radiomics.setdefault((phase, organ), []).append(name)
    # Organs of a phase of which the same is asked are taken together, so that their image is read once.
    asked: dict[tuple[str, str], tuple[ExtractionSettings, tuple[str, ...]]] = {}
    for (phase, organ), names in radiomics.items():
        some = restricted(extraction, names)
        together = phase, some.model_dump_json()
        asked[together] = some, (*asked.get(together, (some, ()))[1], organ)
    given = GIVEN in masks and _differ(run, paper, patients, phases)
    tasks = {}
    for key in patients:
        used = tuple((phase, label_map(run, paper, key, phase)) for phase in phases)
        own = tuple((phase, reference_labels(run, paper, key, phase)) for phase in phases) if given else ()
        extractions = tuple(
            RadiomicsTask(
                key,
                ((phase, working_image(run, paper, key, phase)),),
                ((phase, label_map(run, paper, key, phase)),),
                organs,
                some,
                run.store,
                settings.engine,
            )
            for (phase, _), (some, organs) in asked.items()
        )
        changes = tuple(mask for mask in masks if mask != GIVEN)
        tasks[key] = PerturbationTask(key, used, own, changes, extractions, run.store, settings.seed)
    outcome = map_patients(
        features_by_segmentation, tasks, stage="masks", workers=workers, is_done=stored_features_by_segmentation
    )
    failures = [outcome.failures]
    keys = list(outcome.results)
    tables = {USED: stored.loc[keys, list(features)]}
    labels = {key: tasks[key].files() for key in keys}
    networked: dict[str, pd.DataFrame] = {}
    if deep and keys:
        development = list(clinical.index[clinical["role"] == "development"])
        networked, fallen = _deep_tables(run, paper, settings, development, phases, labels, deep, workers)
        failures.append(fallen)
    for mask in next(iter(labels.values()), {}):
        parts = [radiomics_table({key: outcome.results[key][mask] for key in keys})] if radiomics else []
        parts += [networked.get(mask, pd.DataFrame())] if deep else []
        joined = pd.concat(parts, axis=1, join="inner") if parts else pd.DataFrame(index=keys)
        tables[mask] = joined[list(features)] if len(joined) else pd.DataFrame(columns=list(features))
    through = [key for key in keys if all(key in table.index for table in tables.values())]
    return {mask: table.loc[through] for mask, table in tables.items()}, _rows(failures)


def _differ(run: RunPaths, paper: str, patients: Sequence[str], phases: Sequence[str]) -> bool:
    """Whether the manifest gave every mask, and somewhere another one than is used."""
    pairs = []
    for key in patients:
        pairs += [(reference_labels(run, paper, key, phase), label_map(run, paper, key, phase)) for phase in phases]
    if not all(given.is_file() for given, _ in pairs):
        return False
    return not all(filecmp.cmp(given, used, shallow=False) for given, used in pairs)


# --- agreement --------------------------------------------------------------------------------------------------------


def segmentation_agreement(run: RunPaths, paper: str, settings: FeatureSettings, workers: int) -> pd.DataFrame:
    """Intraclass correlation of every feature between masks, as ``<paper>_icc.csv``.

    Development patients alone are looked at, so that a filter made of it has seen no patient that a model is tested on.

    Parameters
    ----------
    run : RunPaths
        Features of all patients must be there.
    paper : {"alarm", "amap_ct"}
    settings : FeatureSettings
        `perturbation_patients` of them are drawn by `seed`; without any, the table has no row.
    workers : int

    Returns
    -------
    pandas.DataFrame
        Columns `ICC_COLUMNS`: ``icc`` is ICC(2,1), absolute agreement of all masks together, with its 95 %
        interval. Behind them a column for each mask: ICC(2,1) of that one and the one used.

    Raises
    ------
    DataError
        If fewer than three patients get through.
    """
    file = run.stage("features") / f"{paper}_icc.csv"
    if not settings.perturbation_patients:
        table = pd.DataFrame(columns=list(ICC_COLUMNS))
        save_table(table, file)
        return table
    clinical, stored = model_table(run, paper)
    development = list(clinical.index[clinical["role"] == "development"])
    random = np.random.default_rng(settings.seed)
    drawn = random.choice(len(development), min(settings.perturbation_patients, len(development)), replace=False)
    columns = [name for name in stored if name != CLINICAL]
    patients = [development[position] for position in sorted(drawn)]
    tables, failures = features_by_perturbation(run, paper, (clinical, stored), patients, columns, settings, workers)
    left = len(tables[USED])
    if left < 3:
        why = failures["reason"].iloc[0] if len(failures) else f"{len(patients)} development patients"
        raise DataError(
            f"masks, {paper}",
            "needs at least 3 development patients under every mask",
            f"{left}; {why}",
            "Set features.perturbation_patients higher, choose smaller features.perturbations, or set the former to 0.",
        )
    values = np.stack([table.to_numpy(dtype=float) for table in tables.values()], axis=1)
    together = icc_table(values)
    table = pd.DataFrame(
        {
            "feature": columns,
            "family": [feature_family(name) for name in columns],
            "patients": left,
            "masks": len(tables),
            "icc": together["icc"],
            "lower": together["lower"],
            "upper": together["upper"],
            "note": together["note"],
        }
    )
    for position, mask in enumerate(list(tables)[1:], start=1):
        table[mask] = icc_table(values[:, [0, position]])["icc"]
    save_table(table.round(_DIGITS), file)
    return table.round(_DIGITS)


# --- models -----------------------------------------------------------------------------------------------------------


def model_features(model: AlarmModel | AmapCtModel) -> list[str]:
    """Image features that enter a fitted model."""
    scores = (model.radiomics_score_, model.deep_score_) if isinstance(model, AlarmModel) else (model.image_score_,)
    return [name for score in scores for name in score.names]


def scores_by_segmentation(run: RunPaths, paper: str, patients: int, seed: int, workers: int) -> pd.DataFrame:
    """Probability that the fitted model gives unseen patients, under every mask.

    Only what the model uses is extracted. Those who fell out are kept as ``<paper>_left_out.csv`` of the chapter.

    Parameters
    ----------
    run : RunPaths
        With the model of the paper fitted.
    paper : {"alarm", "amap_ct"}
    patients : int
        How many unseen patients, drawn by `seed` with about their share of HCC; 0 for all.
    seed : int
    workers : int

    Returns
    -------
    pandas.DataFrame
        Index ``patient``; column hcc, then one a mask, the one used first.

    Raises
    ------
    ModelError
        If there is no model.
    DataError
        If nobody gets through under every mask.
    """
    model = _MODELS[paper].from_json(run.stage(paper) / "model.json")
    clinical, table = model_table(run, paper)
    unseen = clinical[clinical["role"] != "development"]
    chosen = _drawn(unseen["hcc"], patients, seed)
    features = model_features(model)
    settings = read_feature_settings(run)
    tables, failures = features_by_perturbation(run, paper, (clinical, table), chosen, features, settings, workers)
    save_table(failures, run.stage("segmentation_robustness") / f"{paper}_left_out.csv")
    if not len(tables[USED]):
        raise DataError(
            f"masks, {paper}",
            "at least one unseen patient must get through under every mask",
            f"{len(failures)} failures",
            f"First reason: {failures['reason'].iloc[0]}" if len(failures) else "There is no unseen patient.",
        )
    scores = {}
    for mask, own in tables.items():
        scores[mask] = model.scores(own.assign(**{CLINICAL: table.loc[own.index, CLINICAL]}))[paper]
    return pd.DataFrame({"hcc": unseen["hcc"].loc[tables[USED].index], **scores})


def _drawn(outcome: pd.Series, count: int, seed: int) -> list[str]:
    """So many patients with about the same share of HCC, at least two with and two without, in their order."""
    if count == 0 or count >= len(outcome):
        return list(outcome.index)
    random = np.random.default_rng(seed)
    events = int(np.clip(round(count * outcome.mean()), 2, max(count - 2, 2)))
    kept = []
    for value, size in ((1, events), (0, max(count - events, 2))):
        own = np.flatnonzero(outcome == value)
        kept += random.choice(own, min(size, len(own)), replace=False).tolist()
    return [outcome.index[position] for position in sorted(kept)]


def features_left_out(run: RunPaths, paper: str, features: Sequence[str], min_icc: float) -> tuple[str, ...]:
    """Features that depend too much on the mask to be selected; none where `min_icc` is 0.

    Parameters
    ----------
    run : RunPaths
        Up to stage 04.
    paper : {"alarm", "amap_ct"}
    features : sequence of str
        Columns; the clinical score is let pass.
    min_icc : float
        As in `hccbook.features.selection.unreliable_features`.

    Returns
    -------
    tuple of str

    Raises
    ------
    DataError
        If stage 04 took no intraclass correlations, or not of all features.
    """
    if not min_icc:
        return ()
    file = run.stage("features") / f"{paper}_icc.csv"
    table = pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=list(ICC_COLUMNS))
    if table.empty:
        raise DataError(
            f"{paper}, min_icc",
            f"needs the intraclass correlations of stage 04 ({file.name})",
            "none",
            "Set features.perturbation_patients to 10 or so and run stage 04 again, or set min_icc: 0.",
        )
    names = [name for name in features if name != CLINICAL]
    return unreliable_features(names, table.set_index("feature")["icc"], min_icc)
