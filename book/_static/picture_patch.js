/* A patch, its grey levels and the matrices that they are counted into; a voxel or the bin width changes, and every
 * feature with it. */
"use strict";

(() => {
  const form = document.getElementById("patch");
  if (!form) return;
  const picture = window.hccbookPicture;
  const textures = window.hccbookTextures;
  const ct = window.hccbookCt;
  const { byId, svg, show } = picture;

  const SIDE = 8;
  const CELL = 44;
  const BY_HAND = [5, 20, 30, 45, 10, 35, 40, 55, 60, 65, 80, 90, 70, 30, 85, 95];

  /* The patch of the liver, wholly inside it, whose HU vary least or most. */
  function liverPatches() {
    const { slice, LIVER } = ct;
    const found = [];
    for (let top = 0; top + SIDE <= slice.rows; top += 4) {
      for (let left = 0; left + SIDE <= slice.columns; left += 4) {
        const voxels = Array.from({ length: SIDE * SIDE }, (_, place) => (
          (top + Math.floor(place / SIDE)) * slice.columns + left + (place % SIDE)));
        if (voxels.every((voxel) => slice.labels[voxel] === LIVER)) found.push(voxels.map((voxel) => slice.hu[voxel]));
      }
    }
    const spread = (hu) => Math.max(...hu) - Math.min(...hu);
    return found.sort((a, b) => spread(a) - spread(b));
  }

  const patches = {};
  const inLiver = ct.slice ? liverPatches() : [];
  if (inLiver.length) {
    const place = (share) => inLiver[Math.round(share * (inLiver.length - 1))];
    patches.liver = { name: "Liver", hu: place(0.5), side: SIDE };
    patches.smooth = { name: "Liver, most even", hu: place(0), side: SIDE };
    patches.vessel = { name: "Liver, least even", hu: place(1), side: SIDE };
  }
  patches.hand = { name: "Radiomics by hand", hu: BY_HAND, side: 4, made: true };
  const controls = byId("patch-controls");
  const which = picture.select(controls, {
    id: "patch-which", label: "Patch", options: Object.entries(patches).map(([key, { name }]) => [key, name]),
  });
  const width = picture.slider(controls, {
    id: "patch-width", label: "Bin width", min: 5, max: 100, step: 5, value: 25, text: (value) => `${value} HU`,
  });
  const voxel = picture.slider(controls, {
    id: "patch-voxel", label: "Chosen voxel", min: -100, max: 400, value: 0,
    text: (value) => `${value} HU`.replace("-", "\u2212"),
  });
  const direction = picture.select(controls, {
    id: "patch-direction", label: "Direction of pairs and runs",
    options: Object.keys(textures.DIRECTIONS).map((name) => [name, name]),
  });
  picture.buttons(controls, { "Patch as it was": () => begin() });
  const speak = picture.speaker(form);
  let hu = [];
  let side = SIDE;
  let chosen = [0, 0];
  let before = {};
  const at = () => chosen[1] * side + chosen[0];
  const drawing = svg("svg", {
    id: "patch-voxels", class: "picture-chart", role: "application", tabindex: 0,
    "aria-label": "Patch; arrow keys choose a voxel, plus and minus change it",
  });
  byId("patch-image").append(drawing);

  function region() {
    return { columns: side, rows: side, levels: textures.levelsOf(hu, hu.map(() => true), width.value()) };
  }

  function begin() {
    ({ hu, side } = patches[which.value()]);
    hu = [...hu];
    chosen = [side >> 1, side >> 1];
    voxel.set(hu[at()]);
    before = textures.features(region());
    drawing.setAttribute("viewBox", `0 0 ${side * CELL} ${side * CELL + 24}`);
    update({});
  }

  const greyOf = (level, n) => Math.round(n > 1 ? 40 + (190 * (level - 1)) / (n - 1) : 135);
  const inkOn = (shade) => (shade > 125 ? "#000" : "#fff");

  function drawPatch({ levels }, zone) {
    const n = Math.max(...levels);
    const cells = levels.flatMap((level, place) => {
      const [x, y] = [(place % side) * CELL, Math.floor(place / side) * CELL];
      const shade = greyOf(level, n);
      const middle = { x: x + CELL / 2, "text-anchor": "middle" };
      return [
        svg("rect", { x, y, width: CELL, height: CELL, fill: `rgb(${shade},${shade},${shade})` }),
        svg("text", { ...middle, y: y + 20, style: `fill: ${inkOn(shade)}` }, `${hu[place]}`.replace("-", "\u2212")),
        svg("text", { ...middle, y: y + 37, style: `fill: ${inkOn(shade)}`, class: "picture-level" }, `${level}`),
      ];
    });
    const outline = (place, name) => svg("rect", {
      x: (place % side) * CELL + 2, y: Math.floor(place / side) * CELL + 2, width: CELL - 4, height: CELL - 4,
      class: name,
    });
    const same = [...zone.keys()].filter((place) => zone[place] === zone[at()] && place !== at());
    const { made } = patches[which.value()];
    const said = made ? "made up" : picture.origin(ct.slice.synthetic);
    const frames = [...same.map((place) => outline(place, "picture-zone")), outline(at(), "picture-chosen")];
    drawing.replaceChildren(...cells, ...frames,
      svg("text", { x: 4, y: side * CELL + 18, class: "picture-stamp" }, said));
  }

  /* A matrix of counts: rows are levels; of the columns those that hold something. */
  function drawMatrix(id, matrix, name) {
    const columns = matrix[0].map((_, column) => column).filter((column) => matrix.some((row) => row[column] > 0));
    const most = Math.max(...matrix.flat());
    const [cell, left, top] = [30, 34, 22];
    const text = (x, y, said, style = "") => svg("text", { x, y, "text-anchor": "middle", style }, said);
    const parts = columns.map((column, place) => text(left + cell * (place + 0.5), top - 6, `${column + 1}`));
    matrix.forEach((row, level) => {
      const y = top + cell * level;
      parts.push(text(left - 16, y + 20, `${level + 1}`));
      columns.forEach((column, place) => {
        const share = row[column] / most;
        parts.push(svg("rect", {
          x: left + cell * place, y, width: cell - 1, height: cell - 1, class: "picture-count", "fill-opacity": share,
        }));
        const ink = share > 0.5 ? "fill: #fff" : "";
        if (row[column]) parts.push(text(left + cell * (place + 0.5), y + 20, `${row[column]}`, ink));
      });
    });
    const [wide, high] = [left + cell * columns.length + 2, top + cell * matrix.length + 2];
    const whole = svg("svg", {
      viewBox: `0 0 ${wide} ${high}`, class: "picture-chart", role: "img",
      "aria-label": `${name}: ${matrix.length} levels, ${matrix.flat().reduce((a, b) => a + b, 0)} counts`,
      style: `max-width: ${Math.round(wide * 1.05)}px`,
    }, ...parts);
    byId(id).replaceChildren(whole);
  }

  function changeText(value, start) {
    const change = value - start;
    if (Math.abs(change) < 1e-12) return "";
    return `${change > 0 ? "+" : "\u2212"}${Number(Math.abs(change).toPrecision(3))}`;
  }

  function update(event) {
    if (event?.target === which.input) {
      begin();
      return;
    }
    if (event?.target === voxel.input) hu[at()] = voxel.value();
    const now = region();
    const step = textures.DIRECTIONS[direction.value()];
    const zone = textures.zones(now);
    const size = zone.filter((one) => one === zone[at()]).length;
    drawPatch(now, zone);
    drawMatrix("patch-glcm", textures.coOccurrence(now, step), "GLCM");
    drawMatrix("patch-glrlm", textures.runLengths(now, step), "GLRLM");
    drawMatrix("patch-glszm", textures.sizeZones(now), "GLSZM");
    const values = textures.features(now);
    picture.rowsOf(byId("patch-features"), textures.FEATURES.map((name) => {
      const value = values[name];
      const said = Number(value.toPrecision(6)).toString();
      return [`patch-${name}`, name.replace("_", " "), said, changeText(value, before[name])];
    }));
    const level = now.levels[at()];
    show(byId("patch-reading"), `Chosen: row ${chosen[1] + 1}, column ${chosen[0] + 1}, ${hu[at()]} HU, level ${level}`
      .replace("-", "\u2212") + ` of ${Math.max(...now.levels)}, in a zone of ${size}.`);
    speak(`${byId("patch-reading").textContent} Contrast ${values.glcm_Contrast.toFixed(2)}`);
  }

  function choose(place) {
    chosen = place;
    voxel.set(hu[at()]);
    update({});
  }

  /* The grid has another side with another patch, and a strip for the stamp below it. */
  function toVoxel(u, v) {
    const row = Math.floor((v * (side * CELL + 24)) / CELL);
    choose([Math.min(Math.floor(u * side), side - 1), Math.min(row, side - 1)]);
  }

  const KEYS = { "+": 5, "-": -5, "=": 5 };
  drawing.addEventListener("keydown", (event) => {
    if (!KEYS[event.key]) return;
    voxel.set(voxel.value() + KEYS[event.key]);
    update({ target: voxel.input });
  });
  picture.onDrag(drawing, toVoxel);
  picture.onArrows(drawing, (right, down) => choose([
    picture.within(chosen[0] + right, 0, side - 1), picture.within(chosen[1] + down, 0, side - 1)]));
  begin();
  picture.begin(form, update);
})();
