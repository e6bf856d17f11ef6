"""Eight small patients, and what stages 1 to 4 do for each of them, for what divides or moves that work."""

from __future__ import annotations

import contextlib

from hccbook.errors import DataError
from hccbook.pipeline.cohort import make_cohort, make_training_set
from hccbook.pipeline.features import extract_radiomics
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.segmentation import segment_cohort, segmentation_network
from hccbook.provenance import files_of
from hccbook.run import RunPaths
from hccbook.settings import Profile

SIZES = {"alarm_discovery": 3, "alarm_internal": 1, "alarm_external": 1, "amap_ct_training": 1}
SIZES |= {"amap_ct_validation": 1, "amap_ct_test": 1}
COHORT = {f"{name}_hcc": 0 for name in SIZES} | SIZES
COHORT |= {"acquisition_spacing_mm": 10.0, "dicom_patients": 1, "segmentation_patients": 0}


def profile_of(phases: str = "arterial,venous,delayed", **segmentation: object) -> Profile:
    """Five and three patients in few, large voxels, with the masks that were drawn unless a network is asked for."""
    return Profile(
        run={"phases": phases},
        cohort=COHORT | ({"segmentation_patients": 2} if segmentation else {}),
        preprocessing={"spacing_mm": 10.0},
        segmentation={"mask_source": "manifest"} | segmentation,
        features={"alarm_filters": "square", "amap_ct_filters": "square"},
    )


NETWORK = {"mask_source": "network", "filters": 2, "patch_voxels": 16, "pretraining_iterations": 0, "iterations": 2}


def run_stages(run: RunPaths, profile: Profile) -> dict[str, bytes]:
    """What the notebooks of stages 1 to 4 call for each patient, and every file that it leaves.

    A network that was trained for two steps may find nobody's organs, and then the paper ends there.
    """
    phases = tuple(profile.run.phases.split(","))
    if profile.cohort.segmentation_patients:
        make_training_set(run, profile.cohort, 1)
    network = segmentation_network(run, profile.segmentation, phases)
    for paper in profile.run.papers.split(","):
        make_cohort(run, paper, profile.cohort, phases, 1)
        preprocess_cohort(run, paper, profile.preprocessing, phases, 1)
        with contextlib.suppress(DataError) if network else contextlib.nullcontext():
            segment_cohort(run, paper, profile.segmentation, network, phases, 1)
            extract_radiomics(run, paper, profile.features, phases, 1)
    return {file.relative_to(run.root).as_posix(): file.read_bytes() for file in files_of(run.root)}
