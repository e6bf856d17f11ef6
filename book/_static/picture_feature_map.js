/* A feature's map over the liver: what it would be in a small window about each voxel, and where it comes from. */
"use strict";

(() => {
  const form = document.getElementById("feature_map");
  if (!form) return;
  const picture = window.hccbookPicture;
  const textures = window.hccbookTextures;
  const ct = window.hccbookCt;
  const { byId, show, percent } = picture;
  const { slice } = ct;
  if (!slice) {
    picture.unavailable(form, ct.ABSENT);
    return;
  }

  const RIM_MM = 5;
  const NAMES = {
    glcm_Contrast: "glcm Contrast", firstorder_Entropy: "firstorder Entropy",
    firstorder_Variance: "firstorder Variance", glcm_Idm: "glcm Idm", firstorder_Mean: "firstorder Mean",
  };
  // Dark to bright in even steps of lightness, readable with every kind of colour vision (viridis).
  const SCALE = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const inside = Array.from(slice.labels, (label) => label === ct.LIVER);
  const controls = byId("feature_map-controls");
  const feature = picture.select(controls, {
    id: "feature_map-feature", label: "Feature", options: Object.entries(NAMES),
  });
  const width = picture.slider(controls, {
    id: "feature_map-width", label: "Bin width", min: 5, max: 100, step: 5, value: 25, text: (value) => `${value} HU`,
  });
  const edge = (radius) => ((2 * radius + 1) * slice.spacing_mm[1]).toFixed(0);
  const radius = picture.slider(controls, {
    id: "feature_map-radius", label: "Window about a voxel", min: 1, max: 8, value: 4,
    text: (value) => `${2 * value + 1} voxels, ${edge(value)} mm`,
  });
  const opacity = picture.slider(controls, {
    id: "feature_map-opacity", label: "Map over the CT", min: 0, max: 1, step: 0.1, value: 0.7,
    text: (value) => percent(value, 0),
  });
  const canvas = ct.canvas(byId("feature_map-image"), "feature_map-ct",
    "CT slice with the map over the liver; arrow keys move the place that is read");
  const speak = picture.speaker(form);
  const rim = textures.rim({ ...slice, levels: inside.map(Number) }, RIM_MM / slice.spacing_mm[1]);
  let place = ct.middle();
  let region = null;
  let map = [];
  let ends = [0, 1];

  function count() {
    region = { ...slice, levels: textures.levelsOf(slice.hu, inside, width.value()) };
    map = textures.featureMap(region, feature.value(), radius.value());
    const sorted = map.filter((value) => !Number.isNaN(value)).sort();
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
    ends = [at(0.02), at(0.98)];
  }

  function colour(value) {
    const share = ends[1] > ends[0] ? picture.within((value - ends[0]) / (ends[1] - ends[0]), 0, 1) : 0.5;
    const step = Math.min(Math.floor(share * (SCALE.length - 1)), SCALE.length - 2);
    const rest = share * (SCALE.length - 1) - step;
    return SCALE[step].map((part, channel) => part + rest * (SCALE[step + 1][channel] - part));
  }

  const text = (value) => (Number.isNaN(value) ? "none" : Number(value.toPrecision(4)).toString());

  function sums(test) {
    let [voxels, total] = [0, 0];
    map.forEach((value, voxel) => {
      if (Number.isNaN(value) || !test(voxel)) return;
      voxels += 1;
      total += value;
    });
    return { voxels, total };
  }

  /* The feature of the whole liver on this slice: of a window that holds all of it. */
  function ofWhole() {
    const all = Math.max(slice.columns, slice.rows);
    return textures.local(region, feature.value(), inside.indexOf(true), all);
  }

  function update(event) {
    if (!event || ![opacity.input, canvas].includes(event.target)) count();
    const share = opacity.value();
    const tint = (voxel) => (Number.isNaN(map[voxel]) ? null : [...colour(map[voxel]), share]);
    ct.draw(canvas, { width: 200, level: 40 }, tint);
    ct.cross(canvas, place);
    const here = map[place[1] * slice.columns + place[0]];
    const whole = sums(() => true);
    const outer = sums((voxel) => rim[voxel]);
    const [outerVoxels, outerShare] = ["voxels", "total"].map((name) => percent(outer[name] / whole[name]));
    picture.rowsOf(byId("feature_map-values"), [
      ["feature_map-here", "In the window about the cross", text(here)],
      ["feature_map-whole", "In the whole liver of this slice: the feature", text(ofWhole())],
      ["feature_map-mean", "Mean of the map", text(whole.total / whole.voxels)],
      ["feature_map-rim-voxels", `Voxels within ${RIM_MM} mm of the liver's edge`, outerVoxels],
      ["feature_map-rim-share", "Their share of the map's sum", outerShare],
    ]);
    show(byId("feature_map-low"), text(ends[0]));
    show(byId("feature_map-high"), text(ends[1]));
    speak(`${NAMES[feature.value()]} about the cross ${text(here)}; ${outerShare} of the map's sum `
      + `from the outer ${RIM_MM} millimetres, which hold ${outerVoxels} of the voxels`);
  }

  const stops = SCALE.map((one) => `rgb(${one.join()})`).join();
  byId("feature_map-scale").style.background = `linear-gradient(90deg, ${stops})`;
  show(byId("feature_map-what"), `One patient, ${slice.what}; window 200 HU wide, level 40.`);
  picture.cursor(canvas, {
    columns: slice.columns, rows: slice.rows, start: place, moved: (to) => { place = to; update({ target: canvas }); },
  });
  picture.begin(form, update);
})();
