"""Published clinical scores, from age, sex, blood tests and liver stiffness.

Units are those of the book's conventions: years, bilirubin umol/L, albumin g/L, platelets 10^9/L, stiffness kPa.
HBV DNA is copies/mL in CU-HCC and IU/mL in LSM-HCC, never its logarithm.
A higher score means a higher risk.
Values in other units give plausible scores, so every function checks the range of what it is given.
No score guesses a missing value: it refuses, and `missing_inputs` says beforehand who lacks what.
"""

from hccbook.scores.formulas import (
    COPIES_PER_IU,
    POINT_SCORES,
    RISK_GROUPS,
    SCORE_INPUTS,
    PointScore,
    albi,
    albi_grade,
    amap,
    amap_group,
    cu_hcc,
    hbv_dna_copies,
    lsm_hcc,
    missing_inputs,
    mpage_b,
    page_b,
    point_score_group,
    thri,
)
from hccbook.scores.quantities import QUANTITIES, Quantity
