"""Grey-level matrices of an organ, filled by compiled loops over its voxels.

A `LevelGrid` holds the grey levels with a margin of zeros, so that a neighbour is one addition away and never outside
the array. Every loop runs without the interpreter's lock and is compiled once a machine, then read from disk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
"""How every loop of the fast engine is compiled."""


def neighbour_offsets(
    shape: tuple[int, int, int],
    distances: tuple[int, ...] = (1,),
    force_2d: bool = False,
    force_2d_axis: int = 0,
) -> np.ndarray:
    """Steps to neighbours, one of each pair of opposite directions.

    Parameters
    ----------
    shape : (int, int, int)
        Box of the organ (z, y, x), voxels: a step longer than an edge of the box allows has no pair.
    distances : tuple of int
        Distances in voxels, in the maximum norm.
    force_2d : bool
        Whether steps stay within slices.
    force_2d_axis : int
        Axis (z, y, x) across those slices.

    Returns
    -------
    ndarray of int64, shape (n, 3)
        Steps (z, y, x), 13 at distance 1 in three dimensions.
    """
    reach = max(distances)
    steps = []
    for step in np.ndindex(*(2 * reach + 1,) * 3):
        z, y, x = (part - reach for part in step)
        half = (z, y, x) > (0, 0, 0)
        near = max(abs(z), abs(y), abs(x)) in distances
        inside = all(abs(part) < edge for part, edge in zip((z, y, x), shape, strict=True))
        flat = not force_2d or (z, y, x)[force_2d_axis] == 0
        if half and near and inside and flat:
            steps.append((z, y, x))
    return np.array(steps, dtype=np.int64).reshape(-1, 3)


def run_offsets(organ: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Steps along which runs are counted: those with two voxels of the organ, or more, on one line.

    Parameters
    ----------
    organ : ndarray of bool, shape (z, y, x)
    offsets : ndarray of int, shape (n, 3)
        Steps (z, y, x) of distance 1.

    Returns
    -------
    ndarray of int, shape (m, 3)
        Fewer than `offsets` for an organ of scattered voxels only; PyRadiomics leaves the same directions out.
    """
    kept = []
    for step in offsets:
        ahead = tuple(slice(max(part, 0), edge + min(part, 0)) for part, edge in zip(step, organ.shape, strict=True))
        behind = tuple(slice(max(-part, 0), edge - max(part, 0)) for part, edge in zip(step, organ.shape, strict=True))
        neighbours = (organ[ahead] & organ[behind]).any()
        kept.append(bool(neighbours) or _share_a_line(np.argwhere(organ), step))
    return offsets[np.array(kept, dtype=bool)]


def _share_a_line(voxels: np.ndarray, step: np.ndarray) -> bool:
    along = int(np.flatnonzero(step)[0])
    starts = voxels - np.outer(voxels[:, along] * step[along], step)
    return len(np.unique(starts, axis=0)) < len(voxels)


@dataclass(frozen=True)
class LevelGrid:
    """Grey levels of an organ in the form that the loops take.

    Attributes
    ----------
    levels : ndarray of uint16, shape (n,)
        The organ's box with a margin, flattened; 0 outside the organ.
    voxels : ndarray of int32, shape (n_voxels,)
        Where the organ's voxels are in `levels`, in array order.
    strides : (int, int, int)
        Distance in `levels` of one step along z, y, x.
    present : ndarray of int64, shape (n_levels,)
        Grey levels that occur, ascending, from 1.
    ranks : ndarray of int32, shape (largest level + 1,)
        Place of a level in `present`; ``n_levels`` for 0, the outside.
    """

    levels: np.ndarray
    voxels: np.ndarray
    strides: tuple[int, int, int]
    present: np.ndarray
    ranks: np.ndarray

    @classmethod
    def of(cls, levels: np.ndarray, margin: int = 1) -> LevelGrid:
        """Grid of an array of grey levels.

        Parameters
        ----------
        levels : ndarray of int, shape (z, y, x)
            0 outside the organ.
        margin : int
            Longest step to a neighbour, voxels.
        """
        levels = np.asarray(levels)
        place = VoxelPlaces.of(levels > 0, margin)
        return place.grid(levels[levels > 0].astype(np.uint16))

    def flat_steps(self, offsets: np.ndarray) -> np.ndarray:
        """Steps (z, y, x) as distances in `levels`."""
        return offsets @ np.array(self.strides, dtype=np.int64)


@dataclass(frozen=True)
class VoxelPlaces:
    """Where the voxels of an organ lie in a box with a margin; shared by all filtered images of an organ.

    Attributes
    ----------
    shape : (int, int, int)
        Of the box with its margin.
    voxels : ndarray of int32, shape (n_voxels,)
        Flat places of the organ's voxels in that box, in array order.
    """

    shape: tuple[int, int, int]
    voxels: np.ndarray

    @classmethod
    def of(cls, organ: np.ndarray, margin: int) -> VoxelPlaces:
        """Places of a mask (z, y, x)."""
        shape = tuple(edge + 2 * margin for edge in organ.shape)
        z, y, x = np.nonzero(organ)
        voxels = ((z + margin) * shape[1] + (y + margin)) * shape[2] + (x + margin)
        return cls(shape, voxels.astype(np.int32))

    def grid(self, levels: np.ndarray) -> LevelGrid:
        """Grid of the voxels' grey levels, in the order of `voxels`."""
        counts = np.bincount(levels)
        present = np.flatnonzero(counts)
        ranks = np.zeros(counts.size, dtype=np.int32)
        ranks[present] = np.arange(present.size)
        ranks[0] = present.size
        box = np.zeros(int(np.prod(self.shape)), dtype=np.uint16)
        box[self.voxels] = levels
        strides = (self.shape[1] * self.shape[2], self.shape[2], 1)
        return LevelGrid(box, self.voxels, strides, present, ranks)


# --- matrices of a grid ----------------------------------------------------------------------------------------------


def neighbour_counts(grid: LevelGrid, offsets: np.ndarray, alpha: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Co-occurrence, dependence and neighbourhood differences, in one pass.

    Parameters
    ----------
    grid : LevelGrid
    offsets : ndarray of int, shape (n_offsets, 3)
        One of each pair of opposite steps.
    alpha : int
        Difference of levels up to which a neighbour is dependent.

    Returns
    -------
    co_occurrence : ndarray of int32, shape (n_offsets, n_levels, n_levels)
        Pairs (voxel, voxel one step on), not yet symmetrical.
    dependence : ndarray of int64, shape (n_levels, 2 n_offsets + 1)
        Voxels by level and number of dependent neighbours, from 0.
    differences : ndarray of float64, shape (n_levels, 2)
        Voxels of a level, and the sum of their absolute differences from the mean of their neighbours; a voxel
        without neighbours adds 0.
    """
    n = grid.present.size
    pairs = np.zeros((len(offsets), n * (n + 1)), dtype=np.int32)
    dependence = np.zeros((n, 2 * len(offsets) + 1), dtype=np.int64)
    differences = np.zeros((n, 2))
    steps = grid.flat_steps(offsets)
    _count_neighbours(grid.levels, grid.ranks, grid.voxels, steps, alpha, pairs, dependence, differences)
    return pairs.reshape(len(offsets), n, n + 1)[:, :, :n], dependence, differences


@compiled
def _count_neighbours(levels, ranks, voxels, steps, alpha, pairs, dependence, differences):
    columns = dependence.shape[0] + 1
    for v in range(voxels.size):
        at = voxels[v]
        own = np.int64(levels[at])
        rank = ranks[own]
        row = rank * columns
        total = np.int64(0)
        count = np.int64(0)
        alike = np.int64(0)
        for s in range(steps.size):
            # Outside the organ the level is 0 and its rank one more column, so that no branch is needed.
            ahead = np.int64(levels[at + steps[s]])
            behind = np.int64(levels[at - steps[s]])
            pairs[s, row + ranks[ahead]] += 1
            total += ahead + behind
            count += (ahead > 0) + (behind > 0)
            alike += ((abs(ahead - own) <= alpha) & (ahead > 0)) + ((abs(behind - own) <= alpha) & (behind > 0))
        dependence[rank, alike] += 1
        differences[rank, 0] += 1.0
        if count > 0:
            differences[rank, 1] += abs(own - total / count)


def run_counts(grid: LevelGrid, offsets: np.ndarray, longest: int) -> np.ndarray:
    """Runs of one level along every direction.

    Parameters
    ----------
    grid : LevelGrid
    offsets : ndarray of int, shape (n_offsets, 3)
        Steps (z, y, x) of distance 1, one of each pair of opposite directions, forward in array order.
    longest : int
        Longest run that the box allows.

    Returns
    -------
    ndarray of int32, shape (n_offsets, n_levels, longest)
        Runs by level and length, from 1.
    """
    n = grid.present.size
    counts = np.zeros((len(offsets), n * (longest + 1)), dtype=np.int32)
    lengths = np.zeros((len(offsets), grid.levels.size), dtype=np.uint8 if longest < 256 else np.uint16)
    steps = grid.flat_steps(offsets)
    _count_runs(grid.levels, grid.ranks, grid.voxels, steps, lengths, counts)
    return counts.reshape(len(offsets), n, longest + 1)[:, :, 1:]


@compiled
def _count_runs(levels, ranks, voxels, steps, lengths, counts):
    # Steps lead forward in array order: the run behind a voxel is complete when the voxel is reached. Products instead
    # of branches, which the processor could not foresee.
    columns = counts.shape[1] // ranks[0]  # The rank of the outside is the number of levels.
    for v in range(voxels.size):
        at = voxels[v]
        own = levels[at]
        row = ranks[own] * columns
        for s in range(steps.size):
            length = np.int64(lengths[s, at - steps[s]]) * np.int64(levels[at - steps[s]] == own) + 1
            lengths[s, at] = length
            counts[s, row + length] += np.int32(levels[at + steps[s]] != own)


def zone_counts(grid: LevelGrid, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zones: connected voxels of one level.

    Parameters
    ----------
    grid : LevelGrid
    offsets : ndarray of int, shape (n_offsets, 3)
        One of each pair of opposite steps, of distance 1.

    Returns
    -------
    counts : ndarray of int64, shape (n_levels, n_sizes)
        Zones by level and size.
    sizes : ndarray of int64, shape (n_sizes,)
        Sizes that occur, voxels, ascending.
    """
    # Faces first, then edges and corners: a near neighbour touches most others.
    ordered = offsets[np.argsort(np.abs(offsets).sum(axis=1), kind="stable")]
    apart = np.abs(ordered[:, None, :] - ordered[None, :, :]).max(axis=2)
    touching = (apart <= 1) @ (1 << np.arange(len(ordered)))
    ranks, sizes = _find_zones(grid.levels, grid.ranks, grid.voxels, grid.flat_steps(ordered), touching)
    distinct, column = np.unique(sizes, return_inverse=True)
    counts = np.bincount(
        ranks.astype(np.int64) * distinct.size + column, minlength=grid.present.size * distinct.size
    ).reshape(grid.present.size, distinct.size)
    return counts, distinct.astype(np.int64)


@compiled
def _find_zones(levels, ranks, voxels, steps, touching):
    """Level rank and size of every zone, by union-find over provisional labels.

    Bit t of ``touching[s]`` says that neighbours s and t touch each other: where both have the voxel's level they are
    in one zone already, and only one of them needs to be looked at.
    """
    label = np.zeros(levels.size, dtype=np.int32)
    parent = np.empty(voxels.size + 1, dtype=np.int32)
    sizes = np.zeros(voxels.size + 1, dtype=np.int32)
    zone_rank = np.empty(voxels.size + 1, dtype=np.int32)
    everybody = (1 << steps.size) - 1
    used = 0
    for v in range(voxels.size):
        at = voxels[v]
        own = levels[at]
        mine = 0
        settled = 0
        for s in range(steps.size):
            if levels[at - steps[s]] != own or (settled >> s) & 1:
                continue
            settled |= touching[s]
            other = label[at - steps[s]]
            while parent[other] != other:
                parent[other] = parent[parent[other]]
                other = parent[other]
            if mine == 0:
                mine = other
            elif other < mine:
                # The older label wins, so that parents never point forward.
                parent[mine] = other
                mine = other
            elif other > mine:
                parent[other] = mine
            if settled == everybody:
                break
        if mine == 0:
            used += 1
            mine = used
            parent[mine] = mine
            zone_rank[mine] = ranks[own]
        label[at] = mine
        sizes[mine] += 1
    for z in range(used, 0, -1):
        if parent[z] != z:
            sizes[parent[z]] += sizes[z]
    zones = 0
    for z in range(1, used + 1):
        if parent[z] == z:
            sizes[zones] = sizes[z]
            zone_rank[zones] = zone_rank[z]
            zones += 1
    return zone_rank[:zones], sizes[:zones]


# --- matrices of an array, for small examples ------------------------------------------------------------------------


def co_occurrence_matrices(levels: np.ndarray, offsets: np.ndarray, symmetrical: bool = True) -> np.ndarray:
    """Grey-level co-occurrence matrices (IBSI: GLCM), one a direction.

    Parameters
    ----------
    levels : ndarray of int, shape (z, y, x)
        Grey levels from 1; 0 outside the organ.
    offsets : ndarray of int, shape (n, 3)
        Steps (z, y, x).
    symmetrical : bool
        Whether pairs are counted both ways.

    Returns
    -------
    ndarray of int64, shape (n, n_grey, n_grey)
        Row: level of a voxel, from 1; column: level of its neighbour.

    References
    ----------
    Haralick and others, IEEE Transactions on Systems, Man and Cybernetics 1973;3:610-621.
    """
    grid = LevelGrid.of(levels, _margin(offsets))
    pairs, _, _ = neighbour_counts(grid, offsets)
    full = np.zeros((len(offsets), int(levels.max()), int(levels.max())), dtype=np.int64)
    full[np.ix_(np.arange(len(offsets)), grid.present - 1, grid.present - 1)] = pairs
    return full + full.transpose(0, 2, 1) if symmetrical else full


def run_length_matrix(levels: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Grey-level run-length matrix (IBSI: GLRLM) of one direction.

    Parameters
    ----------
    levels : ndarray of int, shape (z, y, x)
        Grey levels from 1; 0 outside the organ.
    offset : ndarray of int, shape (3,)
        Step (z, y, x), each part -1, 0 or 1.

    Returns
    -------
    ndarray of int64, shape (n_grey, longest edge)
        Row: level, from 1; column: length of the run, from 1.

    References
    ----------
    Galloway, Computer Graphics and Image Processing 1975;4:172-179.
    """
    grid = LevelGrid.of(levels)
    forward = offset if tuple(offset) > (0, 0, 0) else -np.asarray(offset)
    return _all_levels(run_counts(grid, np.array([forward]), max(levels.shape))[0], grid, levels)


def size_zone_matrix(levels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Grey-level size-zone matrix (IBSI: GLSZM).

    Parameters
    ----------
    levels : ndarray of int, shape (z, y, x)
        Grey levels from 1; 0 outside the organ.
    offsets : ndarray of int, shape (n, 3)
        One of each pair of opposite steps that connect voxels.

    Returns
    -------
    ndarray of int64, shape (n_grey, largest zone)
        Row: level, from 1; column: voxels of the zone, from 1.

    References
    ----------
    Thibault and others, Advanced Texture Analysis Feature for Tumour Grading, 2009.
    """
    grid = LevelGrid.of(levels)
    counts, sizes = zone_counts(grid, offsets)
    dense = np.zeros((grid.present.size, int(sizes.max())), dtype=np.int64)
    dense[:, sizes - 1] = counts
    return _all_levels(dense, grid, levels)


def dependence_matrix(levels: np.ndarray, offsets: np.ndarray, alpha: int = 0) -> np.ndarray:
    """Grey-level dependence matrix (IBSI: NGLDM).

    Parameters
    ----------
    levels : ndarray of int, shape (z, y, x)
        Grey levels from 1; 0 outside the organ.
    offsets : ndarray of int, shape (n, 3)
        One of each pair of opposite steps to neighbours.
    alpha : int
        Difference of levels up to which a neighbour is dependent.

    Returns
    -------
    ndarray of int64, shape (n_grey, 2 n + 1)
        Row: level, from 1; column: the voxel itself and its dependent neighbours, from 1.

    References
    ----------
    Sun and Wee, Computer Vision, Graphics and Image Processing 1983;23:341-352.
    """
    grid = LevelGrid.of(levels, _margin(offsets))
    _, dependence, _ = neighbour_counts(grid, offsets, alpha)
    return _all_levels(dependence, grid, levels)


def neighbourhood_difference(levels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Neighbourhood grey-tone differences (IBSI: NGTDM).

    Parameters
    ----------
    levels : ndarray of int, shape (z, y, x)
        Grey levels from 1; 0 outside the organ.
    offsets : ndarray of int, shape (n, 3)
        One of each pair of opposite steps to neighbours.

    Returns
    -------
    ndarray of float64, shape (n_grey, 2)
        Row: level, from 1; columns: its voxels, and the sum of their absolute differences from the mean of their
        neighbours.

    References
    ----------
    Amadasun and King, IEEE Transactions on Systems, Man and Cybernetics 1989;19:1264-1274.
    """
    grid = LevelGrid.of(levels, _margin(offsets))
    _, _, differences = neighbour_counts(grid, offsets)
    return _all_levels(differences, grid, levels)


def _margin(offsets: np.ndarray) -> int:
    return int(np.abs(offsets).max(initial=1))


def _all_levels(rows: np.ndarray, grid: LevelGrid, levels: np.ndarray) -> np.ndarray:
    full = np.zeros((int(levels.max()), rows.shape[1]), dtype=rows.dtype)
    full[grid.present - 1] = rows
    return full
