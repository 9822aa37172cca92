"use strict";
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const one = (selector, root = document) => root.querySelector(selector);

  // A slider over the checks: the pictures, the column and the line in the chart move together.
  const player = (strip) => {
    if (strip.dataset.ready) return;
    strip.dataset.ready = "yes";
    const heads = all("thead th[data-updates]", strip);
    if (heads.length < 2) return;
    const lines = all("tbody tr", strip);
    const box = document.createElement("div");
    box.className = "player";
    const play = document.createElement("button");
    play.type = "button";
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: heads.length - 1, step: 1, value: heads.length - 1 });
    slider.setAttribute("aria-label", "Check along the search");
    const says = document.createElement("output");
    const screen = document.createElement("div");
    screen.className = "screen";
    box.append(play, slider, says, screen);
    strip.before(box);
    const chart = strip.dataset.chart && document.getElementById(strip.dataset.chart);
    let cursor = null;
    if (chart && heads[0].dataset.x) {
      cursor = document.createElementNS(chart.namespaceURI, "line");
      cursor.setAttribute("class", "cursor");
      cursor.setAttribute("y1", chart.dataset.top);
      cursor.setAttribute("y2", chart.dataset.bottom);
      chart.append(cursor);
    }
    const draw = () => {
      const now = Number(slider.value);
      const head = heads[now];
      heads.forEach((h, i) => h.classList.toggle("at", i === now));
      screen.replaceChildren(...lines.map((line) => {
        const cells = all("td", line);
        cells.forEach((cell, i) => cell.classList.toggle("at", i === now));
        const figure = document.createElement("figure");
        const caption = document.createElement("figcaption");
        caption.textContent = one(".score", cells[now]).firstChild.textContent;
        figure.append(one(".p, img", cells[now]).cloneNode(true), caption);
        return figure;
      }));
      says.textContent = `after ${head.dataset.updates} updates: ${head.dataset.mean} on average`;
      slider.setAttribute("aria-valuetext", says.textContent);
      if (cursor) { cursor.setAttribute("x1", head.dataset.x); cursor.setAttribute("x2", head.dataset.x); }
    };
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "▶ play"; };
    stop();
    play.addEventListener("click", () => {
      if (timer !== null) { stop(); return; }
      if (Number(slider.value) === heads.length - 1) slider.value = 0;
      draw();
      play.textContent = "❚❚ pause";
      timer = setInterval(() => {
        slider.value = Number(slider.value) + 1;
        draw();
        if (Number(slider.value) === heads.length - 1) stop();
      }, 500);
    });
    slider.addEventListener("input", () => { stop(); draw(); });
    draw();
  };
  document.addEventListener("toggle", (event) => {
    if (event.target.open) for (const strip of all(".strip", event.target)) if (strip.closest("details") === event.target) player(strip);
  }, true);
  for (const strip of all(".strip")) if (!strip.closest("details:not([open])")) player(strip);
})();
