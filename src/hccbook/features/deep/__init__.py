"""Deep features: organ crops, 3D residual networks, pooling, fine-tuning, and the projection that ALARM's values need.

Two steps, apart: what a network makes of every organ crop (`extract_deep`; no outcome enters), and fine-tuning on the
"""

from hccbook.features.deep.crops import (
    UNIT_HU,
    WINDOW_HU,
    crop_to_box,
    largest_box,
    organ_extent,
    shrink_crop,
)
from hccbook.features.deep.fine_tuned_network import HISTORY_COLUMNS, FineTunedNetwork, Inputs
from hccbook.features.deep.fine_tuning import PATIENCE, fine_tune
from hccbook.features.deep.negative_control import CONTROL_COLUMNS, shuffled_outcomes, stored_fine_tuning
from hccbook.features.deep.network import BATCH, DEPTHS, WIDTHS, Backbone, load_backbone, pooled_features, stage_values
from hccbook.features.deep.patients import Crops, deep_table, extract_deep
from hccbook.features.deep.projection import PROJECTED, ProjectionHead, fit_projection
