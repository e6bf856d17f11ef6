"""Profiles: what is refused, and how the message helps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hccbook.errors import SettingsError
from hccbook.run import CHAPTERS, NULL_RUN, STAGES, profile_file
from hccbook.settings import PHASES, Profile, load_profile


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_unknown_parameter_names_the_nearest_known_one(tmp_path: Path) -> None:
    """A misspelt setting is an error with file, section, value and the right spelling."""
    file = written(tmp_path, "preprocessing:\n  spacing_m: 2\n")
    with pytest.raises(SettingsError, match=r"mine\.yaml: preprocessing\.spacing_m.*Did you mean 'spacing_mm'"):
        load_profile(file)


def test_phases_are_put_in_the_order_of_the_contrast() -> None:
    """Phases given backwards come out in the order in which they are taken."""
    assert Profile(run={"phases": "delayed, arterial"}).run.phases == "arterial,delayed"
    assert Profile().run.phases == ",".join(PHASES)


def test_missing_profile_lists_those_at_hand() -> None:
    """A profile that isn't there is answered with those that are."""
    with pytest.raises(SettingsError, match=r"nosuch\.yaml.*demo.*paper.*smoke"):
        load_profile(profile_file("nosuch"))


@pytest.mark.parametrize("name", ["smoke", "demo", "paper", "own.example"])
def test_shipped_profiles_load(name: str) -> None:
    """Every profile in profiles/ is valid."""
    load_profile(profile_file(name))


def test_paper_profile_has_the_published_sizes() -> None:
    """924 / 231 / 703 with 45 / 13 / 31 HCC, and 809 / 348 / 1,254 with 24 / 11 / 83 (Table 1 of each paper)."""
    cohort = load_profile(profile_file("paper")).cohort
    alarm = [(cohort.alarm_discovery, cohort.alarm_discovery_hcc), (cohort.alarm_internal, cohort.alarm_internal_hcc)]
    assert [*alarm, (cohort.alarm_external, cohort.alarm_external_hcc)] == [(924, 45), (231, 13), (703, 31)]
    training = (cohort.amap_ct_training, cohort.amap_ct_training_hcc)
    validation = (cohort.amap_ct_validation, cohort.amap_ct_validation_hcc)
    assert [training, validation, (cohort.amap_ct_test, cohort.amap_ct_test_hcc)] == [(809, 24), (348, 11), (1254, 83)]


def test_demo_has_enough_patients() -> None:
    """At least 120 patients and 25 HCC a paper."""
    cohort = load_profile(profile_file("demo")).cohort
    for patients, hcc in (
        (
            cohort.alarm_discovery + cohort.alarm_internal + cohort.alarm_external,
            cohort.alarm_discovery_hcc + cohort.alarm_internal_hcc + cohort.alarm_external_hcc,
        ),
        (
            cohort.amap_ct_training + cohort.amap_ct_validation + cohort.amap_ct_test,
            cohort.amap_ct_training_hcc + cohort.amap_ct_validation_hcc + cohort.amap_ct_test_hcc,
        ),
    ):
        assert patients >= 120
        assert hcc >= 25


def test_the_value_of_a_setting_is_found_by_its_name() -> None:
    """Section and field; a section, a field or a dot that is not there is refused with the name."""
    profile = Profile(alarm={"lasso_folds": 7})
    assert profile.value("alarm.lasso_folds") == 7
    assert profile.value("run.papers") == "alarm,amap_ct"
    for name in ("alarm.lasso_fold", "alarms.lasso_folds", "alarm", "value.alarm"):
        with pytest.raises(SettingsError, match=rf"must be a field of a profile, but found '{re.escape(name)}'"):
            profile.value(name)


def test_every_stage_has_a_section() -> None:
    """Stages and sections of a profile are the same, in the same order; chapters and the null run may have one."""
    sections = [name for name in Profile.model_fields if name != "run"]
    assert tuple(sections[: len(STAGES)]) == STAGES
    assert set(sections[len(STAGES) :]) <= {*CHAPTERS, NULL_RUN}


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("alarm:\n  least_icc: 0.5\n", "least_icc", "min_icc"),
        ("features:\n  outline_patients: 3\n", "outline_patients", "perturbation_patients"),
        ("outline_sensitivity:\n  patients: 3\n", "outline_sensitivity", "segmentation_robustness"),
    ],
)
def test_a_key_that_changed_is_refused_with_its_new_name(tmp_path, text, old, new):
    """Profiles from before the renaming say at once what to write."""
    file = tmp_path / "old.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=rf"found '{old}'. It is called '{new}' now"):
        load_profile(file)
