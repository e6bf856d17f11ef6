"""What a reader should see in a table or figure, in sentences made from its numbers."""

from __future__ import annotations

import pandas as pd

from hccbook.evaluation.competing_risks import AALEN_JOHANSEN, DEATH, KAPLAN_MEIER
from hccbook.report.tables import decimal_text, group_title


def percent(share: float, places: int = 1) -> str:
    """Share (0 to 1) in per cent, as it stands in a sentence."""
    return f"{decimal_text(100 * share, places)} %"


def competing_text(at_horizon: pd.DataFrame, ended: pd.DataFrame, months: float) -> str:
    """By how much Kaplan-Meier's incidence is above that with death as a competing event, in each group.

    Parameters
    ----------
    at_horizon : pandas.DataFrame
        As of `hccbook.evaluation.held_at`, of one cohort.
    ended : pandas.DataFrame
        Columns hcc and died; a row a patient.
    months : float
        Horizon.
    """
    wide = at_horizon.pivot(index="group", columns="estimate", values="incidence")
    parts = [
        f"{percent(row[KAPLAN_MEIER])} by Kaplan-Meier and {percent(row[AALEN_JOHANSEN])} by Aalen-Johansen at "
        f"{group_title(str(group)).lower()}, where {percent(row[DEATH])} died before"
        for group, row in wide.iterrows()
    ]
    widest = 100 * (wide[KAPLAN_MEIER] - wide[AALEN_JOHANSEN]).max()
    return (
        f"{ended['died'].sum():,} of {len(ended):,} people die before HCC and {ended['hcc'].sum():,} develop it. "
        f"By {months:g} months the incidence of HCC is {'; '.join(parts)}: counting deaths as ends of follow-up "
        f"overstates it by up to {decimal_text(widest, 1)} percentage points."
    )
