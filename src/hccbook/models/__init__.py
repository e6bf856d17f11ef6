"""The papers' models as scikit-learn estimators, saved as JSON."""

from hccbook.models.alarm import AlarmModel
from hccbook.models.amap_ct import AmapCtFamily, AmapCtModel
from hccbook.models.linear_score import LinearScore
from hccbook.models.longitudinal import Amap2Refit, refit_scores
from hccbook.models.nested_alarm import NestedAlarmModel
