// Every page: long ones are folded by section, what scrolls sideways can be reached with the keyboard.
(function () {
  "use strict";

  const LONGEST = 12000; // pixels; beyond it nobody scrolls
  const SCROLLING = "mjx-container[display], .pst-scrollable-table-container, .cell_output .output, pre, .table-wrapper";

  function article() {
    return document.querySelector("article.bd-article");
  }

  function openAround(node) {
    for (let outer = node; outer; outer = outer.parentElement) {
      if (outer.tagName === "DETAILS") outer.open = true;
    }
  }

  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    // A section, or the name above its heading, is no part of what is folded in it.
    target.closest("section")?.querySelector(":scope > details.folded-section")?.setAttribute("open", "");
    openAround(target);
    target.scrollIntoView();
  }

  function openAll() {
    document.querySelectorAll("article.bd-article details").forEach((one) => (one.open = true));
  }

  function foldSection(section) {
    const heading = section.querySelector(":scope > h2, :scope > h3");
    if (!heading) return null;
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    details.className = "folded-section";
    heading.querySelectorAll("a.headerlink").forEach((link) => link.remove());
    heading.before(details);
    while (details.nextSibling) details.append(details.nextSibling);
    details.prepend(summary);
    summary.append(heading);
    return details;
  }

  function foldWithin(outer) {
    return [...outer.querySelectorAll(":scope > section")].flatMap((section) => {
      // What is too long by itself is folded once more inside.
      const inner = section.scrollHeight > LONGEST ? foldWithin(section) : [];
      const folded = foldSection(section);
      return folded ? [folded, ...inner] : inner;
    });
  }

  function foldLongPage() {
    const page = article();
    const outer = page?.querySelector(":scope > section") || page;
    if (!page || page.scrollHeight <= LONGEST) return;
    const folded = foldWithin(outer);
    if (!folded.length) return;
    folded[0].open = true;
    if (page.scrollHeight > LONGEST) folded[0].open = false;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "open-sections";
    button.textContent = "Open all sections";
    button.addEventListener("click", openAll);
    folded[0].closest("section").before(button);
    page.querySelectorAll(".highlighted").forEach(openAround);
    openTarget();
  }

  function reachScrolling() {
    document.querySelectorAll(SCROLLING).forEach((box) => {
      if (box.scrollWidth > box.clientWidth && !box.hasAttribute("tabindex")) box.tabIndex = 0;
    });
  }

  function nameSidebar() {
    const sidebar = document.querySelector(".sidebar-primary-items__start");
    sidebar?.setAttribute("role", "navigation");
    sidebar?.setAttribute("aria-label", "Title and search");
    document.querySelectorAll(".has-children > details > summary").forEach((summary) => {
      const chapter = summary.closest(".has-children").querySelector(":scope > a");
      summary.setAttribute("aria-label", `Pages under ${chapter?.textContent.trim() ?? "this one"}`);
    });
  }

  document.addEventListener("DOMContentLoaded", nameSidebar);
  window.addEventListener("load", () => {
    foldLongPage();
    reachScrolling();
    window.MathJax?.startup?.promise?.then(reachScrolling);
  });
  window.addEventListener("resize", reachScrolling);
  document.addEventListener("toggle", reachScrolling, true);
  window.addEventListener("hashchange", openTarget);
  window.addEventListener("beforeprint", openAll);
})();
