"""Cut-offs and risk groups under their public name: a facade that only re-exports from `hccbook.evaluation`."""

# ruff: noqa: F401
from hccbook.evaluation.risk_groups import (
    lead_times,
    risk_groups,
    stepwise_flows,
    stepwise_groups,
    stepwise_tradeoff,
    youden_cutoff,
)
from hccbook.evaluation.xtile import xtile, xtile_map, xtile_permutation
