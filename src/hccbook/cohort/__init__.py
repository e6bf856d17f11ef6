"""The manifest and its checks, cohorts, eligibility and the numbers of Table 1."""

from hccbook.cohort.characteristics import CHARACTERISTICS_COLUMNS, characteristics
from hccbook.cohort.checks import check_manifest
from hccbook.cohort.clinical import clinical_table, eligibility
from hccbook.cohort.manifest import COHORTS, read_manifest
from hccbook.cohort.splits import ROLE_OF_COHORT, ROLES, assign_cohorts
