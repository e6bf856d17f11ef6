/* What every page that answers to the hand is built with. */
"use strict";

window.hccbookBase = (() => {
  const byId = (id) => document.getElementById(id);

  function filled(created, attributes, children) {
    Object.entries(attributes).forEach(([name, value]) => created.setAttribute(name, value));
    created.append(...children);
    return created;
  }

  function element(tag, attributes = {}, ...children) {
    return filled(document.createElement(tag), attributes, children);
  }

  /* Part of a drawing. */
  function svg(tag, attributes = {}, ...children) {
    return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  /* Live regions speak when their text is set, so it is set only when it differs. */
  function show(node, text) {
    if (node.textContent !== text) node.textContent = text;
    node.hidden = text === "";
  }

  /* Puts off a call until the reader pauses, so that a live region does not speak at every key. */
  function afterPause(call, milliseconds = 600) {
    let waiting;
    return (...given) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => call(...given), milliseconds);
    };
  }

  return { byId, element, svg, show, afterPause };
})();
