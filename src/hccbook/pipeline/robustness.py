"""Features and models under other masks: what of the papers' scores depends on who drew the organ.

Stage 04 takes the features of some development patients under every mask, and their intraclass correlation.
The chapter on masks applies the fitted models to unseen patients under the same masks; nothing is fitted there.
"""

from __future__ import annotations

import filecmp
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.evaluation.agreement import icc_table
from hccbook.evaluation.association import feature_family
from hccbook.features import deep as deep_features
from hccbook.features.radiomics import ExtractionSettings, extract_patient, radiomics_table
from hccbook.features.selection import unreliable_features
from hccbook.images import read_label_map, write_image
from hccbook.models.development import CLINICAL, phase_organ_name
from hccbook.papers import find_paper
from hccbook.parallel import map_patients
from hccbook.pipeline.features import load_backbone, organ_crops, parts_of
from hccbook.pipeline.files import (
    cases,
    joined_failures,
    model_table,
    read_feature_settings,
    read_preprocessing_settings,
    save_table,
)
from hccbook.provenance import digest
from hccbook.run import Case, RunPaths
from hccbook.segmentation.perturbation import Perturbation, perturb
from hccbook.settings import PHASES, FeatureSettings

USED, GIVEN = "used", "given"
"""Masks that are no change of another one: the one that the features come from, and the manifest's."""

ICC_COLUMNS = ("feature", "family", "patients", "masks", "icc", "lower", "upper", "note")
"""Columns of ``<paper>_icc.csv``; behind them stands one for each mask beside the one used."""

_DIGITS = 6
_BETWEEN = " | "
_PATIENTS_AT_ONCE = 4


def listed_perturbations(text: str) -> tuple[str | Perturbation, ...]:
    """Masks that a setting lists beside the one used.

    Parameters
    ----------
    text : str
        Comma-separated: ``given`` for the manifest's, and changes such as ``erosion:2``.

    Raises
    ------
    SettingsError
        If a part is neither.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(part if part == GIVEN else Perturbation.parse(part) for part in dict.fromkeys(parts))


# --- one patient ------------------------------------------------------------------------------------------------------


def _perturbed_cases(case: Case, wanted: _Wanted, seed: int) -> dict[str, Case]:
    """The same patient by mask, the manifest's first; changed label maps are made unless the store has them."""
    changes = wanted.changes
    variants = {GIVEN: {phase: case.reference_labels(phase) for phase in case.phases}} if wanted.given else {}
    variants |= {str(change): {} for change in changes}
    for phase in case.phases if changes else ():
        # A reader's hand wavers anew in every phase.
        own_seed = int(digest(case.key, phase, seed)[:8], 16)
        inputs = (case.labels(phase), [str(change) for change in changes], own_seed)
        key = case.run.store.key("perturbed_masks", perturb, *inputs)
        folder = case.run.store.get_or_make(key, functools.partial(_write_perturbed, case, phase, changes, own_seed))
        for number, change in enumerate(changes):
            variants[str(change)][phase] = folder / f"{number}.nii.gz"
    return {mask: replace(case, own_labels=labels) for mask, labels in variants.items()}


def _write_perturbed(case: Case, phase: str, changes: Sequence[Perturbation], seed: int, folder: Path) -> None:
    labels = read_label_map(case.labels(phase), place=case.place(phase))
    for number, changed in enumerate(perturb(labels, changes, seed, case.place(phase))):
        write_image(changed, folder / f"{number}.nii.gz")


@dataclass(frozen=True)
class _Wanted:
    """What is taken of every patient under every mask."""

    changes: tuple[Perturbation, ...]
    given: bool  # whether the manifest's masks are wanted too
    extractions: tuple[tuple[str, tuple[str, ...], ExtractionSettings], ...]  # alike organs of a phase: one reading
    deep: dict[str, tuple[str, ...]]  # phases by organ

    @classmethod
    def of(
        cls, features: Sequence[str], extraction: ExtractionSettings, masks: Sequence[str | Perturbation]
    ) -> _Wanted:
        radiomics: dict[tuple[str, str], list[str]] = {}
        deep: dict[str, tuple[str, ...]] = {}
        for phase, organ, name in map(phase_organ_name, features):
            if name.startswith("deep_"):
                deep[organ] = tuple(dict.fromkeys((*deep.get(organ, ()), phase)))
            else:
                radiomics.setdefault((phase, organ), []).append(name)
        together: dict[tuple[str, str], tuple[str, tuple[str, ...], ExtractionSettings]] = {}
        for (phase, organ), names in radiomics.items():
            some = restricted(extraction, names)
            alike = phase, some.model_dump_json()
            organs = together[alike][1] if alike in together else ()
            together[alike] = phase, (*organs, organ), some
        changes = tuple(mask for mask in masks if mask != GIVEN)
        return cls(changes, GIVEN in masks, tuple(together.values()), deep)


def _features_by_mask(case: Case, wanted: _Wanted, engine: str, seed: int) -> dict[str, dict[str, float]]:
    """Radiomics of one patient by mask, values by ``<phase>.<organ>.<feature>``; an organ must not vanish."""
    found: dict[str, dict[str, float]] = {}
    for mask, variant in _perturbed_cases(case, wanted, seed).items():
        found[mask] = {}
        for phase, organs, some in wanted.extractions:
            found[mask] |= extract_patient(replace(variant, phases=(phase,)), organs, some, engine)
    return found


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
    parts = [name.split("_", 2) for name in sorted(wanted)]  # in one order: the settings are part of a key
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
class _Networks:
    """Where the deep features of one paper come from, with the crops of stage 04."""

    run: RunPaths
    paper: str
    settings: FeatureSettings
    crops: deep_features.Crops


def _deep_by_mask(
    variants: Mapping[str, Mapping[str, Case]], networks: _Networks, phases: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Deep features of a few patients under every mask, and the failures; a mask that nobody got through is absent.

    `variants` are cases by patient and mask; `phases`, by organ, are all that a tuned network was tuned on.
    """
    tuned_file = networks.run.stage("features") / "fine_tuned.safetensors"
    modified = tuned_file.stat().st_mtime_ns if tuned_file.is_file() else 0
    backbone, tuned = _loaded(networks.run, networks.paper, networks.settings, modified)
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    failures = []
    for organ, own in phases.items():
        items = {
            f"{key}{_BETWEEN}{mask}": replace(case, phases=own)
            for key, masks in variants.items()
            for mask, case in masks.items()
        }
        result = deep_features.extract_deep(
            items,
            backbone,
            networks.crops.of(organ),
            depth="projection" if tuned is None else tuned.tuning.depth,
            progress=False,
        )
        rows = result.failures
        failures.append(rows.assign(patient=[name.partition(_BETWEEN)[0] for name in rows["patient"]]))
        for name, values in result.results.items():
            key, _, mask = name.partition(_BETWEEN)
            found.setdefault(mask, {}).setdefault(key, {}).update(values)
    make = deep_features.deep_table if tuned is None else tuned.transform
    whole = sum(len(own) for own in phases.values())
    through = {
        mask: {key: values for key, values in patients.items() if len(values) == whole}
        for mask, patients in found.items()
    }
    return {mask: make(patients) for mask, patients in through.items() if patients}, joined_failures(failures)


@functools.lru_cache(maxsize=1)
def _loaded(
    run: RunPaths, paper: str, settings: FeatureSettings, modified_ns: int
) -> tuple[deep_features.Backbone, deep_features.FineTunedNetwork | None]:
    """Networks of one paper, read once a process and again when the tuned one changes."""
    of_paper = find_paper(paper)
    backbone = load_backbone(of_paper, settings)
    if not of_paper.is_tuned:
        return backbone, None
    return backbone, deep_features.FineTunedNetwork.load(run.stage("features") / "fine_tuned.safetensors", backbone)


def _deep_tables(
    variants: Mapping[str, Mapping[str, Case]], networks: _Networks, phases: Mapping[str, tuple[str, ...]], workers: int
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Deep features by mask, and the failures, with a few patients a task."""
    items = parts_of(variants, _PATIENTS_AT_ONCE)
    task = functools.partial(_deep_by_mask, networks=networks, phases=phases)
    result = map_patients(task, items, stage="deep features", workers=workers)
    if len(result.failures):  # of the networks: what patients lack comes back with the others' tables
        failed = result.failures.iloc[0]
        raise DataError(
            f"deep features, {failed['patient']}",
            "must be taken under every mask",
            failed["reason"],
            "Run stage 04 again.",
        )
    tables: dict[str, list[pd.DataFrame]] = {}
    for own, _ in result.results.values():
        for mask, table in own.items():
            tables.setdefault(mask, []).append(table)
    failures = joined_failures(failures for _, failures in result.results.values())
    return {mask: pd.concat(own) for mask, own in tables.items()}, failures.drop_duplicates("patient")


def features_by_perturbation(
    run: RunPaths, paper: str, patients: Sequence[str], features: Sequence[str], settings: FeatureSettings, workers: int
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Some features of some patients under every mask that the settings list.

    Parameters
    ----------
    run : RunPaths
        Up to stage 04.
    paper : {"alarm", "amap_ct"}
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
        By mask, the one used first; one row per patient that got through under all of them, columns `features`.
        The manifest's masks are left out unless every patient has them and somewhere they differ from those used.
    failures : pandas.DataFrame
        The other patients, with `hccbook.parallel.FAILURE_COLUMNS`.
    """
    masks = listed_perturbations(settings.perturbations)
    clinical, stored = model_table(run, paper)
    of_paper = find_paper(paper)
    phases = tuple(phase for phase in PHASES if any(name.startswith(f"{phase}.") for name in stored))
    items = cases(run, paper, phases, patients)
    if GIVEN in masks and not _differ(items.values()):
        masks = tuple(mask for mask in masks if mask != GIVEN)
    extraction = ExtractionSettings.of_paper(paper, settings, read_preprocessing_settings(run))
    wanted = _Wanted.of(features, extraction, masks)
    task = functools.partial(_features_by_mask, wanted=wanted, engine=settings.engine, seed=settings.seed)
    result = map_patients(task, items, stage="masks", workers=workers, stored=True)
    failures = [result.failures]
    tables = {USED: stored.loc[list(result.results), list(features)]}
    parts: dict[str, list[pd.DataFrame]] = {str(mask): [] for mask in masks}
    if wanted.extractions and result.results:
        for mask, found in parts.items():
            found.append(radiomics_table({key: own[mask] for key, own in result.results.items()}))
    if wanted.deep and result.results:
        development = cases(run, paper, phases, clinical.index[clinical["role"] == "development"])
        crops = organ_crops(run, of_paper, settings, development.values())
        variants = {key: _perturbed_cases(items[key], wanted, settings.seed) for key in result.results}
        asked = dict.fromkeys(wanted.deep, phases) if of_paper.is_tuned else wanted.deep
        networks = _Networks(run, paper, settings, crops)
        by_mask, fallen = _deep_tables(variants, networks, asked, workers)
        failures.append(fallen)
        for mask, found in parts.items():
            found.append(by_mask.get(mask, pd.DataFrame()))
    for mask, found in parts.items():
        joined = pd.concat(found, axis=1, join="inner") if found else pd.DataFrame(index=list(result.results))
        tables[mask] = joined[list(features)] if len(joined) else pd.DataFrame(columns=list(features))
    through = [key for key in result.results if all(key in table.index for table in tables.values())]
    return {mask: table.loc[through] for mask, table in tables.items()}, joined_failures(failures)


def _differ(items: Iterable[Case]) -> bool:
    """Whether the manifest gave every mask, and somewhere another one than is used."""
    pairs = [(case.reference_labels(phase), case.labels(phase)) for case in items for phase in case.phases]
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
    tables, failures = features_by_perturbation(run, paper, patients, columns, settings, workers)
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
            **{name: together[name] for name in ("icc", "lower", "upper", "note")},
        }
    )
    for position, mask in enumerate(list(tables)[1:], start=1):
        table[mask] = icc_table(values[:, [0, position]])["icc"]
    table = table.round(_DIGITS)
    save_table(table, file)
    return table


# --- models -----------------------------------------------------------------------------------------------------------


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
    model = find_paper(paper).model_class().from_json(run.stage(paper) / "model.json")
    clinical, table = model_table(run, paper)
    unseen = clinical[clinical["role"] != "development"]
    chosen = _drawn(unseen["hcc"], patients, seed)
    features, settings = model.image_features, read_feature_settings(run)
    tables, failures = features_by_perturbation(run, paper, chosen, features, settings, workers)
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
