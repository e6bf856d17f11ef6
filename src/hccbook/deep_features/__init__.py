"""Deep features: organ crops, 3D residual networks, pooling, fine-tuning, and the projection that ALARM's values need.

Two steps, apart: what a network makes of every organ crop (`extract_deep_features`, `extract_stage_inputs`; no outcome
enters), and fine-tuning on the development cohort alone (`fine_tune`; `fit_projection` where the network stays frozen).
"""

from hccbook.deep_features.crops import (
    UNIT_HU,
    WINDOW_HU,
    crop_to_box,
    largest_box,
    organ_extent,
    shrink_crop,
)
from hccbook.deep_features.fine_tuned_network import HISTORY_COLUMNS, FineTunedNetwork, Inputs
from hccbook.deep_features.fine_tuning import FINE_TUNING_VERSION, PATIENCE, fine_tune
from hccbook.deep_features.negative_control import CONTROL_COLUMNS, shuffled_outcomes, stored_fine_tuning
from hccbook.deep_features.network import BATCH, DEPTHS, WIDTHS, Backbone, load_backbone, pooled_features, stage_values
from hccbook.deep_features.patients import (
    DEEP_VERSION,
    DeepTask,
    deep_table,
    extract_deep_features,
    extract_stage_inputs,
    largest_boxes,
    organ_extents_task,
)
from hccbook.deep_features.projection import PROJECTED, ProjectionHead, fit_projection

__all__ = [
    "BATCH",
    "CONTROL_COLUMNS",
    "DEEP_VERSION",
    "DEPTHS",
    "FINE_TUNING_VERSION",
    "HISTORY_COLUMNS",
    "PATIENCE",
    "PROJECTED",
    "UNIT_HU",
    "WIDTHS",
    "WINDOW_HU",
    "Backbone",
    "DeepTask",
    "FineTunedNetwork",
    "Inputs",
    "ProjectionHead",
    "crop_to_box",
    "deep_table",
    "extract_deep_features",
    "extract_stage_inputs",
    "fine_tune",
    "fit_projection",
    "largest_box",
    "largest_boxes",
    "load_backbone",
    "organ_extent",
    "organ_extents_task",
    "pooled_features",
    "shrink_crop",
    "shuffled_outcomes",
    "stage_values",
    "stored_fine_tuning",
]
