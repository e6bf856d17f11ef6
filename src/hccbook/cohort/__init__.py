"""The manifest and its checks, cohorts, study flow, subgroups, centres and the numbers of Table 1."""

from hccbook.cohort.centres import centre_table, coded_centres, image_characteristics
from hccbook.cohort.characteristics import CHARACTERISTICS_COLUMNS, characteristics
from hccbook.cohort.checks import check_manifest
from hccbook.cohort.clinical import clinical_table
from hccbook.cohort.manifest import Problem, read_manifest, sources, usable_patients, with_masks
from hccbook.cohort.splits import assign_cohorts, choose_split
from hccbook.cohort.study_flow import enrolment, study_flow
from hccbook.cohort.subgroups import amap_ct_subgroups, clinical_subgroups
from hccbook.cohort.suitability import cohort_remarks
