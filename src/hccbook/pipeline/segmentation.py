"""Stage 03: liver and spleen of every patient, whatever segments them, and how good the masks are."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pandas as pd

from hccbook import images, segmentation
from hccbook.errors import MaskError, ModelError, SettingsError
from hccbook.papers import find_paper
from hccbook.parallel import MapResult, map_patients, progress_line
from hccbook.pipeline.files import (
    cases,
    joined_failures,
    preprocessed_patients,
    read_table,
    save_failures,
    save_table,
    source_cases,
)
from hccbook.pipeline.pictures import source_volumes
from hccbook.run import TRAINING_SET, Case, RunPaths, project_root
from hccbook.segmentation.network import Segmenter
from hccbook.segmentation.patients import Shift, segment_patient
from hccbook.segmentation.training import train_segmenter
from hccbook.settings import SegmentationSettings
from hccbook.store import atomic_path, link

_SHIFTS = ("shift_x_mm", "shift_y_mm", "shift_z_mm")
_NETWORK = "network.safetensors"


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
    target = run.stage("segmentation") / _NETWORK
    if settings.weights:
        weights = project_root() / settings.weights
        Segmenter.load(weights)  # refused here, not in every patient
        # A copy: what happens to a run's file must not happen to the one that others start from.
        with atomic_path(target) as part:
            shutil.copyfile(weights, part)
        return target
    if not run.source_manifest(TRAINING_SET).is_file():
        raise ModelError(
            "segmentation network",
            "needs patients to train on, or weights",
            "neither",
            "Set cohort.segmentation_patients, segmentation.weights, or mask_source: manifest.",
        )
    patients = list(source_cases(run, TRAINING_SET, phases).values())
    paths = [Path(path) for case in patients for _, path in sorted(case.sources.items())]
    # Where the network runs and what is drawn afterwards change no weight.
    training = settings.model_dump(
        exclude={"mask_source", "masks", "predictions", "weights", "contact_sheets", "device"}
    )
    key = run.store.key("network", train_segmenter, *paths, training)
    make = functools.partial(_train, patients, settings, run.store.unfinished(key, ".safetensors"))
    link(run.store.get_or_make(key, make) / _NETWORK, target)
    return target


def _train(patients: list[Case], settings: SegmentationSettings, checkpoint: Path, folder: Path) -> None:
    """Train on the images as they came; an interrupted training goes on from its last checkpoint."""
    pairs = []
    for case in patients:
        volumes, labels = source_volumes(case)
        pairs += [(volumes[phase], labels[phase]) for phase in case.phases]
    with progress_line("segmentation, training", settings.pretraining_iterations + settings.iterations) as advance:
        trained = train_segmenter(pairs, settings, lambda step, loss: advance(), checkpoint)
    trained.save(folder / _NETWORK)
    checkpoint.unlink(missing_ok=True)


def segment_cohort(
    run: RunPaths,
    paper: str,
    settings: SegmentationSettings,
    network: Path | None,
    phases: tuple[str, ...],
    workers: int,
) -> pd.DataFrame:
    """Segment liver and spleen of every patient of one paper.

    The network sees the images as they came; its masks are moved onto the working grid as given masks are.

    Parameters
    ----------
    run : RunPaths
    paper : {"alarm", "amap_ct"}
    settings : SegmentationSettings
    network : pathlib.Path or None
        What `segmentation_network` returned.
    phases : tuple of str
    workers : int

    Returns
    -------
    pandas.DataFrame
        One row per patient and phase: what `hccbook.segmentation.patient_quality` measures.
        A patient without one of the paper's organs is in the failures table instead.
        What is suspicious is in ``<paper>_findings.csv`` beside it, and stops no patient.
    """
    if network is not None:
        segmented = _segment(run, paper, settings, network, phases, workers)
    else:
        task, side_by_side = _take_reference_labels, 1
        if settings.mask_source == "nnunet":
            task, side_by_side = functools.partial(_take_prediction, folder=_predictions(settings)), workers
        patients = cases(run, paper, phases, preprocessed_patients(run, paper))
        segmented = map_patients(task, patients, stage="segmentation", workers=side_by_side)
    checked = map_patients(
        measure_quality, cases(run, paper, phases, segmented.results), stage="segmentation", workers=workers
    )
    failures = joined_failures([segmented.failures, checked.failures])
    save_failures(MapResult(checked.results, failures, segmented.computed), run, "segmentation", paper)
    table = pd.DataFrame([row for rows, _ in checked.results.values() for row in rows])
    save_table(table, run.stage("segmentation") / f"{paper}.csv")
    findings = [row for _, rows in checked.results.values() for row in rows]
    findings = pd.DataFrame(findings, columns=list(segmentation.FINDING_COLUMNS))
    save_table(findings, run.stage("segmentation") / f"{paper}_findings.csv")
    return table


def _segment(
    run: RunPaths, paper: str, settings: SegmentationSettings, network: Path, phases: tuple[str, ...], workers: int
) -> MapResult:
    table = read_table(run, "preprocessing", f"{paper}.csv")
    shifts: dict[str, dict[str, Shift]] = {}
    for patient, phase, *shift in table[["patient", "phase", *_SHIFTS]].itertuples(index=False):
        shifts.setdefault(patient, {})[phase] = tuple(map(float, shift))
    # Each patient's own alone: the task is sent to a worker once a patient.
    items = {key: (case, shifts[key]) for key, case in source_cases(run, paper, phases).items() if key in shifts}
    task = functools.partial(_segment_one, weights=network, device=settings.device)
    return map_patients(task, items, stage="segmentation", workers=workers, stored=True)


def _segment_one(item: tuple[Case, dict[str, Shift]], weights: Path, device: str) -> list[str]:
    case, shifts_mm = item
    return segment_patient(case, weights, shifts_mm, device)


def _take_reference_labels(case: Case) -> list[str]:
    """Put the label maps that the manifest gave where the network's would be; every phase needs one."""
    for phase in case.phases:
        if not case.reference_labels(phase).is_file():
            raise MaskError(
                case.place(phase),
                "mask_source 'manifest' needs a mask of every phase",
                "none",
                f"Fill liver_mask_{phase} (and spleen_mask_{phase} for aMAP-CT), or set mask_source: network.",
            )
        link(case.reference_labels(phase), case.labels(phase))
    return list(case.phases)


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


def _take_prediction(case: Case, folder: Path) -> list[str]:
    """Put nnU-Net's predictions, on the grid of their images, where the network's label maps would be."""
    for phase in case.phases:
        image = images.read_image(case.image(phase), case.place(phase))
        name = segmentation.nnunet.case_name(case.cohort, case.key, phase)
        images.write_image(segmentation.nnunet.read_prediction(folder, name, image), case.labels(phase))
    return list(case.phases)


def measure_quality(case: Case) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Measure the label maps of one patient and judge them; only an organ that is missing is a failure.

    Returns
    -------
    quality : list of dict
        One row per phase, as `hccbook.segmentation.patient_quality` measures.
    findings : list of dict
        One row per finding, with `hccbook.segmentation.FINDING_COLUMNS`.

    Raises
    ------
    MaskError
        If an organ of the paper is in no voxel.
    """
    labels = {phase: images.read_label_map(case.labels(phase)) for phase in case.phases}
    volumes = {phase: images.read_image(case.image(phase), case.place(phase)) for phase in case.phases}
    quality = segmentation.patient_quality(labels, volumes)
    organs = find_paper(case.cohort).organs
    for phase, measured in quality.items():
        for organ in organs:
            if measured[f"{organ}_volume_ml"] == 0:
                rule, hint = f"the {organ} must be segmented", "Look at the image, or give a mask."
                raise MaskError(case.place(phase), rule, "no voxel", hint)
    rows = [{"patient": case.key, "phase": phase, **measured} for phase, measured in quality.items()]
    return rows, segmentation.finding_rows(segmentation.quality_findings(quality, organs, case.key))
