"""Validated settings of every stage; an unknown key is an error.

A profile is a YAML file with a ``run`` section and one section a stage.
Each field below is also a plain scalar in the ``parameters`` cell of that stage's notebook.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from hccbook.documents import read_yaml
from hccbook.errors import SettingsError
from hccbook.papers import PAPERS

PHASES = ("arterial", "venous", "delayed")
"""The three contrast phases, in the order in which they are taken."""

ORGANS = ("liver", "spleen")
"""The two organs; their label in every label map is the position here plus one."""

TRAINING_THREADS = 2
"""Threads of an operation in which a CPU, of however many cores, trains the segmentation: they split its sums."""


def _listed(text: str, allowed: tuple[str, ...], what: str) -> tuple[str, ...]:
    items = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [item for item in items if item not in allowed]
    if not items or unknown or len(set(items)) != len(items):
        raise ValueError(f"must list different {what} out of {', '.join(allowed)}, but found {text!r}")
    return tuple(item for item in allowed if item in items)


def _holds_switch(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_switch, value)))


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, finite numbers, and yes or no only where that is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_or_no(cls, value: Any, field: ValidationInfo) -> Any:
        # Python takes true for 1, and a word for yes: neither is what somebody meant.
        is_switch = cls.model_fields[str(field.field_name)].annotation is bool
        if is_switch is not isinstance(value, bool) and (is_switch or _holds_switch(value)):
            raise ValueError(f"must {'' if is_switch else 'not '}be true or false")
        return value

    @classmethod
    def checked(cls, place: str, fields: Mapping[str, Any], others: str = "more") -> Self:
        """Settings of these fields; the first wrong one is a `SettingsError` that says how many `others` there are."""
        try:
            return cls(**{str(name): value for name, value in fields.items()})
        except ValidationError as error:
            first, *rest = error.errors()
            where, rule, found, hint = _describe(first, cls.model_fields)
            tail = f" ({len(rest)} {others}.)" if rest else ""
            raise SettingsError(f"{place}: {where}" if where else place, rule, found, hint + tail) from error

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        """Settings out of a notebook's parameters, of which others may hold something else: pass ``globals()``."""
        return cls(**{name: parameters[name] for name in cls.model_fields})


class RunSettings(Settings):
    """What holds for every stage of a run."""

    phases: str = Field("arterial,venous,delayed", description="Contrast phases used, comma-separated.")
    papers: str = Field("alarm,amap_ct", description="Papers whose pipeline runs, comma-separated.")
    synthetic: bool = Field(True, description="Whether the patients are simulated; stamps SYNTHETIC on every item.")
    manifest: str = Field("", description="The user's manifest; empty for the synthetic cohort.")
    negative_control: bool = Field(
        False, description="Whether both models are fitted a second time, on drawn features that carry nothing."
    )
    archive: str = Field(
        "",
        description="Folder of an archived run, from `hccbook archive`, that the result chapters show; empty for this "
        "run's own results.",
    )

    @field_validator("phases")
    @classmethod
    def _known_phases(cls, text: str) -> str:
        return ",".join(_listed(text, PHASES, "phases"))

    @field_validator("papers")
    @classmethod
    def _known_papers(cls, text: str) -> str:
        return ",".join(_listed(text, tuple(PAPERS), "papers"))


class CohortSettings(Settings):
    """Synthetic cohort, and the seed of cohort splits."""

    seed: int = Field(20240718, ge=0, description="Seed of the synthetic cohort and of cohort splits.")
    split: Literal["auto", "paper", "outcome"] = Field(
        "auto",
        description="How patients without a cohort are divided: the paper's way by centres, all by outcome, or the "
        "paper's where it serves.",
    )
    centre_names: Literal["given", "coded"] = Field(
        "given",
        description="Whether results name a user's centres as the manifest does, or C01, C02, ..., largest first.",
    )
    effect: Literal["planted", "none"] = Field(
        "planted", description="Whether the images carry a risk ('planted') or nothing ('none')."
    )
    alarm_liver_effect: float = Field(
        2.4, ge=0, le=6, description="Shift of the liver's latent risk in ALARM's HCC, in SD; ALARM reads no spleen."
    )
    amap_ct_liver_effect: float = Field(
        1.6, ge=0, le=6, description="Shift of the liver's latent risk in aMAP-CT's HCC, in SD."
    )
    amap_ct_spleen_effect: float = Field(
        3.0, ge=0, le=6, description="Shift of the spleen's latent risk in aMAP-CT's HCC, in SD."
    )
    acquisition_spacing_mm: float = Field(
        5.0, gt=0, le=10, description="Nominal voxel edge of the synthetic scanners, mm; centres vary around it."
    )
    dicom_patients: int = Field(2, ge=0, description="Patients of each paper also written as DICOM series.")
    segmentation_patients: int = Field(
        36, ge=0, description="Synthetic patients, apart from both cohorts, that train the segmentation; 0 for none."
    )
    alarm_discovery: int = Field(62, ge=0, description="ALARM discovery cohort, patients.")
    alarm_discovery_hcc: int = Field(13, ge=0, description="ALARM discovery cohort, patients who develop HCC.")
    alarm_internal: int = Field(20, ge=0, description="ALARM internal validation cohort, patients.")
    alarm_internal_hcc: int = Field(4, ge=0, description="ALARM internal validation cohort, HCC.")
    alarm_external: int = Field(38, ge=0, description="ALARM external validation cohort, patients.")
    alarm_external_hcc: int = Field(8, ge=0, description="ALARM external validation cohort, HCC.")
    amap_ct_training: int = Field(54, ge=0, description="aMAP-CT training cohort, patients.")
    amap_ct_training_hcc: int = Field(12, ge=0, description="aMAP-CT training cohort, HCC.")
    amap_ct_validation: int = Field(24, ge=0, description="aMAP-CT validation cohort, patients.")
    amap_ct_validation_hcc: int = Field(5, ge=0, description="aMAP-CT validation cohort, HCC.")
    amap_ct_test: int = Field(42, ge=0, description="aMAP-CT test cohort, patients.")
    amap_ct_test_hcc: int = Field(9, ge=0, description="aMAP-CT test cohort, HCC.")


class PreprocessingSettings(Settings):
    """Resampling, alignment of the phases, window, discretisation."""

    spacing_mm: float = Field(1.0, gt=0, le=10, description="Isotropic working voxel edge, mm; 1 in the papers.")
    align_phases: bool = Field(True, description="Whether arterial and delayed phases are moved onto the venous one.")
    window_width: float = Field(200.0, gt=0, description="Window width, HU (ALARM, Methods, CT imaging).")
    window_level: float = Field(40.0, description="Window level, HU (ALARM, Methods, CT imaging).")

    @property
    def window_hu(self) -> tuple[float, float]:
        """Lower and upper end of the window, HU."""
        return self.window_level - self.window_width / 2, self.window_level + self.window_width / 2


class SegmentationSettings(Settings):
    """Source of the liver and spleen masks, and the network's training."""

    mask_source: Literal["network", "manifest", "nnunet"] = Field(
        "network", description="Masks from the trained network, from the mask columns of the manifest, or from nnU-Net."
    )
    masks: str = Field(
        "",
        description="Where masks lie that the manifest does not name, relative to it, with {patient_id} and {phase} in "
        "place of both: a label map or folder of TotalSegmentator, or nnU-Net's prediction; for mask_source manifest.",
    )
    predictions: str = Field(
        "", description="Folder of nnU-Net's predictions, absolute or relative to the project; for mask_source nnunet."
    )
    weights: str = Field(
        "",
        description="File of a trained network (safetensors), absolute or in the project; empty to train here.",
    )
    contact_sheets: bool = Field(True, description="Whether a sheet with every patient's masks is drawn.")
    seed: int = Field(20240718, ge=0, description="Seed of weights, patches and augmentation.")
    filters: int = Field(16, ge=2, le=64, description="Filters at half the resolution; each deeper level doubles them.")
    levels: int = Field(4, ge=4, le=6, description="Resolution levels of the U-Net.")
    patch_voxels: int = Field(80, ge=16, le=192, description="Edge of the cubic training patch, voxels.")
    pretraining_iterations: int = Field(
        400, ge=0, description="Optimiser steps of the pre-training on coarse volumes; 0 for none."
    )
    coarse_factor: int = Field(2, ge=2, le=4, description="Voxel edge of the coarse volumes, in fine ones.")
    iterations: int = Field(400, ge=1, description="Optimiser steps of the formal training.")
    batch_size: int = Field(2, ge=1, description="Patches a step.")
    learning_rate: float = Field(0.1, gt=0, description="Initial learning rate of Nesterov SGD; 0.01 in nnU-Net.")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="Nesterov momentum; 0.99 in nnU-Net, whose training is a thousand times longer."
    )
    mirror_axes: str = Field(
        "",
        pattern="^z?y?x?$",
        description="Axes along which training patches may be mirrored, out of zyx; nnU-Net takes all. Along x, liver "
        "and spleen change sides, and the side is half of what tells them apart.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the network runs.")


class FeatureSettings(Settings):
    """Radiomics and deep features."""

    engine: Literal["fast", "pyradiomics"] = Field(
        "fast", description="Radiomics engine; both give the same values, PyRadiomics is many times slower."
    )
    bin_width: float = Field(25.0, gt=0, description="Grey-level bin width, HU.")
    alarm_filters: str = Field(
        "wavelet,square,squareroot,logarithm,exponential",
        description="Filtered images of ALARM; with the original they give 107 + 12 x 93 = 1,223 features.",
    )
    amap_ct_filters: str = Field(
        "wavelet", description="Filtered images of aMAP-CT; with the original 107 + 8 x 93 = 851 features."
    )
    seed: int = Field(20240718, ge=0, description="Seed of the networks' initial weights and of fine-tuning.")
    crop_voxels: int = Field(
        32, ge=16, le=256, description="Longest edge of the organ crop; a longer one is shrunk to it, voxels."
    )
    resnet50_weights: str = Field("", description="Local file of pretrained 3D ResNet-50 weights; empty for none.")
    resnet18_weights: str = Field("", description="Local file of pretrained 3D ResNet-18 weights; empty for none.")
    fine_tune: Literal["network", "last_stage", "projection"] = Field(
        "last_stage",
        description="What ALARM tunes on the development cohort: the whole network (for a GPU, or patience), its last "
        "residual stage and the projection, or the projection alone.",
    )
    fine_tune_epochs: int = Field(
        20, ge=0, description="Most epochs of each step of fine-tuning: the projection, then the network with it."
    )
    fine_tune_min_gain: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share by which the inner loss must fall for a better epoch.",
    )
    fine_tune_shuffles: int = Field(
        3, ge=0, description="Fine-tunings with shuffled outcomes, the negative control; 0 for none."
    )
    perturbation_patients: int = Field(
        6,
        ge=0,
        description="Development patients of each paper whose features are taken under other masks too, for their "
        "intraclass correlation; 0 for none, else 3 or more.",
    )
    perturbations: str = Field(
        "given,erosion:2,dilation:2,rotation:5",
        description="Those masks: the manifest's ('given'), and changes of the ones used: erosion, dilation, "
        "translation or contour by mm, rotation by degrees.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the networks run.")

    @field_validator("perturbation_patients")
    @classmethod
    def _none_or_three(cls, count: int) -> int:
        if count in (1, 2):
            raise ValueError("must be 0, or 3 or more, for an intraclass correlation")
        return count


_MIN_ICC = Field(
    0.0,
    ge=0,
    le=1,
    description="Least intraclass correlation between masks of a feature that may be selected; 0 for any.",
)


class AlarmSettings(Settings):
    """Selection, scores and model of ALARM."""

    seed: int = Field(20240718, ge=0, description="Seed of SMOTE, folds and bootstrap.")
    smote: Literal["before_selection", "before_model", "off"] = Field(
        "before_selection", description="Where Borderline-SMOTE 1 enters; the paper leaves the order open."
    )
    min_icc: float = _MIN_ICC
    p_threshold: float = Field(0.05, gt=0, le=1, description="Mann-Whitney p below which a feature stays.")
    spearman_threshold: float = Field(
        0.9, gt=0, le=1, description="Absolute Spearman correlation above which one of two features goes."
    )
    lasso_folds: int = Field(10, ge=2, description="Folds that choose the LASSO penalty (paper: 10).")
    lambda_rule: Literal["min", "1se"] = Field("1se", description="Penalty at the least error, or one SE above it.")
    min_group_fraction: float = Field(0.1, gt=0, lt=0.34, description="Least share of a risk group in X-tile.")
    bootstrap_replicates: int = Field(1000, ge=100, description="Bootstrap replicates of an AUC's interval.")


class AmapCtSettings(Settings):
    """Selection, scores and model of aMAP-CT."""

    seed: int = Field(20240718, ge=0, description="Seed of folds and bootstrap.")
    min_icc: float = _MIN_ICC
    lasso_folds: int = Field(3, ge=2, description="Folds that choose the LASSO penalty (paper: 3).")
    lambda_rule: Literal["min", "1se"] = Field("min", description="Penalty at the least error, or one SE above it.")
    cutoff_rule: Literal["youden", "xtile"] = Field("youden", description="What 'optimal cut-off' means.")
    horizon_months: float = Field(36.0, gt=0, description="Horizon of the cumulative incidence, months.")
    bootstrap_replicates: int = Field(1000, ge=100, description="Bootstrap replicates of an AUC's interval.")


class StepwiseSettings(Settings):
    """aMAP first, aMAP-CT for those whom aMAP does not call low-risk."""

    amap_low: float = Field(50.0, description="aMAP below which a patient is low-risk and needs no CT score.")
    amap_high: float = Field(60.0, description="aMAP above which a patient is high-risk.")
    horizon_months: float = Field(36.0, gt=0, description="Horizon of the cumulative incidence, months.")


class AlarmSupplementSettings(Settings):
    """Supplementary items of ALARM."""

    seed: int = Field(20240718, ge=0, description="Seed of the folds within a cohort, and of permutations.")
    folds: int = Field(5, ge=2, description="Folds of the cross-validation within each cohort.")
    permutations: int = Field(999, ge=1, description="Permutations of the outcome for X-tile's p-value.")
    afp_ug_l: float = Field(20.0, gt=0, description="AFP that parts the subgroups, ug/L; ALARM prints no bound.")


class AmapCtSupplementSettings(Settings):
    """Supplementary items of aMAP-CT: the repeated measurements that are simulated for the refits of aMAP-2."""

    amap_slope: float = Field(0.5, ge=0, le=10, description="Added to aMAP's slope in HCC, points a year.")
    afp_slope: float = Field(0.06, ge=0, le=2, description="Added to the slope of log10 AFP in HCC, a year.")
    cfdna_shift: float = Field(
        1.8, ge=0, le=6, description="Shift of the cell-free-DNA score in HCC within its horizon, SD."
    )
    cfdna_horizon_months: float = Field(
        18.0,
        gt=0,
        description="HCC up to here shows in the cell-free DNA, and is what aMAP-2 Plus is about; 18 in Table 4.",
    )
    cfdna_share: float = Field(0.8, ge=0, le=1, description="Share of patients who have a cell-free-DNA score.")
    missed_share: float = Field(0.15, ge=0, le=1, description="Chance that a visit is missed, enrolment apart.")
    jitter_months: float = Field(0.8, ge=0, le=1, description="SD of a visit's distance from its date, cut at 2.5.")


class NullRunSettings(Settings):
    """Simulated cohorts of the negative control: aMAP as printed, and features that carry nothing."""

    seed: int = Field(20240718, ge=0, description="Seed of the patients, and of their drawn features.")
    one_feature_in: int = Field(
        4, ge=1, description="Of so many measured features one is drawn; the others would lie in the same directions."
    )
    development: int = Field(2400, ge=0, description="Patients that each model learns from.")
    development_hcc: int = Field(480, ge=0, description="Those of them who develop HCC.")
    validation: int = Field(100, ge=0, description="Validation cohort of each paper, patients.")
    validation_hcc: int = Field(20, ge=0, description="Validation cohort of each paper, HCC.")
    test: int = Field(300, ge=0, description="Test cohort of each paper (ALARM's external validation), patients.")
    test_hcc: int = Field(60, ge=0, description="Test cohort of each paper, HCC.")


class LeakageSettings(Settings):
    """Leaks on cohorts of noise, and ALARM without leaks."""

    seed: int = Field(20240718, ge=0, description="Seed of the first cohort of noise; later ones follow.")
    replicates: int = Field(6, ge=2, description="Cohorts of noise.")
    patients: int = Field(200, ge=20, description="Patients of a cohort of noise, half of whom develop the model.")
    hcc: int = Field(40, ge=6, description="Those of them with HCC.")
    features: int = Field(300, ge=1, description="Image features of noise.")
    correlation: float = Field(0.7, ge=0, lt=1, description="Correlation of two features of one block.")
    folds: int = Field(5, ge=2, description="Outer folds of the leakage-free ALARM.")
    lasso_folds: int = Field(5, ge=2, description="Inner folds, which choose the LASSO penalty.")
    recalibration: Literal["platt", "intercept", "off"] = Field(
        "platt", description="How out-of-fold predictions recalibrate the leakage-free ALARM."
    )
    min_group_fraction: float = Field(0.1, gt=0, lt=0.34, description="Least share of a risk group in X-tile.")


class SegmentationRobustnessSettings(Settings):
    """The fitted models under other masks."""

    seed: int = Field(20240718, ge=0, description="Seed that draws the patients.")
    patients: int = Field(
        16, ge=0, description="Unseen patients of each paper whose scores are taken under other masks; 0 for all."
    )


class RadiomicsByHandSettings(Settings):
    """The chapter for students, which needs no patient."""

    engine: Literal["fast", "pyradiomics"] = Field("fast", description="Radiomics engine beside the hand calculation.")
    bin_width: float = Field(25.0, gt=0, description="Grey-level bin width of the example, HU.")


class FiguresSettings(Settings):
    """Look of the published items."""

    dpi: int = Field(200, ge=50, le=600, description="Resolution of the saved figures, dots per inch.")


_BORROWED: dict[str, dict[str, tuple[str, ...]]] = {
    "preprocessing": {"segmentation": ("masks",)},
    "features": {"figures_and_tables": ("dpi",)},
    "alarm_supplement": {"figures_and_tables": ("dpi",)},
    "amap_ct_supplement": {
        "amap_ct": ("seed", "horizon_months", "bootstrap_replicates"),
        "stepwise_stratification": ("amap_low", "amap_high"),
        "features": ("bin_width", "amap_ct_filters"),
        "figures_and_tables": ("dpi",),
    },
}
"""Settings of other stages that a stage or chapter takes too: by name, then by section."""


class Profile(Settings):
    """A profile: what holds for the run, then one section a stage."""

    run: RunSettings = RunSettings()
    cohort: CohortSettings = CohortSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    segmentation: SegmentationSettings = SegmentationSettings()
    features: FeatureSettings = FeatureSettings()
    alarm: AlarmSettings = AlarmSettings()
    amap_ct: AmapCtSettings = AmapCtSettings()
    stepwise_stratification: StepwiseSettings = StepwiseSettings()
    figures_and_tables: FiguresSettings = FiguresSettings()
    alarm_supplement: AlarmSupplementSettings = AlarmSupplementSettings()
    amap_ct_supplement: AmapCtSupplementSettings = AmapCtSupplementSettings()
    null_run: NullRunSettings = NullRunSettings()
    leakage_and_negative_controls: LeakageSettings = LeakageSettings()
    segmentation_robustness: SegmentationRobustnessSettings = SegmentationRobustnessSettings()
    radiomics_by_hand: RadiomicsByHandSettings = RadiomicsByHandSettings()

    def parameters(self, stage: str) -> dict[str, Any]:
        """Scalars that the notebook of `stage` takes: the run's, what it borrows of other stages, then its own."""
        own = getattr(self, stage).model_dump() if stage in type(self).model_fields else {}
        borrowed = {
            name: getattr(getattr(self, section), name)
            for section, names in _BORROWED.get(stage, {}).items()
            for name in names
        }
        return {**self.run.model_dump(), **borrowed, **own}

    def value(self, name: str) -> Any:
        """Value of a setting named ``section.field``.

        Raises
        ------
        SettingsError
            If there is none of that name.
        """
        section, _, field = name.partition(".")
        fields = getattr(self, section).model_dump() if section in type(self).model_fields else {}
        if field not in fields:
            raise SettingsError("setting", "must be a field of a profile", repr(name), "Check the spelling.")
        return fields[field]


_RENAMED = {
    "least_icc": "min_icc",
    "outline_changes": "perturbations",
    "outline_patients": "perturbation_patients",
    "outline_sensitivity": "segmentation_robustness",
}


def _describe(error: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[str, str, str, str]:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        found = repr(error["input"]) if place else "the opposite"
        return place, error["msg"].removeprefix("Value error, "), found, "Correct the value."
    *section, name = error["loc"]
    known = list(fields[section[0]].annotation.model_fields if section else fields)
    if name in _RENAMED:
        return place, "must be a known setting", f"{name!r}", f"It is called {_RENAMED[name]!r} now."
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return place, "must be a known setting", f"{name!r}", f"{hint}Known here: {', '.join(known)}."


def load_profile(file: str | Path) -> Profile:
    """Read and check a profile.

    Parameters
    ----------
    file : path-like
        YAML file with the sections of `Profile`; absent sections and fields take their defaults.

    Returns
    -------
    Profile

    Raises
    ------
    SettingsError
        If the file is missing, is not a YAML mapping, or holds an unknown or wrong setting.
        The message names the file, the setting, the value and the nearest known name.
    """
    file = Path(file)
    if not file.is_file():
        others = sorted(path.stem for path in file.parent.glob("*.yaml")) if file.parent.is_dir() else []
        hint = f"Profiles at hand: {', '.join(others) or 'none'}."
        raise SettingsError(file.name, "profile must exist", "no such file", hint)
    content = read_yaml(file, SettingsError)
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise SettingsError(file.name, "must hold named sections", type(content).__name__, "See profiles/demo.yaml.")
    return Profile.checked(file.name, content, "more wrong settings in this file")
