"""Liver and spleen masks: from a network trained here, or from masks that the user brings.

A label map holds 0 for background, 1 for liver and 2 for spleen (the order of `hccbook.settings.ORGANS`, plus one).
"""

from hccbook.segmentation import nnunet
from hccbook.segmentation.boundary import BoundaryMeasures, boundary_measures, organ_boundary
from hccbook.segmentation.masks import dice, external_labels, largest_components, organ_dice
from hccbook.segmentation.network import IntensityNormalisation, Segmenter
from hccbook.segmentation.patients import Shift, segment_patient
from hccbook.segmentation.plausibility import (
    FINDING_COLUMNS,
    MAX_SEVERITY,
    MaskFinding,
    finding_rows,
    findings_in_words,
    mask_quality,
    patient_findings,
    patient_quality,
    quality_findings,
    severity,
)
from hccbook.segmentation.training import train_segmenter
