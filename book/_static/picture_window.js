/* Window and level on a CT slice: which HU become which grey, what is cut off, and how many grey levels are left. */
"use strict";

(() => {
  const form = document.getElementById("window");
  if (!form) return;
  const picture = window.hccbookPicture;
  const ct = window.hccbookCt;
  const { byId, svg, show, percent } = picture;
  const { slice } = ct;
  if (!slice) {
    picture.unavailable(form, ct.ABSENT);
    return;
  }

  const BIN_WIDTH = 25;
  const PRESETS = {
    "As in both papers": [200, 40], "Soft tissue": [400, 40], Lung: [1500, -600], Bone: [1800, 400],
  };
  const signed = (hu) => `${hu} HU`.replace("-", "\u2212");
  const controls = byId("window-controls");
  const width = picture.slider(controls, {
    id: "window-width", label: "Width", min: 1, max: 2000, value: 200, text: signed,
  });
  const level = picture.slider(controls, {
    id: "window-level", label: "Level", min: -1000, max: 1000, value: 40, text: signed,
  });
  picture.buttons(controls, Object.fromEntries(Object.entries(PRESETS).map(([name, values]) => (
    [name, () => choose(...values)]))));
  const canvas = ct.canvas(byId("window-image"), "window-ct",
    "CT slice; arrow keys move the place whose HU is read, dragging sideways changes the width, up and down the level");
  const [FROM, TO, STEP] = [-200, 300, 5];
  const chart = picture.chart(byId("window-histogram"), {
    label: "HU of the liver and of the spleen on this slice, with the window", width: 440, height: 250,
    x: { from: FROM, to: TO, ticks: picture.ticks([-200, -100, 0, 100, 200, 300], signedTick), label: "HU" },
    y: { from: 0, to: 1, ticks: [], label: "Voxels" },
  });
  picture.stampOn(chart.root, slice.synthetic);
  const speak = picture.speaker(form);
  const organs = [1, 2].map((label) => slice.hu.filter((_, voxel) => slice.labels[voxel] === label));
  let place = ct.middle();

  function signedTick(value) {
    return String(value).replace("-", "\u2212");
  }

  function choose(wide, middle) {
    width.set(wide);
    level.set(middle);
    update();
  }

  function counts(values) {
    const bars = new Array((TO - FROM) / STEP).fill(0);
    values.forEach((value) => { if (value >= FROM && value < TO) bars[Math.floor((value - FROM) / STEP)] += 1; });
    return bars;
  }

  const histograms = organs.map(counts);
  const tallest = Math.max(1, ...histograms.flat());

  function drawHistogram(low, high) {
    const x = (value) => chart.at.x(picture.within(value, FROM, TO));
    const ends = { y: chart.at.y(1), height: chart.at.y(0) - chart.at.y(1) };
    const outline = (bars, name) => svg("path", {
      class: name,
      d: `M${x(FROM)} ${chart.at.y(0)}${bars.map((count, place_) => (
        `V${chart.at.y(count / tallest)}H${x(FROM + (place_ + 1) * STEP)}`)).join("")}V${chart.at.y(0)}`,
    });
    chart.draw(svg("rect", { x: x(low), width: x(high) - x(low), ...ends, class: "picture-spared" }),
      outline(histograms[0], "picture-liver"), outline(histograms[1], "picture-spleen"));
  }

  /* Shares of an organ's voxels that a window cuts off, and the grey levels that are left of it. */
  function cutOff(values, low, high) {
    const clipped = values.map((value) => picture.within(value, low, high));
    const levels = new Set(Array.from(clipped, (value) => Math.floor(value / BIN_WIDTH)));
    const share = (test) => values.filter(test).length / values.length;
    const spread = levels.size ? Math.max(...levels) - Math.min(...levels) + 1 : 0;
    return { below: share((value) => value < low), above: share((value) => value > high), levels: spread };
  }

  function readPlace() {
    const voxel = place[1] * slice.columns + place[0];
    const organ = ct.ORGANS[slice.labels[voxel]];
    const shade = ct.grey(slice.hu[voxel], width.value(), level.value());
    const where = organ ? `, in the ${organ}` : "";
    return `At the cross${where}: ${signed(slice.hu[voxel])}, shown as grey ${shade} of 255.`;
  }

  function update() {
    const [low, high] = [level.value() - width.value() / 2, level.value() + width.value() / 2];
    ct.draw(canvas, { width: width.value(), level: level.value() });
    ct.cross(canvas, place);
    drawHistogram(low, high);
    picture.rowsOf(byId("window-values"), organs.map((values, position) => {
      const name = ct.ORGANS[position + 1];
      const { below, above, levels } = cutOff(values, low, high);
      const said = [percent(below), percent(above), `${levels}`];
      return [`window-${name}`, name, ...(values.length ? said : ["–", "–", "–"])];
    }));
    show(byId("window-range"), `Black up to ${signed(low)}, white from ${signed(high)}.`);
    show(byId("window-place"), readPlace());
    speak(`${byId("window-range").textContent} ${readPlace()}`);
  }

  /* As on a workstation: sideways the width, downwards a higher level. */
  let before = [];
  function dragged(dx, dy, isStart) {
    if (isStart) before = [width.value(), level.value()];
    else choose(Math.max(1, Math.round(before[0] + 2 * dx)), Math.round(before[1] + dy));
  }

  const probe = picture.cursor(canvas, {
    columns: slice.columns, rows: slice.rows, start: place, dragged, moved: (to) => { place = to; update(); },
  });
  show(byId("window-what"), `One patient, ${slice.what}.`);
  probe.to(place);
  picture.begin(form, update);
})();
