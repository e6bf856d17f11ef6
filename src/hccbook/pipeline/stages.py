"""What the notebooks call for a whole cohort: each stage reads the files of earlier ones and writes its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from hccbook import cohort, images, phantom, segmentation
from hccbook.errors import DataError, MaskError, ModelError, SettingsError
from hccbook.features import deep as deep_features
from hccbook.features.radiomics import (
    ExtractionSettings,
    RadiomicsTask,
    extract_radiomics_task,
    radiomics_table,
    stored_radiomics,
)
from hccbook.images import preprocessing
from hccbook.parallel import FAILURE_COLUMNS, Outcome, atomic_path, digest, link, map_patients, progress_line
from hccbook.pipeline.files import (
    ORGANS_OF_PAPER,
    TRAINING_SET,
    label_map,
    native_labels,
    preprocessed_patients,
    read_cohort,
    read_preprocessing_settings,
    read_table,
    reference_labels,
    save_json,
    save_table,
    segmented_patients,
    source_manifest,
    working_image,
)
from hccbook.report.tables import SYNTHETIC_NOTICE
from hccbook.run import RunPaths, project_root
from hccbook.settings import (
    ORGANS,
    PHASES,
    CohortSettings,
    FeatureSettings,
    PreprocessingSettings,
    SegmentationSettings,
)


def _keep(outcome: Outcome, run: RunPaths, stage: str, paper: str) -> None:
    save_table(outcome.failures, run.stage(stage) / f"{paper}_failures.csv")
    if not outcome.results:
        raise DataError(
            f"{stage}, {paper}",
            "at least one patient must get through",
            f"{len(outcome.failures)} failures",
            f"First reason: {outcome.failures['reason'].iloc[0]}"
            if len(outcome.failures)
            else "The manifest is empty.",
        )


def _joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    rows = [*first.to_dict("records"), *second.to_dict("records")]
    return pd.DataFrame(rows, columns=list(FAILURE_COLUMNS))


# --- cohort -----------------------------------------------------------------------------------------------------------


def make_cohort(
    run: RunPaths, paper: str, manifest: str, settings: CohortSettings, phases: tuple[str, ...], workers: int
) -> pd.DataFrame:
    """Simulate the cohort unless the user brings one, check its manifest, and write the clinical table.

    Parameters
    ----------
    run : RunPaths
    paper : {"alarm", "amap_ct"}
    manifest : str
        The user's manifest; empty for the synthetic cohort.
    settings : CohortSettings
    phases : tuple of str
        Phases that must be there.
    workers : int

    Returns
    -------
    pandas.DataFrame
        Clinical table, a row a patient, index ``patient``; no identifier and no path.
    """
    if not manifest:
        folder = source_manifest(run, paper, "").parent
        phantom.write_cohort(folder, paper, settings, workers=workers, store=run.store)
    rows = cohort.read_manifest(source_manifest(run, paper, manifest), phases)
    rows["cohort"] = cohort.assign_cohorts(rows, paper, settings.seed)
    table = cohort.clinical_table(rows)
    save_table(table.reset_index(), run.manifest(paper))
    return table


def make_training_set(run: RunPaths, settings: CohortSettings, workers: int) -> Path:
    """Simulate the patients that train the segmentation; they belong to neither cohort.

    Returns
    -------
    pathlib.Path
        Their manifest.
    """
    folder = source_manifest(run, TRAINING_SET, "").parent
    return phantom.write_segmentation_set(folder, settings, workers=workers, store=run.store)


# --- preprocessing ----------------------------------------------------------------------------------------------------


def preprocess_cohort(
    run: RunPaths, paper: str, manifest: str, settings: PreprocessingSettings, phases: tuple[str, ...], workers: int
) -> pd.DataFrame:
    """Resample and align every patient of one paper.

    Returns
    -------
    pandas.DataFrame
        A row a patient and phase: voxel edges of the source in mm, shift in mm, volumes of given masks in mL.
    """
    rows = cohort.read_manifest(source_manifest(run, paper, manifest), phases)
    out = working_image(run, paper, "", "").parent
    tasks = {key: preprocessing.task_of(key, row, phases, settings, run.store, out) for key, row in rows.iterrows()}
    save_json(settings.model_dump(), run.stage("preprocessing") / "settings.json")
    outcome = map_patients(
        preprocessing.preprocess_patient,
        tasks,
        stage="preprocessing",
        workers=workers,
        is_done=preprocessing.stored_preprocessing,
    )
    _keep(outcome, run, "preprocessing", paper)
    facts = pd.concat([pd.DataFrame(rows).assign(patient=key) for key, rows in outcome.results.items()])
    facts = facts[["patient", *[name for name in facts if name != "patient"]]]
    save_table(facts, run.stage("preprocessing") / f"{paper}.csv")
    return facts


# --- segmentation -----------------------------------------------------------------------------------------------------


def segmentation_network(run: RunPaths, settings: SegmentationSettings, phases: tuple[str, ...]) -> Path | None:
    """Trained network: the user's weights, one trained here before, or one trained now.

    Returns
    -------
    pathlib.Path or None
        File of the weights; None where the masks come from the manifest or from nnU-Net.

    Raises
    ------
    ModelError
        If there is nobody to train on.
    SettingsError
        If nnU-Net's predictions are asked for, and their folder is not there.
    """
    if settings.mask_source == "nnunet":
        _predictions(settings)  # refused here, not in every patient
    if settings.mask_source != "network":
        return None
    target = run.stage("segmentation") / "network.safetensors"
    if settings.weights:
        segmentation.Segmenter.load(Path(settings.weights))  # refused here, not in every patient
        link(Path(settings.weights), target)
        return target
    manifest = source_manifest(run, TRAINING_SET, "")
    if not manifest.is_file():
        raise ModelError(
            "segmentation network",
            "needs patients to train on, or weights",
            "neither",
            "Set cohort.segmentation_patients, segmentation.weights, or mask_source: manifest.",
        )
    rows = cohort.read_manifest(manifest, phases)
    paths = [Path(row[name]) for _, row in rows.iterrows() for phase in phases for name in _mask_columns(phase)]
    # Where the network runs and what is drawn afterwards change no weight.
    training = settings.model_dump(exclude={"mask_source", "predictions", "weights", "contact_sheets", "device"})
    known = digest(*paths, training, segmentation.TRAINING_VERSION)
    stored = run.store / "segmentation" / f"network-{known}.safetensors"
    if not stored.is_file():
        _train(rows, settings, phases, stored)
    link(stored, target)
    return target


def _mask_columns(phase: str) -> tuple[str, ...]:
    return (phase, *(f"{organ}_mask_{phase}" for organ in ORGANS))


def _train(rows: pd.DataFrame, settings: SegmentationSettings, phases: tuple[str, ...], stored: Path) -> None:
    """Train on the images as they came; an interrupted training goes on from its last checkpoint."""
    cases = []
    for key, row in rows.iterrows():
        volumes, labels = source_volumes(row, key, phases)
        cases += [(volumes[phase], labels[phase]) for phase in phases]
    checkpoint = stored.with_name(stored.stem + "-checkpoint.safetensors")
    with progress_line("segmentation, training", settings.pretraining_iterations + settings.iterations) as advance:
        trained = segmentation.train_segmenter(cases, settings, lambda step, loss: advance(), checkpoint)
    trained.save(stored)
    checkpoint.unlink(missing_ok=True)


def source_volumes(
    row: Mapping[str, object], patient: str, phases: tuple[str, ...]
) -> tuple[dict[str, sitk.Image], dict[str, sitk.Image]]:
    """Images of one patient as the manifest has them, with its masks where it gives them.

    Parameters
    ----------
    row : mapping
        Row of a manifest, as `hccbook.cohort.read_manifest` returns it.
    patient : str
        Key, for errors.
    phases : tuple of str

    Returns
    -------
    images : dict of str to SimpleITK.Image
        By phase, HU.
    labels : dict of str to SimpleITK.Image
        Label maps by phase; empty where the manifest has no masks of both organs.
    """
    volumes = {phase: images.read_image(row[phase], f"{patient}, {phase}") for phase in phases}
    labels = {}
    for phase in phases:
        masks = [row.get(f"{organ}_mask_{phase}") for organ in ORGANS]
        if all(isinstance(mask, str | Path) and str(mask) for mask in masks):
            organs = (
                images.read_mask(mask, volumes[phase], f"{patient}, {phase}, {organ}", organ)
                for organ, mask in zip(ORGANS, masks, strict=True)
            )
            labels[phase] = segmentation.external_labels(*organs, volumes[phase])
    return volumes, labels


def segment_cohort(
    run: RunPaths,
    paper: str,
    manifest: str,
    settings: SegmentationSettings,
    network: Path | None,
    phases: tuple[str, ...],
    workers: int,
) -> pd.DataFrame:
    """Mask liver and spleen of every patient of one paper.

    The network sees the images as they came; its masks are moved onto the working grid as given masks are.

    Parameters
    ----------
    run : RunPaths
    paper : {"alarm", "amap_ct"}
    manifest : str
        The user's manifest; empty for the synthetic cohort.
    settings : SegmentationSettings
    network : pathlib.Path or None
        What `segmentation_network` returned.
    phases : tuple of str
    workers : int

    Returns
    -------
    pandas.DataFrame
        A row a patient and phase: what `hccbook.segmentation.patient_quality` measures.
        A patient without one of the paper's organs is in the failures table instead.
        What is suspicious is in ``<paper>_findings.csv`` beside it, and stops no patient.
    """
    patients = preprocessed_patients(run, paper)
    out = label_map(run, paper, "", "").parent
    if settings.mask_source == "nnunet":
        folder = _predictions(settings)
        tasks = {key: PredictionsTask(key, paper, _images(run, paper, key, phases), folder, out) for key in patients}
        outcome = map_patients(take_predictions, tasks, stage="segmentation", workers=workers)
    elif network is None:
        tasks = {key: LabelsTask(key, _given(run, paper, key, phases), out) for key in patients}
        outcome = map_patients(take_reference_labels, tasks, stage="segmentation", workers=1)
    else:
        rows = cohort.read_manifest(source_manifest(run, paper, manifest), phases)
        shifts = read_table(run, "preprocessing", f"{paper}.csv").set_index(["patient", "phase"])[list(_SHIFTS)]
        tasks = {
            key: segmentation.SegmentationTask(
                key,
                tuple((phase, Path(rows.loc[key, phase])) for phase in phases),
                _images(run, paper, key, phases),
                tuple((phase, tuple(map(float, shifts.loc[(key, phase)]))) for phase in phases),
                run.store,
                network,
                out,
                native_labels(run, paper, "", "").parent,
                settings.device,
            )
            for key in patients
        }
        outcome = map_patients(
            segmentation.segment_patient,
            tasks,
            stage="segmentation",
            workers=workers,
            is_done=segmentation.stored_segmentation,
        )
    checks = {
        key: QualityTask(key, _labels(run, paper, key, phases), paper, _images(run, paper, key, phases))
        for key in outcome.results
    }
    checked = map_patients(measure_quality, checks, stage="segmentation", workers=workers)
    failures = _joined(outcome.failures, checked.failures)
    _keep(Outcome(checked.results, failures, outcome.computed), run, "segmentation", paper)
    table = pd.DataFrame([row for rows, _ in checked.results.values() for row in rows])
    save_table(table, run.stage("segmentation") / f"{paper}.csv")
    findings = [row for _, rows in checked.results.values() for row in rows]
    findings = pd.DataFrame(findings, columns=list(segmentation.FINDING_COLUMNS))
    save_table(findings, run.stage("segmentation") / f"{paper}_findings.csv")
    return table


_SHIFTS = ("shift_x_mm", "shift_y_mm", "shift_z_mm")


@dataclass(frozen=True)
class LabelsTask:
    """One patient whose masks the manifest gave: label maps by phase, and where they go."""

    key: str
    labels: tuple[tuple[str, Path], ...]
    out: Path


def take_reference_labels(task: LabelsTask) -> list[str]:
    """Put the given label maps where the network's would be.

    Raises
    ------
    MaskError
        If a phase has none.
    """
    for phase, path in task.labels:
        if not path.is_file():
            raise MaskError(
                f"{task.key}, {phase}",
                "mask_source 'manifest' needs a mask of every phase",
                "none",
                f"Fill liver_mask_{phase} (and spleen_mask_{phase} for aMAP-CT), or set mask_source: network.",
            )
        link(path, task.out / f"{task.key}_{phase}.nii.gz")
    return [phase for phase, _ in task.labels]


def _predictions(settings: SegmentationSettings) -> Path:
    folder = project_root() / settings.predictions
    if not settings.predictions or not folder.is_dir():
        raise SettingsError(
            "segmentation.predictions",
            "mask_source 'nnunet' needs the folder that nnUNetv2_predict wrote",
            f"no folder {folder.name!r}" if settings.predictions else "none named",
            "Correct the path; `hccbook nnunet-dataset` writes the images to predict on.",
        )
    return folder


@dataclass(frozen=True)
class PredictionsTask:
    """One patient whose masks nnU-Net predicted: images by phase, the predictions, and where the labels go."""

    key: str
    paper: str
    images: tuple[tuple[str, Path], ...]
    predictions: Path
    out: Path


def take_predictions(task: PredictionsTask) -> list[str]:
    """Put nnU-Net's predictions, on the grid of their images, where the network's label maps would be.

    Raises
    ------
    MaskError
        If a phase has none, or it does not belong to its image.
    """
    for phase, path in task.images:
        image = images.read_image(path, f"{task.key}, {phase}")
        case = segmentation.nnunet.case_name(task.paper, task.key, phase)
        labels = segmentation.nnunet.read_prediction(task.predictions, case, image)
        images.write_image(labels, task.out / f"{task.key}_{phase}.nii.gz")
    return [phase for phase, _ in task.images]


def write_nnunet_dataset(
    run: RunPaths,
    papers: tuple[str, ...],
    phases: tuple[str, ...],
    folder: Path,
    name: str,
    number: int,
    synthetic: bool,
    workers: int,
) -> Path:
    """Raw data set of nnU-Net v2 out of a run whose preprocessing is done.

    The patients that train the segmentation, with their true masks, are its training cases, brought onto the working
    grid here;
    the patients of the papers are its test cases.
    Each phase is a case, named by cohort, key and phase; no identifier and no path of the source goes along.

    Parameters
    ----------
    run : RunPaths
    papers, phases : tuple of str
    folder : pathlib.Path
        nnU-Net's ``nnUNet_raw``.
    name : str
    number : int
        See `hccbook.segmentation.nnunet.write_dataset`.
    synthetic : bool
        Whether ``dataset.json`` says SYNTHETIC.
    workers : int

    Returns
    -------
    pathlib.Path
        Folder of the data set.

    Raises
    ------
    DataError
        If the preprocessing of a paper is not done.
    """
    absent = [paper for paper in papers if not (run.root / "preprocessing" / f"{paper}.csv").is_file()]
    if absent:
        raise DataError(
            f"{run.root.name}, preprocessing",
            "must be done for every paper",
            f"none of {', '.join(absent)}",
            "Run `hccbook run --until preprocessing` first, or name the folder of the run.",
        )
    cohorts = list(papers)
    if source_manifest(run, TRAINING_SET, "").is_file():
        preprocess_cohort(run, TRAINING_SET, "", read_preprocessing_settings(run), phases, workers)
        cohorts.append(TRAINING_SET)
    cases = {
        cohort: {
            segmentation.nnunet.case_name(cohort, patient, phase): (patient, phase)
            for patient in preprocessed_patients(run, cohort)
            for phase in phases
        }
        for cohort in cohorts
    }
    training = {
        case: (working_image(run, TRAINING_SET, *of), reference_labels(run, TRAINING_SET, *of))
        for case, of in cases.get(TRAINING_SET, {}).items()
    }
    testing = {case: working_image(run, paper, *of) for paper in papers for case, of in cases[paper].items()}
    note = SYNTHETIC_NOTICE if synthetic else ""
    return segmentation.nnunet.write_dataset(folder, training, testing, name, number, note)


@dataclass(frozen=True)
class QualityTask:
    """One patient's label maps by phase, the paper whose organs must be there, and the images that were segmented."""

    key: str
    labels: tuple[tuple[str, Path], ...]
    paper: str
    images: tuple[tuple[str, Path], ...] = ()


def measure_quality(task: QualityTask) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Measure the label maps of one patient and judge them; only an organ that is missing is a failure.

    Returns
    -------
    quality : list of dict
        A row a phase, as `hccbook.segmentation.patient_quality` measures.
    findings : list of dict
        A row a finding, with `hccbook.segmentation.FINDING_COLUMNS`.

    Raises
    ------
    MaskError
        If an organ of the paper is in no voxel.
    """
    labels = {phase: images.read_label_map(path) for phase, path in task.labels}
    volumes = {phase: images.read_image(path, f"{task.key}, {phase}") for phase, path in task.images}
    quality = segmentation.patient_quality(labels, volumes)
    organs = ORGANS_OF_PAPER[task.paper]
    for phase, measured in quality.items():
        for organ in organs:
            if measured[f"{organ}_volume_ml"] == 0:
                raise MaskError(
                    f"{task.key}, {phase}",
                    f"the {organ} must be segmented",
                    "no voxel",
                    "Look at the image, or give a mask.",
                )
    rows = [{"patient": task.key, "phase": phase, **measured} for phase, measured in quality.items()]
    return rows, segmentation.finding_rows(segmentation.quality_findings(quality, organs, task.key))


def segmentation_dice(
    run: RunPaths,
    paper: str,
    manifest: str,
    phases: tuple[str, ...],
    workers: int = 1,
    tolerance_mm: float | None = None,
) -> pd.DataFrame:
    """Overlap of the masks used with those that the manifest gave, where it gave any, and how far they lie apart.

    The network's masks are compared where the given ones were drawn, on the image's own grid: on the working grid
    both would have been interpolated. Masks from elsewhere are compared on the working grid.

    Parameters
    ----------
    run : RunPaths
    paper : {"alarm", "amap_ct"}
    manifest : str
        The user's manifest; empty for the synthetic cohort.
    phases : tuple of str
    workers : int
    tolerance_mm : float, optional
        Distance up to which two surfaces count as the same; the working voxel edge if absent, and at least
        `MIN_TOLERANCE_MM`: no surface is known better than its grid.

    Returns
    -------
    pandas.DataFrame
        `DICE_COLUMNS`, a row a patient, phase and organ; also kept as ``<paper>_dice.csv``.
        Distances and surface Dice are those of `hccbook.segmentation.boundary_measures`.

    Raises
    ------
    MaskError
        If a label map cannot be compared; the first one is named.
    """
    if tolerance_mm is None:
        tolerance_mm = max(MIN_TOLERANCE_MM, read_preprocessing_settings(run).spacing_mm)
    centre = read_cohort(run, paper)["centre"]
    rows = cohort.read_manifest(source_manifest(run, paper, manifest), phases)
    tasks = {}
    for patient in segmented_patients(run, paper):
        pairs = []
        for phase in phases:
            used, given = native_labels(run, paper, patient, phase), reference_labels(run, paper, patient, phase)
            masks = {organ: rows.loc[patient].get(f"{organ}_mask_{phase}") or "" for organ in ORGANS}
            if used.is_file() and all(masks.values()):
                pairs.append((phase, used, tuple((organ, Path(mask)) for organ, mask in masks.items())))
            elif given.is_file():
                pairs.append((phase, label_map(run, paper, patient, phase), given))
        tasks[patient] = DiceTask(patient, tuple(pairs), tolerance_mm)
    outcome = map_patients(compare_segmentations, tasks, stage="Dice", workers=workers)
    if len(outcome.failures):
        first = outcome.failures.iloc[0]
        raise MaskError(
            f"{paper}, {first['patient']}",
            "masks must be comparable with those of the manifest",
            f"{first['kind']}: {first['reason'].rstrip('.')}",
            "Run the segmentation stage again.",
        )
    rows = [
        {"paper": paper, "patient": patient, "centre": centre[patient], **row}
        for patient, found in outcome.results.items()
        for row in found
    ]
    table = pd.DataFrame(rows, columns=list(DICE_COLUMNS))
    save_table(table, run.stage("segmentation") / f"{paper}_dice.csv")
    return table


DICE_COLUMNS = (
    "paper",
    "patient",
    "centre",
    "phase",
    "organ",
    "dice",
    "hd95_mm",
    "mean_distance_mm",
    "surface_dice",
    "tolerance_mm",
)
"""Columns of `segmentation_dice`."""

MIN_TOLERANCE_MM = 2.0
"""Tolerance of the surface Dice on grids finer than this, mm."""


@dataclass(frozen=True)
class DiceTask:
    """One patient's masks: phase, label map used, and label map given or the masks given by organ."""

    key: str
    pairs: tuple[tuple[str, Path, Path | tuple[tuple[str, Path], ...]], ...]
    tolerance_mm: float


def compare_segmentations(task: DiceTask) -> list[dict[str, object]]:
    """Overlap and distance of one patient's masks, a row a phase and organ.

    Raises
    ------
    DataError
        If the two lie on different grids.
    """
    rows = []
    for phase, path, truth in task.pairs:
        used = images.read_label_map(path)
        if isinstance(truth, Path):
            given = images.read_label_map(truth)
        else:
            masks = (images.read_mask(mask, used, f"{task.key}, {phase}, {organ}", organ) for organ, mask in truth)
            given = segmentation.external_labels(*masks, used, place=f"{task.key}, {phase}")
        distances = segmentation.organ_boundary(used, given, task.tolerance_mm)
        # One grid, or the line above had raised; comparing arrays spares SimpleITK a copy an organ.
        overlaps = segmentation.organ_dice(*(images.to_array(labels) for labels in (used, given)))
        for organ, apart in distances.items():
            rows.append(
                {
                    "phase": phase,
                    "organ": organ,
                    "dice": overlaps[organ],
                    "hd95_mm": apart.hd95_mm,
                    "mean_distance_mm": apart.mean_mm,
                    "surface_dice": apart.surface_dice,
                    "tolerance_mm": task.tolerance_mm,
                }
            )
    return rows


def dice_by(dice: pd.DataFrame, by: tuple[str, ...] = ("organ", "phase", "centre")) -> pd.DataFrame:
    """How good the masks are, a row a group of them.

    Parameters
    ----------
    dice : pandas.DataFrame
        With the columns of `segmentation_dice`.
    by : tuple of str
        What makes a group: any of organ, phase, centre, paper.

    Returns
    -------
    pandas.DataFrame
        The columns of `by`, organs and phases in their usual order and the others sorted; then ``n`` (masks),
        ``mean``, ``least`` and ``p5`` (5th percentile, linear between ranks) of the Dice,
        ``hd95_mm`` (median, mm), ``surface_dice`` (mean) and ``tolerance_mm``.

    Raises
    ------
    DataError
        If the surface Dice were taken at several tolerances.
    """
    if dice["tolerance_mm"].nunique() > 1:
        found = ", ".join(f"{value:g}" for value in sorted(dice["tolerance_mm"].unique()))
        raise DataError("surface Dice", "must have one tolerance to be averaged", f"{found} mm", "Pass tolerance_mm.")
    ordered = dice.copy()
    for column, order in (("organ", ORGANS), ("phase", PHASES)):
        ordered[column] = pd.Categorical(ordered[column], order)
    groups = ordered.groupby(list(by), observed=True, sort=True)
    table = groups.agg(
        n=("dice", "size"),
        mean=("dice", "mean"),
        least=("dice", "min"),
        p5=("dice", lambda values: values.quantile(0.05)),
        hd95_mm=("hd95_mm", "median"),
        surface_dice=("surface_dice", "mean"),
        tolerance_mm=("tolerance_mm", "first"),
    ).reset_index()
    return table.astype({name: str for name in by if name in ("organ", "phase")})


def worst_segmentations(dice: pd.DataFrame, count: int = 5) -> pd.DataFrame:
    """Patients with the least Dice, each with their own worst phase and organ.

    Parameters
    ----------
    dice : pandas.DataFrame
        With the columns of `segmentation_dice`, of one paper or more.
    count : int
        Patients; fewer where there are fewer.

    Returns
    -------
    pandas.DataFrame
        Rows of `dice`, the least first; of equal ones the first in the order of `dice`.
    """
    ordered = dice.sort_values("dice", kind="stable")
    return ordered.drop_duplicates(["paper", "patient"]).head(count).reset_index(drop=True)


# --- features ---------------------------------------------------------------------------------------------------------


def _images(run: RunPaths, paper: str, patient: str, phases: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    return tuple((phase, working_image(run, paper, patient, phase)) for phase in phases)


def _given(run: RunPaths, paper: str, patient: str, phases: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    return tuple((phase, reference_labels(run, paper, patient, phase)) for phase in phases)


def _labels(run: RunPaths, paper: str, patient: str, phases: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    return tuple((phase, label_map(run, paper, patient, phase)) for phase in phases)


def extract_radiomics(
    run: RunPaths, paper: str, settings: FeatureSettings, phases: tuple[str, ...], workers: int
) -> pd.DataFrame:
    """Radiomics of every patient of one paper, as ``<paper>_radiomics.parquet``.

    Returns
    -------
    pandas.DataFrame
        Index ``patient``, columns ``<phase>.<organ>.<feature>``.
    """
    extraction = getattr(ExtractionSettings, paper)(settings, read_preprocessing_settings(run))
    save_json(settings.model_dump(), run.stage("features") / "settings.json")
    patients = segmented_patients(run, paper)
    tasks = {
        key: RadiomicsTask(
            key,
            _images(run, paper, key, phases),
            _labels(run, paper, key, phases),
            ORGANS_OF_PAPER[paper],
            extraction,
            run.store,
            settings.engine,
            # Where there are fewer patients than cores, each may use several.
            threads=max(1, workers // max(1, len(patients))),
        )
        for key in patients
    }
    outcome = map_patients(extract_radiomics_task, tasks, stage="radiomics", workers=workers, is_done=stored_radiomics)
    _keep(outcome, run, "features", paper)
    table = radiomics_table(outcome.results)
    _save_features(table, run.stage("features") / f"{paper}_radiomics.parquet")
    return table


def extract_deep(run: RunPaths, paper: str, settings: FeatureSettings, phases: tuple[str, ...]) -> pd.DataFrame:
    """Deep features of every patient of one paper, as ``<paper>_deep.parquet``.

    ALARM: ResNet-50 and a projection to 100 values a phase, fine-tuned on the development cohort alone.
    The tuned part with its model card, the training history and the negative control are kept beside the features, as
    ``fine_tuned.safetensors`` and ``.json``, ``fine_tuning_history.csv`` and ``fine_tuning_control.csv``.
    aMAP-CT: the 512 pooled values of ResNet-18 a phase and organ, untuned.
    The organ boxes are those of the development cohort in both.

    Returns
    -------
    pandas.DataFrame
        Index ``patient``, columns ``<phase>.<organ>.deep_<number>``.
    """
    network, weights, depth = {
        "alarm": ("resnet50", settings.resnet50_weights, settings.fine_tune),
        "amap_ct": ("resnet18", settings.resnet18_weights, "projection"),
    }[paper]
    backbone = deep_features.load_backbone(network, weights, settings.seed, settings.device)
    clinical = read_cohort(run, paper)
    tasks = {
        key: deep_features.DeepTask(
            key,
            _images(run, paper, key, phases),
            _labels(run, paper, key, phases),
            ORGANS_OF_PAPER[paper],
            run.store,
        )
        for key in pd.read_parquet(run.stage("features") / f"{paper}_radiomics.parquet", columns=[]).index
    }
    development = [key for key in tasks if clinical.loc[key, "role"] == "development"]
    extents = [deep_features.organ_extents_task(tasks[key]) for key in development]
    outcome = deep_features.extract_stage_inputs(
        tasks,
        backbone,
        deep_features.largest_boxes(extents),
        depth=depth,
        crop_voxels=settings.crop_voxels,
        window=window_hu(read_preprocessing_settings(run)),
        stage="deep features",
    )
    failures = _joined(pd.read_csv(run.stage("features") / f"{paper}_failures.csv"), outcome.failures)
    _keep(Outcome(outcome.results, failures, outcome.computed), run, "features", paper)
    if paper == "alarm":
        hcc = clinical.loc[list(outcome.results), "hcc"]
        table = _fine_tuned(run, settings, backbone, outcome.results, hcc, hcc.index.isin(development))
    else:
        table = deep_features.deep_table(outcome.results)
    _save_features(table, run.stage("features") / f"{paper}_deep.parquet")
    return table


def _fine_tuned(
    run: RunPaths,
    settings: FeatureSettings,
    backbone: deep_features.Backbone,
    inputs: deep_features.Inputs,
    hcc: pd.Series,
    learnt: np.ndarray,
) -> pd.DataFrame:
    """Values of the network tuned on the patients `learnt`; its file, history and negative control are written."""
    folder = run.stage("features")
    depth, epochs = settings.fine_tune, settings.fine_tune_epochs
    stored = deep_features.stored_fine_tuning(
        backbone, inputs, hcc[learnt], depth=depth, epochs=epochs, seed=settings.seed, store=run.store
    )
    for ending in (".safetensors", ".json"):
        link(stored.with_suffix(ending), folder / f"fine_tuned{ending}")
    tuned = deep_features.FineTunedNetwork.load(stored, backbone)
    save_table(tuned.history, folder / "fine_tuning_history.csv")
    control = deep_features.shuffled_outcomes(
        tuned, inputs, hcc[learnt], hcc[~learnt], shuffles=settings.fine_tune_shuffles, store=run.store
    )
    save_table(control, folder / "fine_tuning_control.csv")
    return tuned.transform(inputs)


def window_hu(settings: PreprocessingSettings) -> tuple[float, float]:
    """Lower and upper end of the window, HU."""
    return settings.window_level - settings.window_width / 2, settings.window_level + settings.window_width / 2


def _save_features(table: pd.DataFrame, file: Path) -> None:
    with atomic_path(file) as part:
        table.to_parquet(part)
