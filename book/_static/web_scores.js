/* Scores and models, computed as the Python package computes them.
 *
 * Point tables and coefficients are not here but in models.js, which the build writes from the package.
 * Units are the package's: years, umol/L, g/L, 10^9/L, kPa; HBV DNA as its name says. */
"use strict";

window.hccbookScores = (() => {
  const RISK_GROUPS = ["low", "medium", "high"];
  // A space that no line ends at.
  const PER_CENT = "\u00a0%";
  const AMAP_BOUNDS = [
    { value: 50, belongs: true },
    { value: 60, belongs: false },
  ];
  const ALBI_BOUNDS = [
    { value: -2.6, belongs: false },
    { value: -1.39, belongs: false },
  ];

  function albi({ bilirubin, albumin }) {
    return 0.66 * Math.log10(bilirubin) - 0.085 * albumin;
  }

  function amap(values) {
    const { age, male, platelets } = values;
    return ((0.06 * age + 0.89 * male + 0.48 * albi(values) - 0.01 * platelets + 7.4) / 14.77) * 100;
  }

  /* How many bounds a value has reached: the number of its step, from 0. */
  function step(value, bounds) {
    return bounds.filter((bound) => (bound.belongs ? value >= bound.value : value > bound.value)).length;
  }

  function amapGroup(score) {
    return RISK_GROUPS[step(score, AMAP_BOUNDS)];
  }

  function albiGrade(score) {
    return 1 + step(score, ALBI_BOUNDS);
  }

  function itemPoints(item, value) {
    const isNamed = Object.keys(item.choices).length > 0;
    return isNamed ? item.choices[value] : item.points[step(value, item.bounds)];
  }

  /* Points of every row of a table, their sum, and the risk group. */
  function pointScore(table, values) {
    const rows = table.items.map((item) => ({ name: item.name, points: itemPoints(item, values[item.name]) }));
    const total = rows.reduce((sum, row) => sum + row.points, 0);
    return { rows, total, group: table.groups[step(total, table.group_bounds)] };
  }

  /* Weight times standardised value, one a covariate; with the intercept they add up to the log odds. */
  function contributions(combination, values) {
    return combination.names.map((name, position) => {
      const standardised = (values[name] - combination.means[position]) / combination.scales[position];
      return { name, change: combination.coefficients[position] * standardised };
    });
  }

  function logOdds(combination, values) {
    return contributions(combination, values).reduce((sum, one) => sum + one.change, combination.intercept);
  }

  function probability(logit) {
    return 0.5 * (1 + Math.tanh(0.5 * logit));
  }

  /* A value at a cut-off belongs to the higher group. */
  function groupByCuts(value, cuts) {
    const groups = cuts.length === 2 ? RISK_GROUPS : ["low", "high"];
    return groups[step(value, cuts.map((cut) => ({ value: cut, belongs: true })))];
  }

  /* A rounded number must not stand on the other side of a cut-off than the group beside it says:
   * it takes more decimals until it does not. */
  function rounded(value, digits, cuts = []) {
    const sides = (number) => cuts.map((cut) => Math.sign(number - cut)).join();
    let text = value.toFixed(digits);
    for (let more = digits + 1; sides(Number(text)) !== sides(value) && more <= 15; more += 1) {
      text = value.toFixed(more);
    }
    return text;
  }

  function percent(share, cuts = []) {
    const text = rounded(100 * share, 1, cuts.map((cut) => 100 * cut));
    if (text === "0.0") return `below 0.1${PER_CENT}`;
    if (text === "100.0") return `above 99.9${PER_CENT}`;
    return `${text}${PER_CENT}`;
  }

  /* A cut-off in three digits: one of 0.3 % needs more of them than one of 50 %. */
  function cutPercent(cut) {
    return `${Number((100 * cut).toPrecision(3))}${PER_CENT}`;
  }

  return {
    AMAP_BOUNDS, ALBI_BOUNDS, albi, amap, amapGroup, albiGrade, pointScore,
    contributions, logOdds, probability, groupByCuts, rounded, percent, cutPercent,
  };
})();
