"""Filtered images of an organ, computed only where the organ is, and equal to PyRadiomics 3.0.1's to the last bit.

A voxel whose value rounds the other way at the edge of a bin would change every texture feature.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pywt
import SimpleITK as sitk

from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.regions import widened, within
from hccbook.features.radiomics.texture_matrices import compiled
from hccbook.features.radiomics.vocabulary import laplacian_name, wavelet_bands, wavelet_name


@dataclass(frozen=True)
class FilteredImage:
    """One image of an organ.

    Attributes
    ----------
    name : str
        As in feature names, such as ``wavelet-LLH``.
    image_type : str
        One of `hccbook.features.radiomics.vocabulary.IMAGE_TYPES`.
    values : callable
        Computes the intensities of the organ's voxels in array order, in the image's own type.
    """

    name: str
    image_type: str
    values: Callable[[], np.ndarray]


def filtered_images(
    image: sitk.Image, box: tuple[slice, ...], organ: np.ndarray, settings: ExtractionSettings
) -> Iterator[FilteredImage]:
    """Images that `settings` ask for, in the order of its `image_names`.

    Parameters
    ----------
    image : SimpleITK.Image
        3-D, HU.
    box : tuple of slice
        Box of the organ (z, y, x) in the image.
    organ : ndarray of bool
        The organ within that box.
    settings : ExtractionSettings

    Yields
    ------
    FilteredImage
        None for a Laplacian of Gaussian that the image is too small for, as in PyRadiomics.
    """
    array = sitk.GetArrayViewFromImage(image)
    peak = functools.cache(lambda: max(abs(float(array.min())), abs(float(array.max()))))
    for image_type in settings.image_types:
        if image_type == "original":
            yield FilteredImage("original", image_type, lambda: array[box][organ])
        elif image_type == "wavelet":
            yield from _wavelets(array, box, organ, settings)
        elif image_type == "gradient":
            yield FilteredImage("gradient", image_type, lambda: _gradient(image, box, organ, settings))
        elif image_type == "log":
            yield from _laplacians(image, box, organ, settings)
        else:
            function = functools.partial(_pointwise, _POINTWISE[image_type], array, box, organ, peak)
            yield FilteredImage(image_type, image_type, function)


def _pointwise(
    function: Callable[[np.ndarray, float], np.ndarray],
    array: np.ndarray,
    box: tuple[slice, ...],
    organ: np.ndarray,
    peak: Callable[[], float],
) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):  # An image of zeros; the caller refuses what comes of it.
        return function(array[box][organ].astype(float), peak())


_POINTWISE: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "square": lambda values, peak: (1 / np.sqrt(peak) * values) ** 2,
    "squareroot": lambda values, peak: np.sign(values) * np.sqrt(np.abs(values) * peak),
    "logarithm": lambda values, peak: np.sign(values) * np.log(np.abs(values) + 1) * (peak / np.log(peak + 1)),
    "exponential": lambda values, peak: np.exp(np.log(peak) / peak * values),
}
"""Functions of intensities that are scaled by the largest absolute intensity of the whole image."""


# --- wavelets --------------------------------------------------------------------------------------------------------


def _wavelets(
    array: np.ndarray, box: tuple[slice, ...], organ: np.ndarray, settings: ExtractionSettings
) -> Iterator[FilteredImage]:
    axes = [axis for axis in (2, 1, 0) if not (settings.force_2d and axis == settings.force_2d_axis)]
    *details, approximation = wavelet_bands(len(axes))
    data = array if array.dtype.kind == "f" else array.astype(float)
    # The transform runs over an even number of voxels; an odd axis is lengthened by its first voxel.
    data = np.pad(data, [(0, length % 2) for length in data.shape], "wrap")
    whole = tuple(slice(0, length) for length in data.shape)
    wavelet = pywt.Wavelet(settings.wavelet)
    for _ in range(settings.wavelet_start_level):
        data = _Transform(data, wavelet, axes, whole).band(approximation)
    for level in range(1, settings.wavelet_levels + 1):
        last = level == settings.wavelet_levels
        transform = _Transform(data, wavelet, axes, box)
        for band in [*details, approximation] if last else details:
            yield FilteredImage(
                wavelet_name(level, band), "wavelet", functools.partial(transform.of_organ, band, organ)
            )
        if not last:
            data = _Transform(data, wavelet, axes, whole).band(approximation)


class _Transform:
    """One level of the undecimated wavelet transform within a box, periodic over the whole array.

    Its own, because PyWavelets takes about nine times as long for the box of a liver of 1.2 million voxels.
    """

    def __init__(self, data: np.ndarray, wavelet: pywt.Wavelet, axes: list[int], box: tuple[slice, ...]) -> None:
        self._wavelet = wavelet
        self._axes = axes
        self._box = box
        self._lengths = data.shape
        self._lock = threading.Lock()
        self._taps = _taps(wavelet, data.dtype)
        # An axis shorter than the filter wraps around several times; that is left to PyWavelets.
        self._whole = data if min(data.shape[axis] for axis in axes) < wavelet.dec_len else None
        self._passed = {"": self._with_reach(data)} if self._whole is None else {}

    def of_organ(self, band: str, organ: np.ndarray) -> np.ndarray:
        """A band's values in an organ (z, y, x) within the box."""
        return self.band(band)[organ]

    def band(self, letters: str) -> np.ndarray:
        """A band within the box; letters L and H in the order of the axes."""
        if self._whole is not None:
            key = letters.replace("L", "a").replace("H", "d")
            return pywt.swtn(self._whole, self._wavelet, level=1, axes=self._axes)[0][key][self._box]
        with self._lock:  # What bands share is computed once.
            for end in range(1, len(letters)):
                if letters[:end] not in self._passed:
                    self._passed[letters[:end]] = self._along(letters[:end], self._passed[letters[: end - 1]])
        return self._along(letters, self._passed[letters[:-1]])

    def _with_reach(self, data: np.ndarray) -> np.ndarray:
        length = self._wavelet.dec_len
        for axis in self._axes:
            start, stop = self._box[axis].start + length // 2 - length + 1, self._box[axis].stop + length // 2
            data = data.take(np.arange(start, stop), axis=axis, mode="wrap")
        others = tuple(slice(None) if axis in self._axes else part for axis, part in enumerate(self._box))
        return np.ascontiguousarray(data[others])

    def _along(self, letters: str, data: np.ndarray) -> np.ndarray:
        """The filter of the last letter, along its axis."""
        axis = self._axes[len(letters) - 1]
        taps = self._taps[letters[-1]]
        shape = list(data.shape)
        shape[axis] -= taps.size - 1
        out = np.zeros(shape, dtype=data.dtype)
        outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
        wrapping = self._lengths[axis] - taps.size // 2 - self._box[axis].start
        _convolve(data.reshape(outer, -1, inner), taps, wrapping, out.reshape(outer, -1, inner))
        return out


def _taps(wavelet: pywt.Wavelet, dtype: np.dtype) -> dict[str, np.ndarray]:
    """Low-pass and high-pass filter, in the rounding of PyWavelets' tables for that type."""
    length = wavelet.dec_len
    impulse = np.zeros(2 * length, dtype=dtype)
    impulse[length // 2] = 1
    low, high = pywt.swt(impulse, wavelet, level=1)[0]
    return {"L": low[:length].copy(), "H": high[:length].copy()}


@compiled
def _convolve(data, taps, wrapping, out):
    """Filter along the middle axis, the products summed in the order in which PyWavelets sums them.

    From the output `wrapping` on, the products of voxels beyond the array's end are summed first, in reverse.
    """
    outer, length, inner = out.shape
    reach = taps.size - 1
    plain = min(max(wrapping, 0), length)
    for a in range(outer):
        if inner == 1:
            _convolve_line(data[a].reshape(-1), taps, out[a].reshape(-1)[:plain])
        else:
            for m in range(plain):
                for j in range(taps.size):
                    for b in range(inner):
                        out[a, m, b] += taps[j] * data[a, m + reach - j, b]
        for m in range(plain, length):
            beyond = m - wrapping + 1
            for k in range(taps.size):
                j = beyond - 1 - k if k < beyond else k
                for b in range(inner):
                    out[a, m, b] += taps[j] * data[a, m + reach - j, b]


@compiled
def _convolve_line(line, taps, out):
    for j in range(taps.size):
        passed = line[taps.size - 1 - j :]
        for m in range(out.size):
            out[m] += taps[j] * passed[m]


# --- SimpleITK's filters ---------------------------------------------------------------------------------------------


def _gradient(image: sitk.Image, box: tuple[slice, ...], organ: np.ndarray, settings: ExtractionSettings) -> np.ndarray:
    around = widened(box, 2, image.GetSize()[::-1])
    gradient = sitk.GradientMagnitude(image[around[::-1]], settings.gradient_use_spacing)
    # A copy: a view would outlive the image that it looks into.
    return sitk.GetArrayFromImage(gradient)[within(box, around)][organ]


def _laplacians(
    image: sitk.Image, box: tuple[slice, ...], organ: np.ndarray, settings: ExtractionSettings
) -> Iterator[FilteredImage]:
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    for sigma in settings.log_sigma:
        if size.min() >= 4 and np.all(size >= np.ceil(sigma / spacing) + 1):
            yield FilteredImage(laplacian_name(sigma), "log", functools.partial(_laplacian, image, sigma, box, organ))


def _laplacian(image: sitk.Image, sigma: float, box: tuple[slice, ...], organ: np.ndarray) -> np.ndarray:
    # The recursive Gaussian reaches through the whole image.
    laplacian = sitk.LaplacianRecursiveGaussian(image, sigma, normalizeAcrossScale=True)
    return sitk.GetArrayFromImage(laplacian)[box][organ]
