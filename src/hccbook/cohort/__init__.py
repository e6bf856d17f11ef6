"""The manifest and its checks, cohorts, eligibility and the numbers of Table 1."""

from hccbook.cohort.characteristics import CHARACTERISTICS_COLUMNS, characteristics
from hccbook.cohort.checks import check_manifest
from hccbook.cohort.clinical import clinical_table, eligibility
from hccbook.cohort.manifest import read_manifest, sources
from hccbook.cohort.splits import assign_cohorts
