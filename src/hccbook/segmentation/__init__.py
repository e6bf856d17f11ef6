"""Liver and spleen masks: from a network trained here, or from masks that the user brings.

A label map holds 0 for background, 1 for liver and 2 for spleen (the order of `hccbook.settings.ORGANS`, plus one).
The network is in modules of its own, `network`, `training` and `patients`: torch and MONAI take seconds and 280 MiB,
which is not for those who only measure within masks.
"""

from hccbook.segmentation import nnunet
from hccbook.segmentation.boundary import BoundaryMeasures, boundary_measures, organ_boundary
from hccbook.segmentation.masks import dice, external_labels, largest_components, organ_dice
from hccbook.segmentation.plausibility import (
    FINDING_COLUMNS,
    MAX_SEVERITY,
    MaskFinding,
    finding_rows,
    findings_in_words,
    nearest_bound,
    patient_findings,
    quality_findings,
    severity,
)
from hccbook.segmentation.quality import mask_quality, patient_quality
