/* What the pictures share: labelled controls, pointer and arrow keys, drawings that follow the theme, spoken values. */
"use strict";

window.hccbookPicture = (() => {
  const { byId, element, svg, show, afterPause } = window.hccbookBase;

  const SCORE_NAMES = {
    alarm: "ALARM", amap_ct: "aMAP-CT", amap: "aMAP", radiomics: "Radiomics score", deep: "Deep score",
    ct_image: "CT image score", amap_liver: "aMAP-CT, liver alone", amap_spleen: "aMAP-CT, spleen alone",
  };

  /* Slider with its value in words, which is also what a screen reader says. */
  function slider(place, { id, label, min, max, step = 1, value, text }) {
    const said = element("output", { id: `${id}-text`, for: id });
    const input = element("input", { type: "range", id, min, max, step, value });
    const row = element("span", { class: "web-slider" }, input);
    place.append(element("div", { class: "web-field" }, element("label", { for: id }, label, " ", said), row));

    function tell() {
      said.textContent = text(input.valueAsNumber);
      input.setAttribute("aria-valuetext", said.textContent);
    }

    function set(wanted) {
      input.value = wanted;
      tell();
    }

    function limit(least, greatest) {
      input.min = least;
      input.max = greatest;
      tell();
    }

    input.addEventListener("input", tell);
    tell();
    return { input, set, limit, value: () => input.valueAsNumber };
  }

  function select(place, { id, label, options }) {
    const input = element("select", { id });
    const entry = element("span", { class: "web-entry" }, input);
    place.append(element("div", { class: "web-field" }, element("label", { for: id }, label), entry));

    function offer(choices) {
      input.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
    }

    offer(options);
    return { input, offer, value: () => input.value, set: (value) => { input.value = value; } };
  }

  function buttons(place, choices) {
    const made = Object.entries(choices).map(([text, call]) => {
      const button = element("button", { type: "button" }, text);
      button.addEventListener("click", call);
      return button;
    });
    place.append(element("p", { class: "web-buttons" }, ...made));
    return made;
  }

  const within = (value, least, greatest) => Math.min(Math.max(value, least), greatest);

  /* Calls with the place of a pressed pointer, as shares of the node's width and height from its top left. */
  function onDrag(node, call) {
    const tell = (event) => {
      const box = node.getBoundingClientRect();
      const share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      call(...share.map((part) => within(part, 0, 1)));
    };
    node.classList.add("picture-held");
    node.addEventListener("pointerdown", (event) => {
      node.setPointerCapture(event.pointerId);
      tell(event);
    });
    node.addEventListener("pointermove", (event) => { if (node.hasPointerCapture(event.pointerId)) tell(event); });
  }

  const CLICK = 3;

  /* `dragged` gets the way since the pointer was pressed, and whether it was just now; a click its place in shares. */
  function onDragOrClick(node, dragged, clicked) {
    let from = null;
    const way = (event) => [event.clientX - from[0], event.clientY - from[1]];
    node.classList.add("picture-held");
    node.addEventListener("pointerdown", (event) => {
      node.setPointerCapture(event.pointerId);
      from = [event.clientX, event.clientY];
      dragged(0, 0, true);
    });
    node.addEventListener("pointermove", (event) => { if (from) dragged(...way(event), false); });
    node.addEventListener("pointerup", (event) => {
      if (from && Math.hypot(...way(event)) < CLICK) {
        const box = node.getBoundingClientRect();
        clicked((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      }
      from = null;
    });
  }

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /* Calls with the steps (right, down) of an arrow key, ten at once with Shift. */
  function onArrows(node, call) {
    node.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      call(...step.map((one) => (event.shiftKey ? 10 : 1) * one));
    });
  }

  /* A place in a grid of columns and rows, moved by pointer and arrow keys; with `dragged`,
   * which is called with the way of a dragging pointer in pixels, only a click moves the place. */
  function cursor(canvas, { columns, rows, start, moved, dragged }) {
    let place = start;
    const to = ([column, row]) => {
      place = [within(column, 0, columns - 1), within(row, 0, rows - 1)];
      moved(place);
    };
    const toShare = (x, y) => to([Math.floor(x * columns), Math.floor(y * rows)]);
    if (dragged) onDragOrClick(canvas, dragged, toShare);
    else onDrag(canvas, toShare);
    onArrows(canvas, (right, down) => to([place[0] + right, place[1] + down]));
    return { to, at: () => place };
  }

  /* Says a text once the reader pauses. */
  function speaker(form) {
    const status = element("p", { class: "web-spoken", role: "status" });
    form.append(status);
    return afterPause((text) => show(status, text));
  }

  /* Axes of a drawing in its own units, and the scales that place a value on it. */
  function chart(place, { label, width = 440, height = 330, x, y, margin = [14, 14, 52, 62] }) {
    const [top, right, bottom, left] = margin;
    const scale = ({ from, to, log }, start, end) => (value) => {
      const [a, b, v] = log ? [from, to, value].map(Math.log) : [from, to, value];
      return start + ((end - start) * (v - a)) / (b - a);
    };
    const at = { x: scale(x, left, width - right), y: scale(y, height - bottom, top) };
    const root = svg("svg", {
      viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "picture-chart",
    });
    const layer = svg("g");
    const axes = svg("g", { class: "picture-axes" });
    x.ticks.forEach(([value, text]) => axes.append(
      svg("line", { x1: at.x(value), x2: at.x(value), y1: height - bottom, y2: height - bottom + 5 }),
      svg("text", { x: at.x(value), y: height - bottom + 20, "text-anchor": "middle" }, text),
    ));
    y.ticks.forEach(([value, text]) => axes.append(
      svg("line", { x1: left - 5, x2: left, y1: at.y(value), y2: at.y(value) }),
      svg("text", { x: left - 9, y: at.y(value) + 5, "text-anchor": "end" }, text),
    ));
    const middle = (top + height - bottom) / 2;
    axes.append(
      svg("path", { d: `M${left} ${top}V${height - bottom}H${width - right}` }),
      svg("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, x.label),
      svg("text", { transform: `translate(16 ${middle}) rotate(-90)`, "text-anchor": "middle" }, y.label),
    );
    root.append(axes, layer);
    place.append(root);
    const inverse = (axis, share) => {
      const [start, end, whole] = axis === x ? [left, width - right, width] : [height - bottom, top, height];
      const part = within((share * whole - start) / (end - start), 0, 1);
      const [a, b] = axis.log ? [axis.from, axis.to].map(Math.log) : [axis.from, axis.to];
      return axis.log ? Math.exp(a + part * (b - a)) : a + part * (b - a);
    };
    const draw = (...parts) => layer.replaceChildren(...parts);
    return { root, at, draw, values: (u, v) => [inverse(x, u), inverse(y, v)] };
  }

  const ticks = (values, text = String) => values.map((value) => [value, text(value)]);

  /* What a picture shows is simulated unless the run was on own data: said on the picture itself. */
  function origin(synthetic) {
    return synthetic ? "SYNTHETIC" : "own data";
  }

  function stampOn(chartRoot, synthetic) {
    const [, , width, height] = chartRoot.getAttribute("viewBox").split(" ");
    const place = { x: width - 20, y: height - 62, "text-anchor": "end" };
    chartRoot.append(svg("text", { ...place, class: "picture-stamp" }, origin(synthetic)));
  }

  /* Why there is nothing to move; the rest of the tool is hidden. */
  function unavailable(form, reason) {
    form.replaceChildren(element("p", { class: "web-stamp" }, `There is nothing to show here. ${reason}`));
    form.dataset.ready = "true";
  }

  function begin(form, update) {
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    update();
    form.dataset.ready = "true";
  }

  const percent = (share, digits = 1) => (Number.isNaN(share) ? "none" : `${(100 * share).toFixed(digits)}\u00a0%`);

  /* Rows of words and values. */
  function rowsOf(body, rows) {
    body.replaceChildren(...rows.map(([id, head, ...cells]) => element("tr", { id },
      element("th", { scope: "row" }, head),
      ...cells.map((cell) => element("td", { class: "web-number" }, cell)))));
  }

  return {
    SCORE_NAMES, byId, element, svg, show, slider, select, buttons, within, onDrag, onArrows, cursor, speaker, chart,
    ticks, origin, stampOn, unavailable, begin, percent, rowsOf,
  };
})();
