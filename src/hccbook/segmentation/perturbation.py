"""Masks changed as another reader, or another network, would draw them: smaller, larger, turned, moved, wavering.

Every change acts on the signed distance to the organ's surface, in mm, so that it works for parts of a voxel, on voxels
of unequal edges, and on images that lie obliquely.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.special import ndtri

from hccbook.errors import MaskError, SettingsError
from hccbook.images import from_array
from hccbook.segmentation.masks import LABELS, check_labels
from hccbook.settings import ORGANS

UNITS = {"erosion": "mm", "dilation": "mm", "translation": "mm", "contour": "mm", "rotation": "degrees"}
"""Kinds of change, and the unit of their amount."""

WAVE_MM = 15.0
"""Distance over which a wavering contour keeps to one side: a reader who is wrong is wrong for some centimetres."""

_SMOOTHING_VOXELS = 0.7
"""SD of the smoothing that finds the surface between voxels, in voxels.

Distances to the centres of voxels come in steps; less smoothing leaves them, more rounds off what is thin.
"""

_MARGIN_VOXELS = 3
_MIN_DISTANCE = 1e-4  # of a voxel: how near to the surface a voxel may come that must stay on its side
_HEAD = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Perturbation:
    """One way to change a mask.

    Attributes
    ----------
    kind : {"erosion", "dilation", "translation", "contour", "rotation"}
        The surface is moved inwards, or outwards; the organ is moved towards the head; the surface wavers; the organ
        turns about its own centre, around the axis from foot to head.
    amount : float
        In mm, of a contour the standard deviation of the distance, of a rotation in degrees.

    Raises
    ------
    SettingsError
        If the kind is unknown, or the amount is not a positive number (a rotation may be negative).
    """

    kind: str
    amount: float

    def __post_init__(self) -> None:
        if self.kind not in UNITS:
            raise SettingsError(
                "mask perturbation", f"must be one of {', '.join(UNITS)}", repr(self.kind), "Check the spelling."
            )
        positive = self.amount > 0 or (self.kind == "rotation" and self.amount != 0)
        if not (math.isfinite(self.amount) and positive):
            raise SettingsError(
                f"mask perturbation {self.kind}", "must have a positive amount", f"{self.amount:g}", "Write erosion:2."
            )

    @classmethod
    def parse(cls, text: str) -> Perturbation:
        """Change out of ``<kind>:<amount>``, such as ``erosion:2`` or ``rotation:5``.

        Raises
        ------
        SettingsError
            If the text is built otherwise.
        """
        kind, _, amount = text.strip().partition(":")
        try:
            return cls(kind.strip(), float(amount))
        except ValueError:
            known = ", ".join(f"{name} ({unit})" for name, unit in UNITS.items())
            raise SettingsError(
                "mask perturbation", "must be <kind>:<amount>", repr(text), f"Write erosion:2; kinds: {known}."
            ) from None

    def __str__(self) -> str:
        return f"{self.kind}:{self.amount:g}"


def perturb(
    labels: sitk.Image, changes: Sequence[Perturbation], seed: int = 0, place: str = "label map"
) -> list[sitk.Image]:
    """Label maps with every organ changed, one a change.

    Parameters
    ----------
    labels : SimpleITK.Image
        Label map (0 background, 1 liver, 2 spleen), on any grid.
    changes : sequence of Perturbation
    seed : int
        Of what is random, the wavering contour; the same seed gives the same label map.
    place : str
        How errors name the label map, such as ``"P0003, venous"``.

    Returns
    -------
    list of SimpleITK.Image
        Label maps (uint8) on the same grid, in the order of `changes`. A voxel belongs to an organ where its centre
        lies inside the moved surface. Where the surfaces of two organs come to overlap, a voxel goes to the one in
        which it lies deeper, so that an organ that grows stops at its neighbour.

    Raises
    ------
    MaskError
        If the label map holds other values or no organ, or an organ would vanish.

    Notes
    -----
    What lies beyond the edge of the image is unknown: an organ that the image cuts off is taken to go on there, so
    that the cut is not eroded, and what was cut off may come in when the organ is moved.
    The surface is found between the voxels by smoothing the mask, without moving any voxel to the other side, so that
    a change of next to nothing is none. On a face that runs along the grid there is nothing between the voxels to be
    found, and a layer goes as a whole once its centres are passed.
    """
    array = sitk.GetArrayFromImage(labels)
    check_labels(array, place)
    reach_mm = max((_REACH[change.kind] * change.amount for change in changes), default=0.0)
    organs = {label: _Organ(array == label, labels, reach_mm) for label in LABELS.values() if (array == label).any()}
    if not organs:
        raise MaskError(place, "must hold an organ", "no voxel", "Mask one.")
    changed = []
    for change in changes:
        depth = np.zeros(array.shape, np.float32)
        out = np.zeros(array.shape, np.uint8)
        for label, organ in organs.items():
            box, moved = _MOVES[change.kind](organ, change.amount, np.random.default_rng([seed, label]))
            mine = moved > depth[box]
            out[box][mine] = label
            depth[box][mine] = moved[mine]
        for label in organs:
            if not (out == label).any():
                rule, hint = (
                    f"must keep at least one voxel under {change}",
                    "Choose a smaller change, or look at the mask.",
                )
                raise MaskError(f"{place}, {ORGANS[label - 1]}", rule, "none", hint)
        changed.append(from_array(out, labels))
    return changed


def signed_distance(inside: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Distance of every voxel's centre to the surface of a mask.

    Parameters
    ----------
    inside : ndarray of bool, shape (z, y, x)
        With voxels of both kinds.
    spacing : sequence of float
        Voxel edges (z, y, x), mm.

    Returns
    -------
    ndarray of float32, shape (z, y, x)
        mm; positive inside, negative outside, never 0.

    Notes
    -----
    A half-space that is smoothed with a Gaussian of width s holds Phi(d / s) at the depth d; inverted, that gives the
    depth of the voxels next to the surface within a small part of a voxel, whichever way the surface runs. On a curved
    surface all depths are off by about the same, so they are shifted until as many are positive as the mask has
    voxels; no voxel changes sides. Farther voxels add the way to the nearest one of those.
    """
    edges = np.asarray(spacing, dtype=float)
    smooth = ndimage.gaussian_filter(inside.astype(np.float32), _SMOOTHING_VOXELS, mode="nearest", truncate=4)
    slopes = np.stack(np.gradient(smooth, *edges))
    # Widths differ along the axes: that across the surface counts.
    steepness = np.sqrt((slopes**2).sum(axis=0))
    along = np.sqrt(((slopes * edges.reshape(-1, 1, 1, 1)) ** 2).sum(axis=0))
    width = np.divide(along, steepness, out=np.full_like(steepness, edges.min()), where=steepness > 0)
    near = _SMOOTHING_VOXELS * width * ndtri(np.clip(smooth, 1e-3, 1 - 1e-3))
    near -= _min_of_largest(near, np.count_nonzero(inside))
    far, nearest = ndimage.distance_transform_edt(~_at_surface(inside), sampling=edges, return_indices=True)
    distance = np.where(inside, far, -far) + near[tuple(nearest)]
    min_distance = _MIN_DISTANCE * edges.min()
    return np.where(inside, np.maximum(distance, min_distance), np.minimum(distance, -min_distance)).astype(np.float32)


def _min_of_largest(values: np.ndarray, count: int) -> float:
    """Bound that so many values lie above."""
    order = np.partition(values, (values.size - count - 1, values.size - count), axis=None)
    return float(order[values.size - count - 1 : values.size - count + 1].mean())


def _at_surface(inside: np.ndarray) -> np.ndarray:
    """Voxels, of either kind, that have a neighbour of the other kind beside one of their faces."""
    return ndimage.binary_dilation(inside) ^ ndimage.binary_erosion(inside, border_value=1)


class _Organ:
    """Signed distance to the surface of one organ, in a box around it."""

    def __init__(self, inside: np.ndarray, grid: sitk.Image, reach_mm: float) -> None:
        self.spacing = np.array(grid.GetSpacing()[::-1])
        # From indices (z, y, x) to patient coordinates (x, y, z), less the origin.
        self.axes = np.reshape(grid.GetDirection(), (3, 3)) @ np.diag(grid.GetSpacing()) @ np.eye(3)[::-1]
        self.shape = inside.shape
        self.centre = np.array([index.mean() for index in np.nonzero(inside)])
        margins = np.ceil(reach_mm / self.spacing).astype(int) + _MARGIN_VOXELS
        (tight,) = ndimage.find_objects(inside.astype(np.uint8))
        starts, stops = np.transpose([(part.start, part.stop) for part in tight])
        self.box = _within(starts - margins, stops + margins, self.shape)
        part = inside[self.box]
        if part.all():  # the organ fills the image: no surface in sight
            self.depth = np.full(part.shape, np.float32(self.spacing.max() * max(part.shape)))
        else:
            self.depth = signed_distance(part, self.spacing)

    def moved(self, turn: np.ndarray, shift_mm: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray]:
        """The organ turned about its centre (matrix in patient coordinates) and then shifted."""
        back = np.linalg.inv(self.axes)
        forth = back @ turn @ self.axes
        shift = back @ shift_mm
        bounds = [(part.start, part.stop - 1) for part in self.box]
        corners = np.array(np.meshgrid(*bounds, indexing="ij")).reshape(3, -1).T
        reached = (corners - self.centre) @ forth.T + self.centre + shift
        target = _within(
            np.floor(reached.min(axis=0)).astype(int), np.ceil(reached.max(axis=0)).astype(int) + 1, self.shape
        )
        if any(start == 0 or stop == length - 1 for (start, stop), length in zip(bounds, self.shape, strict=True)):
            # What the image cuts off goes on beyond its edge, and may come in from there.
            target = tuple(slice(0, length) for length in self.shape)
        if any(part.stop <= part.start for part in target):  # it has left the image
            return tuple(slice(0, 0) for _ in target), np.zeros((0, 0, 0), np.float32)
        starts = np.array([[part.start for part in target], [part.start for part in self.box]], dtype=float)
        matrix = np.linalg.inv(forth)
        offset = matrix @ (starts[0] - self.centre - shift) + self.centre - starts[1]
        shape = tuple(part.stop - part.start for part in target)
        return target, ndimage.affine_transform(self.depth, matrix, offset, output_shape=shape, order=1, mode="nearest")


_Move = Callable[[_Organ, float, np.random.Generator], tuple[tuple[slice, ...], np.ndarray]]


def _eroded(organ: _Organ, amount: float, _: np.random.Generator) -> tuple[tuple[slice, ...], np.ndarray]:
    return organ.box, organ.depth - np.float32(amount)


def _dilated(organ: _Organ, amount: float, _: np.random.Generator) -> tuple[tuple[slice, ...], np.ndarray]:
    return organ.box, organ.depth + np.float32(amount)


def _shifted(organ: _Organ, amount: float, _: np.random.Generator) -> tuple[tuple[slice, ...], np.ndarray]:
    return organ.moved(np.eye(3), amount * np.array(_HEAD))


def _turned(organ: _Organ, amount: float, _: np.random.Generator) -> tuple[tuple[slice, ...], np.ndarray]:
    cosine, sine = math.cos(math.radians(amount)), math.sin(math.radians(amount))
    return organ.moved(np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]), np.zeros(3))


def _wavering(organ: _Organ, amount: float, random: np.random.Generator) -> tuple[tuple[slice, ...], np.ndarray]:
    noise = ndimage.gaussian_filter(random.standard_normal(organ.depth.shape), WAVE_MM / organ.spacing, mode="wrap")
    return organ.box, organ.depth + (amount * noise / noise.std()).astype(np.float32)


_MOVES: dict[str, _Move] = {
    "erosion": _eroded,
    "dilation": _dilated,
    "translation": _shifted,
    "contour": _wavering,
    "rotation": _turned,
}

_REACH = {"erosion": 0.0, "dilation": 1.0, "translation": 0.0, "contour": 3.0, "rotation": 0.0}
"""How far outside its old surface an organ may come to lie, by amount; what moves as a whole takes its box along."""


def _within(starts: Sequence[int], stops: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice(max(int(start), 0), min(int(stop), length))
        for start, stop, length in zip(starts, stops, shape, strict=True)
    )
