"""Deep features: organ crops, 3D residual networks, pooling, and fine-tuning with the projection that ALARM needs.

Two steps, apart: what a network makes of every organ crop (`extract_deep`; no outcome enters), and fine-tuning on the
development cohort (`fine_tune`), which learns from outcomes.
"""

from hccbook.features.deep.crops import crop_to_box, largest_box, organ_extent, shrink_crop
from hccbook.features.deep.fine_tuned_network import HISTORY_COLUMNS, FineTunedNetwork, Inputs, Tuning
from hccbook.features.deep.fine_tuning import PATIENCE, fine_tune
from hccbook.features.deep.negative_control import CONTROL_COLUMNS, shuffled_outcomes, stored_fine_tuning
from hccbook.features.deep.network import DEPTHS, WIDTHS, Backbone, load_backbone, pooled_features, stage_values
from hccbook.features.deep.patients import Crops, deep_table, extract_deep
