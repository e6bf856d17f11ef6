/* The CT slice that the pictures share: its HU and organs, windows, and drawing them. */
"use strict";

window.hccbookCt = (() => {
  const { element, within } = window.hccbookPicture;
  const given = window.hccbookSlice;
  const LIVER = 1;

  function decoded() {
    const bytes = Uint8Array.from(atob(given.hu), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const hu = Int16Array.from({ length: bytes.length / 2 }, (_, voxel) => view.getInt16(2 * voxel, true));
    const labels = new Uint8Array(hu.length);
    let start = 0;
    given.labels.forEach(([label, length]) => {
      labels.fill(label, start, start + length);
      start += length;
    });
    return { ...given, hu, labels };
  }

  const slice = given ? decoded() : null;

  /* Grey from 0 to 255 of a value in a window. */
  function grey(hu, width, level) {
    return Math.round((255 * (within(hu, level - width / 2, level + width / 2) - (level - width / 2))) / width);
  }

  /* Canvas of the slice, one dot a voxel, which the page enlarges. */
  function canvas(place, id, label) {
    const made = element("canvas", { id, width: slice.columns, height: slice.rows, class: "picture-ct", tabindex: 0,
      role: "application", "aria-label": label });
    const [row, column] = slice.spacing_mm;
    made.style.aspectRatio = `${slice.columns * column} / ${slice.rows * row}`;
    place.append(made);
    return made;
  }

  /* Draws the slice; `tint` may give [red, green, blue, share] for a voxel, to be laid over its grey. */
  function draw(onto, { width, level }, tint = () => null) {
    const pen = onto.getContext("2d");
    const dots = pen.createImageData(slice.columns, slice.rows);
    slice.hu.forEach((value, voxel) => {
      const shade = grey(value, width, level);
      const [red, green, blue, share] = tint(voxel) ?? [0, 0, 0, 0];
      dots.data.set([red, green, blue].map((part) => Math.round(shade + share * (part - shade))), 4 * voxel);
      dots.data[4 * voxel + 3] = 255;
    });
    pen.putImageData(dots, 0, 0);
    stamp(onto, pen);
  }

  /* Said on the picture itself. */
  function stamp(onto, pen) {
    const text = slice.synthetic ? "SYNTHETIC" : "own data";
    pen.font = `bold ${Math.round(slice.columns / 26)}px sans-serif`;
    pen.fillStyle = "#fff";
    pen.fillText(text, 6, slice.rows - 7);
    onto.dataset.stamp = text;
  }

  /* Cross at a voxel, with a gap so that the voxel itself is seen. */
  function cross(onto, [column, row], reach = 9) {
    const pen = onto.getContext("2d");
    const [x, y] = [column + 0.5, row + 0.5];
    ["#000", "#ffd400"].forEach((colour, turn) => {
      pen.strokeStyle = colour;
      pen.lineWidth = turn ? 1 : 2.5;
      pen.beginPath();
      [[1, 0], [-1, 0], [0, 1], [0, -1]].forEach(([dx, dy]) => {
        pen.moveTo(x + 3 * dx, y + 3 * dy);
        pen.lineTo(x + reach * dx, y + reach * dy);
      });
      pen.stroke();
    });
  }

  /* Middle of the liver: the voxel of it nearest to its centre of mass. */
  function middle() {
    const voxels = [...slice.labels.keys()].filter((voxel) => slice.labels[voxel] === LIVER);
    const place = (voxel) => [voxel % slice.columns, Math.floor(voxel / slice.columns)];
    const mean = [0, 1].map((axis) => voxels.reduce((sum, voxel) => sum + place(voxel)[axis], 0) / voxels.length);
    const away = (voxel) => Math.hypot(place(voxel)[0] - mean[0], place(voxel)[1] - mean[1]);
    return place(voxels.reduce((best, voxel) => (away(voxel) < away(best) ? voxel : best)));
  }

  const ORGANS = ["", "liver", "spleen"];
  const ABSENT = "This run has not saved a slice.";

  return { slice, LIVER, ORGANS, ABSENT, grey, canvas, draw, cross, middle };
})();
