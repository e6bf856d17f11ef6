/* Grey levels, matrices and features of one slice, with PyRadiomics' names and values.
 *
 * A region is {columns, rows, levels}: a level a voxel from 1, and 0 where the organ is not. Steps are (row, column);
 * one slice has four directions. */
"use strict";

window.hccbookTextures = (() => {
  const DIRECTIONS = { "To the right": [0, 1], Down: [1, 0], "Down right": [1, 1], "Down left": [1, -1] };
  const STEPS = Object.values(DIRECTIONS);

  /* Bins begin at multiples of the width; the first that the organ uses is 1. */
  function levelsOf(hu, inside, width) {
    const bins = Array.from(hu, (value) => Math.floor(value / width));
    const lowest = bins.reduce((least, bin, voxel) => (inside[voxel] ? Math.min(least, bin) : least), Infinity);
    return bins.map((bin, voxel) => (inside[voxel] ? bin - lowest + 1 : 0));
  }

  /* Level of the voxel a step away, 0 beyond the picture or the organ. */
  function neighbour({ columns, rows, levels }, voxel, [down, right]) {
    const column = (voxel % columns) + right;
    const row = Math.floor(voxel / columns) + down;
    const isOn = column >= 0 && column < columns && row >= 0 && row < rows;
    return isOn ? levels[row * columns + column] : 0;
  }

  const zeros = (rows, columns) => Array.from({ length: rows }, () => new Array(columns).fill(0));

  const greatest = (levels) => levels.reduce((most, level) => Math.max(most, level), 0);

  /* Pairs of neighbours in one direction, counted both ways: row and column are their levels. */
  function coOccurrence(region, step) {
    const n = greatest(region.levels);
    const matrix = zeros(n, n);
    region.levels.forEach((level, voxel) => {
      const other = neighbour(region, voxel, step);
      if (level && other) {
        matrix[level - 1][other - 1] += 1;
        matrix[other - 1][level - 1] += 1;
      }
    });
    return matrix;
  }

  /* Runs of one level in one direction: row is the level, column the length. */
  function runLengths(region, [down, right]) {
    const matrix = zeros(greatest(region.levels), Math.max(region.columns, region.rows));
    region.levels.forEach((level, voxel) => {
      if (!level || neighbour(region, voxel, [-down, -right]) === level) return;
      let length = 1;
      while (neighbour(region, voxel, [down * length, right * length]) === level) length += 1;
      matrix[level - 1][length - 1] += 1;
    });
    return matrix;
  }

  /* Number of the zone of every voxel, -1 outside: voxels of one level that touch, corners included. */
  function zones({ columns, rows, levels }) {
    const zone = new Array(levels.length).fill(-1);
    let count = 0;
    levels.forEach((level, first) => {
      if (!level || zone[first] >= 0) return;
      const waiting = [first];
      zone[first] = count;
      while (waiting.length) {
        const voxel = waiting.pop();
        const [column, row] = [voxel % columns, Math.floor(voxel / columns)];
        [-1, 0, 1].forEach((down) => [-1, 0, 1].forEach((right) => {
          const [x, y] = [column + right, row + down];
          const other = y * columns + x;
          const isOn = x >= 0 && x < columns && y >= 0 && y < rows;
          if (isOn && levels[other] === level && zone[other] < 0) {
            zone[other] = count;
            waiting.push(other);
          }
        }));
      }
      count += 1;
    });
    return zone;
  }

  /* Zones: row is the level, column the number of voxels. */
  function sizeZones(region) {
    const sizes = new Map();
    zones(region).forEach((zone, voxel) => {
      if (zone >= 0) sizes.set(zone, { level: region.levels[voxel], size: (sizes.get(zone)?.size ?? 0) + 1 });
    });
    const matrix = zeros(greatest(region.levels), Math.max(...[...sizes.values()].map(({ size }) => size)));
    sizes.forEach(({ level, size }) => { matrix[level - 1][size - 1] += 1; });
    return matrix;
  }

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const mean = (values) => sum(values) / values.length;

  /* Sum of a matrix' shares, each weighted by a function of its row and column, from 1. */
  function weighted(matrix, weight) {
    const total = sum(matrix.flat());
    return sum(matrix.map((row, i) => sum(row.map((count, j) => (count * weight(i + 1, j + 1)) / total))));
  }

  function entropy(counts) {
    const total = sum(counts);
    return sum(counts.filter((count) => count > 0).map((count) => (-count / total) * Math.log2(count / total)));
  }

  function levelCounts(levels) {
    const counts = new Array(greatest(levels)).fill(0);
    levels.forEach((level) => { if (level) counts[level - 1] += 1; });
    return counts;
  }

  /* Each feature from {levels, glcm, glrlm (a matrix a direction), glszm}; features of directions are averaged. */
  const over = (matrices, weight) => mean(matrices.map((matrix) => weighted(matrix, weight)));
  const FEATURES = {
    firstorder_Entropy: ({ levels }) => entropy(levelCounts(levels)),
    glcm_Contrast: ({ glcm }) => over(glcm, (i, j) => (i - j) ** 2),
    glcm_Idm: ({ glcm }) => over(glcm, (i, j) => 1 / (1 + (i - j) ** 2)),
    glcm_JointEntropy: ({ glcm }) => mean(glcm.map((matrix) => entropy(matrix.flat()))),
    glrlm_ShortRunEmphasis: ({ glrlm }) => over(glrlm, (i, j) => 1 / j ** 2),
    glrlm_LongRunEmphasis: ({ glrlm }) => over(glrlm, (i, j) => j ** 2),
    glszm_LargeAreaEmphasis: ({ glszm }) => weighted(glszm, (i, j) => j ** 2),
    glszm_ZonePercentage: ({ glszm, levels }) => sum(glszm.flat()) / levels.filter(Boolean).length,
  };

  function features(region) {
    const hasPairs = (matrix) => sum(matrix.flat()) > 0;
    const counted = {
      levels: region.levels, glcm: STEPS.map((step) => coOccurrence(region, step)).filter(hasPairs),
      glrlm: STEPS.map((step) => runLengths(region, step)), glszm: sizeZones(region),
    };
    return Object.fromEntries(Object.entries(FEATURES).map(([name, of]) => [name, of(counted)]));
  }

  /* Local features: what each would be, were the organ only the part of it within `radius` voxels sideways and up and
   * down. Each takes the voxels' places in the window; NaN where nothing can be counted. */
  function pairMean(region, inWindow, weight) {
    const values = STEPS.map((step) => {
      let [total, count] = [0, 0];
      inWindow((voxel, fits) => {
        const other = fits(step) ? neighbour(region, voxel, step) : 0;
        if (!other) return;
        total += weight(region.levels[voxel] - other);
        count += 1;
      });
      return total / count;
    }).filter((value) => !Number.isNaN(value));
    return mean(values);
  }

  function localMoments(region, inWindow) {
    let [count, total, squares] = [0, 0, 0];
    inWindow((voxel) => {
      count += 1;
      total += region.hu[voxel];
      squares += region.hu[voxel] ** 2;
    });
    return { mean: total / count, variance: squares / count - (total / count) ** 2 };
  }

  function localEntropy(region, inWindow) {
    const counts = [];
    inWindow((voxel) => { counts[region.levels[voxel]] = (counts[region.levels[voxel]] ?? 0) + 1; });
    return entropy(counts.filter(Boolean));
  }

  const LOCAL = {
    firstorder_Mean: (region, inWindow) => localMoments(region, inWindow).mean,
    firstorder_Variance: (region, inWindow) => localMoments(region, inWindow).variance,
    firstorder_Entropy: localEntropy,
    glcm_Contrast: (region, inWindow) => pairMean(region, inWindow, (difference) => difference ** 2),
    glcm_Idm: (region, inWindow) => pairMean(region, inWindow, (difference) => 1 / (1 + difference ** 2)),
  };

  /* Value of a local feature about one voxel. */
  function local(region, name, voxel, radius) {
    const { columns, rows, levels } = region;
    const [column, row] = [voxel % columns, Math.floor(voxel / columns)];
    const [left, right] = [Math.max(column - radius, 0), Math.min(column + radius, columns - 1)];
    const [top, bottom] = [Math.max(row - radius, 0), Math.min(row + radius, rows - 1)];
    return LOCAL[name](region, (call) => {
      for (let y = top; y <= bottom; y += 1) {
        for (let x = left; x <= right; x += 1) {
          if (levels[y * columns + x]) {
            call(y * columns + x, ([down, over_]) => (
              y + down >= top && y + down <= bottom && x + over_ >= left && x + over_ <= right));
          }
        }
      }
    });
  }

  function featureMap(region, name, radius) {
    return Float64Array.from(region.levels, (level, voxel) => (level ? local(region, name, voxel, radius) : NaN));
  }

  /* Voxels of the organ that lie within a distance (in voxels) of one outside it. */
  function rim({ columns, rows, levels }, distance) {
    const reach = Math.floor(distance);
    const around = [];
    for (let down = -reach; down <= reach; down += 1) {
      for (let right = -reach; right <= reach; right += 1) {
        if (Math.hypot(down, right) <= distance) around.push([down, right]);
      }
    }
    return levels.map((level, voxel) => level > 0 && around.some((step) => (
      neighbour({ columns, rows, levels }, voxel, step) === 0)));
  }

  return {
    DIRECTIONS, FEATURES: Object.keys(FEATURES), LOCAL: Object.keys(LOCAL), levelsOf, coOccurrence, runLengths, zones,
    sizeZones, features, local, featureMap, rim,
  };
})();
