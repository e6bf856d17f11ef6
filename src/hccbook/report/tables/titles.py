"""Printed names of cohorts, models, variables, characteristics, features and groups."""

from __future__ import annotations

from collections.abc import Mapping

MEASURE_TITLES: Mapping[str, str] = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
    "f1": "F1-score",
}
"""Measures of diagnostic performance, in the order of the papers' tables."""

COHORT_TITLES: Mapping[str, str] = {
    "all": "All",
    "overall": "Overall",
    "discovery": "Discovery cohort",
    "internal_validation": "Internal validation cohort",
    "external_validation": "External validation cohort",
    "unseen": "Unseen patients",
    "training": "Training cohort",
    "validation": "Validation cohort",
    "test": "Test cohort",
}

MODEL_TITLES: Mapping[str, str] = {
    "alarm": "ALARM",
    "radiomics": "Radiomics",
    "deep": "Deep learning",
    "deep_learning": "Deep learning",
    "amap": "aMAP",
    "amap_ct": "aMAP-CT",
    "amap_liver": "aMAP + liver",
    "amap_spleen": "aMAP + spleen",
    "amap_volume": "aMAP + spleen volume",
    "amap_ct_volume": "aMAP-CT + spleen volume",
    "amap_2_refit": "aMAP-2 refit",
    "amap_2_plus_refit": "aMAP-2 Plus refit",
    "lsm_hcc": "LSM-HCC",
    "cu_hcc": "CU-HCC",
    "page_b": "PAGE-B",
    "mpage_b": "mPAGE-B",
    "thri": "THRI",
    "ct_image": "CT image score",
    "treat_all": "Treat all",
    "treat_none": "Treat none",
}

CHARACTERISTIC_TITLES: Mapping[str, str] = {
    "age": "Age, years",
    "male": "Male, n (%)",
    "amap": "aMAP score",
    "amap_group": "aMAP HCC risk, n (%)",
    "albi": "ALBI score",
    "ast": "AST, U/L",
    "alt": "ALT, U/L",
    "bilirubin": "Total bilirubin, μmol/L",
    "albumin": "Albumin, g/L",
    "platelets": "Platelets, ×10⁹/L",
    "creatinine": "Creatinine, μmol/L",
    "bun": "Urea nitrogen, mmol/L",
    "glucose": "Glucose, mmol/L",
    "afp": "AFP, μg/L",
    "stiffness_kpa": "Liver stiffness, kPa",
    "months": "Follow-up, months",
    "etiology": "Etiology, n (%)",
    "hcc": "HCC during follow-up, n (%)",
    "bclc": "BCLC stage, n (%)",
}
"""Clinical characteristics, with their units."""

OUTCOME_TITLES: Mapping[str, str] = {"hcc": "HCC", "non_hcc": "Non-HCC", "all": "All"}

SUBGROUP_TITLES: Mapping[str, str] = {"all": "", "sex": "Sex", "age": "Age, years", "amap_group": "aMAP score"}
"""Characteristics that make aMAP-CT's subgroups."""

VARIABLE_TITLES: Mapping[str, str] = {
    name: CHARACTERISTIC_TITLES[name].partition(",")[0]
    for name in ("amap", "age", "albumin", "platelets", "afp", "albi", "stiffness_kpa")
} | {
    "radiomics": "Radiomics score",
    "deep": "Deep-learning score",
    "alarm": "ALARM",
    "sex": "Sex",
    "male": "Male sex",
    "bilirubin": "Bilirubin",
    "log_afp": "log₁₀ AFP",
}
"""Variables on axes and in regressions, without units."""

FEATURE_CLASS_TITLES: Mapping[str, str] = {
    "shape": "Shape",
    "firstorder": "First order",
    "glcm": "GLCM",
    "glrlm": "GLRLM",
    "glszm": "GLSZM",
    "gldm": "GLDM",
    "ngtdm": "NGTDM",
    "deep": "Deep learning",
}
"""Feature classes, in the order of the tables."""


def name_key(name: object) -> str:
    """Name without what spellings differ in: case, spaces, hyphens, underscores and plus signs."""
    return str(name).strip().lower().replace("-", "_").replace(" + ", "_").replace(" ", "_")


def title(titles: Mapping[str, str], name: object) -> str:
    """Printed name from one of the mappings above; a name that is not there is printed as it is."""
    return titles.get(name_key(name), str(name))


def cohort_title(cohort: str) -> str:
    """Printed name of a cohort, ``internal_validation`` to "Internal validation cohort"."""
    return title(COHORT_TITLES, cohort)


def model_title(model: str) -> str:
    """Printed name of a model, ``amap_ct`` to "aMAP-CT", with or without a final ``_score``."""
    return MODEL_TITLES.get(name_key(model).removesuffix("_score"), str(model))


def comparison_title(model: str, compared_with: str) -> str:
    """Printed name of a comparison, "ALARM against aMAP"."""
    return f"{model_title(model)} against {model_title(compared_with)}"


def subgroup_title(characteristic: str) -> str:
    """Printed name of the characteristic that makes a subgroup; of all patients, none."""
    return title(SUBGROUP_TITLES, characteristic)


def variable_title(name: str) -> str:
    """Printed name of a variable, ``amap`` to "aMAP score"."""
    return title(VARIABLE_TITLES, name)


def feature_title(name: str) -> str:
    """Printed name of a feature, with its parts set apart."""
    return str(name).replace("_", " ").replace(".", " · ")


def feature_class_title(name: str) -> str:
    """Printed name of a class of features, ``firstorder`` to "First order"."""
    return title(FEATURE_CLASS_TITLES, name)


def group_title(group: str) -> str:
    """Printed name of a risk group: ``low``, ``low_risk`` and ``Low risk`` all to "Low risk"."""
    words = str(group).strip().replace("_", " ").replace("-", " ")
    bare = words.lower().removesuffix(" risk")
    return f"{bare.capitalize()} risk" if bare in ("low", "medium", "high", "super high") else str(group)
