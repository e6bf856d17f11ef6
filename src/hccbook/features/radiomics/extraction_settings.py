"""What is extracted, and how: the settings that every engine takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator, model_validator

from hccbook.documents import read_yaml
from hccbook.errors import SettingsError
from hccbook.features.radiomics.vocabulary import (
    FEATURES,
    IMAGE_TYPES,
    laplacian_name,
    unknown_name,
    wavelet_bands,
    wavelet_name,
)
from hccbook.papers import find_paper
from hccbook.settings import FeatureSettings, PreprocessingSettings, Settings

ImageType = Literal[*IMAGE_TYPES]
FeatureClass = Literal[*FEATURES]

Interpolator = Literal[
    *("sitkNearestNeighbor", "sitkLinear", "sitkBSpline", "sitkGaussian", "sitkLabelGaussian"),
    *("sitkHammingWindowedSinc", "sitkCosineWindowedSinc", "sitkWelchWindowedSinc"),
    *("sitkLanczosWindowedSinc", "sitkBlackmanWindowedSinc"),
]

# Settings of PyRadiomics' parameter file and the field that each one becomes.
_FIELD_OF_SETTING = {
    "binWidth": "bin_width",
    "binCount": "bin_count",
    "label": "label",
    "sigma": "log_sigma",
    "wavelet": "wavelet",
    "start_level": "wavelet_start_level",
    "level": "wavelet_levels",
    "gradientUseSpacing": "gradient_use_spacing",
    "normalize": "normalize",
    "normalizeScale": "normalize_scale",
    "removeOutliers": "remove_outliers",
    "resampledPixelSpacing": "resampled_spacing_mm",
    "interpolator": "interpolator",
    "padDistance": "pad_voxels",
    "preCrop": "pre_crop",
    "resegmentRange": "resegment_range",
    "resegmentMode": "resegment_mode",
    "resegmentShape": "resegment_shape",
    "distances": "distances",
    "force2D": "force_2d",
    "force2Ddimension": "force_2d_axis",
    "weightingNorm": "weighting_norm",
    "symmetricalGLCM": "symmetrical_glcm",
    "gldm_a": "gldm_alpha",
    "voxelArrayShift": "intensity_shift",
    "minimumROIDimensions": "minimum_roi_dimensions",
}
_WITHOUT_EFFECT = {"additionalInfo", "geometryTolerance"}
_REFUSED_SETTINGS = {
    "correctMask": "Resample the mask onto the image first (nearest neighbour).",
    "label_channel": "Write the channel that holds the organ as a label map of its own.",
    **dict.fromkeys(
        (
            *("lbp2DRadius", "lbp2DSamples", "lbp2DMethod"),
            *("lbp3DLevels", "lbp3DIcosphereRadius", "lbp3DIcosphereSubdivision"),
        ),
        "Leave the LBP images out.",
    ),
}
_SETTINGS_OF_IMAGE = {
    "LoG": ("sigma",),
    "Wavelet": ("wavelet", "start_level", "level"),
    "Gradient": ("gradientUseSpacing",),
}


class ExtractionSettings(Settings):
    """Image types, features, discretisation and preparation of one extraction.

    The defaults are those of PyRadiomics, apart from `minimum_roi_voxels`.

    Notes
    -----
    Features: 14 of shape, and 93 an image; 107 for the original image, 851 with its eight wavelet sub-bands.
    """

    image_types: tuple[ImageType, ...] = Field(("original",), min_length=1, description="Images, filtered or not.")
    feature_classes: tuple[FeatureClass, ...] = Field(
        tuple(FEATURES), min_length=1, description="Feature classes; shape is taken once, from the mask."
    )
    features: dict[FeatureClass, tuple[str, ...]] = Field(
        default_factory=dict, description="Features of a class, where not all of them are wanted."
    )
    label: int = Field(1, ge=1, description="Value of the organ in the mask.")
    window_lower: float | None = Field(None, description="HU below which intensities are clipped; none if absent.")
    window_upper: float | None = Field(None, description="HU above which intensities are clipped; none if absent.")

    bin_width: float = Field(25.0, gt=0, description="Grey-level bin width, in units of the image (HU).")
    bin_count: int | None = Field(None, ge=1, description="Number of bins; replaces the bin width where given.")
    image_bin_widths: dict[ImageType, PositiveFloat] = Field(
        default_factory=dict, description="Bin width of an image type, where it differs from `bin_width`."
    )

    log_sigma: tuple[PositiveFloat, ...] = Field(
        (), description="Widths of the Laplacian of Gaussian, mm; one image each."
    )
    wavelet: str = Field("coif1", description="Wavelet, as PyWavelets names it.")
    wavelet_start_level: int = Field(0, ge=0, description="Level of decomposition at which the wavelet images start.")
    wavelet_levels: int = Field(1, ge=1, description="Levels of decomposition, eight images for the last, seven each.")
    gradient_use_spacing: bool = Field(True, description="Whether the gradient is taken per mm, not per voxel.")

    normalize: bool = Field(False, description="Whether intensities become z-scores over the whole image.")
    normalize_scale: float = Field(1.0, gt=0, description="Factor on the z-scores.")
    remove_outliers: float | None = Field(None, gt=0, description="z-score at which outliers are clipped.")
    resampled_spacing_mm: tuple[float, float, float] | None = Field(
        None, description="Voxel edges (x, y, z) to resample to, mm; 0 keeps an axis; none if absent."
    )
    interpolator: Interpolator | None = Field("sitkBSpline", description="Interpolator of that resampling.")
    pad_voxels: int = Field(5, ge=0, description="Margin kept around the organ when resampling or cropping first.")
    pre_crop: bool = Field(False, description="Whether the image is cropped to organ and margin before any filter.")
    resegment_range: tuple[float, ...] | None = Field(
        None, min_length=1, max_length=2, description="Intensities that stay in the organ: lower, or lower and upper."
    )
    resegment_mode: Literal["absolute", "relative", "sigma"] = Field(
        "absolute", description="Unit of that range: intensity, share of the maximum, or SD from the mean."
    )
    resegment_shape: bool = Field(False, description="Whether shape too is taken from the narrowed organ.")

    distances: tuple[PositiveInt, ...] = Field((1,), min_length=1, description="Distances between neighbours, voxels.")
    force_2d: bool = Field(False, description="Whether neighbours are taken within slices only.")
    force_2d_axis: int = Field(0, ge=0, le=2, description="Axis (z, y, x) across those slices.")
    weighting_norm: Literal["manhattan", "euclidean", "infinity", "no_weighting"] | None = Field(
        None, description="Norm that weights directions by distance; none averages over directions."
    )
    symmetrical_glcm: bool = Field(True, description="Whether the grey-level co-occurrence is counted both ways.")
    gldm_alpha: int = Field(0, ge=0, description="Difference of levels up to which a neighbour is dependent.")
    intensity_shift: float = Field(0.0, description="Added to intensities before they are squared (energy, RMS).")

    minimum_roi_dimensions: int = Field(2, ge=1, le=3, description="Axes along which the organ must exceed one voxel.")
    minimum_roi_voxels: int = Field(16, ge=2, description="Voxels that the organ must have.")

    @field_validator("image_types", "feature_classes")
    @classmethod
    def _in_order(cls, names: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"must name each of them once, but found {', '.join(names)}")
        return tuple(name for name in (IMAGE_TYPES if field.field_name == "image_types" else FEATURES) if name in names)

    @field_validator("features")
    @classmethod
    def _known_features(cls, chosen: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, features in chosen.items():
            unknown = sorted(set(features) - set(FEATURES[name]))
            if unknown or not features:
                raise ValueError(f"must list features of {name} ({', '.join(FEATURES[name])}), but found {unknown}")
        return {name: tuple(f for f in FEATURES[name] if f in chosen[name]) for name in FEATURES if name in chosen}

    @field_validator("wavelet")
    @classmethod
    def _known_wavelet(cls, name: str) -> str:
        import pywt

        if name not in pywt.wavelist(kind="discrete"):
            raise ValueError(f"must be a discrete wavelet of PyWavelets, such as coif1, but found {name!r}")
        return name

    @model_validator(mode="after")
    def _agree(self) -> ExtractionSettings:
        if ("log" in self.image_types) != bool(self.log_sigma):
            raise ValueError("image type 'log' and log_sigma must be given together")
        if len(set(self.log_sigma)) != len(self.log_sigma):
            raise ValueError(f"log_sigma must hold different widths, but found {self.log_sigma}")
        low, high = self.window_lower, self.window_upper
        if low is not None and high is not None and not low < high:
            raise ValueError(f"window_lower must be below window_upper, but found {low:g} and {high:g}")
        extra = sorted(set(self.features) - set(self.feature_classes))
        if extra:
            raise ValueError(f"features of a class that is not in feature_classes: {', '.join(extra)}")
        return self

    @classmethod
    def of_paper(
        cls, paper: str, features: FeatureSettings, preprocessing: PreprocessingSettings
    ) -> ExtractionSettings:
        """Settings of a paper: by default 1,223 features a phase in ALARM, 851 a phase and organ in aMAP-CT.

        Parameters
        ----------
        paper : {"alarm", "amap_ct"}
        features : FeatureSettings
            Its ``<paper>_filters`` lists the filtered images, comma-separated; ``log:3`` asks for a Laplacian of
            Gaussian 3 mm wide. ALARM names the wavelets only; the other four images are an assumption. aMAP-CT reports
            852 features.
        preprocessing : PreprocessingSettings
            Its window (width 200, level 40 in ALARM) clips the intensities.

        References
        ----------
        ALARM, Results, Construction of the ALARM model; Fig. 2.
        aMAP-CT, Results, Construction of image signature score.
        """
        place = f"features.{paper}_filters"
        types, sigmas = ["original"], []
        filters = getattr(features, f"{paper}_filters", find_paper(paper).filters)
        for part in filter(None, map(str.strip, filters.split(","))):
            name, _, width = part.partition(":")
            if name != "log":
                types.append(part)
                continue
            try:
                sigmas.append(float(width))
            except ValueError:
                rule, hint = "'log' must be followed by its width in mm", "Write for example log:3."
                raise SettingsError(place, rule, repr(part), hint) from None
        lower, upper = preprocessing.window_hu
        images = {"image_types": [*types, "log"] if sigmas else types, "log_sigma": sigmas}
        levels = {"bin_width": features.bin_width, "window_lower": lower, "window_upper": upper}
        return cls.checked(place, images | levels)

    @classmethod
    def from_yaml(cls, file: str | Path) -> ExtractionSettings:
        """Settings from a parameter file of PyRadiomics.

        Parameters
        ----------
        file : path-like
            YAML or JSON with the content that `from_pyradiomics` takes.

        Returns
        -------
        ExtractionSettings
            That give PyRadiomics' own values for this file.

        Raises
        ------
        SettingsError
            As for `from_pyradiomics`, and if the file is missing or not such a file.
        """
        file = Path(file)
        if not file.is_file():
            raise SettingsError(file.name, "parameter file must exist", "no such file", "Check the path.")
        content = read_yaml(file, SettingsError)
        return cls.from_pyradiomics({} if content is None else content, file.name)

    @classmethod
    def from_pyradiomics(
        cls, parameters: Mapping[str, Any], place: str = "PyRadiomics parameters"
    ) -> ExtractionSettings:
        """Settings from the content of a parameter file of PyRadiomics.

        Parameters
        ----------
        parameters : mapping
            The parts ``imageType``, ``featureClass`` and ``setting``, each of which may be absent.
        place : str
            How errors name it.

        Returns
        -------
        ExtractionSettings

        Raises
        ------
        SettingsError
            If they ask for something that is not supported here: voxel-based extraction, 2-D shape, local binary
            patterns, deprecated features, correction of the mask's grid. The message names the part and a remedy.
        """
        if not isinstance(parameters, Mapping):
            found = type(parameters).__name__
            raise SettingsError(place, "must hold imageType, featureClass and setting", found, "See PyRadiomics.")
        known = ("imageType", "featureClass", "setting")
        for part, content in parameters.items():
            if part == "voxelSetting":
                hint = "Remove it: features are per organ."
                raise SettingsError(f"{place}: {part}", "must be absent", "voxel-based extraction", hint)
            if part not in known:
                raise _unknown(place, "parts", part, known)
            _mapping(f"{place}: {part}", content)
        # A file that says nothing of a minimal size gets what PyRadiomics does: it refuses a single voxel only.
        settings = dict(parameters.get("setting") or {})
        minimum = settings.pop("minimumROISize", None)
        if minimum is not None and (not isinstance(minimum, int) or isinstance(minimum, bool) or minimum < 0):
            hint = "Write the number of voxels, such as 50."
            raise SettingsError(f"{place}: setting.minimumROISize", "must be a whole number", repr(minimum), hint)
        fields = {"minimum_roi_voxels": 2 if minimum is None else max(2, minimum + 1)}
        if settings.get("correctMask") is False:
            del settings["correctMask"]
        fields |= _fields(f"{place}: setting", settings, tuple(_FIELD_OF_SETTING))
        fields |= _images(f"{place}: imageType", parameters.get("imageType") or {"Original": {}})
        fields |= _classes(f"{place}: featureClass", parameters.get("featureClass") or {})
        if "log" not in fields["image_types"]:
            fields.pop("log_sigma", None)
        return cls.checked(place, fields)

    def label_behind(self, part: str, place: str = "PyRadiomics parameters") -> str:
        """Label of the organ in a label map, of what stands behind ``#`` of its path and of these settings.

        Parameters
        ----------
        part : str
            What stands behind ``#``; empty if nothing does.
        place : str
            How errors name the settings.

        Returns
        -------
        str
            As `hccbook.images.read_mask` takes it behind ``#``; empty where neither says which one.
            A label of 1, which is PyRadiomics' default, yields to the one behind ``#``.

        Raises
        ------
        SettingsError
            If the two say different labels.
        """
        if "label" not in self.model_fields_set or (part and self.label == 1):
            return part
        if part and part.lstrip("0") != str(self.label):
            found = f"{self.label}, and {part!r} behind '#'"
            hint = "Leave one of them out, or write the same label in both."
            raise SettingsError(f"{place}: setting.label", "must be the label behind '#' of the mask", found, hint)
        return str(self.label)

    def pyradiomics_options(self) -> dict[str, Any]:
        """PyRadiomics' own names and values of the settings, for an organ whose label is 1."""
        values = self.model_dump(mode="json")
        return {theirs: values[ours] for theirs, ours in _FIELD_OF_SETTING.items()} | {"label": 1}

    @property
    def image_names(self) -> tuple[str, ...]:
        """Names of the images in feature names, such as ``original`` and ``wavelet-LLH``, in order."""
        names: list[str] = []
        for image_type in self.image_types:
            if image_type == "wavelet":
                *details, approximation = wavelet_bands(2 if self.force_2d else 3)
                last = self.wavelet_levels
                names += [wavelet_name(level, band) for level in range(1, last + 1) for band in details]
                names.append(wavelet_name(last, approximation))
            elif image_type == "log":
                names += [laplacian_name(sigma) for sigma in self.log_sigma]
            else:
                names.append(image_type)
        return tuple(names)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all features, in order: shape, then every image, class by class."""
        own = {name: self.features.get(name, FEATURES[name]) for name in self.feature_classes}
        shape = [f"original_shape_{feature}" for feature in own.pop("shape", ())]
        return tuple(
            shape + [f"{image}_{name}_{feature}" for image in self.image_names for name in own for feature in own[name]]
        )


def _mapping(place: str, content: object, example: str = "name") -> dict[str, Any]:
    if not (content is None or isinstance(content, Mapping)):
        hint = f"Write settings as lines of their own below it, as in '{example}: ...', or '{{}}' for none."
        raise SettingsError(place, "must be a mapping of settings", repr(content), hint)
    return dict(content or {})


def _images(place: str, images: Mapping[str, Any]) -> dict[str, Any]:
    ours = {theirs: name for name, theirs in IMAGE_TYPES.items()}
    fields: dict[str, Any] = {"image_types": [], "image_bin_widths": {}}
    for name, content in images.items():
        if name not in ours:
            raise _unknown(place, "image types", name, tuple(ours))
        fields["image_types"].append(ours[name])
        allowed = _SETTINGS_OF_IMAGE.get(name, ())
        custom = _mapping(f"{place}.{name}", content, allowed[0] if allowed else "binWidth")
        if custom.get("binWidth") is not None:
            fields["image_bin_widths"][ours[name]] = custom.pop("binWidth")
        fields |= _fields(f"{place}.{name}", custom, allowed)
    return fields


def _classes(place: str, classes: Mapping[str, Any]) -> dict[str, Any]:
    for name, features in classes.items():
        if name not in FEATURES:
            raise _unknown(place, "feature classes", name, tuple(FEATURES))
        if not isinstance(features or (), list | tuple):
            hint = "Write them as [Mean, Maximum], or nothing for all of the class."
            raise SettingsError(f"{place}.{name}", "must be a list of features", repr(features), hint)
        for feature in features or ():
            if feature not in FEATURES[name]:
                raise _unknown(f"{place}.{name}", "features", feature, FEATURES[name])
    chosen = {name: features for name, features in classes.items() if features}
    return {"feature_classes": list(classes), "features": chosen} if classes else {}


def _fields(place: str, settings: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in settings.items():
        if name in _REFUSED_SETTINGS:
            raise SettingsError(f"{place}.{name}", "must be absent", repr(value), _REFUSED_SETTINGS[name])
        if name in _WITHOUT_EFFECT:
            continue
        if name not in allowed:
            raise _unknown(place, "settings", name, allowed)
        # An empty value means the default, except for the interpolator, where it switches resampling off.
        if value is not None or name == "interpolator":
            fields[_FIELD_OF_SETTING[name]] = value
    return fields


def _unknown(place: str, what: str, name: object, known: tuple[str, ...]) -> SettingsError:
    return unknown_name(place, f"must hold supported {what} only", name, known)
