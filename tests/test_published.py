"""The printed numbers, the list of items and the assumptions register."""

from __future__ import annotations

import math
import re

import pytest

from hccbook.errors import DataError, SettingsError
from hccbook.papers import published
from hccbook.papers.published import Assumption, Claim, Item, printed_decimals, printed_number
from hccbook.run import STAGES, notebook_name
from hccbook.settings import Profile

GROUPS = ("high-risk", "medium-risk", "low-risk")

CLAIM = """- id: alarm-age
  paper: alarm
  place: Table 1
  claim: Half of the patients are at most 49.9 years old.
  numbers:
    - {place: Table 1, row: Age, quantity: median}
  check: [quantiles, private]
  item: alarm-table-1
  status: needs the private data
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A small folder of printed numbers that a test may break."""
    data = tmp_path / "published"
    data.mkdir()
    entry = {"id": "alarm-table-1", "paper": "alarm", "label": "Table 1", "title": "x", "kind": "table"}
    lines = [f"{'- ' if name == 'id' else '  '}{name}: {text}" for name, text in {**entry, "status": "planned"}.items()]
    (data / "items.yaml").write_text("\n".join(lines) + "\n")
    (data / "claims.yaml").write_text(CLAIM)
    (data / "numbers.csv").write_text(
        ",".join(published.COLUMNS) + "\nalarm,Table 1,alarm-table-1,Age,All,median,49.9,1,years,all,,43.2,56.4\n"
    )
    monkeypatch.setattr(published, "published_dir", lambda: data)
    kept = (published._numbers, published._items, published._claims)
    for read in kept:
        read.cache_clear()
    yield data
    for read in kept:
        read.cache_clear()


@pytest.mark.parametrize(
    ("text", "number", "decimals"),
    [
        ("0.929", 0.929, 3),
        ("2,411", 2411.0, 0),
        ("-4.26", -4.26, 2),
        ("12.0", 12.0, 1),
        ("<0.001", None, 3),
        ("< 0.0001", None, 4),
        ("/", None, None),
        ("n.a.", None, None),
        ("three", None, None),
        ("1,23", None, None),
        ("", None, None),
    ],
)
def test_only_what_is_printed_as_a_number_is_one(text, number, decimals):
    """An inequality, a dash or a word is not a number, and a comma only counts as a thousands comma."""
    assert printed_number(text) == number
    assert printed_decimals(text) == decimals


@pytest.mark.parametrize(
    ("cohort", "printed"),
    [
        ("discovery", ("0.929", "0.918", "0.941")),
        ("internal_validation", ("0.902", "0.818", "0.987")),
        ("external_validation", ("0.918", "0.898", "0.961")),
    ],
)
def test_alarm_aucs_are_as_printed(cohort, printed):
    """ALARM, Summary and Results: the same AUC and interval in both places."""
    found = published.value("alarm", "auc", item="alarm-fig-3", cohort=cohort)
    assert (found.text, found.lower_text, found.upper_text) == printed
    assert (found.number, found.lower, found.upper) == tuple(float(text) for text in printed)
    assert found.places == ("Summary, sentence 6", "Results, Construction and validation of ALARM model, sentence 6")


@pytest.mark.parametrize(
    ("cohort", "printed"),
    [
        ("training", ("0.869", "0.789", "0.931")),
        ("validation", ("0.809", "0.686", "0.927")),
        ("test", ("0.815", "0.762", "0.868")),
    ],
)
def test_amap_ct_aucs_are_as_printed(cohort, printed):
    """aMAP-CT, Results and Table 2 print the same AUC."""
    section = "Results, Discrimination and calibration performance of the model"
    text = published.value("amap_ct", "auc", item="amap-ct-fig-1", cohort=cohort, place=section)
    table = published.value("amap_ct", "auc", place="Table 2", cohort=cohort)
    assert (text.text, text.lower_text, text.upper_text) == printed
    assert (table.text, table.lower_text, table.upper_text) == printed


def test_risk_groups_of_alarm_are_as_printed():
    """ALARM, Results: three groups with their sizes and incidences; the sizes add up to the cohort."""
    sizes = {group: published.value("alarm", "count", item="alarm-fig-5", subgroup=group) for group in GROUPS}
    shares = [published.value("alarm", "incidence", item="alarm-fig-5", subgroup=group).text for group in GROUPS]
    assert [size.text for size in sizes.values()] == ["221", "433", "1204"]
    assert sum(size.number for size in sizes.values()) == 1858
    assert shares == ["24.3", "6.4", "0.42"]


def test_groups_of_amap_ct_are_as_printed():
    """aMAP-CT, Results: 61 and 748 of 809 in training; stepwise 169 patients with 27.2 % after three years."""
    training = [
        published.value("amap_ct", "count", item="amap-ct-fig-2", cohort="training", subgroup=group).text
        for group in ("high-risk", "low-risk")
    ]
    assert training == ["61", "748"]
    assert published.value("amap_ct", "count", item="amap-ct-fig-4", subgroup="high-risk").text == "169"
    incidence = published.value("amap_ct", "cumulative incidence", item="amap-ct-fig-4", subgroup="high-risk")
    assert str(incidence) == "27.2%"


@pytest.mark.parametrize(
    ("paper", "label", "rows"),
    [
        # Headings of 4 cohorts and 8 groups; 13 rows of 8 medians and 4 p-values; sex with 8 counts, 8 percentages
        # and 4 p-values; 5 causes of 8 + 8; 5 stages of 4 counts, 4 percentages and 8 slashes.
        ("alarm", "Table 1", 12 + 13 * 12 + 20 + 5 * 16 + 5 * 16),
        # 3 cohorts of 4 measures at 2 cut-offs.
        ("alarm", "Table 2", 3 * 4 * 2),
        # Patients 4 and a dash; 7 rows of 4 medians and p; male and HCC 4 + 4 and p; 2 causes of 8 under p;
        # 3 groups of 12 under p.
        ("amap_ct", "Table 1", 5 + 8 * 5 + 2 * 9 + (1 + 2 * 8) + (1 + 3 * 12)),
        # 3 cohorts: n, HCC with percentage, 7 measures.
        ("amap_ct", "Table 2", 3 * 10),
        # 27 rows of n, HCC with percentage, and 7 measures.
        ("amap_ct", "Table 3", 27 * 10),
        # 3 cohorts of 10 models; 16 signs behind them.
        ("amap_ct", "Table 4", 3 * 10 + 16),
    ],
)
def test_every_cell_of_a_table_is_there(paper, label, rows):
    """The number of printed numbers follows from the table's rows and columns."""
    assert len(published.table(paper, label)) == rows


def test_misprints_stay_as_printed():
    """ALARM's Table 1 gives no man with HCC in internal validation, and an ALBI quartile of 11.9."""
    men = published.value(
        "alarm", "count", place="Table 1", row="Sex (Male), n (%)", cohort="internal_validation", subgroup="HCC"
    )
    score = published.value("alarm", "median", place="Table 1", row="ALBI score", cohort="discovery", subgroup="HCC")
    assert men.text == "0"
    assert (score.text, score.upper_text) == ("-2.5", "11.9")
    sensitivity = published.value(
        "alarm", "sensitivity", place="Table 2", cohort="external_validation", subgroup="cut-off 0.21"
    )
    assert sensitivity.number < sensitivity.lower


def test_p_values_below_a_bound_have_no_number():
    """A p-value printed as <0.001 keeps its text and has no number."""
    table = published.table("alarm", "Table 1")
    bounded = table[table["value"] == "<0.001"]
    assert len(bounded) == 13
    assert all(math.isnan(number) for number in bounded["number"])


def test_a_number_that_is_not_printed_is_refused_with_what_is():
    """The message lists what the column that did not fit may hold."""
    with pytest.raises(DataError, match=r"cohort may be .*'discovery'"):
        published.value("alarm", "auc", cohort="discovry")


def test_an_ambiguous_place_is_refused():
    """Two different numbers for one question are refused with both."""
    with pytest.raises(DataError, match=r"must name one printed number.*0\.929.*0\.902"):
        published.value("alarm", "auc")


def test_a_table_that_is_not_transcribed_is_refused():
    """The message lists the tables at hand; captions and footnotes have places of their own and are none."""
    with pytest.raises(DataError, match=r"At hand: alarm Table 1; alarm Table 2; amap_ct Table 1; .*Table 4\.$"):
        published.table("alarm", "Table 9")


def test_items_list_both_papers():
    """What is in this edition has its numbers and, for a figure, a picture named after its id, beside its page."""
    listed = published.items()
    shown = [item for item in listed if not item.is_planned]
    folders = {notebook_name(stage): stage for stage in STAGES}
    for item in shown:
        folder = folders.get(item.page, item.page)
        assert item.data == f"{folder}/{item.id}.csv"
        assert item.kind != "figure" or item.figure == f"{folder}/{item.id}.png"
    # All of ALARM's: main text 5 + 2; supplement 17 + 5, formulas and web nomogram.
    assert sum(item.paper == "alarm" for item in shown) == 7 + 24
    # Main text 5 + 2 and 4 + 4; supplement 17 + 5 + formulas + nomogram and 10 + 8.
    assert len(listed) == 7 + 8 + 24 + 18


def test_an_unknown_key_is_refused():
    """A misspelt field of an item is an error."""
    entry = {"id": "alarm-fig-1", "paper": "alarm", "label": "Fig. 1", "title": "x", "kind": "figure"}
    with pytest.raises(ValueError, match="statsu"):
        Item.model_validate({**entry, "status": "planned", "statsu": "planned"})


def test_a_reproduced_figure_needs_its_files():
    """An item that claims to be in the book says where."""
    entry = {"id": "alarm-fig-1", "paper": "alarm", "label": "Fig. 1", "title": "x", "kind": "figure"}
    with pytest.raises(ValueError, match="must name its page, notebook, data, figure"):
        Item.model_validate({**entry, "status": published.REPRODUCED})


def test_assumptions_name_settings_that_exist():
    """A setting in the register is a field of a profile."""
    register = published.assumptions()
    assert {"alarm-smote-order", "alarm-xtile-statistic", "amap-ct-852nd-feature"} <= {entry.id for entry in register}
    named = [entry.setting for entry in register if entry.setting]
    assert "alarm.smote" in named
    for name in named:
        Profile().value(name)
    with pytest.raises(SettingsError, match=r"must be a field of a profile, but found 'alarm\.smoet'"):
        Profile().value("alarm.smoet")


def test_assumptions_without_a_place_to_change_them_are_refused():
    """An entry names a setting, or the module that holds the choice."""
    entry = published.assumptions()[0].model_dump() | {"setting": None, "code": None}
    with pytest.raises(ValueError, match="must name the setting or the module"):
        Assumption.model_validate(entry)


def test_a_wrong_count_of_decimals_names_the_line(folder):
    """Decimals must be those printed."""
    file = folder / "numbers.csv"
    file.write_text(file.read_text().replace("49.9,1,", "49.9,2,"))
    with pytest.raises(DataError, match=r"numbers\.csv, line 2: decimals must be those of '49\.9', but found 2"):
        published.numbers()


def test_an_item_that_is_not_listed_names_the_line(folder):
    """A number belongs to a listed item or to none."""
    file = folder / "numbers.csv"
    file.write_text(file.read_text().replace("alarm-table-1", "alarm-table-7"))
    with pytest.raises(DataError, match=r"numbers\.csv, line 2: item must be listed.*alarm-table-7"):
        published.numbers()


def test_a_missing_list_of_items_is_named(folder):
    """Without items.yaml nothing is read."""
    (folder / "items.yaml").unlink()
    with pytest.raises(DataError, match=r"items\.yaml: must exist"):
        published.items()


def test_the_same_id_twice_is_refused(folder):
    """Ids are anchors, so they differ."""
    file = folder / "items.yaml"
    file.write_text(file.read_text() * 2)
    with pytest.raises(DataError, match="'alarm-table-1' twice"):
        published.items()


def test_a_place_stands_for_all_that_lies_beneath_it():
    """Two sentences of ALARM's section on risk groups print the lower cut-off; a section of another name does not."""
    section = "Results, Risk stratification in patients with cirrhosis"
    found = published.value("alarm", "cut-off", place=section, row="lower threshold")
    assert found.text == "0.21"
    assert found.places == (f"{section}, sentence 1", f"{section}, sentence 3")
    with pytest.raises(DataError, match="place may be"):
        published.value("alarm", "cut-off", place="Results, Risk")


def test_every_printed_number_belongs_to_a_claim():
    """Only the levels of confidence and what the papers quote from others' work is claimed by neither paper."""
    everything = published.numbers()
    claimed = {row for claim in published.claims() for row in published.numbers_of(claim).index}
    left = everything.drop(index=sorted(claimed))
    quoted = left["row"].str.endswith(", literature")
    assert left[~quoted & (left["quantity"] != "confidence level")].empty


def test_there_are_claims_enough_of_each_paper():
    """Between 60 and 130 claims a paper, and each status occurs in each paper."""
    listed = published.claims()
    for paper in ("alarm", "amap_ct"):
        ours = [claim for claim in listed if claim.paper == paper]
        assert 60 <= len(ours) <= 130
        assert {claim.status for claim in ours} == {
            published.RECOMPUTED,
            published.CONTRADICTED,
            published.REPRODUCED,
            published.PRIVATE,
            published.UNDER_SPECIFIED,
        }


def test_a_claim_is_one_sentence():
    """One full stop that is not within a number, at the end."""
    for claim in published.claims():
        assert re.findall(r"[.?!](?!\d)", claim.claim) == ["."], claim.id
        assert claim.claim.endswith("."), claim.id


def test_numbers_of_a_claim_are_those_it_names():
    """ALARM's AUC in the external validation cohort: one number with the interval that is printed."""
    claim = next(claim for claim in published.claims() if claim.id == "alarm-auc-external")
    numbers = published.numbers_of(claim)
    assert [tuple(row) for row in numbers[["value", "lower", "upper"]].to_numpy()] == [("0.918", "0.898", "0.961")]


def test_a_number_that_two_entries_find_is_there_once(folder):
    """An entry for the row and one for the place find the same number."""
    file = folder / "claims.yaml"
    file.write_text(file.read_text().replace("  check:", "    - {row: Age, subgroup: ''}\n  check:"))
    (claim,) = published.claims()
    assert list(published.numbers_of(claim)["value"]) == ["49.9"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "row: Age",
            "row: Weight",
            r"claims\.yaml: alarm-age numbers, entry 1: must find at least one .*'Weight'.*CSVs",
        ),
        ("place: Table 1,", "place: Table,", r"alarm-age numbers, entry 1: must find at least one transcribed number"),
        ("item: alarm-table-1", "item: alarm-table-9", r"alarm-age item: must be an item .*'alarm-table-9'.*Add it"),
        ("{place: Table 1, row: Age, quantity: median}", "{}", r"alarm-age: numbers\.0: must name at least one column"),
        ("row: Age", "rwo: Age", r"alarm-age: numbers\.0\.rwo: Extra inputs are not permitted"),
        ("[quantiles, private]", "[quantile]", r"alarm-age: check\.0: .*'quantiles'.*but found 'quantile'"),
        ("[quantiles, private]", "[quantiles]", r"'needs the private data' needs the check 'private'"),
        ("[quantiles, private]", "[private, private]", r"a check is named once"),
        ("[quantiles, private]", "[]", r"alarm-age: check: .*at least 1"),
        (
            "needs the private data",
            "recomputed from print",
            r"'recomputed from print' comes from checks on print alone",
        ),
        (
            "needs the private data",
            "contradicted by print",
            r"'contradicted by print' comes from checks on print alone",
        ),
        (
            "needs the private data",
            "method reproduced on synthetic data",
            r"'method reproduced on synthetic data' needs the check 'synthetic'",
        ),
        ("needs the private data", "unknown", r"alarm-age: status: .*'under-specified'.*but found 'unknown'"),
        ("id: alarm-age", "id: amap-ct-age", r"id must start with the paper's name"),
    ],
)
def test_a_claim_that_breaks_a_rule_is_refused(folder, old, new, message):
    """The message names the file, the entry, the rule, what was found, and the hint."""
    file = folder / "claims.yaml"
    assert old in file.read_text()
    assert len(published.claims()) == 1
    published._claims.cache_clear()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        published.claims()


def test_the_same_claim_twice_is_refused(folder):
    """Findings name claims by their id, so ids differ."""
    file = folder / "claims.yaml"
    file.write_text(file.read_text() * 2)
    with pytest.raises(DataError, match=r"claims\.yaml: ids must differ, but found 'alarm-age' twice"):
        published.claims()


def test_an_item_of_the_other_paper_is_refused(folder):
    """A claim of aMAP-CT cannot be shown in a table of ALARM."""
    (folder / "claims.yaml").write_text(
        CLAIM.replace("alarm-age", "amap-ct-age").replace("paper: alarm", "paper: amap_ct")
    )
    with pytest.raises(DataError, match=r"amap-ct-age item: must be an item of the same paper"):
        published.claims()


def test_a_missing_list_of_claims_is_named(folder):
    """Without claims.yaml there are no claims."""
    (folder / "claims.yaml").unlink()
    with pytest.raises(DataError, match=r"claims\.yaml: must exist"):
        published.claims()


def test_a_claim_is_validated_alone_too():
    """A misspelt field of a claim is an error."""
    with pytest.raises(ValueError, match="clame"):
        Claim.model_validate({"id": "alarm-age", "clame": "x"})
