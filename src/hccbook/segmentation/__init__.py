"""Liver and spleen outlines: from a network trained here, or from masks that the user brings.

A label map holds 0 for background, 1 for liver and 2 for spleen (the order of `hccbook.settings.ORGANS`, plus one).
"""

from hccbook.segmentation.masks import (
    VOLUME_BOUNDS_ML,
    MaskFinding,
    check_masks,
    dice,
    external_labels,
    largest_components,
    mask_quality,
    organ_dice,
)
from hccbook.segmentation.network import IntensityNormalisation, Segmenter
from hccbook.segmentation.patients import SegmentationTask, segment_patient, stored_segmentation
from hccbook.segmentation.training import TRAINING_VERSION, train_segmenter

__all__ = [
    "TRAINING_VERSION",
    "VOLUME_BOUNDS_ML",
    "IntensityNormalisation",
    "MaskFinding",
    "SegmentationTask",
    "Segmenter",
    "check_masks",
    "dice",
    "external_labels",
    "largest_components",
    "mask_quality",
    "organ_dice",
    "segment_patient",
    "stored_segmentation",
    "train_segmenter",
]
