"""The profile of the papers' own sizes: what it plants follows from print alone."""

from itertools import product

import pytest

from hccbook import phantom
from hccbook.papers import find_paper, published
from hccbook.run import profile_file
from hccbook.settings import load_profile

COHORT = load_profile(profile_file("paper")).cohort

# The ideal observer's marker beside each model with images whose AUC is printed, and where it is printed.
PRINTED = {
    ("alarm", "liver_amap"): {"place": "Results, Construction and validation of ALARM model", "row": "ALARM"},
    ("amap_ct", "liver_spleen_amap"): {"place": "Table 2"},
    ("amap_ct", "liver_amap"): {"place": "Discussion, sentence 23", "row": "aMAP + liver"},
}
LARGE, COARSE = 200_000, 40_000


def observed(paper: str, patients: int, monkeypatch, **effects: float) -> dict:
    """AUCs of the ideal observer of the profile with other effects, by cohort of the paper."""
    monkeypatch.setattr("hccbook.phantom.ideal_observer.MONTE_CARLO_PATIENTS", patients)
    aucs = phantom.truth(paper, COHORT.model_copy(update=effects))["auc"]
    return dict(
        zip(find_paper(paper).cohorts, (aucs[name] for name in ("development", "validation", "test")), strict=True)
    )


def printed_aucs(paper: str, marker: str) -> dict[str, published.Printed]:
    """What the paper prints for the model of that marker, by cohort; the test cohort's without the spleen is not."""
    cohorts = find_paper(paper).cohorts[: 2 if (paper, marker) == ("amap_ct", "liver_amap") else 3]
    return {cohort: published.value(paper, "auc", cohort=cohort, **PRINTED[paper, marker]) for cohort in cohorts}


def misfit(paper: str, monkeypatch, **effects: float) -> float:
    """Sum of squared differences between the ideal observer's AUCs and all that the paper prints."""
    found = observed(paper, COARSE, monkeypatch, **effects)
    return sum(
        (found[cohort][marker] - printed.number) ** 2
        for of_paper, marker in PRINTED
        if of_paper == paper
        for cohort, printed in printed_aucs(paper, marker).items()
    )


@pytest.mark.parametrize(
    ("paper", "names"),
    [("alarm", ["alarm_liver_effect"]), ("amap_ct", ["amap_ct_liver_effect", "amap_ct_spleen_effect"])],
)
def test_planted_effects_fit_the_printed_aucs(paper, names, monkeypatch):
    """To one decimal no other effects bring the ideal observer closer to what the paper prints, in least squares."""
    steps = product((-0.1, 0.0, 0.1), repeat=len(names))
    tried = [
        {name: round(getattr(COHORT, name) + step, 1) for name, step in zip(names, one, strict=True)} for one in steps
    ]
    best = min(tried, key=lambda effects: misfit(paper, monkeypatch, **effects))
    assert best == {name: getattr(COHORT, name) for name in names}


@pytest.mark.parametrize(("paper", "marker"), [("alarm", "liver_amap"), ("amap_ct", "liver_spleen_amap")])
def test_ideal_observer_lies_in_the_printed_intervals(paper, marker, monkeypatch):
    """In each cohort the AUC of an ideal observer of images and clinic is within the interval printed for the model."""
    found = observed(paper, LARGE, monkeypatch)
    for cohort, printed in printed_aucs(paper, marker).items():
        assert printed.lower <= found[cohort][marker] <= printed.upper


def test_liver_without_spleen_lies_in_between(monkeypatch):
    """aMAP with the liver lies between aMAP alone, which has what Table 4 prints, and both with the spleen."""
    for cohort, aucs in observed("amap_ct", LARGE, monkeypatch).items():
        assert aucs["amap"] < aucs["liver_amap"] < aucs["liver_spleen_amap"]
        alone = published.value("amap_ct", "auc", place="Table 4", column="aMAP", cohort=cohort)
        assert aucs["amap"] == pytest.approx(alone.number, abs=0.01)
