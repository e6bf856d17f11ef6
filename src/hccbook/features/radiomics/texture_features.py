"""Features of grey-level matrices, as PyRadiomics 3.0.1 defines them.

Each function takes the counts of `hccbook.features.radiomics.texture_matrices` and returns values by feature name.
Levels that do not occur are left out of the matrices; what depends on their number (Idn, Idmn) takes the largest level.
"""

from __future__ import annotations

import warnings

import numpy as np

from hccbook.features.radiomics.texture_matrices import compiled

EPSILON = float(np.spacing(1.0))
"""Added under logarithms, as PyRadiomics does."""

_LARGE = 20
"""Levels from which the symmetric solver is the faster one."""

_CO_OCCURRENCE = (
    *("Autocorrelation", "JointAverage", "ClusterProminence", "ClusterShade", "ClusterTendency", "Contrast"),
    *("Correlation", "DifferenceAverage", "DifferenceEntropy", "DifferenceVariance", "JointEnergy", "JointEntropy"),
    *("Imc1", "Imc2", "Idm", "Idmn", "Id", "Idn", "InverseVariance", "MaximumProbability", "SumAverage"),
    *("SumEntropy", "SumSquares"),
)

# What a matrix of levels against sizes yields, and what each feature class calls it.
_SIZE_STATISTICS = (
    *("level_non_uniformity", "level_non_uniformity_normalized", "level_variance", "high_level", "low_level"),
    *("large", "small", "large_high", "large_low", "small_high", "small_low"),
    *("size_non_uniformity", "size_non_uniformity_normalized", "size_variance", "entropy", "percentage"),
)
_RUN_LENGTH = dict(
    level_non_uniformity="GrayLevelNonUniformity",
    level_non_uniformity_normalized="GrayLevelNonUniformityNormalized",
    level_variance="GrayLevelVariance",
    high_level="HighGrayLevelRunEmphasis",
    low_level="LowGrayLevelRunEmphasis",
    large="LongRunEmphasis",
    small="ShortRunEmphasis",
    large_high="LongRunHighGrayLevelEmphasis",
    large_low="LongRunLowGrayLevelEmphasis",
    small_high="ShortRunHighGrayLevelEmphasis",
    small_low="ShortRunLowGrayLevelEmphasis",
    size_non_uniformity="RunLengthNonUniformity",
    size_non_uniformity_normalized="RunLengthNonUniformityNormalized",
    size_variance="RunVariance",
    entropy="RunEntropy",
    percentage="RunPercentage",
)
_SIZE_ZONE = dict(
    level_non_uniformity="GrayLevelNonUniformity",
    level_non_uniformity_normalized="GrayLevelNonUniformityNormalized",
    level_variance="GrayLevelVariance",
    high_level="HighGrayLevelZoneEmphasis",
    low_level="LowGrayLevelZoneEmphasis",
    large="LargeAreaEmphasis",
    small="SmallAreaEmphasis",
    large_high="LargeAreaHighGrayLevelEmphasis",
    large_low="LargeAreaLowGrayLevelEmphasis",
    small_high="SmallAreaHighGrayLevelEmphasis",
    small_low="SmallAreaLowGrayLevelEmphasis",
    size_non_uniformity="SizeZoneNonUniformity",
    size_non_uniformity_normalized="SizeZoneNonUniformityNormalized",
    size_variance="ZoneVariance",
    entropy="ZoneEntropy",
    percentage="ZonePercentage",
)
_DEPENDENCE = dict(
    level_non_uniformity="GrayLevelNonUniformity",
    level_variance="GrayLevelVariance",
    high_level="HighGrayLevelEmphasis",
    low_level="LowGrayLevelEmphasis",
    large="LargeDependenceEmphasis",
    small="SmallDependenceEmphasis",
    large_high="LargeDependenceHighGrayLevelEmphasis",
    large_low="LargeDependenceLowGrayLevelEmphasis",
    small_high="SmallDependenceHighGrayLevelEmphasis",
    small_low="SmallDependenceLowGrayLevelEmphasis",
    size_non_uniformity="DependenceNonUniformity",
    size_non_uniformity_normalized="DependenceNonUniformityNormalized",
    size_variance="DependenceVariance",
    entropy="DependenceEntropy",
)


def co_occurrence_features(
    pairs: np.ndarray, levels: np.ndarray, symmetrical: bool = True, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Features of co-occurrence matrices, averaged over directions.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_directions, n_levels, n_levels)
        Pairs counted one way.
    levels : ndarray of int, shape (n_levels,)
        Grey levels of rows and columns, ascending.
    symmetrical : bool
        Whether pairs are counted both ways.
    weights : ndarray of float, shape (n_directions,), optional
        Weights with which the directions' matrices are summed into one; features of each are averaged if absent.

    Returns
    -------
    dict of str to float
        24 features; NaN where no direction has a pair (``MCC`` is 1 even then if there is one level only).

    Notes
    -----
    ``MCC``, the maximal correlation coefficient, is the root of the second largest eigenvalue of a matrix that is not
    symmetric. Where that eigenvalue is 0, rounding may make it negative; then the direction is left out, as in
    PyRadiomics.

    References
    ----------
    PyRadiomics 3.0.1, feature class GLCM; IBSI reference manual, section 3.6.
    """
    grey = levels.astype(float)
    matrices = pairs.astype(float)
    if weights is not None:
        matrices = np.tensordot(weights, matrices, axes=1)[None]
    if symmetrical:
        matrices = matrices + matrices.transpose(0, 2, 1)
    totals = matrices.sum(axis=(1, 2), keepdims=True)
    shares = matrices[totals.ravel() > 0] / totals[totals.ravel() > 0]
    if not len(shares):
        alone = 1.0 if grey.size == 1 else np.nan
        return dict.fromkeys(_CO_OCCURRENCE, np.nan) | {"MCC": alone}
    rows = np.array([_co_occurrence_statistics(share, grey, EPSILON) for share in shares])
    values = dict(zip(_CO_OCCURRENCE, _mean_of_directions(rows).tolist(), strict=True))
    values["MCC"] = _maximal_correlation(shares, symmetrical)
    return values


def _mean_of_directions(rows: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # A feature that is NaN in every direction stays NaN.
        return np.nanmean(rows, axis=0)


def _maximal_correlation(shares: np.ndarray, symmetrical: bool) -> float:
    if shares.shape[1] < 2:
        return 1.0
    if symmetrical and shares.shape[1] >= _LARGE:
        second = _second_eigenvalues_of_large(shares)
        lost = np.isnan(second)
        if lost.any():
            second[lost] = _second_eigenvalues(shares[lost]).real
    else:
        second = _second_eigenvalues(shares)
    with np.errstate(invalid="ignore"):
        roots = np.sqrt(second)
    return float(_mean_of_directions(roots[:, None])[0].real)


def _second_eigenvalues(shares: np.ndarray) -> np.ndarray:
    """Second largest eigenvalue of sum_k p(i, k) p(j, k) / (p_x(i) p_y(k)), for every direction."""
    margins = shares.sum(axis=2)[:, :, None] * shares.sum(axis=1)[:, None, :]
    eigenvalues = np.linalg.eigvals((shares / (margins + EPSILON)) @ shares.transpose(0, 2, 1))
    eigenvalues.sort()
    return eigenvalues[:, -2]


def _second_eigenvalues_of_large(shares: np.ndarray) -> np.ndarray:
    """The same from symmetric matrices, which costs a third; NaN where that cannot be trusted.

    But for EPSILON in the divisor the eigenvalues would be the squares of those of the symmetric
    ``a = p(i, j) / sqrt(p_x(i) p_x(j))``. EPSILON adds a small matrix; its first order is added here, and where its
    second order could matter, the direction is left to the general solver.
    """
    rows = shares.sum(axis=2)
    margins = rows[:, :, None] * rows[:, None, :]
    # A level without neighbours in a direction has margins of 0, and shares of 0.
    symmetric = shares / np.sqrt(np.where(margins > 0, margins, 1))
    roots = np.linalg.eigvalsh(symmetric)
    order = np.argsort(np.abs(roots), axis=1)
    root, others = roots[np.arange(len(roots)), order[:, -2]], np.sort(np.abs(roots), axis=1)
    gap = np.minimum(others[:, -1] ** 2 - root**2, root**2 - others[:, -3] ** 2)
    # Its eigenvector by inverse iteration, from a start that is like none of them.
    n = symmetric.shape[1]
    shifted = symmetric - (root + 1e-9)[:, None, None] * np.eye(n)
    vector = np.broadcast_to(np.cos(np.arange(n) ** 2.0)[:, None], (len(roots), n, 1))
    for _ in range(2):
        vector = np.linalg.solve(shifted, vector)
        vector = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    change = -(symmetric * (EPSILON / (margins + EPSILON))) @ vector
    second = root**2 + root * (vector * change).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        next_order = (change**2).sum(axis=(1, 2)) * np.abs(root) / gap
        trusted = (next_order < 1e-9 * second) & (second > 1e-9) & (gap > 1e-7)
    return np.where(trusted, second, np.nan)


@compiled
def _co_occurrence_statistics(p, grey, epsilon):
    n = grey.size
    largest = int(grey[n - 1])
    rows = np.zeros(n)
    columns = np.zeros(n)
    sums = np.zeros(2 * largest + 1)
    differences = np.zeros(largest)
    autocorrelation = energy = entropy = maximum = mean_row = mean_column = 0.0
    for i in range(n):
        for j in range(n):
            share = p[i, j]
            if share == 0.0:
                continue
            rows[i] += share
            columns[j] += share
            sums[int(grey[i] + grey[j])] += share
            differences[int(abs(grey[i] - grey[j]))] += share
            autocorrelation += share * grey[i] * grey[j]
            energy += share * share
            entropy -= share * np.log2(share + epsilon)
            maximum = max(maximum, share)
            mean_row += share * grey[i]
            mean_column += share * grey[j]

    prominence = shade = tendency = variance_row = variance_column = covariance = cross_entropy = 0.0
    for i in range(n):
        for j in range(n):
            share = p[i, j]
            if share == 0.0:
                continue
            away = grey[i] + grey[j] - mean_row - mean_column
            tendency += share * away**2
            shade += share * away**3
            prominence += share * away**4
            variance_row += share * (grey[i] - mean_row) ** 2
            variance_column += share * (grey[j] - mean_column) ** 2
            covariance += share * (grey[i] - mean_row) * (grey[j] - mean_column)
            cross_entropy -= share * np.log2(rows[i] * columns[j] + epsilon)

    spread = np.sqrt(variance_row) * np.sqrt(variance_column)
    correlation = 1.0 if spread == 0.0 else covariance / (spread + epsilon)

    entropy_rows = entropy_columns = product_entropy = 0.0
    for i in range(n):
        entropy_rows -= rows[i] * np.log2(rows[i] + epsilon)
        entropy_columns -= columns[i] * np.log2(columns[i] + epsilon)
        for j in range(n):
            product = rows[i] * columns[j]
            product_entropy -= product * np.log2(product + epsilon)
    widest = max(entropy_rows, entropy_columns)
    information_1 = 0.0 if widest == 0.0 else (entropy - cross_entropy) / widest
    information_2 = 0.0
    if product_entropy != entropy:
        # NaN where rounding makes the difference negative; the direction is then left out of the mean.
        information_2 = np.sqrt(1.0 - np.e ** (-2.0 * (product_entropy - entropy)))

    contrast = average = difference_entropy = inverse = inverse_2 = inverse_n = inverse_2n = inverse_variance = 0.0
    for k in range(largest):
        share = differences[k]
        if share == 0.0:
            continue
        contrast += share * k * k
        average += share * k
        difference_entropy -= share * np.log2(share + epsilon)
        inverse += share / (1.0 + k)
        inverse_2 += share / (1.0 + k * k)
        inverse_n += share / (1.0 + k / largest)
        inverse_2n += share / (1.0 + k * k / (largest * largest))
        if k > 0:
            inverse_variance += share / (k * k)
    difference_variance = 0.0
    for k in range(largest):
        difference_variance += differences[k] * (k - average) ** 2
    sum_average = sum_entropy = 0.0
    for k in range(2, 2 * largest + 1):
        sum_average += sums[k] * k
        sum_entropy -= sums[k] * np.log2(sums[k] + epsilon)

    return (
        autocorrelation,
        mean_row,
        prominence,
        shade,
        tendency,
        contrast,
        correlation,
        average,
        difference_entropy,
        difference_variance,
        energy,
        entropy,
        information_1,
        information_2,
        inverse_2,
        inverse_2n,
        inverse,
        inverse_n,
        inverse_variance,
        maximum,
        sum_average,
        sum_entropy,
        variance_row,
    )


def run_length_features(counts: np.ndarray, levels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """Features of run-length matrices, averaged over directions.

    Parameters
    ----------
    counts : ndarray of int, shape (n_directions, n_levels, longest run)
        Runs by level and length.
    levels : ndarray of int, shape (n_levels,)
        Grey levels, ascending.
    weights : ndarray of float, optional
        As for `co_occurrence_features`.

    Returns
    -------
    dict of str to float
        16 features; NaN if there is no direction.

    References
    ----------
    PyRadiomics 3.0.1, feature class GLRLM; IBSI reference manual, section 3.7.
    """
    if weights is not None:
        counts = np.tensordot(weights, counts, axes=1)[None]
    rows = np.array([_statistics(matrix, levels) for matrix in counts]).reshape(-1, len(_SIZE_STATISTICS))
    return _named(_mean_of_directions(rows), _RUN_LENGTH)


def size_zone_features(counts: np.ndarray, levels: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    """Features of a size-zone matrix.

    Parameters
    ----------
    counts : ndarray, shape (n_levels, n_sizes)
        Zones by level and size.
    levels : ndarray of int, shape (n_levels,)
        Grey levels, ascending.
    sizes : ndarray of int, shape (n_sizes,)
        Sizes of zones, voxels.

    Returns
    -------
    dict of str to float
        16 features.

    References
    ----------
    PyRadiomics 3.0.1, feature class GLSZM; IBSI reference manual, section 3.8.
    """
    return _named(_statistics(counts, levels, sizes), _SIZE_ZONE)


def dependence_features(counts: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    """Features of a dependence matrix.

    Parameters
    ----------
    counts : ndarray, shape (n_levels, n_sizes)
        Voxels by level and number of dependent neighbours, from 0.
    levels : ndarray of int, shape (n_levels,)
        Grey levels, ascending.

    Returns
    -------
    dict of str to float
        14 features.

    References
    ----------
    PyRadiomics 3.0.1, feature class GLDM; IBSI reference manual, section 3.11.
    """
    return _named(_statistics(counts, levels), _DEPENDENCE)


def _statistics(counts: np.ndarray, levels: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
    sizes = np.arange(1, counts.shape[1] + 1) if sizes is None else sizes
    return np.array(_size_statistics(counts.astype(float), levels.astype(float), sizes.astype(float), EPSILON))


def _named(values: np.ndarray, names: dict[str, str]) -> dict[str, float]:
    found = dict(zip(_SIZE_STATISTICS, values.tolist(), strict=True))
    return {theirs: found[ours] for ours, theirs in names.items()}


@compiled
def _size_statistics(counts, grey, sizes, epsilon):
    of_level = counts.sum(axis=1)
    of_size = counts.sum(axis=0)
    total = of_level.sum()

    level_2 = high = low = level_mean = 0.0
    for i in range(grey.size):
        level_2 += of_level[i] ** 2
        high += of_level[i] * grey[i] ** 2
        low += of_level[i] / grey[i] ** 2
        level_mean += of_level[i] / total * grey[i]
    level_variance = 0.0
    for i in range(grey.size):
        level_variance += of_level[i] / total * (grey[i] - level_mean) ** 2

    size_2 = large = small = size_mean = voxels = 0.0
    for j in range(sizes.size):
        size_2 += of_size[j] ** 2
        large += of_size[j] * sizes[j] ** 2
        small += of_size[j] / sizes[j] ** 2
        size_mean += of_size[j] / total * sizes[j]
        voxels += of_size[j] * sizes[j]
    size_variance = 0.0
    for j in range(sizes.size):
        size_variance += of_size[j] / total * (sizes[j] - size_mean) ** 2

    large_high = large_low = small_high = small_low = entropy = 0.0
    for i in range(grey.size):
        level = grey[i] ** 2
        for j in range(sizes.size):
            count = counts[i, j]
            if count == 0.0:
                continue
            size = sizes[j] ** 2
            large_high += count * size * level
            large_low += count * size / level
            small_high += count * level / size
            small_low += count / (level * size)
            share = count / total
            entropy -= share * np.log2(share + epsilon)

    return (
        level_2 / total,
        level_2 / total**2,
        level_variance,
        high / total,
        low / total,
        large / total,
        small / total,
        large_high / total,
        large_low / total,
        small_high / total,
        small_low / total,
        size_2 / total,
        size_2 / total**2,
        size_variance,
        entropy,
        total / voxels,
    )


def neighbourhood_features(differences: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    """Features of neighbourhood grey-tone differences.

    Parameters
    ----------
    differences : ndarray of float, shape (n_levels, 2)
        Voxels of a level, and the sum of their differences from the mean of their neighbours.
    levels : ndarray of int, shape (n_levels,)
        Grey levels, ascending.

    Returns
    -------
    dict of str to float
        5 features; an organ of one level has coarseness 1,000,000.

    References
    ----------
    PyRadiomics 3.0.1, feature class NGTDM; IBSI reference manual, section 3.10.
    """
    values = _neighbourhood_statistics(
        np.ascontiguousarray(differences[:, 0]), np.ascontiguousarray(differences[:, 1]), levels.astype(float)
    )
    return dict(zip(("Busyness", "Coarseness", "Complexity", "Contrast", "Strength"), values, strict=True))


@compiled
def _neighbourhood_statistics(voxels, difference, grey):
    total = voxels.sum()
    all_differences = difference.sum()
    n = grey.size
    weighted = 0.0
    for i in range(n):
        weighted += voxels[i] / total * difference[i]
    apart = squares = complexity = strength = 0.0
    for i in range(n):
        share_i = voxels[i] / total
        for j in range(n):
            share_j = voxels[j] / total
            step = abs(grey[i] - grey[j])
            squares += share_i * share_j * step**2
            apart += abs(grey[i] * share_i - grey[j] * share_j)
            complexity += step * (share_i * difference[i] + share_j * difference[j]) / (share_i + share_j)
            strength += (share_i + share_j) * step**2
    contrast = 0.0
    if n > 1:
        contrast = squares * all_differences / total / (n * (n - 1))
    return (
        0.0 if apart == 0.0 else weighted / apart,
        1e6 if weighted == 0.0 else 1.0 / weighted,
        complexity / total,
        contrast,
        0.0 if all_differences == 0.0 else strength / all_differences,
    )
