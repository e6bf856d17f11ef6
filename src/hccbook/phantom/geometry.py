"""Shapes as signed distances in millimetres, and the canvas on which tissues are laid.

The frame is the patient's: x to the patient's left, y to the back, z to the head, mm;
the origin lies in front of the first lumbar vertebra, half-way between navel and spine.
A signed distance is negative inside; a voxel's share of a shape goes from 1 to 0 over one voxel edge,
which is the partial volume of a real voxel.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Point = Sequence[float]
Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]

LABEL_SHARE = 0.7
"""Share of a voxel from which it carries an organ's label: readers mask an organ within its blurred rim."""


def ellipsoid(at: Coordinates, centre: Point, axes: Point, turn: np.ndarray | None = None) -> np.ndarray:
    """Signed distance to an ellipsoid, exact on its surface and to first order beside it, mm.

    Parameters
    ----------
    at : tuple of ndarray
        Coordinates (x, y, z) that broadcast against each other, mm.
    centre, axes : sequence of three floats
        Centre and half-axes, mm.
    turn : ndarray of shape (3, 3), optional
        Rotation whose rows are the directions of the half-axes.
    """
    u, v, w = (axis - middle for axis, middle in zip(at, centre, strict=True))
    if turn is not None:
        u, v, w = (row[0] * u + row[1] * v + row[2] * w for row in turn.astype(np.float32))
    a, b, c = (np.float32(1.0 / axis**2) for axis in axes)
    u, v, w = u * u * a, v * v * b, w * w * c
    ratio = np.sqrt(u + v + w)
    slope = np.sqrt(u * a + v * b + w * c)
    return ratio * (ratio - 1.0) / np.maximum(slope, np.float32(1e-6))


def superellipse(x: np.ndarray, y: np.ndarray, centre_y: float, axes: Point, power: float) -> np.ndarray:
    """Signed distance to a superellipse in the axial plane, exact on the curve, to first order beside it, mm."""
    u = np.abs(x) / axes[0]
    v = np.abs(y - centre_y) / axes[1]
    total = u**power + v**power
    ratio = total ** (1.0 / power)
    slope_x = u ** (power - 1.0) / axes[0]
    slope_y = v ** (power - 1.0) / axes[1]
    slope = np.hypot(slope_x, slope_y) * np.maximum(total, 1e-6) ** (1.0 / power - 1.0)
    return ((ratio - 1.0) / np.maximum(slope, 1e-4)).astype(np.float32)


def capsule(at: Coordinates, ends: tuple[Point, Point], radii: tuple[float, float]) -> np.ndarray:
    """Signed distance to a round segment between two ends, each with its radius, mm."""
    start, end = ends
    u, v, w = (axis - first for axis, first in zip(at, start, strict=True))
    d = [float(last - first) for first, last in zip(start, end, strict=True)]
    along = (u * d[0] + v * d[1] + w * d[2]) / max(sum(step * step for step in d), 1e-6)
    np.clip(along, 0.0, 1.0, out=along)
    u, v, w = u - along * d[0], v - along * d[1], w - along * d[2]
    return np.sqrt(u * u + v * v + w * w) - (radii[0] + along * (radii[1] - radii[0]))


def smooth_min(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Union of two signed distances, their crease filled over `width` mm."""
    share = np.clip(0.5 + 0.5 * (b - a) / width, 0.0, 1.0)
    return b + share * (a - b) - width * share * (1.0 - share)


def smooth_max(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Intersection of two signed distances, their edge rounded over `width` mm."""
    return -smooth_min(-a, -b, width)


def rotation(about_x: float = 0.0, about_y: float = 0.0, about_z: float = 0.0) -> np.ndarray:
    """Rotation matrix, turns in degrees about x, then y, then z."""
    a, b, c = np.deg2rad([about_x, about_y, about_z])
    turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return turn_z @ turn_y @ turn_x


@dataclass(frozen=True)
class Window:
    """Part of the canvas: its slices and the coordinates there, ready to broadcast."""

    slices: tuple[slice, slice, slice]
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    @property
    def at(self) -> Coordinates:
        """Coordinates (x, y, z)."""
        return self.x, self.y, self.z

    def around(self, points: Sequence[Point], reach: float) -> Window:
        """Box of `reach` mm around points; its slices are those of this window."""
        return _window([axis.reshape(-1) for axis in self.at], *_box(points, reach))


def _box(points: Sequence[Point], reach: float) -> tuple[list[float], list[float]]:
    """Corners of the box of `reach` mm around points."""
    along = list(zip(*points, strict=True))
    return [min(values) - reach for values in along], [max(values) + reach for values in along]


def _window(axes: Sequence[np.ndarray], low: Point, high: Point) -> Window:
    """Part of a grid between two corners of a box."""
    cuts = [slice(*np.searchsorted(axis, ends)) for axis, *ends in zip(axes, low, high, strict=True)]
    x, y, z = (axis[cut] for axis, cut in zip(axes, cuts, strict=True))
    return Window((cuts[2], cuts[1], cuts[0]), x[None, None, :], y[None, :, None], z[:, None, None])


class Canvas:
    """Attenuation and labels on a voxel grid in the patient's frame.

    Parameters
    ----------
    x, y, z : ndarray of shape (n_x,), (n_y,), (n_z,)
        Voxel centres, mm, ascending.

    Attributes
    ----------
    hu : ndarray of shape (n_z, n_y, n_x), float32
        Attenuation, HU.
    labels : ndarray of shape (n_z, n_y, n_x), uint8
        0 background, 1 liver, 2 spleen.
    edge : float
        Voxel edge over which a boundary is shared between two tissues, mm.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
        self.x, self.y, self.z = (axis.astype(np.float32) for axis in (x, y, z))
        shape = (self.z.size, self.y.size, self.x.size)
        self.hu = np.full(shape, -1000.0, dtype=np.float32)
        self.labels = np.zeros(shape, dtype=np.uint8)
        steps = [float(axis[1] - axis[0]) for axis in (self.x, self.y, self.z)]
        self.edge = float(np.prod(steps) ** (1.0 / 3.0))

    def copy(self) -> Canvas:
        """Canvas with its own voxels."""
        twin = copy.copy(self)
        twin.hu, twin.labels = self.hu.copy(), self.labels.copy()
        return twin

    def window(
        self, low: Point = (-1e9, -1e9, -1e9), high: Point = (1e9, 1e9, 1e9), shift: Point = (0.0, 0.0, 0.0)
    ) -> Window:
        """Part of the canvas between two corners of a box that has moved by `shift`, mm.

        The coordinates of the part are those of the box's own frame.
        """
        lows = [value + step - self.edge for value, step in zip(low, shift, strict=True)]
        highs = [value + step + self.edge for value, step in zip(high, shift, strict=True)]
        part = _window((self.x, self.y, self.z), lows, highs)
        return Window(part.slices, *(axis - np.float32(step) for axis, step in zip(part.at, shift, strict=True)))

    def around(self, points: Sequence[Point], reach: float, shift: Point = (0.0, 0.0, 0.0)) -> Window:
        """Part of the canvas within `reach` mm of points that have moved by `shift`; see `window`."""
        return self.window(*_box(points, reach), shift)

    def share(self, distance: np.ndarray) -> np.ndarray:
        """Share of each voxel that lies within a shape, given its signed distance, 0 to 1."""
        return np.clip(0.5 - distance / np.float32(self.edge), 0.0, 1.0)

    def lay(self, window: Window, distance: np.ndarray, value: np.ndarray | float, label: int | None = None) -> None:
        """Lay a tissue over what is there.

        Parameters
        ----------
        window : Window
        distance : ndarray
            Signed distance to the shape, mm, broadcasting to the window.
        value : ndarray or float
            Attenuation, HU.
        label : int, optional
            Label of the voxels that the shape fills from `LABEL_SHARE` on; 0 clears the label of those of which it
            takes more than the rest. Left alone where None.
        """
        share = self.share(distance)
        part = self.hu[window.slices]
        part += share * (value - part)
        if label is not None:
            least = LABEL_SHARE if label else 1.0 - LABEL_SHARE
            self.labels[window.slices][np.broadcast_to(share >= least, part.shape)] = label

    def lay_tube(
        self,
        points: Sequence[Point],
        radii: Sequence[float],
        value: float,
        shift: Point = (0.0, 0.0, 0.0),
        label: int | None = None,
    ) -> None:
        """Lay a tube of one attenuation along `points`, segment by segment."""
        for ends, end_radii in zip(pairwise(points), pairwise(radii), strict=True):
            window = self.around(ends, max(end_radii), shift)
            self.lay(window, capsule(window.at, ends, end_radii), value, label)

    def tube_distance(
        self, points: Sequence[Point], radii: Sequence[float], shift: Point = (0.0, 0.0, 0.0)
    ) -> tuple[Window, np.ndarray]:
        """Window around a whole tube, and the signed distance to it there, mm."""
        window = self.around(points, max(radii), shift)
        total = np.full([axis.size for axis in window.at[::-1]], 50.0, np.float32)
        for ends, end_radii in zip(pairwise(points), pairwise(radii), strict=True):
            near = window.around(ends, max(end_radii) + 2.0 * self.edge)
            part = total[near.slices]
            np.minimum(part, capsule(near.at, ends, end_radii), out=part)
        return window, total
