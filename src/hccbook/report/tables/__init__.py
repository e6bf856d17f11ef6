"""Typeset tables: every cell a string, no statistic computed."""

from hccbook.report.tables.alarm import (
    alarm_formulas,
    alarm_table_2,
    alarm_table_s2,
    alarm_table_s3,
    alarm_table_s4,
    alarm_table_s5,
    alarm_table_s6,
)
from hccbook.report.tables.amap_ct import (
    amap_ct_table_2,
    amap_ct_table_3,
    amap_ct_table_4,
    amap_ct_table_s1,
    amap_ct_table_s2,
    amap_ct_table_s7,
    amap_ct_table_s8,
    coefficient_table,
    ibsi_settings,
    reclassification_table,
    tradeoff_table,
)
from hccbook.report.tables.characteristics import alarm_table_1, amap_ct_table_1
from hccbook.report.tables.estimates import (
    calibration_table,
    discrimination_table,
    hazard_ratio_table,
    horizon_auc_table,
    incidence_table,
    rate_table,
    segmentation_table,
)
from hccbook.report.tables.printed import as_printed, beside_printed
from hccbook.report.tables.schemas import require_columns
from hccbook.report.tables.titles import cohort_title, feature_title, group_title, model_title, variable_title
from hccbook.report.tables.typesetting import (
    SYNTHETIC_NOTICE,
    caption_synthetic,
    cutoff_text,
    decimal_text,
    estimate_text,
    odds_ratio_text,
    p_phrase,
    p_text,
    ratio_text,
    unbounded_text,
)
from hccbook.report.tables.workflow import alarm_workflow, amap_ct_workflow
