"""The web nomogram and the score calculator, in a browser from disk, against the Python package."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page

from hccbook import scores
from hccbook.book import check_self_contained, rendering
from hccbook.book.web_pages import web_data, web_files
from hccbook.errors import DataError, ModelError
from hccbook.evaluation import risk_groups, stepwise_groups
from hccbook.models import AlarmModel, AmapCtModel, LinearScore
from hccbook.run import RunPaths, project_root

PAGES = ("web_nomogram", "web_calculator")
ALARM_CUTS = (0.21, 0.65)
CT_CUTOFF = 0.37
RADIOMICS, DEEP, IMAGE = "arterial.liver.radiomics", "arterial.liver.deep_000", "arterial.liver.image"


# --- models of a run, small enough to be read ------------------------------------------------------------------------


def same(column: str) -> LinearScore:
    """Score that is the value of one column."""
    return LinearScore.of((column,), (0.0,), (1.0,), (1.0,), 0.0)


def alarm_model() -> AlarmModel:
    model = AlarmModel(smote="before_selection")
    model.radiomics_score_, model.deep_score_ = same(RADIOMICS), same(DEEP)
    model.combination_ = LinearScore.of(
        ("amap", "radiomics", "deep"),
        (59.247, 0.28668, 0.24106),
        (7.0073, 0.32482, 0.34635),
        (0.6565, 1.53, 1.96),
        -2.88,
    )
    model.feature_names_in_ = np.array(["amap", RADIOMICS, DEEP], dtype=object)
    model.selection_counts_ = pd.DataFrame({"block": [], "step": [], "features": []})
    model.lasso_paths_, model.lasso_alphas_, model.notes_ = {}, {}, []
    return model


def amap_ct_model() -> AmapCtModel:
    model = AmapCtModel()
    model.image_score_ = model.image_logistic_ = same(IMAGE)
    model.combination_ = LinearScore.of(("ct_image", "amap"), (0.0, 59.21), (1.0, 6.969), (2.477, 0.776), -2.47)
    model.feature_names_in_ = np.array(["amap", IMAGE], dtype=object)
    model.selection_counts_ = pd.DataFrame({"block": [], "step": [], "features": []})
    model.lasso_path_, model.lasso_alpha_, model.notes_ = pd.DataFrame({"alpha": []}), None, []
    model.lasso_weights_ = pd.DataFrame({"feature": [], "penalty": [], "coefficient": []})
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run that holds both models and their cut-offs."""
    finished = RunPaths(tmp_path_factory.mktemp("results") / "demo")
    alarm_model().to_json(finished.stage("alarm") / "model.json")
    (finished.stage("alarm") / "cutoffs.json").write_text(json.dumps({"cuts": ALARM_CUTS, "statistic": 1.0}))
    amap_ct_model().to_json(finished.stage("amap_ct") / "model.json")
    (finished.stage("amap_ct") / "cutoff.json").write_text(json.dumps({"cutoff": CT_CUTOFF, "rule": "youden"}))
    return finished


def lay_out(folder: Path, files: dict[str, bytes]) -> Path:
    """Source of a book of both pages."""
    prose = project_root() / "book"
    (folder / "assets").mkdir(parents=True)
    for name in (*(f"{page}.md" for page in PAGES), "glossary.md", "references.md", "references.bib"):
        (folder / name).write_bytes((prose / name).read_bytes())
    for name, content in (
        files
        | {name: (prose / "assets" / name).read_bytes() for name in ("hccbook.css", "hccbook.js", "search_numbers.js")}
    ).items():
        (folder / "assets" / name).write_bytes(content)
    (folder / "intro.md").write_text("# Introduction\n\nTwo pages.\n")
    (folder / "assumptions.md").write_text("# Assumptions\n\nNone.\n")
    (folder / "_config.yml").write_bytes((project_root() / "_config.yml").read_bytes())
    chapters = (*PAGES, "glossary", "assumptions", "references")
    listed = "".join(f"- file: {name}\n" for name in chapters)
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: intro\nchapters:\n{listed}")
    return folder


@pytest.fixture(scope="module")
def html(run: RunPaths, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both pages as Jupyter Book renders them, with the checks that every book passes."""
    out = tmp_path_factory.mktemp("book")
    rendering._render(lay_out(out / "source", web_files(run, ("alarm", "amap_ct"))), out)
    rendered = out / "_build" / "html"
    # MathJax is the rest of the book's; a page without it would only lack its formula.
    mathjax = rendered / "_static" / "mathjax" / "tex-svg.js"
    mathjax.parent.mkdir()
    mathjax.write_text("")
    check_self_contained(rendered)
    return rendered


# --- a reader ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_tool(visit: Callable[..., Page]) -> Callable[..., Page]:
    """Open a page, and wait until its tool has set itself up."""

    def opened(file: Path, tool: str, **screen: int) -> Page:
        page = visit(file, **screen)
        page.wait_for_selector(f"#{tool}[data-ready=true]", state="attached")
        return page

    return opened


@pytest.fixture
def calculator(open_tool: Callable[..., Page], html: Path) -> Page:
    return open_tool(html / "web_calculator.html", "calculator")


@pytest.fixture
def nomogram(open_tool: Callable[..., Page], html: Path) -> Page:
    return open_tool(html / "web_nomogram.html", "nomogram")


@pytest.fixture(params=["calculator", "nomogram"])
def tool(request: pytest.FixtureRequest) -> str:
    """Name of each tool in turn."""
    return request.param


@pytest.fixture
def tool_page(tool: str, open_tool: Callable[..., Page], html: Path) -> Page:
    """Page of each tool in turn."""
    return open_tool(html / f"web_{tool}.html", tool)


FILL = """
([given, ids]) => {
  const tell = (node) => ["input", "change"].forEach((type) => node.dispatchEvent(new Event(type, {bubbles: true})));
  for (const [id, value] of Object.entries(given)) {
    const radio = document.getElementById(`${id}-${value}`);
    const node = radio ?? document.getElementById(id);
    if (radio) radio.checked = true; else node.value = value;
    tell(node);
  }
  const said = (node) => (node.hidden ? "" : node.textContent.replaceAll("\\u00a0", " "));
  return Object.fromEntries(ids.map((id) => [id, said(document.getElementById(id))]));
}
"""


def fill(page: Page, given: dict[str, object], read: list[str]) -> dict[str, str]:
    """Set fields as a reader would, and read what the page then says."""
    return page.evaluate(FILL, [{name: str(value) for name, value in given.items()}, read])


# --- calculator -------------------------------------------------------------------------------------------------------

SCORES = ("amap", "albi", *scores.POINT_SCORES)
SHOWN = [f"{name}-{what}" for name in SCORES for what in ("value", "group", "how")]
STEPWISE = ["stepwise-text", "stepwise-group", "stepwise-advice"]
PERSON = {
    "age": 55, "male": 1, "etiology": "HBV", "cirrhosis": 1, "bilirubin": 20, "albumin": 38, "platelets": 110,
    "hbv_dna": 3000, "stiffness_kpa": 13.5, "ct_image": 0.4,
}  # fmt: skip
EDGES = {
    "age": (16, 29, 30, 39, 40, 44, 45, 49, 50, 50.5, 51, 59, 60, 61, 69, 70, 85),
    "male": (0, 1),
    "etiology": ("autoimmune", "HCV after SVR", "other", "NASH", "alcohol", "HCV", "HBV"),
    "cirrhosis": (0, 1),
    "bilirubin": (2, 3, 17.1, 18, 18.1, 200, 1000),
    "albumin": (10, 29, 30, 34.9, 35, 35.1, 39, 40, 70),
    "platelets": (1, 79, 80, 99, 100, 139, 140, 149, 150, 199, 200, 201, 249, 250, 1500),
    "hbv_dna": (0, 10, 1718, 1719, 171_821, 171_822, 200_000, 200_001, 1e9),
    "stiffness_kpa": (1, 8, 8.1, 12, 12.1, 80),
}


def grid() -> list[dict[str, object]]:
    """Every edge alone, and people drawn at random."""
    people = [PERSON | {name: value} for name, values in EDGES.items() for value in values]
    rng = np.random.default_rng(20240718)
    for _ in range(40):
        drawn = {name: values[rng.integers(len(values))] for name, values in EDGES.items()}
        drawn |= {"bilirubin": round(float(np.exp(rng.normal(3, 0.6))), 1), "albumin": round(rng.normal(40, 5), 1)}
        people.append(drawn | {"ct_image": round(float(rng.normal()), 2)})
    return people


def in_python(person: dict[str, object]) -> dict[str, tuple[float, str]]:
    """Score and group of every score, from the package."""
    age, male, cause = (person[name] for name in ("age", "male", "etiology"))
    bilirubin, albumin, platelets = (person[name] for name in ("bilirubin", "albumin", "platelets"))
    amap, albi = scores.amap(age, male, bilirubin, albumin, platelets), scores.albi(bilirubin, albumin)
    copies = scores.hbv_dna_copies(person["hbv_dna"])
    points = {
        "page_b": scores.page_b(age, male, platelets),
        "mpage_b": scores.mpage_b(age, male, platelets, albumin),
        "cu_hcc": scores.cu_hcc(age, albumin, bilirubin, copies, person["cirrhosis"]),
        "lsm_hcc": scores.lsm_hcc(age, albumin, person["hbv_dna"], person["stiffness_kpa"]),
        "thri": scores.thri(age, cause, male, platelets),
    }
    return {
        "amap": (amap, scores.amap_group(amap)),
        "albi": (albi, f"grade {scores.albi_grade(albi)}"),
        **{name: (value, scores.point_score_group(name, value)) for name, value in points.items()},
    }


def test_the_calculator_says_what_python_says(calculator: Page):
    """Value and group of seven scores for more than a hundred people, every edge among them, to the printed digits."""
    people = grid()
    assert len(people) > 100
    for person in people:
        shown = fill(calculator, person, SHOWN)
        for name, (value, group) in in_python(person).items():
            digits = 2 if name in ("amap", "albi") else 6
            assert round(float(shown[f"{name}-value"]), digits) == round(value, digits), (name, person, shown)
            assert shown[f"{name}-group"] == group, (name, person)


def test_the_stepwise_decision_is_pythons(calculator: Page):
    """Step, probability and final group agree with the model and the stepwise groups of the package."""
    model = amap_ct_model()
    seen = set()
    near_fifty = [PERSON | {"age": 47, "bilirubin": 12, "albumin": 40, "platelets": count} for count in range(230, 256)]
    for person in grid() + near_fifty:
        shown = fill(calculator, person, STEPWISE)
        amap = scores.amap(*(person[name] for name in ("age", "male", "bilirubin", "albumin", "platelets")))
        (probability,) = model.scores(pd.DataFrame({"amap": [amap], IMAGE: [float(person["ct_image"])]}))["amap_ct"]
        groups = stepwise_groups([amap], [probability], CT_CUTOFF).iloc[0]
        seen.add((groups["ct_group"], groups["final"]))
        assert shown["stepwise-group"] == f"{groups['final']} risk"
        if groups["ct_group"] == "not needed":
            assert "no CT score is needed" in shown["stepwise-text"]
        else:
            printed = re.search(r"three years, (?:below |above )?([\d.]+) %", shown["stepwise-text"]).group(1)
            assert float(printed) == pytest.approx(min(max(100 * probability, 0.1), 99.9), abs=0.0501)
            assert "37 %" in shown["stepwise-text"]
        assert ("six months" in shown["stepwise-advice"]) == (groups["final"] == "low")
    assert seen == {("not needed", "low"), ("low", "low"), ("high", "high")}


@pytest.mark.parametrize("score", [49.99, 50, 50.01, 59.99, 60, 60.01])
def test_amap_groups_at_their_bounds(calculator: Page, score: float):
    """50 and 60 belong to the medium group, as in the package; no person in the grid is at 60 to the last bit."""
    assert calculator.evaluate(f"hccbookScores.amapGroup({score})") == scores.amap_group(score)


@pytest.mark.parametrize("score", [-2.61, -2.6, -2.59, -1.4, -1.39, -1.38])
def test_albi_grades_at_their_bounds(calculator: Page, score: float):
    """-2.60 and -1.39 belong to the better grade, as in the package."""
    assert calculator.evaluate(f"hccbookScores.albiGrade({score})") == scores.albi_grade(score)


def test_a_rounded_score_keeps_to_its_side_of_a_cut_off(calculator: Page):
    """An aMAP that two decimals would round to 50 shows more of them beside "low"."""

    def below_fifty(albumin: float) -> float:
        return scores.amap(47, True, 12, albumin, 220)

    # 0.48 x 0.085 / 14.77 x 100 = 0.2762 a g/L, so that 5e-6 g/L move the score by a millionth.
    albumin = 40 - (50 - 2e-6 - below_fifty(40)) / 0.276235612728504
    assert 49.99999 < below_fifty(albumin) < 50
    person = {"age": 47, "male": 1, "bilirubin": 12, "albumin": repr(float(albumin)), "platelets": 220}
    shown = fill(calculator, person, SHOWN)
    assert shown["amap-group"] == "low"
    assert shown["amap-value"].startswith("49.9999")


@pytest.mark.parametrize(
    ("field", "own", "other", "unit"),
    [("bilirubin", 17.1, 1, "mg/dL"), ("bilirubin", 34.2, 2, "mg/dL"), ("albumin", 41, 4.1, "g/dL")],
)
def test_units_can_be_switched(calculator: Page, field: str, own: float, other: float, unit: str):
    """The same value in another unit gives the same scores, and the page says what it is in the scores' unit."""
    before = fill(calculator, PERSON | {field: own}, SHOWN)
    typed = fill(calculator, {f"{field}-unit": unit, field: other}, [*SHOWN, f"{field}-hint", f"{field}-error"])
    assert {name: typed[name] for name in SHOWN} == before
    assert f"this is {own:g} " in typed[f"{field}-hint"]
    assert typed[f"{field}-error"] == ""
    assert calculator.input_value(f"#{field}") == f"{other:g}"


def test_switching_a_unit_never_changes_the_number(calculator: Page):
    """The number stays; 41 g/L read as g/dL is refused, and switching back restores every score."""
    before = fill(calculator, PERSON | {"albumin": 41}, SHOWN)
    refused = fill(calculator, {"albumin-unit": "g/dL"}, ["albumin-error", "amap-value", "amap-how"])
    assert refused["albumin-error"] == (
        "Albumin: must be in g/dL, 1 to 7, but found 41. Is it in g/L? Choose that unit."
    )
    assert (refused["amap-value"], refused["amap-how"]) == ("", "Correct albumin.")
    assert fill(calculator, {"albumin-unit": "g/L"}, SHOWN) == before


@pytest.mark.parametrize(("copies", "iu_points", "copies_points"), [(9999, 0, 0), (10_000, 0, 1), (1_164_001, 5, 4)])
def test_hbv_dna_in_copies(calculator: Page, copies: int, iu_points: int, copies_points: int):
    """CU-HCC counts the copies as typed; LSM-HCC counts them divided by 5.82 (1,164,000 copies are 200,000 IU)."""
    person = {"age": 40, "albumin": 45, "bilirubin": 10, "cirrhosis": 0, "stiffness_kpa": 5}
    shown = fill(calculator, person | {"hbv_dna-unit": "copies/mL", "hbv_dna": copies}, SHOWN)
    assert shown["lsm_hcc-value"] == str(iu_points)
    assert shown["cu_hcc-value"] == str(copies_points)
    assert shown["cu_hcc-how"].startswith("age 0 + albumin 0 + total bilirubin 0 + HBV DNA")


@pytest.mark.parametrize(
    ("field", "quantity", "value", "score"),
    [
        ("age", "age", -1, lambda value: scores.mpage_b(value, 1, 150, 40)),
        ("age", "age", 130, lambda value: scores.mpage_b(value, 1, 150, 40)),
        ("bilirubin", "bilirubin", 1.2, lambda value: scores.albi(value, 40)),
        ("bilirubin", "bilirubin", 1001, lambda value: scores.albi(value, 40)),
        ("albumin", "albumin", 4.1, lambda value: scores.albi(20, value)),
        ("albumin", "albumin", 71, lambda value: scores.albi(20, value)),
        ("platelets", "platelets", 150_000, lambda value: scores.thri(50, "HBV", 1, value)),
        ("hbv_dna", "hbv_dna_iu_ml", 5.2, lambda value: scores.lsm_hcc(50, 40, value, 10)),
        ("stiffness_kpa", "stiffness_kpa", 0.5, lambda value: scores.lsm_hcc(50, 40, 0, value)),
        ("stiffness_kpa", "stiffness_kpa", 12_000, lambda value: scores.lsm_hcc(50, 40, 0, value)),
    ],
)
def test_a_value_out_of_range_is_refused_as_in_python(calculator: Page, field, quantity, value, score):
    """The page names the rule, the value and the hint in the words of the package, and marks the field."""
    shown = fill(calculator, PERSON | {field: value}, [*SHOWN, f"{field}-error"])
    with pytest.raises(DataError) as refused:
        score(value)
    place, rule_to_cure = str(refused.value).split(": ", 1)
    assert place == quantity
    in_units = rule_to_cure.replace("umol", "µmol").replace("10^9", "10⁹").replace("10^3/mm^3", "10³/mm³")
    found = re.sub(r"found [\d.e+-]+\.", f"found {value}.", in_units)
    assert shown[f"{field}-error"].split(": ", 1)[1].startswith(found)
    marked = calculator.get_attribute(f"#{field}", "aria-invalid")
    assert marked == "true"
    for name, inputs in scores.SCORE_INPUTS.items():
        uses = any(quantity == one or {quantity, one} == {"hbv_dna_iu_ml", "hbv_dna_copies_ml"} for one in inputs)
        assert (shown[f"{name}-value"] == "") == uses, name


def test_the_cure_offers_the_unit_that_would_fit(calculator: Page):
    """Albumin of 4.1 without a change of unit: the message leads to g/dL, and choosing it hints."""
    shown = fill(calculator, PERSON | {"albumin": 4.1}, ["albumin-error"])
    assert shown["albumin-error"].endswith("Or choose g/dL beside it.")
    cured = fill(calculator, {"albumin-unit": "g/dL"}, ["albumin-error", "albi-value"])
    assert cured["albumin-error"] == ""
    assert float(cured["albi-value"]) == round(scores.albi(20, 41), 2)


def test_an_unusual_bilirubin_is_doubted_not_refused(calculator: Page):
    """2.5 umol/L is possible, so it is computed, but the page asks whether it is in mg/dL."""
    shown = fill(calculator, PERSON | {"bilirubin": 2.5}, ["bilirubin-hint", "bilirubin-error", "albi-value"])
    assert "is the unit right?" in shown["bilirubin-hint"]
    assert shown["bilirubin-error"] == ""
    assert float(shown["albi-value"]) == round(scores.albi(2.5, 38), 2)
    usual = fill(calculator, {"bilirubin-unit": "mg/dL"}, ["bilirubin-hint"])
    assert "is the unit right?" not in usual["bilirubin-hint"]


def test_the_hint_allows_only_what_the_check_accepts(calculator: Page):
    """Both ends of the range in another unit, as the hint prints them, are accepted."""
    hint = fill(calculator, {"bilirubin-unit": "mg/dL", "bilirubin": ""}, ["bilirubin-hint"])["bilirubin-hint"]
    least, greatest = re.match(r"([\d.]+) to ([\d.]+)$", hint).groups()
    for end in (least, greatest):
        assert fill(calculator, {"bilirubin": end}, ["bilirubin-error"])["bilirubin-error"] == ""
    assert (float(least), float(greatest)) == (pytest.approx(2 / 17.1, rel=0.01), pytest.approx(1000 / 17.1, rel=0.01))


@pytest.mark.parametrize("missing", [name for name in PERSON if name not in ("male", "cirrhosis", "ct_image")])
def test_a_missing_value_takes_away_only_its_scores(calculator: Page, missing: str):
    """Scores that do not need it stay; the others say what they need."""
    complete = fill(calculator, PERSON, SHOWN)
    shown = fill(calculator, PERSON | {missing: ""}, SHOWN)
    for name, inputs in scores.SCORE_INPUTS.items():
        if any(one.startswith(missing) for one in inputs):
            assert shown[f"{name}-value"] == ""
            assert shown[f"{name}-how"].startswith("Needs ")
        else:
            assert shown[f"{name}-value"] == complete[f"{name}-value"] != ""


def test_nothing_is_assumed_at_first(calculator: Page):
    """An empty form shows no score, not even by a default sex, and lists what aMAP needs."""
    shown = fill(calculator, {}, [*SHOWN, *STEPWISE])
    assert all(shown[f"{name}-value"] == "" for name in SCORES)
    assert shown["amap-how"] == "Needs age, sex, total bilirubin, albumin, platelets."
    assert shown["stepwise-text"].startswith("First aMAP.")
    assert shown["stepwise-group"] == ""


def test_page_b_begins_at_sixteen(calculator: Page):
    """Below the first row of its table PAGE-B alone has no value, and says why."""
    shown = fill(calculator, PERSON | {"age": 15}, SHOWN)
    assert (shown["page_b-value"], shown["page_b-how"]) == ("", "Its table begins at age 16; found 15.")
    assert shown["mpage_b-value"] != ""


def test_a_high_amap_without_an_image_score_asks_for_it(calculator: Page):
    """The decision stays open, without a group."""
    shown = fill(calculator, PERSON | {"ct_image": ""}, STEPWISE)
    assert shown["stepwise-text"].endswith("It needs a CT image score.")
    assert (shown["stepwise-group"], shown["stepwise-advice"]) == ("", "")


def test_example_and_clear(calculator: Page):
    """The example fills every score; clearing empties all of them."""
    calculator.click("#calculator-example")
    assert all(fill(calculator, {}, SHOWN)[f"{name}-value"] for name in SCORES)
    calculator.click("#calculator button[type=reset]")
    calculator.wait_for_timeout(50)
    assert not any(fill(calculator, {}, SHOWN)[f"{name}-value"] for name in SCORES)


def test_scores_are_spoken_after_a_pause(calculator: Page):
    """A screen reader hears the scores once, when the reader has stopped typing."""
    fill(calculator, {"age": 50, "male": 1}, [])
    fill(calculator, {"platelets": 150}, [])
    calculator.wait_for_timeout(800)
    spoken = calculator.text_content("#calculator-status")
    assert spoken == "PAGE-B 18, high"  # 6 + 6 + 6
    assert calculator.get_attribute("#calculator-status", "role") == "status"


# --- nomogram ---------------------------------------------------------------------------------------------------------

RESULT = ["nomogram-probability", "nomogram-group", "nomogram-advice"]
SUGGESTED = {"low": "six months", "medium": "three to six months", "high": "MRI"}


def alarm_in_python(amap: float, radiomics: float, deep: float) -> tuple[float, str]:
    table = pd.DataFrame({"amap": [amap], RADIOMICS: [radiomics], DEEP: [deep]})
    (probability,) = alarm_model().predict_proba(table)[:, 1]
    return probability, risk_groups([probability], ALARM_CUTS)[0]


def same_percent(shown: str, probability: float) -> bool:
    if shown.startswith("below"):
        return probability < 0.0005
    if shown.startswith("above"):
        return probability >= 0.9995
    number = shown.removesuffix(" %")
    return number == f"{100 * probability:.{len(number.partition('.')[2])}f}"


def test_the_nomogram_says_what_python_says(nomogram: Page):
    """Probability, group and advice over a grid of the three scores, its corners and values beyond it included."""
    grid = list(itertools.product((0, 45.3, 59.2, 72.8, 100), (-1.01, 0.28, 0.9, 1.59), (-1.14, 0.1, 0.61, 1.63)))
    grid += [(100, 3, 3), (0, -2.5, -2.5), (59.247, 0.28668, 0.24106)]
    assert len(grid) > 80
    groups = set()
    for amap, radiomics, deep in grid:
        shown = fill(nomogram, {"amap-number": amap, "radiomics-number": radiomics, "deep-number": deep}, RESULT)
        probability, group = alarm_in_python(amap, radiomics, deep)
        groups.add(group)
        assert same_percent(shown["nomogram-probability"], probability), (amap, radiomics, deep, shown, probability)
        assert shown["nomogram-group"] == f"{group} risk"
        assert SUGGESTED[group] in shown["nomogram-advice"]
    assert groups == set(SUGGESTED)


@pytest.mark.parametrize(("cut", "below", "at"), [(0.21, "low", "medium"), (0.65, "medium", "high")])
def test_a_probability_at_a_cut_off(nomogram: Page, cut: float, below: str, at: str):
    """Just below a cut-off the lower group, with decimals that say so; just above it the higher one."""
    combination = alarm_model().combination_

    def radiomics_for(probability: float) -> float:
        logit = np.log(probability / (1 - probability))
        rest = logit - combination.intercept
        return combination.means[1] + rest / combination.coefficients[1] * combination.scales[1]

    for probability, group in ((cut - 1e-7, below), (cut + 1e-7, at)):
        radiomics = radiomics_for(probability)
        assert alarm_in_python(59.247, radiomics, 0.24106)[0] == pytest.approx(probability, abs=1e-12)
        given = {"amap-number": 59.247, "radiomics-number": repr(float(radiomics)), "deep-number": 0.24106}
        shown = fill(nomogram, given, RESULT)
        assert shown["nomogram-group"] == f"{group} risk"
        printed = float(shown["nomogram-probability"].removesuffix(" %"))
        assert (printed < 100 * cut) == (group == below)
        assert printed == pytest.approx(100 * probability, abs=1e-4)


def test_amap_from_its_five_inputs(nomogram: Page):
    """The five inputs, in the units the reader has, give the package's aMAP and the model's probability of it."""
    for age, male, bilirubin, albumin, platelets in (
        (50, 1, 1.0, 4.0, 150), (30, 0, 0.6, 4.5, 250), (65, 1, 2.0, 3.2, 80), (72, 0, 5.5, 2.6, 45),
    ):  # fmt: skip
        given = {"age": age, "male": male, "bilirubin-unit": "mg/dL", "bilirubin": bilirubin, "albumin-unit": "g/dL"}
        nomogram.click("#amap-from-inputs")
        given |= {"albumin": albumin, "platelets": platelets, "radiomics-number": 0.5, "deep-number": 0.4}
        shown = fill(nomogram, given, ["amap-computed", *RESULT])
        amap = scores.amap(age, male, bilirubin * 17.1, albumin * 10, platelets)
        assert f"aMAP {amap:.2f}, {scores.amap_group(amap)} risk" in shown["amap-computed"]
        probability, group = alarm_in_python(amap, 0.5, 0.4)
        assert same_percent(shown["nomogram-probability"], probability)
        assert shown["nomogram-group"] == f"{group} risk"


def test_an_input_out_of_range_leaves_no_risk(nomogram: Page):
    """A refused or missing input takes the result away and says which one it is."""
    nomogram.click("#amap-from-inputs")
    given = {"age": 50, "male": 1, "bilirubin": 20, "albumin": 4.1}
    shown = fill(nomogram, given, ["amap-computed", "albumin-error", *RESULT])
    assert shown["amap-computed"] == "Correct albumin. Needs platelets."
    assert "must be in g/L, 10 to 70, but found 4.1." in shown["albumin-error"]
    assert (shown["nomogram-probability"], shown["nomogram-group"]) == ("", "")
    nomogram.click("#amap-from-slider")
    assert fill(nomogram, {}, RESULT)["nomogram-probability"] != ""


@pytest.mark.parametrize("typed", [-99999, -0.1, 100.1])
def test_an_amap_that_cannot_be_leaves_no_risk(nomogram: Page, typed: float):
    """The scale of aMAP ends at 0 and 100 (Fan 2020): the page says so, marks the field and shows no probability."""
    shown = fill(nomogram, {"amap-number": typed}, ["amap-error", "amap-hint", *RESULT])
    assert shown["amap-error"].startswith(f"aMAP: must be in points, 0 to 100, but found {typed}. ")
    assert "extrapolated" not in shown["amap-hint"]
    assert (shown["nomogram-probability"], shown["nomogram-group"]) == ("", "")
    assert nomogram.get_attribute("#amap-number", "aria-invalid") == "true"


def test_a_score_far_from_every_patient_leaves_no_risk(nomogram: Page, calculator: Page):
    """A radiomics score of 286.68, or a CT image score of 40, has lost its decimal point."""
    shown = fill(nomogram, {"radiomics-number": 286.68}, ["radiomics-error", *RESULT])
    # (286.68 - 0.28668) / 0.32482
    assert shown["radiomics-error"].startswith(
        "Radiomics score: must be in standard deviations, -10 to 10, but found 882. Is a decimal point missing?"
    )
    assert shown["nomogram-probability"] == ""
    refused = fill(calculator, PERSON | {"ct_image": 40}, ["ct_image-error", *STEPWISE])
    assert "-10 to 10, but found 40." in refused["ct_image-error"]
    assert refused["stepwise-text"].endswith("Correct the CT image score.")
    assert refused["stepwise-group"] == ""


def test_five_values_that_give_no_amap_leave_no_risk(nomogram: Page):
    """A woman of 20 with 1,200 platelets: each value can be, but the score would be -33."""
    nomogram.click("#amap-from-inputs")
    given = {"age": 20, "male": 0, "bilirubin": 10, "albumin": 45, "platelets": 1200}
    shown = fill(nomogram, given, ["amap-computed", *RESULT])
    # (1.2 + 0.48 x (0.66 - 3.825) - 12 + 7.4) / 14.77 x 100
    assert "must be in points, 0 to 100, but found -33.31" in shown["amap-computed"]
    assert shown["nomogram-probability"] == ""


def test_sliders_and_boxes_follow_each_other(nomogram: Page):
    """A slider writes its number; a number moves its slider, and beyond the slider's end the page warns."""
    shown = fill(nomogram, {"deep-slider": 1.0, "radiomics-slider": 0.5, "amap-slider": 70}, RESULT)
    assert same_percent(shown["nomogram-probability"], alarm_in_python(70, 0.5, 1.0)[0])
    shown = fill(nomogram, {"deep-number": 3}, ["deep-hint"])
    assert nomogram.evaluate("Number(document.getElementById('deep-slider').value)") < 2
    assert "fitted on nobody like this" in shown["deep-hint"]
    shown = fill(nomogram, {"deep-number": ""}, ["deep-error", *RESULT])
    assert shown["deep-error"].startswith("Deep score: must be a number")
    assert shown["nomogram-probability"] == ""


def test_contributions_add_up(nomogram: Page):
    """The three changes and the intercept are the log odds."""
    shown = fill(nomogram, {"amap-number": 66.2543, "radiomics-number": 0.6115, "deep-number": -0.10529}, [])
    cells = nomogram.evaluate(
        "[...document.querySelectorAll('#contributions td.web-number')].map((c) => c.textContent)"
    )
    assert shown == {}
    assert [float(cell) for cell in cells] == [0.66, 1.53, -1.96]  # one SD up, one up, one down


# --- both pages -------------------------------------------------------------------------------------------------------

FOCUSED = "(() => { const n = document.activeElement; return n.id || n.textContent.trim(); })()"


def controls(page: Page, tool: str) -> list[str]:
    """Controls that a reader sees; of a group of radio buttons Tab reaches the chosen or else the first one."""
    return page.evaluate(
        f"""[...document.querySelectorAll('#{tool} :is(input, select, button)')]
        .filter((node) => node.offsetParent !== null)
        .filter((node) => {{
          if (node.type !== "radio") return true;
          const group = [...document.getElementsByName(node.name)];
          return node === (group.find((other) => other.checked) ?? group[0]);
        }})
        .map((node) => node.id || node.textContent.trim())"""
    )


def tabbed(page: Page, first: str, count: int) -> list[str]:
    """What has the focus at first, and after each Tab."""
    page.focus(f"#{first}")
    reached = [page.evaluate(FOCUSED)]
    for _ in range(count - 1):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    return reached


def test_tab_reaches_every_control_in_order(tool_page: Page, tool: str):
    """From the first control, Tab visits all others in the order of the page, each with a visible mask."""
    if tool == "nomogram":
        tool_page.click("#amap-from-inputs")
    expected = controls(tool_page, tool)
    assert len(expected) > 10
    assert tabbed(tool_page, expected[0], len(expected)) == expected
    tool_page.keyboard.press("Shift+Tab")
    mask = tool_page.evaluate(
        "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
    )
    assert mask == "solid3px"


def test_the_calculator_works_by_keyboard_alone(calculator: Page):
    """PAGE-B of a woman of 45 with 150: typed, chosen with Space, and computed."""
    calculator.focus("#age")
    calculator.keyboard.insert_text("45")
    calculator.keyboard.press("Tab")
    assert calculator.evaluate(FOCUSED) == "male-0"
    calculator.keyboard.press("Space")
    while calculator.evaluate(FOCUSED) != "platelets":
        calculator.keyboard.press("Tab")
    calculator.keyboard.insert_text("150")
    assert fill(calculator, {}, ["page_b-value"])["page_b-value"] == "10"  # 4 + 0 + 6
    calculator.focus("#bilirubin-unit")
    calculator.keyboard.press("ArrowDown")
    assert calculator.input_value("#bilirubin-unit") == "mg/dL"


def test_arrow_keys_move_a_slider(nomogram: Page):
    """One press is one step, and the result follows."""
    nomogram.focus("#amap-slider")
    before = float(nomogram.input_value("#amap-number"))
    for _ in range(5):
        nomogram.keyboard.press("ArrowRight")
    after = float(nomogram.input_value("#amap-number"))
    assert after == pytest.approx(before + 0.5)
    radiomics, deep = (float(nomogram.input_value(f"#{one}-number")) for one in ("radiomics", "deep"))
    shown = fill(nomogram, {}, RESULT)
    assert same_percent(shown["nomogram-probability"], alarm_in_python(after, radiomics, deep)[0])


def test_pages_need_no_network(tool_page: Page, html: Path):
    """From disk, a page asks for files beside it and for nothing else, and its scripts throw nothing."""
    fill(tool_page, {"age": 50, "platelets": 100}, [])
    requests = [request.url for request in tool_page.requests()]
    assert len(requests) > 4
    assert [url for url in requests if not url.startswith(("file:", "data:", "about:"))] == []
    assert tool_page.page_errors() == []
    folder = html.as_uri()
    assert all(url.startswith(folder) for url in requests if url.startswith("file:"))


def test_every_control_has_a_name(tool_page: Page, tool: str):
    """Each input and select has a label of its own, each fieldset a legend, and results are announced."""
    unnamed = tool_page.evaluate(
        f"""[...document.querySelectorAll('#{tool} :is(input, select)')]
        .filter((n) => !n.labels.length && !n.getAttribute("aria-label")).map((n) => n.id)"""
    )
    assert unnamed == []
    assert tool_page.evaluate(
        f"[...document.querySelectorAll('#{tool} fieldset')].every((n) => n.querySelector('legend'))"
    )
    assert tool_page.evaluate(f"document.querySelectorAll('#{tool} [aria-live], #{tool} [role=status]').length") >= 3
    missing = tool_page.evaluate(
        f"""[...document.querySelectorAll('#{tool} [aria-describedby]')]
        .flatMap((n) => n.getAttribute("aria-describedby").split(" ")).filter((id) => !document.getElementById(id))"""
    )
    assert missing == []
    twice = tool_page.evaluate(
        "[...document.querySelectorAll('[id]')].map((n) => n.id).filter((id, i, all) => all.indexOf(id) !== i)"
    )
    assert [name for name in twice if name.startswith(("amap", "age", "nomogram", "calculator"))] == []


def test_nothing_sticks_out_on_a_phone(open_tool: Callable[..., Page], html: Path, tool: str):
    """At 360 pixels the page does not scroll sideways, also with a message under a field."""
    page = open_tool(html / f"web_{tool}.html", tool, width=360, height=740)
    fill(page, {"albumin": 4.1, "age": 300}, [])
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate(
        f"""[...document.querySelectorAll('#{tool} *')]
        .filter((node) => node.getBoundingClientRect().right > 361).map((node) => node.id || node.className)"""
    )
    assert wide == []


def test_pages_say_that_the_model_is_synthetic(tool_page: Page, tool: str):
    """The stamp stands on the tool itself."""
    stamp = fill(tool_page, {}, [f"{tool}-stamp"])[f"{tool}-stamp"]
    assert stamp.startswith("SYNTHETIC: ")
    assert "fitted on simulated patients" in stamp
    assert "not for clinical use" in stamp


def stand_alone(folder: Path, files: dict[str, bytes], page: str) -> Path:
    """A page without the book around it."""
    (folder / "_static").mkdir()
    for name, content in files.items():
        (folder / "_static" / name).write_bytes(content)
    text = (project_root() / "book" / f"{page}.md").read_text(encoding="utf-8")
    (markup,) = re.findall(r"```\{raw\} html\n(.*?)```", text, flags=re.DOTALL)
    file = folder / f"{page}.html"
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    file.write_text(f'<!doctype html><html lang="en">{head}<title>{page}</title>{markup}</html>')
    return file


def test_a_run_without_alarm_says_so(open_tool: Callable[..., Page], run: RunPaths, tmp_path: Path):
    """The nomogram has nothing to move, and says why."""
    page = open_tool(stand_alone(tmp_path, web_files(run, ("amap_ct",)), "web_nomogram"), "nomogram")
    shown = fill(page, {}, ["nomogram-absent"])
    assert shown["nomogram-absent"] == "There is no ALARM model to compute with. This run left the paper out."
    assert controls(page, "nomogram") == []
    assert page.page_errors() == []


def test_a_run_without_amap_ct_keeps_the_scores(open_tool: Callable[..., Page], run: RunPaths, tmp_path: Path):
    """All scores are computed, and the stepwise decision ends at aMAP."""
    page = open_tool(stand_alone(tmp_path, web_files(run, ("alarm",)), "web_calculator"), "calculator")
    shown = fill(page, PERSON, [*SHOWN, *STEPWISE, "calculator-stamp"])
    assert all(shown[f"{name}-value"] for name in SCORES)
    assert shown["stepwise-text"].endswith("no model here to go on with. This run left the paper out.")
    assert "SYNTHETIC" not in shown["calculator-stamp"]
    low = fill(page, {"age": 20, "male": 0, "platelets": 300}, STEPWISE)
    assert low["stepwise-group"] == "low risk"


def test_own_patients_are_not_called_synthetic(open_tool: Callable[..., Page], run: RunPaths, tmp_path: Path):
    """A run on the user's data says that the model is its own."""
    page = open_tool(
        stand_alone(tmp_path, web_files(run, ("alarm", "amap_ct"), synthetic=False), "web_nomogram"), "nomogram"
    )
    stamp = fill(page, {}, ["nomogram-stamp"])["nomogram-stamp"]
    assert "SYNTHETIC" not in stamp
    assert "not for clinical use" in stamp


# --- what the build hands over ----------------------------------------------------------------------------------------


def test_models_are_handed_over_whole_and_alone(run: RunPaths):
    """The coefficients and cut-offs of the files, and no list of features, reach the pages."""
    data = web_data(run, ("alarm", "amap_ct"))
    assert data["alarm"]["combination"] == alarm_model().combination_.to_dict()
    assert data["alarm"]["cuts"] == list(ALARM_CUTS)
    assert data["alarm"]["oversampled"] is True
    assert data["amap_ct"]["cutoff"] == CT_CUTOFF
    assert data["amap_ct"]["amap_low"] == 50
    assert data["absent"] == {}
    assert RADIOMICS not in json.dumps(data)
    assert web_data(run, ("amap_ct",), stepwise={"amap_low": 45.0})["amap_ct"]["amap_low"] == 45


def test_a_run_that_has_not_fitted_says_so(tmp_path: Path):
    """Before the models are there the pages still build, and name the reason."""
    data = web_data(RunPaths(tmp_path / "demo"), ("alarm",))
    assert data["alarm"] is None
    assert data["absent"] == {
        "alarm": "This run has not fitted the model.",
        "amap_ct": "This run left the paper out.",
    }


def test_another_file_in_the_place_of_a_model_is_refused(run: RunPaths, tmp_path: Path):
    """A model of the other paper, or cut-offs that do not rise, stop the build."""
    other = RunPaths(tmp_path / "demo")
    shutil.copy(run.root / "amap_ct" / "model.json", other.stage("alarm") / "model.json")
    (other.stage("alarm") / "cutoffs.json").write_text('{"cuts": [0.6, 0.2]}')
    with pytest.raises(ModelError, match="must hold the model 'alarm'"):
        web_files(other, ("alarm",))
    shutil.copy(run.root / "alarm" / "model.json", other.stage("alarm") / "model.json")
    with pytest.raises(DataError, match="two rising cut-offs"):
        web_files(other, ("alarm",))


def test_a_changed_script_renders_the_book_anew(tmp_path: Path):
    """Sphinx copies a script only with a page, so that the folder of scripts counts among what was computed."""
    for folder in ("assets", "notebooks", "files"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_config.yml").write_text("title: x\n")
    script = tmp_path / "assets" / "web_scores.js"
    script.write_text("1;")
    before = rendering._state(tmp_path)["computed"]
    script.write_text("2;")
    assert rendering._state(tmp_path)["computed"] != before


def test_a_risk_that_falls_with_amap_is_a_caution_of_the_calculator(tmp_path: Path) -> None:
    """The page's data say of which score the sign is contrary; of a model in order they say nothing."""
    finished = RunPaths(tmp_path / "demo")
    model = amap_ct_model()
    model.to_json(finished.stage("amap_ct") / "model.json")
    (finished.stage("amap_ct") / "cutoff.json").write_text(json.dumps({"cutoff": CT_CUTOFF, "rule": "youden"}))
    assert web_data(finished, ["amap_ct"])["amap_ct"]["cautions"] == []
    model.combination_ = LinearScore.of(("ct_image", "amap"), (0.0, 59.21), (1.0, 6.969), (2.477, -0.776), -2.47)
    model.to_json(finished.stage("amap_ct") / "model.json")
    (caution,) = web_data(finished, ["amap_ct"])["amap_ct"]["cautions"]
    assert "falls as the aMAP score rises (weight −0.78 a standard deviation)" in caution
