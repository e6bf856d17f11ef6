"""Shapes as signed distances in millimetres, and the canvas on which tissues are laid.

The frame is the patient's: x to the patient's left, y to the back, z to the head, mm;
the origin lies in front of the first lumbar vertebra, half-way between navel and spine.
A signed distance is negative inside; a voxel's share of a shape goes from 1 to 0 over one voxel edge,
which is the partial volume of a real voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Point = Sequence[float]

LABEL_SHARE = 0.7
"""Share of a voxel from which it carries an organ's label: readers mask an organ within its blurred rim."""


def ellipsoid(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, centre: Point, axes: Point, turn: np.ndarray | None = None
) -> np.ndarray:
    """Signed distance to an ellipsoid, exact on its surface and to first order beside it, mm.

    Parameters
    ----------
    x, y, z : ndarray
        Coordinates that broadcast against each other, mm.
    centre, axes : sequence of three floats
        Centre and half-axes, mm.
    turn : ndarray of shape (3, 3), optional
        Rotation whose rows are the directions of the half-axes.
    """
    u, v, w = x - centre[0], y - centre[1], z - centre[2]
    if turn is not None:
        u, v, w = (row[0] * u + row[1] * v + row[2] * w for row in turn.astype(np.float32))
    a, b, c = (np.float32(1.0 / axis**2) for axis in axes)
    u, v, w = u * u * a, v * v * b, w * w * c
    ratio = np.sqrt(u + v + w)
    slope = np.sqrt(u * a + v * b + w * c)
    return ratio * (ratio - 1.0) / np.maximum(slope, np.float32(1e-6))


def superellipse(x: np.ndarray, y: np.ndarray, centre_y: float, axes: Point, power: float) -> np.ndarray:
    """Signed distance to a superellipse in the axial plane, exact on the mask, to first order beside it, mm."""
    u = np.abs(x) / axes[0]
    v = np.abs(y - centre_y) / axes[1]
    total = u**power + v**power
    ratio = total ** (1.0 / power)
    slope_x = u ** (power - 1.0) / axes[0]
    slope_y = v ** (power - 1.0) / axes[1]
    slope = np.hypot(slope_x, slope_y) * np.maximum(total, 1e-6) ** (1.0 / power - 1.0)
    return ((ratio - 1.0) / np.maximum(slope, 1e-4)).astype(np.float32)


def capsule(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, start: Point, end: Point, radius: float, radius_end: float
) -> np.ndarray:
    """Signed distance to a round segment whose radius runs from `radius` to `radius_end`, mm."""
    u, v, w = x - start[0], y - start[1], z - start[2]
    d = [float(end[axis] - start[axis]) for axis in range(3)]
    along = (u * d[0] + v * d[1] + w * d[2]) / max(sum(step * step for step in d), 1e-6)
    np.clip(along, 0.0, 1.0, out=along)
    u, v, w = u - along * d[0], v - along * d[1], w - along * d[2]
    return np.sqrt(u * u + v * v + w * w) - (radius + along * (radius_end - radius))


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
    def empty(self) -> bool:
        """Whether the part lies outside the canvas."""
        return 0 in (self.x.size, self.y.size, self.z.size)


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
        twin = object.__new__(Canvas)
        twin.x, twin.y, twin.z, twin.edge = self.x, self.y, self.z, self.edge
        twin.hu, twin.labels = self.hu.copy(), self.labels.copy()
        return twin

    def window(
        self,
        low: Point = (-1e9, -1e9, -1e9),
        high: Point = (1e9, 1e9, 1e9),
        shift: Point = (0.0, 0.0, 0.0),
    ) -> Window:
        """Part of the canvas between two corners of a box that has moved by `shift`, mm.

        The coordinates of the part are those of the box's own frame.
        """
        slices, axes = [], []
        for axis, a, b, step in zip((self.x, self.y, self.z), low, high, shift, strict=True):
            first = int(np.searchsorted(axis, a + step - self.edge))
            last = int(np.searchsorted(axis, b + step + self.edge))
            slices.append(slice(first, last))
            axes.append(axis[first:last] - np.float32(step))
        return Window(
            (slices[2], slices[1], slices[0]), axes[0][None, None, :], axes[1][None, :, None], axes[2][:, None, None]
        )

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
        if window.empty:
            return
        share = self.share(distance)
        part = self.hu[window.slices]
        part += share * (value - part)
        if label is not None:
            least = LABEL_SHARE if label else 1.0 - LABEL_SHARE
            self.labels[window.slices][np.broadcast_to(share >= least, part.shape)] = label

    def lay_ellipsoid(
        self,
        centre: Point,
        axes: Point,
        value: float,
        shift: Point = (0.0, 0.0, 0.0),
        turn: np.ndarray | None = None,
        label: int | None = None,
    ) -> None:
        """Lay an ellipsoid of one attenuation."""
        reach = axes if turn is None else [max(axes)] * 3
        window = self.window(
            [c - r for c, r in zip(centre, reach, strict=True)],
            [c + r for c, r in zip(centre, reach, strict=True)],
            shift,
        )
        if not window.empty:
            self.lay(window, ellipsoid(window.x, window.y, window.z, centre, axes, turn), value, label)

    def lay_tube(
        self,
        points: Sequence[Point],
        radii: Sequence[float],
        value: float,
        shift: Point = (0.0, 0.0, 0.0),
        label: int | None = None,
    ) -> None:
        """Lay a tube of one attenuation along `points`, segment by segment."""
        for start, end, radius, radius_end in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            reach = max(radius, radius_end)
            window = self.window(
                [min(a, b) - reach for a, b in zip(start, end, strict=True)],
                [max(a, b) + reach for a, b in zip(start, end, strict=True)],
                shift,
            )
            if not window.empty:
                distance = capsule(window.x, window.y, window.z, start, end, radius, radius_end)
                self.lay(window, distance, value, label)

    def tube_distance(
        self, points: Sequence[Point], radii: Sequence[float], shift: Point = (0.0, 0.0, 0.0)
    ) -> tuple[Window, np.ndarray]:
        """Window around a whole tube, and the signed distance to it there, mm."""
        reach = max(radii)
        window = self.window(
            [min(p[axis] for p in points) - reach for axis in range(3)],
            [max(p[axis] for p in points) + reach for axis in range(3)],
            shift,
        )
        total = np.full(np.broadcast_shapes(window.x.shape, window.y.shape, window.z.shape), 50.0, np.float32)
        for start, end, radius, radius_end in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            near = max(radius, radius_end) + 2.0 * self.edge
            cut, (x, y, z) = within(window, start, end, near)
            if 0 not in (x.size, y.size, z.size):
                part = total[cut]
                np.minimum(part, capsule(x, y, z, start, end, radius, radius_end), out=part)
        return window, total


def within(
    window: Window, start: Point, end: Point, reach: float
) -> tuple[tuple[slice, slice, slice], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Box of `reach` mm around a segment: its slices of the window and its coordinates (x, y, z)."""
    cuts, parts = [], []
    for position, axis in enumerate((window.x, window.y, window.z)):
        low, high = sorted((start[position], end[position]))
        flat = axis.reshape(-1)
        cut = slice(int(np.searchsorted(flat, low - reach)), int(np.searchsorted(flat, high + reach)))
        cuts.append(cut)
        parts.append(flat[cut])
    x, y, z = parts
    return (cuts[2], cuts[1], cuts[0]), (x[None, None, :], y[None, :, None], z[:, None, None])
