"""Grey-level matrices of an organ, filled by compiled loops over its voxels.

A `LevelGrid` holds the grey levels with a margin of zeros, so that a neighbour is one addition away and never outside
the array. Every loop runs without the interpreter's lock and is compiled once a machine, then read from disk. The loops
are our own, because no library counts as fast (`hccbook.features.radiomics.fast_engine`).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numba
import numpy as np

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
"""How every loop of the fast engine is compiled."""

_LANES = 16
"""Voxels that the processor compares at once; rows are worked on in multiples of it, a little beyond their end."""


def neighbour_offsets(
    shape: tuple[int, int, int], distances: tuple[int, ...] = (1,), force_2d: bool = False, force_2d_axis: int = 0
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
    steps = np.indices((2 * reach + 1,) * 3).reshape(3, -1).T - reach
    steps = steps[len(steps) // 2 + 1 :]  # In array order, the second half is the opposite of the first.
    wanted = np.isin(np.abs(steps).max(axis=1), distances) & (np.abs(steps) < shape).all(axis=1)
    if force_2d:
        wanted &= steps[:, force_2d_axis] == 0
    return steps[wanted]


def run_offsets(organ: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Steps along which runs are counted: those with two voxels of the organ, or more, on one line.

    Parameters
    ----------
    organ : ndarray of bool, shape (z, y, x)
    offsets : ndarray of int, shape (n, 3)
        Steps (z, y, x) of distance 1, forward in array order.

    Returns
    -------
    ndarray of int, shape (m, 3)
        Fewer than `offsets` for an organ of scattered voxels only, as in PyRadiomics.
    """
    box = np.pad(organ, 1)
    flat = box.ravel()
    steps = offsets @ (np.array(box.strides) // box.itemsize)
    kept = [
        bool((flat[step:] & flat[:-step]).any()) or _share_a_line(np.argwhere(organ), offset)
        for step, offset in zip(steps, offsets, strict=True)
    ]
    return offsets[np.array(kept, dtype=bool)]


def _share_a_line(voxels: np.ndarray, step: np.ndarray) -> bool:
    along = int(np.flatnonzero(step)[0])
    starts = voxels - np.outer(voxels[:, along] * step[along], step)
    return len(np.unique(starts, axis=0)) < len(voxels)


class LevelGrid(NamedTuple):
    """Grey levels of an organ in the form that the loops take.

    Attributes
    ----------
    levels : ndarray of uint16, shape (n,)
        The organ's box with a margin, flattened, and a few voxels more; 0 outside the organ.
    ranks : ndarray of uint16, shape (n,)
        Place of every voxel's level in `present`, from 1; 0 outside. The same array as `levels` if no level is missing.
    places : VoxelPlaces
        Where the organ's voxels are in both.
    present : ndarray of int64, shape (n_levels,)
        Grey levels that occur, ascending, from 1.
    counts : ndarray of int64, shape (n_levels,)
        Voxels of each.
    """

    levels: np.ndarray
    ranks: np.ndarray
    places: VoxelPlaces
    present: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, levels: np.ndarray, offsets: np.ndarray) -> LevelGrid:
        """Grid of an array (z, y, x) of grey levels, 0 outside the organ, for steps (n, 3) that will be taken on it."""
        levels = np.asarray(levels)
        places = VoxelPlaces.of(levels > 0, int(np.abs(offsets).max(initial=1)))
        return places.grid(levels[levels > 0].astype(np.uint16))


class VoxelPlaces(NamedTuple):
    """Where the voxels of an organ lie in a box with a margin; shared by all filtered images of an organ.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_rows, 2)
        Stretches of the organ along x, in array order: the first voxel's place in the flattened box, and the number of
        voxels. What is done alike for all voxels of a row, the processor does for many at once.
    longest : int
        Voxels of the longest row, as the loops work on it.
    size, plane, line : int
        Voxels of the box, of one slice of it and of one line along x.
    """

    rows: np.ndarray
    longest: int
    size: int
    plane: int
    line: int

    @classmethod
    def of(cls, organ: np.ndarray, margin: int) -> VoxelPlaces:
        """Places of a mask (z, y, x)."""
        box = np.pad(organ, margin)
        flat = box.ravel()
        # The margin parts the rows, so that the flattened box changes at their ends only.
        starts, stops = (np.flatnonzero(flat[1:] != flat[:-1]) + 1).reshape(-1, 2).T
        longest = -(-int((stops - starts).max(initial=0)) // _LANES) * _LANES
        return cls(np.stack([starts, stops - starts], axis=1), longest, box.size, box[0].size, box.shape[2])

    def steps(self, offsets: np.ndarray) -> np.ndarray:
        """Distance in the flattened box, slices and distance within a slice of every step (z, y, x)."""
        within = offsets @ np.array([0, self.line, 1])
        return np.stack([offsets[:, 0] * self.plane + within, offsets[:, 0], within], axis=1)

    def grid(self, levels: np.ndarray) -> LevelGrid:
        """Grid of the voxels' grey levels, in array order."""
        counts = np.zeros(int(levels.max()) + 1, dtype=np.int64)
        box = np.zeros(self.size + _LANES, dtype=np.uint16)
        _place(levels, self.rows, box, counts)
        present = np.flatnonzero(counts)
        ranks = box
        if present.size < counts.size - 1:
            rank = np.zeros(counts.size, dtype=np.uint16)
            rank[present] = np.arange(1, present.size + 1)
            ranks = rank[box]
        return LevelGrid(box, ranks, self, present, counts[present])


@compiled
def _place(levels, rows, box, counts):
    v = 0
    for r in range(rows.shape[0]):
        row = box[rows[r, 0] : rows[r, 0] + rows[r, 1]]
        for i in range(row.size):
            row[i] = levels[v + i]
        for i in range(row.size):
            counts[row[i]] += 1
        v += row.size


@compiled
def _lanes(size):
    """The next multiple of `_LANES`; unsigned."""
    return (size + np.uint64(_LANES - 1)) // np.uint64(_LANES) * np.uint64(_LANES)


# --- matrices of a grid ----------------------------------------------------------------------------------------------


def pair_and_run_counts(grid: LevelGrid, offsets: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Co-occurrence and runs along every direction, in one pass.

    Parameters
    ----------
    grid : LevelGrid
    offsets : ndarray of int, shape (n_offsets, 3)
        Steps (z, y, x), one of each pair of opposite directions, forward in array order.
    longest : int
        Longest run that the box allows.

    Returns
    -------
    pairs : ndarray of int32, shape (n_offsets, n_levels, n_levels)
        Pairs (voxel, voxel one step on), not yet symmetrical.
    runs : ndarray of int32, shape (n_offsets, n_levels, longest)
        Runs by level and length, from 1.
    """
    n = grid.present.size
    counts = _count_runs(grid, grid.places.steps(offsets), longest)
    pairs = counts[:, :, 1 : n + 1].transpose(0, 2, 1).copy()
    runs = np.empty((len(offsets), n, longest), dtype=np.int32)
    # So many runs have a length or more as voxels are the so-manieth of their run.
    runs[:, :, 1:] = counts[:, :, n + 1 :]
    pairs[:, np.arange(n), np.arange(n)] = runs[:, :, 1:].sum(axis=2)
    runs[:, :, 0] = grid.counts - runs[:, :, 1:].sum(axis=2)
    runs[:, :, :-1] -= runs[:, :, 1:]
    return pairs, runs


@compiled
def _count_runs(grid, steps, longest):
    """Voxels by step, rank and what lies behind them: a voxel of another rank, or a run of the same so long already.

    Column 0 stands for the outside, r for rank r, and ``n_levels + k`` for a voxel that k of its rank precede.
    """
    ranks, rows, plane = grid.ranks, grid.places.rows, grid.places.plane
    width = grid.present.size + longest
    counts = np.zeros((steps.shape[0], grid.present.size, width), dtype=np.int32)
    # A run is followed from slice to slice: older ones are not needed.
    slices = 1
    for s in range(steps.shape[0]):
        slices = max(slices, steps[s, 1] + 1)
    slot = plane + _LANES
    column, count = np.empty(steps.shape[0] * slices * slot, dtype=np.uint16), counts.reshape(-1)
    no_run, one = np.uint16(grid.present.size), np.uint16(1)
    for r in range(rows.shape[0]):
        # Places are unsigned: a signed one could count from the end, and the loops would not be vectorised.
        own, size = np.uint64(rows[r, 0]), np.uint64(rows[r, 1])
        # What is written beyond a row's end is overwritten before it is read, or never read.
        lanes = _lanes(size)
        z = rows[r, 0] // plane
        at = rows[r, 0] - z * plane
        now = z % slices
        for s in range(steps.shape[0]):
            step, across, within = steps[s]
            then = now - across if across <= now else now - across + slices
            behind = np.uint64(rows[r, 0] - step)
            before = np.uint64((s * slices + then) * slot + at - within)
            here = np.uint64((s * slices + now) * slot + at)
            if step == 1:
                last = np.uint16(0)
                for i in range(size):
                    rank = ranks[behind + i]
                    last = np.uint16(max(last, no_run) + one) if rank == ranks[own + i] else rank
                    column[here + i] = last
            else:
                for i in range(lanes):
                    rank, last = ranks[behind + i], column[before + i]
                    # All bits of `alike` or none: a choice between two places to write would keep processors without
                    # AVX-512 from doing it for many voxels at once.
                    alike = np.uint16(-np.int16(rank == ranks[own + i]))
                    column[here + i] = rank ^ ((rank ^ np.uint16(max(last, no_run) + one)) & alike)
        for i in range(size):
            row = np.uint64(ranks[own + i] - one) * np.uint64(width)
            place = np.uint64(now * slot + at) + i
            for _ in range(steps.shape[0]):
                count[row + np.uint64(column[place])] += 1
                row += np.uint64(grid.present.size * width)
                place += np.uint64(slices * slot)
    return counts


def neighbour_counts(grid: LevelGrid, offsets: np.ndarray, alpha: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Dependence and neighbourhood differences, in one pass.

    Parameters
    ----------
    grid : LevelGrid
    offsets : ndarray of int, shape (n_offsets, 3)
        One of each pair of opposite steps.
    alpha : int
        Difference of levels up to which a neighbour is dependent.

    Returns
    -------
    dependence : ndarray of int64, shape (n_levels, 2 n_offsets + 1)
        Voxels by level and number of dependent neighbours, from 0.
    differences : ndarray of float64, shape (n_levels, 2)
        Voxels of a level, and the sum of their absolute differences from the mean of their neighbours; a voxel
        without neighbours adds 0.
    """
    return _compare_neighbours(grid, grid.places.steps(offsets), min(alpha, int(grid.present[-1])))


@compiled
def _compare_neighbours(grid, steps, alpha):
    levels, ranks, rows, longest = grid.levels, grid.ranks, grid.places.rows, grid.places.longest
    dependence = np.zeros((grid.present.size, 2 * steps.shape[0] + 1), dtype=np.int64)
    differences = np.zeros((grid.present.size, 2))
    differences[:, 0] = grid.counts
    totals = np.empty(longest, dtype=np.uint32)
    nears = np.empty(longest, dtype=np.uint16)
    alikes = np.empty(longest, dtype=np.uint16)
    aways = np.empty(longest)
    below = np.uint16(alpha)
    span = np.uint16(2 * alpha)
    for r in range(rows.shape[0]):
        own, size = np.uint64(rows[r, 0]), np.uint64(rows[r, 1])
        lanes = _lanes(size)
        for i in range(lanes):
            totals[i] = 0
            nears[i] = 0
            alikes[i] = 0
        for s in range(steps.shape[0]):
            ahead, behind = np.uint64(rows[r, 0] + steps[s, 0]), np.uint64(rows[r, 0] - steps[s, 0])
            for i in range(lanes):
                a, b = levels[ahead + i], levels[behind + i]
                totals[i] += np.uint32(a) + np.uint32(b)
                nears[i] += np.uint16(a > 0) + np.uint16(b > 0)
                # Differences below -alpha wrap around and are large.
                lowest = np.uint16(levels[own + i] - below)
                alikes[i] += np.uint16((np.uint16(a - lowest) <= span) & (a > 0))
                alikes[i] += np.uint16((np.uint16(b - lowest) <= span) & (b > 0))
        for i in range(lanes):
            aways[i] = abs(np.float64(levels[own + i]) - totals[i] / nears[i]) if nears[i] > 0 else 0.0
        for i in range(size):
            rank = ranks[own + i] - np.uint16(1)
            dependence[rank, alikes[i]] += 1
            differences[rank, 1] += aways[i]
    return dependence, differences


def zone_counts(grid: LevelGrid, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zones: connected voxels of one level.

    Parameters
    ----------
    grid : LevelGrid
    offsets : ndarray of int, shape (n_offsets, 3)
        As of `pair_and_run_counts`, of distance 1.

    Returns
    -------
    counts : ndarray of int64, shape (n_levels, n_sizes)
        Zones by level and size.
    sizes : ndarray of int64, shape (n_sizes,)
        Sizes that occur, voxels, ascending.
    """
    chosen = _one_of_each_group(tuple(map(tuple, offsets.tolist())))
    ranks, sizes = _find_zones(grid, grid.places.steps(offsets), chosen)
    return _count_zones(ranks, sizes, grid.present.size)


@compiled
def _count_zones(ranks, sizes, levels):
    """Zones by rank and size, and the sizes that occur."""
    column = np.zeros(sizes.max() + 1, dtype=np.int32)
    for z in range(sizes.size):
        column[sizes[z]] = 1
    distinct = np.flatnonzero(column)
    column[distinct] = np.arange(distinct.size)
    counts = np.zeros((levels, distinct.size), dtype=np.int64)
    for z in range(sizes.size):
        counts[ranks[z] - 1, column[sizes[z]]] += 1
    return counts, distinct


@functools.cache
def _one_of_each_group(offsets: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """For every set of neighbours, written as bits, one neighbour of each group that hangs together.

    Neighbours that have the voxel's level and touch each other are in one zone already: one of them is looked at. The
    chosen ones are written as their number plus 1, four bits each; there are at most four, because neighbours behind a
    voxel in two slices that do not touch lie in different quarters.
    """
    steps = np.array(offsets, dtype=np.int64).reshape(-1, 3)
    apart = np.abs(steps[:, None, :] - steps[None, :, :]).max(axis=2)
    return _choose((apart <= 1) @ (1 << np.arange(len(steps))))


@compiled
def _choose(touching):
    chosen = np.zeros(1 << touching.size, dtype=np.uint16)
    for members in range(chosen.size):
        left = members
        packed = 0
        while left != 0:
            first = 0
            while (left >> first) & 1 == 0:
                first += 1
            packed = packed << 4 | first + 1
            group = touching[first] & left
            before = 0
            while before != group:
                before = group
                for s in range(touching.size):
                    if (before >> s) & 1:
                        group |= touching[s] & left
            left &= ~group
        chosen[members] = packed
    return chosen


@compiled
def _find_zones(grid, steps, chosen):
    """Rank and size of every zone, by union-find over provisional labels."""
    ranks, rows, plane = grid.ranks, grid.places.rows, grid.places.plane
    voxels = grid.counts.sum()
    label = np.empty(2 * plane, dtype=np.int32)  # Of this slice and the one before.
    parent = np.empty(voxels + 1, dtype=np.int32)
    sizes = np.empty(voxels + 1, dtype=np.int32)
    zone_rank = np.empty(voxels + 1, dtype=np.uint16)
    alike = np.empty(grid.places.longest, dtype=np.uint16)
    places = np.empty(steps.shape[0] + 1, dtype=np.uint64)
    used = 0
    for r in range(rows.shape[0]):
        own, size = np.uint64(rows[r, 0]), np.uint64(rows[r, 1])
        z = rows[r, 0] // plane
        at = rows[r, 0] - z * plane
        here = np.uint64(z % 2 * plane + at)
        for s in range(steps.shape[0]):
            places[s + 1] = (z - steps[s, 1]) % 2 * plane + at - steps[s, 2]
        _compare_row(ranks, rows[r], steps, alike)
        for i in range(size):
            near = chosen[alike[i]]
            if near == 0:
                used += 1
                mine = used
                parent[mine] = mine
                sizes[mine] = 0
                zone_rank[mine] = ranks[own + i]
            else:
                mine = label[places[near & 15] + i]
                near >>= 4
                while near != 0:
                    mine = _join(parent, mine, label[places[near & 15] + i])
                    near >>= 4
            label[here + i] = mine
            sizes[mine] += 1
    zones = _gather(parent, sizes, used)
    return zone_rank[zones], sizes[zones]


@compiled
def _compare_row(ranks, row, steps, alike):
    """Which neighbours behind have the rank of the row's voxels, as bits into `alike`."""
    own, no = np.uint64(row[0]), np.uint16(0)
    lanes = _lanes(np.uint64(row[1]))
    for i in range(lanes):
        alike[i] = 0
    for s in range(0, steps.shape[0], 2):
        # Two neighbours at a time, because what was just written is slow to read again; an odd one goes twice.
        t = min(s + 1, steps.shape[0] - 1)
        one, other = np.uint64(row[0] - steps[s, 0]), np.uint64(row[0] - steps[t, 0])
        bit, other_bit = np.uint16(1 << s), np.uint16(1 << t)
        for i in range(lanes):
            rank = ranks[own + i]
            alike[i] |= (bit if ranks[one + i] == rank else no) | (other_bit if ranks[other + i] == rank else no)


@compiled
def _gather(parent, sizes, used):
    """Add the sizes of joined labels up, and return the labels that stand for a zone."""
    for z in range(used, 0, -1):
        if parent[z] != z:
            sizes[parent[z]] += sizes[z]
    return np.flatnonzero(parent[1 : used + 1] == np.arange(1, used + 1)) + 1


@compiled
def _join(parent, one, other):
    """Put two labels' zones into one, and return its label."""
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    while parent[other] != other:
        parent[other] = parent[parent[other]]
        other = parent[other]
    # The older label wins, so that parents never point forward.
    older, newer = min(one, other), max(one, other)
    parent[newer] = older
    return older


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
    grid = LevelGrid.of(levels, offsets)
    pairs, _ = pair_and_run_counts(grid, offsets, max(levels.shape))
    full = np.zeros((len(offsets), int(levels.max()), int(levels.max())), dtype=np.int64)
    full[np.ix_(np.arange(len(offsets)), grid.present - 1, grid.present - 1)] = pairs
    return full + full.transpose(0, 2, 1) if symmetrical else full


def run_length_matrix(levels: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Grey-level run-length matrix (IBSI: GLRLM) of one direction.

    Parameters
    ----------
    levels
        As of `co_occurrence_matrices`.
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
    offsets = np.array([offset if tuple(offset) > (0, 0, 0) else -np.asarray(offset)])
    grid = LevelGrid.of(levels, offsets)
    _, runs = pair_and_run_counts(grid, offsets, max(levels.shape))
    return _all_levels(runs[0], grid, levels)


def size_zone_matrix(levels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Grey-level size-zone matrix (IBSI: GLSZM).

    Parameters
    ----------
    levels, offsets
        As of `co_occurrence_matrices`; one of each pair of opposite steps.

    Returns
    -------
    ndarray of int64, shape (n_grey, largest zone)
        Row: level, from 1; column: voxels of the zone, from 1.

    References
    ----------
    Thibault and others, Advanced Texture Analysis Feature for Tumour Grading, 2009.
    """
    grid = LevelGrid.of(levels, offsets)
    counts, sizes = zone_counts(grid, offsets)
    dense = np.zeros((grid.present.size, int(sizes.max())), dtype=np.int64)
    dense[:, sizes - 1] = counts
    return _all_levels(dense, grid, levels)


def dependence_matrix(levels: np.ndarray, offsets: np.ndarray, alpha: int = 0) -> np.ndarray:
    """Grey-level dependence matrix (IBSI: NGLDM).

    Parameters
    ----------
    levels, offsets
        As of `co_occurrence_matrices`; one of each pair of opposite steps.
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
    grid = LevelGrid.of(levels, offsets)
    dependence, _ = neighbour_counts(grid, offsets, alpha)
    return _all_levels(dependence, grid, levels)


def neighbourhood_difference(levels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Neighbourhood grey-tone differences (IBSI: NGTDM).

    Parameters
    ----------
    levels, offsets
        As of `co_occurrence_matrices`; one of each pair of opposite steps.

    Returns
    -------
    ndarray of float64, shape (n_grey, 2)
        Row: level, from 1; columns: its voxels, and the sum of their absolute differences from the mean of their
        neighbours.

    References
    ----------
    Amadasun and King, IEEE Transactions on Systems, Man and Cybernetics 1989;19:1264-1274.
    """
    grid = LevelGrid.of(levels, offsets)
    _, differences = neighbour_counts(grid, offsets)
    return _all_levels(differences, grid, levels)


def _all_levels(rows: np.ndarray, grid: LevelGrid, levels: np.ndarray) -> np.ndarray:
    full = np.zeros((int(levels.max()), rows.shape[1]), dtype=rows.dtype)
    full[grid.present - 1] = rows
    return full
