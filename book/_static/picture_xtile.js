/* X-tile's map: every pair of cut-offs, its groups, and what the same search finds in shuffled outcomes. */
"use strict";

(() => {
  const form = document.getElementById("xtile");
  if (!form) return;
  const picture = window.hccbookPicture;
  const { byId, svg, show, percent } = picture;
  const { xtile: data, synthetic, absent } = window.hccbookRun;
  if (!data) {
    picture.unavailable(form, absent);
    return;
  }

  const CELLS = 100;
  const GROUPS = ["low", "medium", "high"];
  const RISING = [[243, 244, 245], [0, 114, 178]];
  const FALLING = [[243, 244, 245], [213, 94, 0]];
  let search = window.hccbookEstimands.xtile(data.score, data.hcc);
  let best = null;
  let map = "";
  let shuffled = [];
  let random = 20240718;

  const cutText = (place) => Number(search.candidates[place].toPrecision(3)).toString();
  const controls = byId("xtile-controls");
  const last = search.candidates.length - 1;
  const cutSlider = (id, label) => picture.slider(controls, { id, label, min: 0, max: last, value: 0, text: cutText });
  const lower = cutSlider("xtile-lower", "Lower cut-off");
  const upper = cutSlider("xtile-upper", "Upper cut-off");
  const smallest = picture.slider(controls, {
    id: "xtile-smallest", label: "Least share of a group", min: 0.02, max: 0.3, step: 0.01, value: data.min_fraction,
    text: (share) => percent(share, 0),
  });
  picture.buttons(controls, {
    "Greatest chi-square": toBest,
    "Shuffle the outcomes": shuffle,
    "Outcomes as they were": restore,
  });
  const shares = picture.ticks([0, 0.2, 0.4, 0.6, 0.8, 1], (share) => `${Math.round(100 * share)}`);
  const axis = (label) => ({ from: 0, to: 1, ticks: shares, label });
  const chart = picture.chart(byId("xtile-map"), {
    label: "Chi-square of every pair of cut-offs", width: 440, height: 430,
    x: axis("Patients below the lower cut-off, %"), y: axis("Patients at or above the upper cut-off, %"),
  });
  picture.stampOn(chart.root, synthetic);
  const speak = picture.speaker(form);

  const lowShare = (place) => 1 - search.nFrom[place] / search.n;
  const highShare = (place) => search.nFrom[place] / search.n;

  function colour([from, to], share) {
    return `rgb(${from.map((part, channel) => Math.round(part + (to[channel] - part) * share)).join()})`;
  }

  /* The allowed pairs as a picture of one unit square; darker is a greater chi-square. */
  function drawMap() {
    const side = 4 * CELLS;
    const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const pen = canvas.getContext("2d");
    const places = search.spread(CELLS);
    // Each cell reaches to its neighbour's, half a pixel further, so that no seam shows.
    places.forEach((low, row) => places.slice(row + 1).forEach((high, step) => {
      if (!best || !search.isAllowed(low, high, smallest.value())) return;
      const groups = search.groups(low, high);
      const rises = groups[2].events * groups[0].n > groups[0].events * groups[2].n;
      pen.fillStyle = colour(rises ? RISING : FALLING, 0.08 + 0.92 * (search.chiSquare(low, high) / best.statistic));
      const [left, right] = [low, places[row + 1]].map((place) => lowShare(place) * side);
      const [above, below] = [places[row + step], high].map((place) => (1 - highShare(place)) * side);
      pen.fillRect(left, above, right - left + 0.5, below - above + 0.5);
    }));
    map = canvas.toDataURL();
  }

  function drawChart() {
    const [left, right, top, bottom] = [chart.at.x(0), chart.at.x(1), chart.at.y(1), chart.at.y(0)];
    const box = { x: left, y: top, width: right - left, height: bottom - top };
    const mark = (pair, name, r) => svg("circle", {
      cx: chart.at.x(lowShare(pair.lower)), cy: chart.at.y(highShare(pair.upper)), r, class: name,
    });
    chart.draw(svg("image", { ...box, href: map, class: "picture-pixels", preserveAspectRatio: "none" }),
      ...(best ? [mark(best, "picture-ring", 9)] : []),
      mark({ lower: lower.value(), upper: upper.value() }, "picture-dot", 6));
  }

  function reading(statistic, isAllowed) {
    if (!best) return "No pair of cut-offs leaves groups that are large enough.";
    if (!isAllowed) {
      return `A group would hold fewer than ${percent(smallest.value(), 0)} of the patients: X-tile looks elsewhere.`;
    }
    const isGreatest = statistic >= best.statistic * (1 - 1e-9);
    const of = isGreatest ? "the greatest of the map" : `the greatest is ${best.statistic.toFixed(1)}`;
    return `Chi-square ${statistic.toFixed(1)}; ${of}, at ${cutText(best.lower)} and ${cutText(best.upper)}.`;
  }

  /* With two degrees of freedom a chi-square c has the probability exp(-c / 2). */
  function nominal(statistic) {
    const p = Math.exp(-statistic / 2);
    return p < 0.001 ? "p below 0.001" : `p = ${p.toFixed(3)}`;
  }

  function shuffleText() {
    if (!shuffled.length) return "";
    const found = shuffled.map((one) => one.toFixed(1)).join(", ");
    const smallestP = nominal(Math.max(...shuffled));
    return `Outcomes shuffled ${shuffled.length} times; greatest chi-square of each map: ${found}. `
      + `There is nothing to find, and yet the greatest of them would have ${smallestP}, had nobody searched.`;
  }

  function update(event) {
    if (!event || event.target === smallest.input) findBest();
    // The one that was not moved gives way, until it stands at its end.
    if (lower.value() >= upper.value() && event?.target === upper.input) lower.set(upper.value() - 1);
    if (lower.value() >= upper.value()) upper.set(lower.value() + 1);
    if (lower.value() >= upper.value()) lower.set(upper.value() - 1);
    const pair = [lower.value(), upper.value()];
    const statistic = search.chiSquare(...pair);
    drawChart();
    picture.rowsOf(byId("xtile-groups"), search.groups(...pair).map((group, place) => [
      `xtile-${GROUPS[place]}`, GROUPS[place], `${group.n}`, `${group.events}`, percent(group.events / group.n),
    ]));
    show(byId("xtile-reading"), reading(statistic, search.isAllowed(...pair, smallest.value())));
    show(byId("xtile-nominal"), `Had the cut-offs been fixed beforehand: ${nominal(statistic)}.`);
    show(byId("xtile-shuffled"), shuffleText());
    speak(`Cut-offs ${cutText(pair[0])} and ${cutText(pair[1])}. ${byId("xtile-reading").textContent}`);
  }

  function findBest() {
    best = search.best(smallest.value());
    drawMap();
  }

  function toBest() {
    if (best) {
      lower.set(best.lower);
      upper.set(best.upper);
    }
    update({});
  }

  /* Mulberry32: the same shuffles for every reader. */
  function draw() {
    random = (random + 0x6d2b79f5) | 0;
    let mixed = Math.imul(random ^ (random >>> 15), 1 | random);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  function take(hcc) {
    search = window.hccbookEstimands.xtile(data.score, hcc);
    findBest();
    toBest();
  }

  function shuffle() {
    const hcc = [...data.hcc];
    for (let place = hcc.length - 1; place > 0; place -= 1) {
      const other = Math.floor(draw() * (place + 1));
      [hcc[place], hcc[other]] = [hcc[other], hcc[place]];
    }
    take(hcc);
    if (best) shuffled = [...shuffled.slice(-9), best.statistic];
    update({});
  }

  function restore() {
    shuffled = [];
    take(data.hcc);
  }

  findBest();
  if (best) {
    lower.set(best.lower);
    upper.set(best.upper);
  }
  const nearest = (share, wanted) => search.candidates.map((_, place) => Math.abs(share(place) - wanted))
    .reduce((found, distance, place, all) => (distance < all[found] ? place : found), 0);
  picture.onDrag(chart.root, (u, v) => {
    const [low, high] = chart.values(u, v);
    lower.set(nearest(lowShare, low));
    upper.set(nearest(highShare, high));
    update({ target: lower.input });
  });
  picture.begin(form, update);
})();
