"""Upper abdomen of one patient: body wall, skeleton, organs and vessels.

Positions and sizes are those of an adult of about 170 cm as axial CT shows them, in the frame of `geometry`.
They are drawn from anatomy by hand, not from any patient's images.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from hccbook.phantom.geometry import (
    Canvas,
    Point,
    Window,
    capsule,
    ellipsoid,
    rotation,
    smooth_max,
    smooth_min,
    superellipse,
)
from hccbook.phantom.habitus import Habitus, Tissue
from hccbook.phantom.texture import Field
from hccbook.settings import ORGANS

LIVER = ORGANS.index("liver") + 1
SPLEEN = ORGANS.index("spleen") + 1

CAVITY_CENTRE_Y, CAVITY_AXES, CAVITY_POWER = -9.0, (127.0, 80.0), 2.5
MUSCLE_CENTRE_Y, MUSCLE_AXES, MUSCLE_POWER = 1.0, (141.0, 101.0), 2.35
LOWEST_MM, HIGHEST_MM = -106.0, 116.0
VERTEBRA_STEP_MM, RIB_STEP_MM = 34.0, 31.0
NODULE_GAIN = {"arterial": 0.85, "venous": 0.9, "delayed": 1.1}
PATCH_GAIN = {"arterial": 1.0, "venous": 0.4, "delayed": 0.2}


class _Tube(NamedTuple):
    """A course of ``tubes.yaml``: name of its tissue, points and radii, label that it lays."""

    tissue: str
    points: list[Point]
    radii: list[float]
    label: int | None = None


@cache
def _tubes() -> dict[str, list[_Tube]]:
    groups = yaml.safe_load(Path(__file__).with_name("tubes.yaml").read_text(encoding="utf-8"))
    return {group: [_Tube(**tube) for tube in tubes] for group, tubes in groups.items()}


def _lay_tubes(canvas: Canvas, hu: dict[str, float], group: str, shift: Point = (0.0, 0.0, 0.0)) -> None:
    for tube in _tubes()[group]:
        canvas.lay_tube(tube.points, tube.radii, hu[tube.tissue], shift, tube.label)


def grid(habitus: Habitus, edges_mm: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxel centres (x, y, z) that hold the body from the lung bases to below the kidneys, physical mm."""
    scale = habitus.scale
    half_x = scale[0] * MUSCLE_AXES[0] + habitus.fat_side + 9.0
    front = scale[1] * (MUSCLE_CENTRE_Y - MUSCLE_AXES[1]) - habitus.fat_front - 9.0
    back = scale[1] * (MUSCLE_CENTRE_Y + MUSCLE_AXES[1]) + habitus.fat_back + 12.0
    lows, highs = (-half_x, front, scale[2] * LOWEST_MM), (half_x, back, scale[2] * HIGHEST_MM)
    axes = []
    for low, high, edge in zip(lows, highs, edges_mm, strict=True):
        count = int(np.ceil((high - low) / edge))
        first = 0.5 * (low + high) - 0.5 * edge * (count - 1)
        axes.append(first + edge * np.arange(count))
    return tuple(axes)


class Abdomen:
    """One patient on one voxel grid.

    Parameters
    ----------
    habitus : Habitus
    tissue : Tissue
    axes : tuple of ndarray
        Voxel centres (x, y, z), physical mm.
    spread_mm : tuple of float
        SD along (x, y, z) with which tissue is averaged into a voxel, mm.

    Notes
    -----
    Shapes are laid in the reference adult's frame; the voxel centres are divided by the patient's scale,
    so that a larger patient is the same drawing with larger voxels. Textures keep their physical size.
    """

    def __init__(
        self,
        habitus: Habitus,
        tissue: Tissue,
        axes: tuple[np.ndarray, np.ndarray, np.ndarray],
        spread_mm: tuple[float, float, float],
    ) -> None:
        self.habitus, self.tissue, self.spread_mm = habitus, tissue, spread_mm
        scale = habitus.scale
        self.blank = Canvas(axes[0] / scale[0], axes[1] / scale[1], axes[2] / scale[2])
        x2, y2 = self.blank.x[None, :], self.blank.y[:, None]
        self.cavity2 = superellipse(x2, y2, CAVITY_CENTRE_Y, CAVITY_AXES, CAVITY_POWER)
        self.muscle2 = superellipse(x2, y2, MUSCLE_CENTRE_Y, MUSCLE_AXES, MUSCLE_POWER)
        half_depth = MUSCLE_AXES[1] + 0.5 * (habitus.fat_front + habitus.fat_back) / scale[1]
        centre_y = MUSCLE_CENTRE_Y + 0.5 * (habitus.fat_back - habitus.fat_front) / scale[1]
        half_width = MUSCLE_AXES[0] + habitus.fat_side / scale[0]
        self.body2 = superellipse(x2, y2, centre_y, (half_width, half_depth), 2.3)
        # The chest narrows towards the top of the volume, the waist a little towards its bottom.
        z = self.blank.z
        taper = 9.0 * np.clip((z - 25.0) / 90.0, 0, 1) ** 2 + 4.0 * np.clip((-z - 20.0) / 80.0, 0, 1) ** 1.5
        self.taper = taper[:, None, None].astype(np.float32)
        self.dome2 = self._diaphragm_height()
        # Where the dome is steep, a height above it is more than a distance from it.
        climb = np.gradient(self.dome2, self.blank.y, self.blank.x)
        self.level2 = np.clip(1.0 / np.sqrt(1.0 + climb[0] ** 2 + climb[1] ** 2), 0.3, 1.0).astype(np.float32)
        self.static = self._body_wall()

    # ------------------------------------------------------------------ surfaces shared by organs

    def _diaphragm_height(self) -> np.ndarray:
        x, y = self.blank.x[None, :], self.blank.y[:, None]
        depth = np.clip(-self.cavity2 - 1.0, 0.0, None)
        right = 97.0 * np.exp(-(((x + 66.0) / 105.0) ** 2) - ((y + 6.0) / 150.0) ** 2)
        left = 81.0 * np.exp(-(((x - 66.0) / 95.0) ** 2) - ((y + 2.0) / 150.0) ** 2)
        top = np.maximum(np.maximum(right, left), 70.0)
        edge = np.clip(38.0 - 0.42 * y, 8.0, 72.0)
        rise = np.clip(depth / 72.0, 0.0, 1.0)
        return (edge + (np.maximum(top, edge) - edge) * np.sqrt(1.0 - (1.0 - rise) ** 2)).astype(np.float32)

    def _part(self, window: Window, plane: np.ndarray) -> np.ndarray:
        return plane[window.slices[1], window.slices[2]][None, :, :]

    def _inside_wall(self, window: Window) -> np.ndarray:
        return self._part(window, self.cavity2) + self.taper[window.slices[0]]

    def _under_diaphragm(self, window: Window) -> np.ndarray:
        return self._part(window, self.level2) * (window.z - self._part(window, self.dome2))

    # ------------------------------------------------------------------ what does not breathe

    def _body_wall(self) -> Canvas:
        canvas = self.blank
        whole = canvas.window()
        body = self._part(whole, self.body2) + self.taper[whole.slices[0]]
        canvas.lay(whole, body, -104.0)
        canvas.lay(whole, np.maximum(body, -(body + 2.2)), 20.0)
        self._lay_table(canvas)
        canvas.lay(whole, self._part(whole, self.muscle2) + self.taper[whole.slices[0]], 60.0)
        self._lay_muscle_planes(canvas, whole)
        canvas.lay(whole, self._inside_wall(whole), -104.0)
        self._lay_ribs(canvas)
        self._lay_back(canvas)
        self._lay_spine(canvas)
        return canvas

    def _lay_table(self, canvas: Canvas) -> None:
        """Carbon-fibre top of the table, its foam core between two sheets."""
        back = MUSCLE_CENTRE_Y + MUSCLE_AXES[1] + self.habitus.fat_back / self.habitus.scale[1] + 3.5
        window = canvas.window((-1e9, back - 60.0, -1e9), (1e9, 1e9, 1e9))
        depth = window.y - back + 0.0012 * window.x**2
        outside = canvas.hu[window.slices] < -900.0
        top = np.where(outside, np.abs(depth - 0.8) - 0.8, 50.0)
        canvas.lay(window, top, -250.0)

    def _lay_muscle_planes(self, canvas: Canvas, whole: Window) -> None:
        """Fat planes between the muscles of the flank and beside the erector spinae."""
        x, y = canvas.x[None, :], canvas.y[:, None]
        side = np.clip((np.abs(x) - 62.0) / 12.0, 0.0, 1.0) * np.clip((38.0 - y) / 15.0, 0.0, 1.0)
        low = np.clip((5.0 - whole.z) / 25.0, 0.0, 1.0)
        for depth in (4.5, 9.0):
            plane = np.abs(self.cavity2 - depth) - 0.7
            self._lay_faint(canvas, whole, plane, side, low, -60.0)
        crease = np.abs(np.abs(x) - (58.0 + 0.25 * (y - 70.0))) - 1.6
        self._lay_faint(canvas, whole, crease, np.clip((y - 66.0) / 6.0, 0.0, 1.0), np.ones_like(low), -80.0)
        midline = np.broadcast_to(np.abs(x) - 1.0, self.cavity2.shape)
        self._lay_faint(canvas, whole, midline, np.clip((-84.0 - y) / 4.0, 0.0, 1.0), low, -20.0)

    @staticmethod
    def _lay_faint(
        canvas: Canvas, whole: Window, plane: np.ndarray, where: np.ndarray, along: np.ndarray, value: float
    ) -> None:
        # A sheet thinner than a voxel keeps its mass: its share falls as the voxel grows.
        thin = np.clip(0.5 - plane / canvas.edge, 0.0, 1.0) * np.float32(min(1.0, 2.0 / canvas.edge))
        muscle = canvas.hu > 0.0
        canvas.hu += np.where(muscle, (thin * where)[None, :, :] * along * (value - canvas.hu), 0.0)

    def _lay_ribs(self, canvas: Canvas) -> None:
        whole = canvas.window()
        x, y = canvas.x[None, :], canvas.y[:, None]
        # Angle along the wall from the spine (0) round the flank to the front (pi).
        angle = np.arctan2(np.abs(x) * (101.0 / 141.0), y - MUSCLE_CENTRE_Y).astype(np.float32)
        drop = 88.0 * np.clip(angle / 2.3, 0.0, 1.0) ** 1.3
        margin = np.where(angle < 2.0, -78.0 + 16.0 * angle, -46.0 + 160.0 * (angle - 2.0)).astype(np.float32)
        sheet = (0.5 * (self.cavity2 + self.muscle2) - 0.2).astype(np.float32)
        along = self._part(whole, drop) + whole.z + self.habitus.jitter[0, 2] * 5.0
        across = np.abs(np.mod(along, RIB_STEP_MM) - 0.5 * RIB_STEP_MM)
        depth = self._part(whole, sheet) + self.taper[whole.slices[0]]
        rib = (np.sqrt((depth / 3.8) ** 2 + (across / 6.2) ** 2) - 1.0) * 4.2
        rib = np.maximum(rib, self._part(whole, margin) - whole.z)
        rib = np.maximum(rib, 9.0 - np.abs(whole.x))
        # The front ends are cartilage.
        canvas.lay(whole, rib, self._part(whole, np.where(angle < 2.25, np.float32(480.0), np.float32(105.0))))
        canvas.lay(whole, rib + 1.8, self._part(whole, np.where(angle < 2.25, np.float32(190.0), np.float32(105.0))))

    def _lay_back(self, canvas: Canvas) -> None:
        muscle = 58.0
        for side in (-1.0, 1.0):
            canvas.lay_tube([(side * 25, 46, 12), (side * 33, 46, -45), (side * 40, 42, -125)], [5, 16, 24], muscle)
            canvas.lay_tube([(side * 60, 58, 12), (side * 64, 56, -125)], [8, 12], muscle)
            canvas.lay_tube([(side * 13, 27, 62), (side * 14, 28, 15), (side * 11, 31, -28)], [3.0, 5.0, 3.5], muscle)

    def _lay_spine(self, canvas: Canvas) -> None:
        z0 = 6.0 * float(self.habitus.jitter[1, 2]) / 2.0
        window = canvas.window((-50, 26, -1e9), (50, 122, 1e9))
        level = np.mod(window.z - z0, VERTEBRA_STEP_MM) - 0.5 * VERTEBRA_STEP_MM
        offset = np.abs(level)
        flat = (window.x, window.y, np.zeros((1, 1, 1), np.float32))
        body2 = ellipsoid(flat, (0, 50, 0), (23, 17.5, 50))
        waist = 1.8 * np.clip(1.0 - (offset / 12.0) ** 2, 0.0, 1.0)
        body = np.maximum(body2 + waist, offset - 13.2)
        canvas.lay(window, body2 + 1.0, 85.0)
        canvas.lay(window, body, 430.0)
        canvas.lay(window, body + 1.7, 165.0)
        canal = ellipsoid(flat, (0, 75, 0), (11.0, 8.8, 50))
        arch = np.abs(canal - 3.2) - 3.0
        # Between two pedicles the arch is open at the side for the nerve.
        open_side = np.maximum(offset - 12.5, np.where(window.y < 76.0, -level - 1.0, -20.0))
        arch = np.maximum(arch, np.where(np.abs(window.x) > 6.0, open_side, offset - 14.0))
        arch = np.maximum(arch, np.where(np.abs(window.x) < 8.0, 72.0 - window.y, -20.0))
        canvas.lay(window, arch, 360.0)
        spinous = np.maximum(np.abs(window.x) - 3.0, np.abs(window.y - 96.0) - 13.0)
        spinous = np.maximum(spinous, np.abs(level + 5.0) - 9.0)
        canvas.lay(window, spinous, 300.0)
        transverse = np.hypot((window.y - (70.0 + 0.16 * np.abs(window.x))), level - 4.0) - 4.4
        transverse = np.maximum(transverse, np.abs(window.x) - 38.0)
        transverse = np.maximum(transverse, 13.0 - np.abs(window.x))
        canvas.lay(window, transverse, 330.0)
        facet = np.sqrt((np.abs(window.x) - 16.0) ** 2 + (window.y - 81.0) ** 2) - 6.5
        facet = np.maximum(facet, 9.0 - offset)
        canvas.lay(window, facet, 400.0)
        canvas.lay(window, canal, 24.0)
        canvas.lay(window, np.hypot(window.x, window.y - 75.0) - 4.6, 40.0)

    # ------------------------------------------------------------------ what breathes

    def phase(self, hu: dict[str, float], phase: str, shift: Point) -> Canvas:
        """The whole abdomen in one phase.

        Parameters
        ----------
        hu : dict of str to float
            Attenuation by tissue, HU.
        phase : str
            One of `PHASES`.
        shift : tuple of float
            Respiratory displacement (x, y, z) of the upper abdominal organs, reference mm.

        Returns
        -------
        Canvas
        """
        canvas = self.static.copy()
        half = tuple(0.55 * step for step in shift)
        self._lay_chest(canvas, hu, shift)
        _lay_tubes(canvas, hu, "coeliac_branches", half)
        _lay_tubes(canvas, hu, "mesenteric_artery")
        self._lay_mesentery(canvas, hu, half)
        _lay_tubes(canvas, hu, "mesenteric_vein", half)
        self._lay_bowel(canvas, hu, half)
        self._lay_colon(canvas, hu, half)
        self._lay_stomach(canvas, hu, shift)
        _lay_tubes(canvas, hu, "retroperitoneum", half)
        _lay_tubes(canvas, hu, "splanchnic_veins", half)
        self._lay_spleen(canvas, hu, phase, shift)
        self._lay_liver(canvas, hu, phase, shift)
        self._lay_gallbladder(canvas, hu, shift)
        self._lay_kidneys(canvas, hu, half)
        _lay_tubes(canvas, hu, "great_vessels")
        return canvas

    def _moved(self, point: Point, organ: int) -> tuple[float, float, float]:
        step = self.habitus.jitter[organ] * 2.0
        return tuple(float(value + move) for value, move in zip(point, step, strict=True))

    def _sample(self, field: Field, window: Window) -> np.ndarray:
        # Fields live in physical millimetres of the organ's frame, so that a nodule's size is the nodule's own.
        axes = [np.ravel(axis) * factor for axis, factor in zip(window.at, self.habitus.scale, strict=True)]
        return field.sample(*axes, self.spread_mm)

    def _lay_bowel(self, canvas: Canvas, hu: dict[str, float], shift: Point) -> None:
        for course, wide in self.habitus.bowel:
            window, distance = canvas.tube_distance(course, [wide] * len(course), shift)
            distance = smooth_max(distance, self._inside_wall(window) + 5.0, 4.0)
            folds = 0.7 * np.cos((window.x - window.y + window.z) * (2.0 * np.pi / 7.0))
            canvas.lay(window, distance, hu["gut_wall"])
            canvas.lay(window, distance + 2.6 + folds, hu["gut_fluid"])
            canvas.lay(window, np.maximum(distance + 3.4, window.y + 66.0), hu["gut_gas"])

    def _lay_colon(self, canvas: Canvas, hu: dict[str, float], shift: Point) -> None:
        for tube in _tubes()["colon"]:
            window, distance = canvas.tube_distance(tube.points, tube.radii, shift)
            folds = 1.6 * np.cos((window.x + window.y + 1.4 * window.z) * (2.0 * np.pi / 26.0))
            distance = np.maximum(distance + folds, self._inside_wall(window) + 4.0)
            canvas.lay(window, distance, hu["gut_wall"])
            canvas.lay(window, distance + 2.4, hu["stool"])
            canvas.lay(window, np.maximum(distance + 3.2, window.y + 30.0), hu["gut_gas"])

    def _lay_stomach(self, canvas: Canvas, hu: dict[str, float], shift: Point) -> None:
        (tube,) = _tubes()["stomach"]
        points = [self._moved(point, 2) for point in tube.points]
        window, distance = canvas.tube_distance(points, tube.radii, shift)
        distance = smooth_max(distance, self._inside_wall(window) + 6.0, 6.0)
        distance = smooth_max(distance, self._under_diaphragm(window) + 3.0, 6.0)
        canvas.lay(window, distance, hu["gut_wall"])
        canvas.lay(window, distance + 4.0, hu["gut_fluid"] + 10.0)
        # Gas rises to the front of a patient on the back.
        canvas.lay(window, np.maximum(distance + 4.6, window.y - self.habitus.gas_level), hu["gut_gas"])

    def _lay_mesentery(self, canvas: Canvas, hu: dict[str, float], shift: Point) -> None:
        """Jejunal branches that fan out to the bowel, an artery beside a vein."""
        for course, _ in self.habitus.bowel:
            for target in course[3::6]:
                root = (2.0, -8.0, 0.5 * target[2] - 18.0)
                canvas.lay_tube([root, target], [1.7, 1.0], hu["aorta"], shift)
                beside = (target[0] - 4.0, target[1], target[2] - 3.0)
                canvas.lay_tube([(-8.0, -9.0, root[2]), beside], [2.0, 1.2], hu["portal_vein"], shift)

    def _lay_spleen(self, canvas: Canvas, hu: dict[str, float], phase: str, shift: Point) -> None:
        size = self.habitus.spleen_size
        grown = size - 1.0
        centre = self._moved((99.0 - 16.0 * grown, 28.0 - 16.0 * grown, 38.0 - 34.0 * grown), 3)
        axes = (36.0 * size, 47.0 * size, 49.0 * size)
        window = canvas.around([centre], max(axes), shift)
        distance = ellipsoid(window.at, centre, axes, rotation(about_x=-18.0))
        distance = smooth_max(distance, self._inside_wall(window) + 2.4, 6.0)
        distance = smooth_max(distance, self._under_diaphragm(window) + 2.4, 6.0)
        hilum = (centre[0] - 39.0 * size**1.1, centre[1] - 27.0 * size, centre[2] - 6.0)
        distance = smooth_max(distance, -ellipsoid(window.at, hilum, (38, 36, 60)), 9.0)
        if not np.any(distance < canvas.edge):
            return
        value = hu["spleen"] + self.tissue.pulp_hu * self._sample(self.tissue.pulp, window)
        if phase == "arterial":
            value += self.tissue.band_hu * self._sample(self.tissue.bands, window)
        canvas.lay(window, distance, value, SPLEEN)
        _lay_tubes(canvas, hu, "splenic_hilum", shift)

    def _liver_distance(self, window: Window) -> np.ndarray:
        x, y, z = at = window.at
        size, left = self.habitus.liver_size, self.habitus.left_lobe
        right = ellipsoid(at, (-86.0, -4.0, 20.0), (95.0 * size, 104.0 * size, 104.0 * size))
        # The visceral surface climbs from the right flank to the left and from front to back.
        rise = z - (-60.0 / size + 0.80 * (x + 122.0) + 0.22 * (y + 25.0))
        right = smooth_max(right, -0.74 * rise, 16.0)
        turn = rotation(about_y=-9.0, about_z=6.0)
        left_lobe = ellipsoid(at, (10.0, -52.0, 48.0), (70.0 * left, 37.0 * left, 35.0 * left), turn)
        left_lobe = smooth_max(left_lobe, ellipsoid(at, (52.0, -8.0, 30.0), (40, 32, 40)) * -1.0, 12.0)
        caudate = ellipsoid(at, (-10.0, 4.0, 43.0), (17.0 * left, 16.0 * left, 27.0))
        liver = smooth_min(smooth_min(right, left_lobe, 16.0), caudate, 8.0)
        # Fissure of the round ligament, and of the venous ligament between caudate and left lobe.
        round_ligament = capsule(at, ((6.0, -80.0, 14.0), (4.0, -46.0, 28.0)), (6.0, 3.0))
        falciform = np.maximum(np.maximum(np.abs(x - 5.0) - 1.3, y + 46.0), z - 44.0)
        round_ligament = np.minimum(round_ligament, falciform)
        venous_ligament = capsule(at, ((2.0, -30.0, 34.0), (14.0, -14.0, 56.0)), (3.5, 3.0))
        liver = smooth_max(liver, -np.minimum(round_ligament, venous_ligament), 5.0)
        porta = capsule(at, ((-16.0, -12.0, 12.0), (-38.0, -16.0, 22.0)), (11.0, 9.0))
        liver = smooth_max(liver, -porta, 6.0)
        liver = smooth_max(liver, -ellipsoid(at, (-58.0, 58.0, -28.0), (33, 34, 52)), 8.0)
        # The vertebra, the crura and the great vessels keep their room.
        return smooth_max(liver, 33.0 - np.hypot(x, y - 46.0), 6.0)

    def _lay_liver(self, canvas: Canvas, hu: dict[str, float], phase: str, shift: Point) -> None:
        window = canvas.window((-135, -95, -78), (100, 80, 106), shift)
        distance = self._liver_distance(window)
        distance += np.float32(self.habitus.nodular_mm) * self._sample(self.tissue.surface, window)
        distance = smooth_max(distance, self._inside_wall(window) + 2.2, 4.0)
        distance = smooth_max(distance, self._under_diaphragm(window) + 2.4, 4.0)
        value = self._sample(self.tissue.nodules, window)
        value *= np.float32(self.tissue.nodule_hu * NODULE_GAIN[phase])
        value += np.float32(self.tissue.patch_hu * PATCH_GAIN[phase]) * self._sample(self.tissue.patches, window)
        value += np.float32(hu["liver"] - (self.tissue.venous_drop_hu if phase == "venous" else 0.0))
        # Vessels are laid within the liver's own tissue, so that none leaves it.
        for tube in _tubes()["liver"]:
            for ends, radii in zip(pairwise(tube.points), pairwise(tube.radii), strict=True):
                near = window.around(ends, max(radii) + canvas.edge)
                part = value[near.slices]
                part += canvas.share(capsule(near.at, ends, radii)) * (hu[tube.tissue] - part)
        canvas.lay(window, distance, value, LIVER)

    def _lay_gallbladder(self, canvas: Canvas, hu: dict[str, float], shift: Point) -> None:
        centre = self._moved((-46.0, -54.0, -8.0), 4)
        turn = rotation(about_x=22.0, about_y=14.0)
        window = canvas.around([centre], 29.0, shift)
        canvas.lay(window, ellipsoid(window.at, centre, (14.5, 16.5, 29.0), turn), hu["gut_wall"], 0)
        canvas.lay(window, ellipsoid(window.at, centre, (12.8, 14.8, 27.2), turn), hu["bile"])

    def _lay_kidneys(self, canvas: Canvas, hu: dict[str, float], shift: Point) -> None:
        for side, centre, organ in ((-1.0, (-60.0, 44.0, -34.0), 5), (1.0, (60.0, 42.0, -22.0), 6)):
            centre = self._moved(centre, organ)
            turn = rotation(about_x=8.0, about_y=9.0 * side, about_z=-28.0 * side)
            axes = (26.0, 29.0, 54.0)
            window = canvas.around([centre], max(axes), shift)
            distance = ellipsoid(window.at, centre, axes, turn)
            # The sinus opens towards the midline and the front.
            hilum = turn.T @ np.array([-side * 22.0, 0.0, 0.0]) + np.array(centre)
            sinus = ellipsoid(window.at, hilum, (19.0, 10.0, 25.0), turn)
            canvas.lay(window, distance, hu["cortex"], 0)
            u, v, w = window.x - centre[0], window.y - centre[1], window.z - centre[2]
            turned = turn.astype(np.float32)
            across = turned[0, 0] * u + turned[0, 1] * v + turned[0, 2] * w
            deep = turned[1, 0] * u + turned[1, 1] * v + turned[1, 2] * w
            angle = np.arctan2(deep, across)
            # Columns of cortex part the pyramids, round the sinus and along the kidney.
            columns = (
                4.5 * (0.5 + 0.5 * np.cos(7.0 * angle + 0.2 * w)) ** 2
                + 5.0 * (0.5 + 0.5 * np.cos(w * (2.0 * np.pi / 15.0))) ** 3
            )
            medulla = np.maximum(distance + 6.5 + columns, -(sinus - 1.0))
            canvas.lay(window, medulla, hu["medulla"])
            canvas.lay(window, sinus, -85.0)
            # The pelvis lies behind the vessels; three calyces lead to it, the ureter away from it.
            basin = hilum + np.array([0.0, 4.0, -2.0])
            for height in (-19.0, 0.0, 19.0):
                calyx = hilum + turn.T @ np.array([side * 13.0, 1.5, height])
                canvas.lay_tube([tuple(basin), tuple(calyx)], [3.0, 3.6], hu["renal_pelvis"], shift)
            funnel = basin + turn.T @ np.array([-side * 9.0, 0.0, -6.0])
            ureter = [tuple(basin), tuple(funnel), (side * 33.0, 34.0, centre[2] - 34.0), (side * 34.0, 26.0, -125.0)]
            canvas.lay_tube(ureter, [5.0, 4.2, 2.2, 2.0], hu["renal_pelvis"], shift)

    def _lay_chest(self, canvas: Canvas, hu: dict[str, float], shift: Point) -> None:
        window = canvas.window((-1e9, -1e9, -5.0), (1e9, 1e9, 1e9), (0.0, 0.0, shift[2]))
        above = -self._under_diaphragm(window)
        room = self._inside_wall(window)
        spine = 29.0 - np.hypot(window.x, window.y - 53.0)
        sheet = np.maximum(np.maximum(np.abs(above + 1.3) - 1.3, room), spine)
        canvas.lay(window, sheet, hu["muscle"])
        lung = np.maximum(above, room + 1.5)
        mediastinum = np.minimum(
            np.hypot(window.x - 4.0, window.y - 40.0) - 31.0,
            ellipsoid(window.at, (16.0, -36.0, 126.0), (68.0, 50.0, 54.0)),
        )
        canvas.lay(window, smooth_max(lung, -mediastinum, 4.0), hu["lung"])
        heart = np.maximum(ellipsoid(window.at, (17.0, -37.0, 132.0), (60.0, 42.0, 52.0)), above + 3.0)
        canvas.lay(window, heart, hu["muscle"] + 25.0)
        ventricles = np.minimum(
            ellipsoid(window.at, (2.0, -46.0, 134.0), (30.0, 24.0, 46.0)),
            ellipsoid(window.at, (42.0, -30.0, 134.0), (25.0, 24.0, 44.0)),
        )
        canvas.lay(window, np.maximum(ventricles, above + 8.0), hu["heart"])
        _lay_tubes(canvas, hu, "oesophagus", shift)
