"""What the names of files say: patient, phase, organ; and the codes of some public collections."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from hccbook.errors import SettingsError
from hccbook.images.nifti import NIFTI_ENDINGS

ORGAN_NAMES: Mapping[str, tuple[str, ...]] = {
    "liver": ("liver",),
    "spleen": ("spleen",),
    "aorta": ("aorta", "abdominal aorta"),
    "portal_vein": ("portal vein", "portal_vein", "portal_vein_and_splenic_vein"),
    "kidney": ("kidney", "kidneys", "kidney_left", "kidney_right", "left kidney", "right kidney"),
}
"""Names that masks of the organs carry whose enhancement tells the phase: TotalSegmentator's, and plain words."""

_GENERIC = re.compile(
    r"images?(t[rs])?|labels?(t[rs])?|masks?|segmentations?|seg|predictions?|preds?|ct|nifti|nii|data|raw|anat|dicom"
    r"|volumes?|scans?|total_?segmentator|nnunet\w*|output|results",
    re.IGNORECASE,
)
_MASK_FOLDERS = re.compile(r"(labels?|masks?|seg(mentation)?s?|pred(iction)?s?|contours?)([ _-]?\w*)?", re.IGNORECASE)
_MASK_WORDS = re.compile(r"(mask|seg|segm|segmentation|label|labels|labelmap|roi|contour|pred|gt)s?", re.IGNORECASE)
_CHANNEL = re.compile(r"_\d{4}$")  # nnU-Net's channel, which masks lack: https://github.com/MIC-DKFZ/nnUNet/issues/820


@dataclass(frozen=True)
class Recipe:
    """How a public collection names its files; an empty recipe knows nothing.

    Attributes
    ----------
    image, mask, folders : re.Pattern or None
        What an image's, a mask's, or a DICOM folder's place below the root matches, with the groups ``patient`` and
        ``phase``.
    codes : mapping of str to str
        Phase by the code in the name.
    phase : str
        That of all images, where the collection has one.
    labels : mapping of str to int
        Label of each organ in the masks.
    """

    image: re.Pattern[str] | None = None
    mask: re.Pattern[str] | None = None
    folders: re.Pattern[str] | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    phase: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)


@functools.cache
def _recipes() -> dict[str, Recipe]:
    declared = yaml.safe_load(Path(__file__).with_name("recipes.yaml").read_text(encoding="utf-8"))
    recipes = {}
    for name, entry in declared.items():
        image, mask, folders = (
            re.compile(entry[key]) if key in entry else None for key in ("image", "mask", "folders")
        )
        codes, labels = entry.get("codes", {}), entry.get("labels", {})
        recipes[name] = Recipe(image, mask, folders, codes, entry.get("phase", ""), labels)
    return recipes


def recipe_of(name: str) -> Recipe:
    """Recipe of a public collection, ``-`` for ``_`` allowed; an empty name gives one that knows nothing.

    Raises
    ------
    SettingsError
        If there is no such recipe.
    """
    plain = name.strip().lower().replace("-", "_")
    if not plain:
        return Recipe()
    if plain not in _recipes():
        hint = "Choose one of these, or none: headers and names are read without one."
        raise SettingsError("recipe", f"must be one of {', '.join(_recipes())}", repr(name), hint)
    return _recipes()[plain]


@dataclass(frozen=True)
class NameParts:
    """What the place of a NIfTI file says.

    Attributes
    ----------
    patient : str
    words : str
        What is left of the name besides patient and organ, from which a phase may be told.
    phase : str
        Phase that a recipe knows; empty without.
    organ : str
        Organ of `ORGAN_NAMES` that the whole name is, or names beside the patient; empty where none.
    is_mask : bool or None
        None where the name says neither.
    """

    patient: str
    words: str
    phase: str
    organ: str
    is_mask: bool | None


def name_parts(place: str, recipe: Recipe) -> NameParts:
    """What a NIfTI file's name and folders say.

    Parameters
    ----------
    place : str
        The file's path below the root, folders separated by ``/``.
    recipe : Recipe
    """
    for pattern, of_mask in ((recipe.mask, True), (recipe.image, False)):
        match = pattern.fullmatch(place) if pattern else None
        if match:
            groups = match.groupdict()
            phase = recipe.codes.get(groups.get("phase") or "", "") or recipe.phase
            return NameParts(groups["patient"], "", phase, "", of_mask)
    path = PurePosixPath(place)
    stem = _stem(path.name)
    folders = path.parts[:-1]
    organ = _organ(stem)
    channel = bool(_CHANNEL.search(stem))
    tokens = [token for token in re.split(r"[ _.\-]+", _CHANNEL.sub("", stem)) if token]
    words = [token for token in tokens if phase_word(token)]
    masked = [token for token in tokens if _MASK_WORDS.fullmatch(token)]
    organ_tokens = {word for names in ORGAN_NAMES.values() for name in names for word in re.split(r"[ _]", name)}
    named = [token for token in tokens if token not in words + masked and not (organ and token.lower() in organ_tokens)]
    patient = "_".join(token for token in named if not _GENERIC.fullmatch(token))
    if not patient:
        own = [folder for folder in folders if not (_GENERIC.fullmatch(folder) or _MASK_FOLDERS.fullmatch(folder))]
        own = [folder for folder in own if not phase_word(folder)] or own
        patient = own[-1] if own else "_".join(tokens)
    in_masks = any(_MASK_FOLDERS.fullmatch(folder) for folder in folders)
    is_mask = True if masked or in_masks else False if channel else None
    return NameParts(patient, " ".join([*folders[-2:], *words]), recipe.phase, organ, is_mask)


def _stem(name: str) -> str:
    for ending in sorted(NIFTI_ENDINGS, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _organ(stem: str) -> str:
    """Organ that a name is, or that it ends or begins with."""
    plain = stem.lower().replace("-", "_").replace(" ", "_")
    for organ, names in ORGAN_NAMES.items():
        for name in sorted((entry.replace(" ", "_") for entry in names), key=len, reverse=True):
            if re.fullmatch(rf"(.*_)?{name}(_.*)?", plain):
                return organ
    return ""


def organ_named(name: str) -> str:
    """Organ of `ORGAN_NAMES` that a segment, region or label is, by its whole name; empty where it is none."""
    plain = " ".join(name.casefold().replace("_", " ").split())
    for organ, names in ORGAN_NAMES.items():
        if plain in {entry.replace("_", " ") for entry in names}:
            return organ
    return ""


# --- words of phases --------------------------------------------------------------------------------------------------

_PHASE_WORDS: Mapping[str, str] = {
    "precontrast": r"pre[ -]?contrast|non[ -]?contrast|un[ -]?enhanced|native|nativ|plain|without contrast"
    r"|w/?o c(ontrast)?|w/o|nect|ncct|no contrast|sans (injection|iv)|blanco|sin contraste",
    "arterial": r"arterial|arteriell\w*|art(eri\w*)?|late[ -]?art\w*|hap|arterielle|arteriosa|hepatic arter\w*",
    "venous": r"portal([ -]?ven\w*)?|porto?[ -]?ven\w*|portal|venous|ven(o?es|oso|osa|eus|ose)?|pv(p|ph)?|portalven\w*"
    r"|portale?",
    "delayed": r"delay(ed)?|equilibrium|late phase|tardi\w*|sp(ae|ä)t\w*|excretory|washout|wash-out",
}
"""Words that name a phase. AP is none: beside CAP it says abdomen and pelvis, and in many archives arterial."""

_COMPILED = {
    phase: re.compile(rf"(?<![a-z])(?:{words})(?![a-z])", re.IGNORECASE) for phase, words in _PHASE_WORDS.items()
}
_SECONDS = re.compile(r"(?<!\d)(\d{2,3}) ?s(?:ec(?:s|onds?)?)?(?![a-z])", re.IGNORECASE)
_MINUTES = re.compile(r"(?<!\d)(\d{1,2}) ?min(?:s|utes?)?(?![a-z])", re.IGNORECASE)


def phase_word(text: str) -> str:
    """Phase that a text names; empty where it names none, or several.

    Seconds and minutes behind the start of the injection count as words: 25 to 45 s are arterial, 60 to 90 s are
    venous, 2 minutes and more are delayed, and what lies between names none.
    """
    # With and without: the protocol's name, not the series' phase.
    plain = re.sub(r"(?<![a-z])w(ith)?( ?[/&+] ?| and )(w/?o|without)(?![a-z])", " ", text, flags=re.IGNORECASE)
    plain = re.sub(r"[_.]", " ", plain)
    named = {phase for phase, pattern in _COMPILED.items() if pattern.search(plain)}
    if "arterial" in named and re.search(r"portal[ -]?arterial|late[ -]?arterial", plain, re.IGNORECASE):
        named -= {"venous", "delayed"}
    if "venous" in named and re.search(r"arterio[ -]?venous|late[ -]?venous", plain, re.IGNORECASE):
        return ""
    for seconds in [int(value) for value in _SECONDS.findall(plain)]:
        named |= {phase for phase, first, last in _DELAYS if first <= seconds <= last}
    if any(int(value) >= 2 for value in _MINUTES.findall(plain)):
        named.add("delayed")
    return named.pop() if len(named) == 1 else ""


_DELAYS = (("arterial", 25, 45), ("venous", 60, 90), ("delayed", 120, 900))
