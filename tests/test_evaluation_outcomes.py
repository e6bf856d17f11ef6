"""A statistic by cohort and model."""

import numpy as np
import pandas as pd
import pytest

from hccbook.errors import DataError
from hccbook.evaluation import auc_delong, by_cohort, cohorts_may_be_refused, net_benefit
from hccbook.evaluation.outcomes import check_binary

HCC = pd.Series([1, 1, 0, 0, 0, 1, 1, 0, 0, 0], index=list("abcdefghij"))
COHORT = pd.Series(["test"] * 5 + ["training"] * 5, index=HCC.index)
SCORES = pd.DataFrame({"one": np.arange(10.0), "two": np.arange(10.0)[::-1]}, index=HCC.index)


def test_each_model_of_each_cohort():
    """A named tuple is a row, cohorts and models in the order given, each from its own patients."""
    table = by_cohort(auc_delong, HCC, SCORES, COHORT)
    assert table.columns.tolist() == ["cohort", "model", "auc", "lower", "upper", "variance"]
    assert table[["cohort", "model"]].to_numpy().tolist() == [
        ["test", "one"], ["test", "two"], ["training", "one"], ["training", "two"],
    ]  # fmt: skip
    assert table["auc"].tolist() == [0, 1, 0, 1]


def test_one_column_has_no_model():
    """A Series is taken as it is, and the statistic's tables are put below one another."""

    def curve(y, p):
        return pd.DataFrame({"cut": [0.0, 0.5], "benefit": net_benefit(y, p, [0.0, 0.5])})

    table = by_cohort(curve, HCC, SCORES["one"] / 10, COHORT)
    assert table.columns.tolist() == ["cohort", "cut", "benefit"]
    assert table["benefit"].tolist() == pytest.approx([0.4, 0.0, 0.4, -0.2])


def test_whole_table_and_outcome_of_two_columns():
    """Without `each`, the statistic sees all columns of a cohort; event and months stay together."""
    follow_up = pd.DataFrame({"event": HCC, "months": np.arange(10.0)})

    def statistic(y, values):
        assert y.index.equals(values.index) and list(values) == ["one", "two"]
        return pd.DataFrame({"months": [y.loc[y["event"] == 1, "months"].sum()]})

    table = by_cohort(statistic, follow_up, SCORES, COHORT, each=None)
    assert table.to_numpy().tolist() == [["test", 1.0], ["training", 11.0]]


def test_refusals_name_the_cohort():
    """What a statistic refuses says in which cohort; patients in another order, or none, are refused."""

    def statistic(y, values):
        return pd.DataFrame({"events": [check_binary(y).sum()]})

    with pytest.raises(DataError, match=r"outcome, training cohort.*with and without HCC"):
        by_cohort(statistic, HCC.where(COHORT == "test", 0), SCORES, COHORT)
    with pytest.raises(DataError, match="patients in their order"):
        by_cohort(statistic, HCC, SCORES, COHORT[::-1])
    with pytest.raises(DataError, match="must have patients"):
        by_cohort(statistic, HCC[:0], SCORES[:0], "test")


def test_a_refused_cohort_is_left_out_where_that_is_asked_for():
    """Without HCC in one cohort the other has its rows, and the reason names it; elsewhere it stays an error."""
    hcc = HCC.where(COHORT == "test", 0)
    with cohorts_may_be_refused() as refused:
        table = by_cohort(auc_delong, hcc, SCORES, COHORT)
    assert table["cohort"].tolist() == ["test", "test"]
    assert len(set(refused)) == 1
    assert refused[0].startswith("outcome, training cohort: must hold patients with and without HCC")
    with pytest.raises(DataError, match="training cohort"):
        by_cohort(auc_delong, hcc, SCORES, COHORT)


def test_where_every_cohort_is_refused_nothing_is_left_to_show():
    """The first cohort's reason is the error."""
    with cohorts_may_be_refused() as refused, pytest.raises(DataError, match="outcome, test cohort"):
        by_cohort(auc_delong, HCC * 0, SCORES, COHORT)
    assert refused == []
