"""Shape features of an organ: a mesh by marching cubes, its diameters, its principal axes.

The loops are our own: PyRadiomics compares every vertex of the mesh with every other, which takes longer than all else
that the fast engine does.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from hccbook.features.radiomics.texture_matrices import compiled

# Triangles of every configuration of a cube whose corner (1, 1, 1) lies outside, three letters a triangle, in outward
# order. Bit 4 z + 2 y + x of a configuration says whether that corner is inside; a letter is an edge of `_EDGES`, cut
# in its middle. A configuration with that corner inside is the complement, its triangles turned over.
#
# Marching cubes (Lorensen and Cline, Computer Graphics 1987;21:163-169) leaves open how ambiguous faces are joined and
# how a polygon of five or six corners that is not plane is cut into triangles. Here both were found by search: of all
# triangulations of a configuration's polygons, one whose area and volume are those of PyRadiomics 3.0.1.
_TRIANGLES = """
    - acb ade bdebec bgf acfcgf adebgf cgedefegf dfh acbdfh afeefh bfhbhcche bghbhd acdcghchd abebgeegh cghche
    cij aibbij adecij bdjdejeij bgfcij aiffiggij adebgfcij defegfeijejg cijdfh aijajbdfh afecijefh bfhbhibijeih
    bghbhdcij aiddghdiggij abebgecijegh egheijejg eki acbeki adidki bdkbkccki bgfeki acfcgfeki adibgfdki
    cfkcgfckidkf dfheki acbdfheki afifhihki bfhbhcchihki bghbhdeki acdcghchdeki abibghbhihki cghchkcki cejekj
    aebbekbkj adccdjdkj bdkbkj bgfcejekj aefegfejgekj adcbgfcdjdkj djfdkjfjg cejdfhekj aekakbbkjdfh afccfhchkckj
    bfhbhkbkj bghbhdcejekj aekaghahdajgakj abgaghahkajcakj ghjhkj gjl aclalbblgcjl adegjl bdlblgcjlcledel bjlblf
    aclalfcjl abebjedefejlelf cjedefejffjl dfjdjhfgjhjl acdbfgchdcjlclh afjajeejhfgjhjl bfgchecjhhjl bjddjhhjl
    acdchdcjlclh abebjlbleelh checjhhjl cilclg ailalbblg adccdgdeidildlg bdebegeilelg bcibiffil aiffil
    abcdefeiffil defeiffil cdgciddfgdildlh ailaldbfgdlh afccfgeilelh bfgeilelh bchbhdcihhil ailalddlh abceilelh
    eilelh egjejieklelg aebbegcjieklelg adgagidkggjigkl bdkbkgcjigkl befbjeejieklelf aelalfcjiekl abjajidkffkl
    cjidkffkl dfeefgegjejihkl aedbfgcjihkl afifgigjihkl bfgcjihkl bjddjeejihkl aedcjihkl abibjihkl cjihkl
    cegeklelg aebbegeklelg adccdlclgdkl bdkbkggkl bcebelblfekl aelalfekl abcdkffkl dkffkl cegdfeefghkl aedbfghkl
    afccfghkl bfghkl bcebedhkl aedhkl abchkl hkl
"""
_CORNERS = tuple(np.ndindex(2, 2, 2))
_EDGES = tuple(
    (start, stop)
    for start in _CORNERS
    for stop in _CORNERS
    if start < stop and sum(abs(a - b) for a, b in zip(start, stop, strict=True)) == 1
)


_FEW = 1500  # points up to which all pairs are compared sooner than their convex hull is found


def shape_features(organ: np.ndarray, spacing_mm: tuple[float, float, float]) -> dict[str, float]:
    """Shape features of an organ.

    Parameters
    ----------
    organ : ndarray of bool, shape (z, y, x)
        At least one voxel; voxels outside the array are outside the organ.
    spacing_mm : (float, float, float)
        Voxel edges (z, y, x), mm.

    Returns
    -------
    dict of str to float
        14 features in mm, mm2 and mm3; a ratio is NaN where its divisor is 0: a mesh without volume, a single voxel.

    Notes
    -----
    Every vertex of the mesh is the middle of an edge between two voxels, so that area and volume follow from how often
    each of 256 configurations occurs and where. The two vertices farthest apart are on the convex hull.

    References
    ----------
    PyRadiomics 3.0.1, feature class shape; IBSI reference manual, section 3.1.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    inside = np.pad(organ, 1)
    area, volume = _surface(inside, spacing)
    slices, columns, rows, whole = _diameters(inside, spacing)
    least, minor, major = _principal_variances(organ, spacing)
    return {
        "Elongation": float(np.sqrt(minor / major)) if major else np.nan,
        "Flatness": float(np.sqrt(least / major)) if major else np.nan,
        "LeastAxisLength": float(4 * np.sqrt(least)),
        "MajorAxisLength": float(4 * np.sqrt(major)),
        "Maximum2DDiameterColumn": columns,
        "Maximum2DDiameterRow": rows,
        "Maximum2DDiameterSlice": slices,
        "Maximum3DDiameter": whole,
        "MeshVolume": volume,
        "MinorAxisLength": float(4 * np.sqrt(minor)),
        "Sphericity": (36 * np.pi * volume**2) ** (1 / 3) / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume if volume else np.nan,
        "VoxelVolume": float(np.count_nonzero(organ) * spacing.prod()),
    }


# --- mesh ------------------------------------------------------------------------------------------------------------


@functools.cache
def _triangles() -> tuple[np.ndarray, np.ndarray]:
    """Triangles of all configurations: which configuration, and corners in half voxels from the cube's first corner.

    The corners' array has the shape (n_triangles, 3 corners, z y x).
    """
    middles = np.array([np.add(start, stop) for start, stop in _EDGES])
    configurations, corners = [], []
    for configuration, letters in enumerate(_TRIANGLES.split()):
        edges = np.array([ord(letter) - ord("a") for letter in letters.replace("-", "")], dtype=int)
        for triangle in middles[edges].reshape(-1, 3, 3):
            configurations += [configuration, 255 - configuration]
            corners += [triangle, triangle[::-1]]
    return np.array(configurations), np.array(corners)


def _surface(inside: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    """Area (mm2) and volume (mm3) of the mesh; `inside` has a margin of one voxel."""
    counts, places = _configurations(inside)
    configuration, corners = _triangles()
    first, second, third = corners.transpose(1, 0, 2)
    normal = np.cross(second - first, third - first)
    # A voxel's edges scale a normal by the two edges across it; both corners are in half voxels.
    areas = np.linalg.norm(normal * (spacing.prod() / spacing), axis=1) / 4
    area = float((counts[configuration] * areas / 2).sum())
    # Six times the volume, in eighths of a voxel: a cube elsewhere has the same triangles, moved. In whole numbers, so
    # that a mesh without volume has exactly none.
    at_origin = (first * np.cross(second, third)).sum(axis=1)
    moved = (2 * places[configuration] * normal).sum(axis=1)
    eighths = int((counts[configuration] * at_origin + moved).sum())
    return area, eighths / 48 * float(spacing.prod())


@compiled
def _configurations(inside):
    """How many cubes have each configuration, and the sum of their first corners (z, y, x)."""
    counts = np.zeros(256, dtype=np.int64)
    corners = np.zeros((256, 3), dtype=np.int64)
    depth, height, width = inside.shape
    for z in range(depth - 1):
        for y in range(height - 1):
            # Bits of the face that two neighbouring cubes share move by one place along x.
            face = 0
            for x in range(width):
                face = (face >> 1) & 0x55
                face |= inside[z, y, x] << 1 | inside[z, y + 1, x] << 3
                face |= inside[z + 1, y, x] << 5 | inside[z + 1, y + 1, x] << 7
                if x > 0 and face != 0 and face != 255:
                    counts[face] += 1
                    corners[face, 0] += z
                    corners[face, 1] += y
                    corners[face, 2] += x - 1
    return counts, corners


# --- diameters -------------------------------------------------------------------------------------------------------


def _diameters(inside: np.ndarray, spacing: np.ndarray) -> tuple[float, float, float, float]:
    """Largest distances (mm) between two vertices in a plane across z, y and x, and anywhere."""
    planes = []
    for axis in range(3):
        order = (axis, *(other for other in range(3) if other != axis))
        turned = np.ascontiguousarray(inside.transpose(order))
        squared, hulls = _planes(turned, spacing[order[1]], spacing[order[2]])
        planes.append(float(np.sqrt(squared)))
        if axis == 0:
            vertices = hulls * (spacing / 2)
    return (*planes, _largest_distance(vertices))


def _largest_distance(vertices: np.ndarray) -> float:
    """Largest distance between two of many points, shape (n, 3)."""
    # Two points are no farther apart than their distances from the middle add up to.
    from_middle = np.linalg.norm(vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2, axis=1)
    one = vertices[from_middle.argmax()]
    other = vertices[np.linalg.norm(vertices - one, axis=1).argmax()]
    apart = np.linalg.norm(vertices - other, axis=1).max()
    outer = vertices[from_middle + from_middle.max() >= apart * (1 - 1e-9)]
    if len(outer) > _FEW:
        outer = vertices[ConvexHull(vertices).vertices]
    return float(pdist(outer).max())


@compiled
def _planes(inside, height_mm, width_mm):
    """Largest squared distance within a plane, and the vertices on the planes' hulls in half voxels."""
    depth, height = inside.shape[:2]
    hulls = np.empty((64, 3), dtype=np.int64)
    found = 0
    largest = 0.0
    low = np.empty(2 * height, dtype=np.int64)
    high = np.empty(2 * height, dtype=np.int64)
    points = np.empty((4 * height, 2), dtype=np.int64)
    chain = np.empty((8 * height, 2), dtype=np.int64)
    for plane in range(2 * depth - 1):
        z = plane // 2
        high[:] = -1
        if plane % 2 == 0:
            # In a slice: vertices on edges along x and along y.
            for y in range(height):
                first, last = _changes(inside[z, y, :-1], inside[z, y, 1:])
                low[2 * y], high[2 * y] = 2 * first + 1, 2 * last + 1
            for y in range(height - 1):
                first, last = _changes(inside[z, y], inside[z, y + 1])
                low[2 * y + 1], high[2 * y + 1] = 2 * first, 2 * last
        else:
            # Between two slices: vertices on edges along z.
            for y in range(height):
                first, last = _changes(inside[z, y], inside[z + 1, y])
                low[2 * y], high[2 * y] = 2 * first, 2 * last
        corners = _hull(points, _ends_of_rows(low, high, points), chain)
        while found + corners > hulls.shape[0]:
            hulls = np.concatenate((hulls, hulls))
        for a in range(corners):
            for b in range(a):
                apart = ((chain[a, 0] - chain[b, 0]) * height_mm / 2) ** 2
                apart += ((chain[a, 1] - chain[b, 1]) * width_mm / 2) ** 2
                largest = max(largest, apart)
            hulls[found, 0], hulls[found, 1:] = plane, chain[a]
            found += 1
    return largest, hulls[:found]


@compiled
def _ends_of_rows(low, high, points):
    """First and last vertex of every row that has one, sorted, written into `points`; their number."""
    n = 0
    for row in range(low.size):
        if high[row] >= 0:
            points[n, 0], points[n, 1] = row, low[row]
            n += 1
            if high[row] > low[row]:
                points[n, 0], points[n, 1] = row, high[row]
                n += 1
    return n


@compiled
def _changes(row, other):
    """First and last place where two rows differ; the last is -1 where they do not."""
    first, last = np.int32(row.size), np.int32(-1)
    for x in range(row.size):
        if row[x] != other[x]:
            first = min(first, np.int32(x))
            last = max(last, np.int32(x))
    return first, last


@compiled
def _hull(points, n, chain):
    """Corners of the convex hull of sorted points (Andrew's monotone chain), written into `chain`; their number."""
    if n < 3:
        for k in range(n):
            chain[k, 0], chain[k, 1] = points[k, 0], points[k, 1]
        return n
    size = 0
    for direction in range(2):
        base = size + 1 if direction == 0 else size
        for k in range(n):
            if direction == 1 and k == 0:
                continue
            p = k if direction == 0 else n - 1 - k
            while size > base:
                along = chain[size - 1, 0] - chain[size - 2, 0]
                across = chain[size - 1, 1] - chain[size - 2, 1]
                turn = along * (points[p, 1] - chain[size - 2, 1]) - across * (points[p, 0] - chain[size - 2, 0])
                if turn > 0:
                    break
                size -= 1
            chain[size, 0], chain[size, 1] = points[p, 0], points[p, 1]
            size += 1
    return size - 1


# --- principal axes --------------------------------------------------------------------------------------------------


def _principal_variances(organ: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Variances (mm2) of the voxels' centres along their principal axes, ascending."""
    total, squares = np.zeros(3, dtype=np.int64), np.zeros((3, 3), dtype=np.int64)
    for across in range(3):
        one, other = (axis for axis in range(3) if axis != across)
        counts = organ.sum(axis=across)
        rows, columns = (np.arange(length) for length in counts.shape)
        total[one], total[other] = counts.sum(axis=1) @ rows, counts.sum(axis=0) @ columns
        squares[one, one], squares[other, other] = counts.sum(axis=1) @ rows**2, counts.sum(axis=0) @ columns**2
        squares[one, other] = squares[other, one] = rows @ counts @ columns
    # In whole numbers of any length: exact, so that a flat organ has a variance of exactly 0.
    voxels = int(np.count_nonzero(organ))
    total = total.astype(object)
    products = voxels * squares.astype(object) - np.outer(total, total)
    covariance = (products / voxels**2).astype(float) * np.outer(spacing, spacing)
    return np.clip(np.linalg.eigvalsh(covariance), 0, None)
