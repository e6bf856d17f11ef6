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

_LARGE = 20  # levels from which the symmetric solver is the faster one

_CO_OCCURRENCE = (
    *("Autocorrelation", "JointAverage", "JointEnergy", "MaximumProbability", "JointEntropy"),
    *("ClusterProminence", "ClusterShade", "ClusterTendency", "Correlation", "SumSquares"),
    *("Imc1", "Imc2", "Contrast", "DifferenceAverage", "DifferenceEntropy", "DifferenceVariance"),
    *("Id", "Idm", "Idn", "Idmn", "InverseVariance", "SumAverage", "SumEntropy"),
)
"""Features in the order of `_co_occurrence_statistics`."""


def _size_features(high_low: str, large: str, small: str, size: str, spread: str) -> tuple[str, ...]:
    """What a feature class calls the values of `_size_statistics`, in their order."""
    return (
        *("GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "GrayLevelVariance"),
        *(f"HighGrayLevel{high_low}Emphasis", f"LowGrayLevel{high_low}Emphasis"),
        *(f"{size}NonUniformity", f"{size}NonUniformityNormalized", f"{spread}Variance"),
        *(f"{large}Emphasis", f"{small}Emphasis"),
        *(f"{large}HighGrayLevelEmphasis", f"{large}LowGrayLevelEmphasis"),
        *(f"{small}HighGrayLevelEmphasis", f"{small}LowGrayLevelEmphasis"),
        *(f"{spread}Entropy", f"{spread}Percentage"),
    )


_RUN_LENGTH = _size_features("Run", "LongRun", "ShortRun", "RunLength", "Run")
_SIZE_ZONE = _size_features("Zone", "LargeArea", "SmallArea", "SizeZone", "Zone")
_DEPENDENCE = _size_features("", "LargeDependence", "SmallDependence", "Dependence", "Dependence")
_NEIGHBOURHOOD = ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength")


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
    symmetric. Where rounding makes it negative, the direction is left out, as in PyRadiomics.

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
    totals = matrices.sum(axis=(1, 2))
    shares = matrices[totals > 0] / totals[totals > 0, None, None]
    rows = [_co_occurrence_statistics(share, grey) for share in shares]
    return _mean_of_directions(rows, _CO_OCCURRENCE) | {"MCC": _maximal_correlation(shares, symmetrical)}


def _mean_of_directions(rows: list[tuple[float, ...]], names: tuple[str, ...]) -> dict[str, float]:
    return dict(zip(names, _nanmean(np.array(rows).reshape(-1, len(names))).tolist(), strict=True))


def _nanmean(rows: np.ndarray) -> np.ndarray:
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
    return float(_nanmean(roots).real)


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
def _co_occurrence_statistics(p, grey):
    """Values of `_CO_OCCURRENCE`, of the shares of pairs."""
    largest = int(grey[-1])
    rows, columns = np.zeros(grey.size), np.zeros(grey.size)
    sums, differences = np.zeros(2 * largest + 1), np.zeros(largest)
    autocorrelation = mean_row = mean_column = energy = maximum = entropy = 0.0
    for i in range(grey.size):
        for j in range(grey.size):
            share = p[i, j]
            if share == 0.0:
                continue
            rows[i] += share
            columns[j] += share
            sums[int(grey[i] + grey[j])] += share
            differences[int(abs(grey[i] - grey[j]))] += share
            autocorrelation += share * grey[i] * grey[j]
            mean_row += share * grey[i]
            mean_column += share * grey[j]
            energy += share * share
            maximum = max(maximum, share)
            entropy -= share * np.log2(share + EPSILON)
    averages = (autocorrelation, mean_row, energy, maximum, entropy)
    moments = _central_moments(p, grey, mean_row, mean_column)
    information = _information(p, rows, columns, entropy)
    of_differences = _difference_statistics(differences, np.arange(largest))
    of_sums = ((sums * np.arange(sums.size)).sum(), _entropy(sums))
    return averages + moments + information + of_differences + of_sums


@compiled
def _central_moments(p, grey, mean_row, mean_column):
    """Prominence, shade and tendency of clusters, correlation, and variance of the first level."""
    prominence = shade = tendency = variance_row = variance_column = covariance = 0.0
    for i in range(grey.size):
        for j in range(grey.size):
            share = p[i, j]
            if share == 0.0:
                continue
            away = grey[i] + grey[j] - mean_row - mean_column
            prominence += share * away**4
            shade += share * away**3
            tendency += share * away**2
            variance_row += share * (grey[i] - mean_row) ** 2
            variance_column += share * (grey[j] - mean_column) ** 2
            covariance += share * (grey[i] - mean_row) * (grey[j] - mean_column)
    spread = np.sqrt(variance_row) * np.sqrt(variance_column)
    correlation = 1.0 if spread == 0.0 else covariance / (spread + EPSILON)
    return prominence, shade, tendency, correlation, variance_row


@compiled
def _information(p, rows, columns, entropy):
    """The two measures of information of correlation."""
    cross_entropy = product_entropy = 0.0
    for i in range(rows.size):
        for j in range(columns.size):
            product = rows[i] * columns[j]
            bits = np.log2(product + EPSILON)
            product_entropy -= product * bits
            cross_entropy -= p[i, j] * bits
    widest = max(_entropy(rows), _entropy(columns))
    first = 0.0 if widest == 0.0 else (entropy - cross_entropy) / widest
    gain = product_entropy - entropy
    # NaN where rounding makes the gain negative; the direction is then left out of the mean.
    return first, 0.0 if gain == 0.0 else np.sqrt(1.0 - np.e ** (-2.0 * gain))


@compiled
def _entropy(shares):
    bits = 0.0
    for k in range(shares.size):
        bits -= shares[k] * np.log2(shares[k] + EPSILON)
    return bits


@compiled
def _difference_statistics(shares, k):
    """Values of the shares of differences k between levels, from 0."""
    largest = k.size
    average = (shares * k).sum()
    away = k - average
    return (
        (shares * k * k).sum(),
        average,
        _entropy(shares),
        (shares * (away * away)).sum(),
        (shares / (1.0 + k)).sum(),
        (shares / (1.0 + k * k)).sum(),
        (shares / (1.0 + k / largest)).sum(),
        (shares / (1.0 + k * k / (largest * largest))).sum(),
        (shares[1:] / (k[1:] * k[1:])).sum(),
    )


def run_length_features(counts: np.ndarray, levels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """Features of run-length matrices, averaged over directions.

    Parameters
    ----------
    counts : ndarray of int, shape (n_directions, n_levels, longest run)
        Runs by level and length.
    levels, weights
        As of `co_occurrence_features`.

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
    sizes = np.arange(1, counts.shape[2] + 1)
    return _mean_of_directions([_size_values(matrix, levels, sizes) for matrix in counts], _RUN_LENGTH)


def size_zone_features(counts: np.ndarray, levels: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    """Features of a size-zone matrix.

    Parameters
    ----------
    counts : ndarray, shape (n_levels, n_sizes)
        Zones by level and size.
    levels
        As of `co_occurrence_features`.
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
    return dict(zip(_SIZE_ZONE, _size_values(counts, levels, sizes), strict=True))


def dependence_features(counts: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    """Features of a dependence matrix.

    Parameters
    ----------
    counts : ndarray, shape (n_levels, n_sizes)
        Voxels by level and number of dependent neighbours, from 0.
    levels
        As of `co_occurrence_features`.

    Returns
    -------
    dict of str to float
        14 features, and two more that PyRadiomics calls deprecated.

    References
    ----------
    PyRadiomics 3.0.1, feature class GLDM; IBSI reference manual, section 3.11.
    """
    sizes = np.arange(1, counts.shape[1] + 1)
    return dict(zip(_DEPENDENCE, _size_values(counts, levels, sizes), strict=True))


def _size_values(counts: np.ndarray, levels: np.ndarray, sizes: np.ndarray) -> tuple[float, ...]:
    return _size_statistics(counts.astype(float), levels.astype(float), sizes.astype(float))


@compiled
def _size_statistics(counts, grey, sizes):
    """What a matrix of levels against sizes yields, in the order of `_size_features`."""
    of_level, of_size = counts.sum(axis=1), counts.sum(axis=0)
    total = of_level.sum()
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
            entropy -= share * np.log2(share + EPSILON)
    return (
        _margin_statistics(of_level, grey, total)
        + _margin_statistics(of_size, sizes, total)
        + (large_high / total, large_low / total, small_high / total, small_low / total)
        + (entropy, total / (of_size * sizes).sum())
    )


@compiled
def _margin_statistics(counts, values, total):
    """Non-uniformity, its share, variance, and emphasis of large and small values, of counts by level or by size."""
    squares = values * values
    away = values - (counts / total * values).sum()
    uniform = (counts * counts).sum()
    return (
        uniform / total,
        uniform / total**2,
        (counts / total * (away * away)).sum(),
        (counts * squares).sum() / total,
        (counts / squares).sum() / total,
    )


def neighbourhood_features(differences: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    """Features of neighbourhood grey-tone differences.

    Parameters
    ----------
    differences : ndarray of float, shape (n_levels, 2)
        Voxels of a level, and the sum of their differences from the mean of their neighbours.
    levels
        As of `co_occurrence_features`.

    Returns
    -------
    dict of str to float
        5 features; an organ of one level has coarseness 1,000,000.

    References
    ----------
    PyRadiomics 3.0.1, feature class NGTDM; IBSI reference manual, section 3.10.
    """
    return dict(zip(_NEIGHBOURHOOD, _neighbourhood_statistics(differences, levels.astype(float)), strict=True))


@compiled
def _neighbourhood_statistics(differences, grey):
    voxels, difference = differences[:, 0], differences[:, 1]
    total, all_differences = voxels.sum(), difference.sum()
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
    contrast = squares * all_differences / total / (n * (n - 1)) if n > 1 else 0.0
    return (
        0.0 if apart == 0.0 else weighted / apart,
        1e6 if weighted == 0.0 else 1.0 / weighted,
        complexity / total,
        contrast,
        0.0 if all_differences == 0.0 else strength / all_differences,
    )
