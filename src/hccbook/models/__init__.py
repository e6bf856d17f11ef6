"""The papers' models as scikit-learn estimators, saved as JSON."""

from hccbook.models.alarm import AlarmModel
from hccbook.models.amap_ct import AmapCtModel
from hccbook.models.linear_score import LinearScore

__all__ = ["AlarmModel", "AmapCtModel", "LinearScore"]
