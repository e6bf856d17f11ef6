"""Questions of the chapters: each number against another way to it, and the page in a browser."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from lifelines.utils import concordance_index
from markdown_it import MarkdownIt
from playwright.sync_api import Page
from scipy import stats
from sklearn import metrics

from hccbook.book import question_numbers as numbers
from hccbook.book.questions import RIGHT, Question, add_questions, given, options, questions, questions_text
from hccbook.errors import DataError
from hccbook.run import CHAPTERS, STAGES, data_dir, notebook_name, project_root

CHAPTERS_ASKED = [name for name in (*STAGES, *CHAPTERS) if name not in ("radiomics_speed", "archive_export")]
ASKED = [(chapter, one) for chapter in CHAPTERS_ASKED for one in questions(chapter)]


def test_there_are_forty_questions_and_three_in_each_chapter():
    """Every chapter asks; no file is left that no chapter reads; no two questions of the book share a name."""
    assert len(ASKED) >= 40
    assert all(len(questions(chapter)) >= 3 for chapter in CHAPTERS_ASKED)
    assert {file.stem for file in (data_dir() / "questions").glob("*.yaml")} <= set(CHAPTERS_ASKED)
    assert len({one.id for _, one in ASKED}) == len(ASKED)


@pytest.mark.parametrize("question", [one for _, one in ASKED], ids=[one.id for _, one in ASKED])
def test_one_answer_is_right_and_none_looks_like_another(question: Question):
    """One right answer; no two show the same number; the text has a value for all that it names."""
    shown = options(question)
    assert [one.name for one in shown].count(RIGHT) == 1
    assert len({one.text for one in shown}) == len(shown) >= 2
    assert all(one.why.endswith((".", "?")) for one in shown)
    assert question.asks.format(**given(question)).endswith("?")


def test_right_answers_do_not_stand_in_one_place():
    """A reader cannot learn where the right answer stands."""
    places = [sorted(number(one.id).values()).index(number(one.id)[RIGHT]) for _, one in ASKED]
    assert max(places.count(place) for place in set(places)) < 0.7 * len(places)


@functools.cache
def number(name: str) -> dict[str, float]:
    """Numbers of a question of the book, by its id."""
    question = next(one for _, one in ASKED if one.id == name)
    return numbers.CALCULATIONS[question.calculation](**given(question))


BY_HAND = {
    # 0.66 log10(17.1) - 0.085 x 40, with log10(17.1) = 1.2330; then with ln(17.1) = 2.8391, and with 4 for 40.
    "albi": (0.66 * 1.2330 - 3.4, 0.66 * 2.8391 - 3.4, 0.66 * 1.2330 - 0.34),
    # (3 + 0.89 + 0.48 ALBI - 1.5 + 7.4) / 14.77 x 100; log10(1) = 0 in mg/dL.
    "amap-units": (
        (9.79 + 0.48 * -2.58622) / 0.1477,
        (9.79 + 0.48 * -3.4) / 0.1477,
        (9.79 + 0.48 * (-2.58622 + 3.06)) / 0.1477,
    ),
    "share": (4500 / 924, 4500 / 879, 4500 / 1858),
    "rescale": (2 * 542 - 1024, 542, 542 - 1024, 2 * (542 - 1024)),
    "window": (140, 200, 240),
    "levels": (9, 8, 25),  # bins from -75 to 150
    "volume": (0.8 * 0.8 * 5 * 300, 300, 0.512 * 300),
    "dice": (144 / 180, 72 / 108, 72 / 100, 72 / 80),
    "mean-dice": ((1 / 2 + 170 / 180) / 2, 180 / 200),
    "erosion": (1 - 0.95**3, 0.05, 1 - 0.95**2),
    "shift": (3, 1, 0),
    "number": (107 + 12 * 93, 13 * 107, 13 * 93),
    "deep": (6 * 512, 3 * 512, 6 * 2048),
    "chance": (3669 / 20, 1223 / 20, 1 / 20),
    "contrast": (18 / 24, 14 / 24, None),  # the page counts the squares; seven steps of one level or two
    "zones": (5 / 16, 8 / 16, 4 / 16),  # counted on paper; the pixel joins two others by its corners
    "auc-ties": (8 / 9, 1, 7 / 9),  # of nine pairs two tie, none is lost
    "oversampled-risk": (4 * 45 / (4 * 45 + 879), 0.8, 0.8 * 45 / 462),
    "ppv": (0.933 * 45 / (0.933 * 45 + 0.329 * 879), 0.933 / (0.933 + 0.329), 0.933),
    "yearly": (100 * (1 - math.exp(math.log(0.797) / 3)), 20.3 / 3, -100 * math.log(0.797) / 3),
    "rate": (200 / 13, 200 / 20, 200 / 4),  # 156 months are 13 years
    "hazard-ratio": (100 * (1 - math.exp(20 * math.log(0.978))), 44, 100 * 0.44 / (0.978 + 0.44)),
    "in-a-row": (0.72, 0.98, 0.8),
    "people-per-cancer": (1 / 0.272, 1 / 0.254, 1 / 0.018),
    "spared": (0.45, 0.93, 450 / 930),
    "net-benefit": (100 * (0.04 - 0.1 / 9), -6, 4),
    "npv": (0.96, 0.5, 0.48),
    "accuracy": (879 / 924, 0, 0.5),
    "nri": (6 / 45 + 90 / 879, 96 / 924, 6 / 45 - 90 / 879),
    "odds-ratio": (math.exp(10 * math.log(1.05)), 1.5, 1.05),
    "percentage": (2, 1, 24),  # 168 and 169; a whole per cent from 156.7 to 180.8
    "pooled": ((58 * 879 + 64 * 45) / 924, 61, (58 * 45 + 64 * 879) / 924),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_numbers_are_those_of_a_calculation_by_hand(name: str):
    """Right and wrong ways, in the order in which the calculation lists them."""
    for found, expected in zip(number(name).values(), BY_HAND[name], strict=True):
        assert expected is None or found == pytest.approx(expected, rel=2e-4, abs=1e-9), name


def test_curves_and_concordance_are_those_of_lifelines():
    """Kaplan-Meier, Aalen-Johansen and the C-index, with ties and censoring."""
    months, hcc = [6, 10, 14, 20, 26, 30, 40, 44], [1, 0, 0, 1, 0, 1, 0, 1]
    assert number("kaplan-meier")["right"] == pytest.approx(1 - KaplanMeierFitter().fit(months, hcc).predict(36))
    assert number("kaplan-meier")["of_everybody"] == 3 / 8
    assert number("kaplan-meier")["of_those_with_a_known_outcome"] == 3 / 5
    months, outcome = [5, 9, 13, 18, 22, 27, 33, 41], np.array([1, 2, 1, 0, 2, 1, 2, 0])
    fitted = AalenJohansenFitter(calculate_variance=False).fit(months, outcome, event_of_interest=1)
    assert number("death")["right"] == pytest.approx(fitted.cumulative_density_.loc[33].iloc[0])
    alone = KaplanMeierFitter().fit(months, outcome == 1)
    assert number("death")["death_as_censoring"] == pytest.approx(1 - alone.predict(36))
    months, hcc, score = [4, 8, 12, 20, 30], [1, 0, 1, 1, 0], np.array([3, 5, 2, 2, 1])
    assert number("concordance")["right"] == pytest.approx(concordance_index(months, -score, hcc))
    assert number("concordance")["ties_counted_as_1"] == 6 / 7  # of seven pairs one is lost, one ties
    assert number("concordance")["censored_as_hcc"] == pytest.approx(concordance_index(months, -score))


def test_areas_and_p_values_are_those_of_other_libraries():
    """AUC by scikit-learn; the unpaired p from the placements of each score."""
    hcc = np.repeat([0, 1], 5)
    scores = [np.array([1, 2, 3, 4, 6, 5, 7, 8, 9, 10]), np.array([1, 2, 4, 6, 7, 3, 5, 8, 9, 10])]
    aucs, placed = [], []
    for score in scores:
        won = (score[5:, np.newaxis] > score[:5]).astype(float)
        aucs.append(metrics.roc_auc_score(hcc, score))
        placed.append((won.mean(axis=1), won.mean(axis=0)))
    alone = [first.var(ddof=1) / 5 + second.var(ddof=1) / 5 for first, second in placed]
    together = sum(np.cov(placed[0][part], placed[1][part])[0, 1] / 5 for part in (0, 1))
    for name, variance in (("as_if_of_other_patients", sum(alone)), ("right", sum(alone) - 2 * together)):
        assert number("two-aucs")[name] == pytest.approx(2 * stats.norm.sf((aucs[0] - aucs[1]) / variance**0.5))
    standard_error = math.log(6 / 1.5) / (2 * 1.959964)
    assert number("ratio")["right"] == pytest.approx(2 * stats.norm.sf(math.log(3) / standard_error))
    assert number("ratio")["not_on_the_logarithm"] == pytest.approx(2 * stats.norm.sf(2 / (4.5 / (2 * 1.959964))))
    assert number("limit")["right"] == pytest.approx(0.933 - 1.959964 * math.sqrt(0.933 * 0.067 / 45))
    assert number("limit")["of_the_whole_cohort"] == pytest.approx(0.917, abs=5e-4)  # as the paper prints it
    drawn = np.random.default_rng(1).normal([[1.6], [0.0]], size=(2, 200_000))
    assert number("ideal-observer")["right"] == pytest.approx((drawn[0] > drawn[1]).mean(), abs=0.005)


def test_radiomics_are_those_of_scipy_and_of_the_mesh_by_hand():
    """Entropy of 3, 5, 4 and 4 pixels; the block's mesh, whose edges and corners are cut halfway."""
    assert number("entropy")["right"] == pytest.approx(stats.entropy([3, 5, 4, 4], base=2))
    assert number("entropy")["natural_logarithm"] == pytest.approx(stats.entropy([3, 5, 4, 4]))
    assert number("entropy")["not_binned"] == pytest.approx(stats.entropy([2, *[1] * 14], base=2))
    n, found = np.array([20, 20, 4]), number("spacing")
    for name, mm in (("right", np.array([1.0, 1, 5])), ("spacing_ignored", np.ones(3))):
        volume = (n.prod() - 4 * (n - 1).sum() / 8 - 8 * (1 / 8 - 1 / 48)) * mm.prod()
        surface = (
            sum(
                2 * (n[i] - 1) * (n[j] - 1) * mm[i] * mm[j] + 4 * (n[k] - 1) * mm[k] * math.hypot(mm[i], mm[j]) / 2
                for i, j, k in ((0, 1, 2), (0, 2, 1), (1, 2, 0))
            )
            + 8 * math.sqrt(sum((mm[i] * mm[j] / 4) ** 2 for i, j in ((0, 1), (0, 2), (1, 2)))) / 2
        )
        assert found[name] == pytest.approx((36 * math.pi * volume**2) ** (1 / 3) / surface, rel=1e-6)


def test_distances_and_errors_are_interpolated_percentiles():
    """HD95 between the 38th and 39th of 40 values; E90 between the ninth and the tenth of ten."""
    assert number("hd95") == pytest.approx({"right": 1 + 0.05 * 8, "largest": 15, "mean": (38 + 24) / 40})
    assert number("e90") == pytest.approx({"right": 0.12 + 0.1 * 0.18, "ici": 0.067, "e50": 0.03})


def test_agreement_is_that_of_the_mean_squares():
    """B, J and E of a table of four by two, by Shrout and Fleiss."""
    table = np.array([[1, 2.1], [2, 3], [3, 3.9], [4, 5]])
    means, masks = table.mean(axis=1), table.mean(axis=0)
    between = 2 * ((means - table.mean()) ** 2).sum() / 3
    raters = 4 * ((masks - table.mean()) ** 2).sum()
    error = ((table - means[:, np.newaxis] - masks + table.mean()) ** 2).sum() / 3
    single = (between - error) / (between + error + (raters - error) / 2)
    assert number("icc")["right"] == pytest.approx(single)
    assert number("icc")["of_the_mean_of_both"] == pytest.approx((between - error) / (between + (raters - error) / 4))
    assert number("icc")["correlation"] == pytest.approx(stats.pearsonr(*table.T).statistic)


def test_noise_has_an_area_of_one_half_unless_it_leaks():
    """Right ways are at chance within three standard errors; leaks are far from it."""
    for name in ("smote", "selection"):
        right, *leaks = number(name).values()
        assert abs(right - 0.5) < 0.08
        assert min(leaks) > right + 0.1
    assert abs(number("cutoff")["right"]) < 0.06
    assert number("cutoff")["chosen_on_the_test_patients"] > 0.15
    assert number("best-cut-offs")["right"] > 5 * number("best-cut-offs")["search_not_paid_for"]
    delta = 0.8
    assert number("events")["right"] == pytest.approx(
        stats.norm.cdf(delta**2 / math.sqrt(2 * (delta**2 + 20 / 12))), rel=1e-12
    )


def test_the_printed_formula_is_the_papers():
    """0.52 x 1 + 1.07 x 0.5 - 4.26 = -3.205; without the constant 1.055."""
    assert number("formula")["right"] == pytest.approx(100 / (1 + math.exp(3.205)))
    assert number("formula")["constant_left_out"] == pytest.approx(100 / (1 + math.exp(-1.055)))
    assert number("formula")["amap_as_it_is"] == pytest.approx(100)


def test_a_question_that_cannot_be_asked_is_refused():
    """A calculation that is not there; reasons for other numbers; two answers that look alike."""
    entry = {"id": "a", "asks": "Which?", "calculation": "erosion", "given": {}, "shown": "{:.1f}"}
    with pytest.raises(ValueError, match="calculation must be a function"):
        Question(**entry, answers={"right": "a", "b": "b"})
    entry |= {"calculation": "eroded_volume", "given": {"radius_mm": 60, "depth_mm": 3}}
    with pytest.raises(DataError, match="question a"):
        options(Question(**entry, answers={"right": "a", "b": "b"}))
    why = {"right": "a", "of_the_radius": "b", "of_the_area": "c"}
    with pytest.raises(DataError, match="answers must differ as shown"):
        options(Question(**entry, answers=why))


@pytest.mark.parametrize("chapter", CHAPTERS_ASKED)
def test_every_chapter_has_its_questions_above_its_exercise(chapter: str):
    """The notebook as it is laid out, with its questions once, before the exercise."""
    file = project_root() / "notebooks" / f"{notebook_name(chapter)}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    add_questions(notebook, chapter)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert prose.count("## Questions") == 1
    assert prose.index("## Questions") < prose.index("## Exercise") < prose.index("## See also")


def test_answers_open_by_pointer_and_key_and_without_a_script(visit: Callable[..., Page], tmp_path: Path):
    """Closed at first; a click or Enter opens an answer and says at once whether it is right."""
    page = tmp_path / "page.html"
    text = MarkdownIt("commonmark").render(questions_text("cohort"))
    page.write_text(f"<!doctype html><html lang='en'><title>Questions</title><main>{text}</main></html>", "utf-8")
    shown = visit(page)
    assert "<script" not in text
    first = shown.locator(".question").first
    answers = first.locator("details.answer")
    assert answers.count() == 3
    assert not first.get_by_text("Right.").is_visible()
    answers.nth(0).locator("summary").click()
    assert first.get_by_text("Right.").is_visible()  # an ALBI of -2.59 is the smallest of the three
    answers.nth(1).locator("summary").focus()
    shown.keyboard.press("Enter")
    assert answers.nth(1).get_by_text("No.").is_visible()
    shown.keyboard.press("Enter")
    assert not answers.nth(1).get_by_text("No.").is_visible()
