const WIDE = 430, TALL = 220, LEFT = 44, RIGHT = 12, TOP = 14, BOTTOM = 34;

function chart(data, line) {
  const x = (n) => LEFT + ((WIDE - LEFT - RIGHT) * n) / Math.max(data.steps, 1);
  const y = (p) => TOP + (TALL - TOP - BOTTOM) * (1 - p);
  const path = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
  const parts = [];
  for (const [n, , start] of data.checks) {
    if (!parts.length || parts.at(-1).start !== start) parts.push({ start, from: n, points: [] });
  }
  for (const [n, p, start] of data.checks) parts.findLast((part) => part.start === start).points.push([n, p]);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const every = Math.max(1, Math.ceil(data.steps / 6 / 5) * 5);
  const marks = [];
  for (let n = 0; n <= data.steps; n += every) marks.push(n);
  return s("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", class: "chart",
    "aria-label": `Probability of the label; last check ${percent(data.checks.at(-1)?.[1])}` },
    ticks.map((p) => [s("line", { x1: LEFT, x2: WIDE - RIGHT, y1: y(p), y2: y(p), class: "grid" }),
      s("text", { x: LEFT - 6, y: y(p) + 4, "text-anchor": "end" }, percent(p))]),
    marks.map((n) => s("text", { x: x(n), y: TALL - 18, "text-anchor": "middle" }, String(n))),
    s("text", { x: (LEFT + WIDE - RIGHT) / 2, y: TALL - 3, "text-anchor": "middle" }, "updates of the token"),
    s("line", { x1: LEFT, x2: WIDE - RIGHT, y1: y(line), y2: y(line), class: "goal" }),
    s("text", { x: WIDE - RIGHT, y: y(line) - 5, "text-anchor": "end" }, `enough: ${percent(line)}`),
    s("path", { d: path(data.training), class: "training" }),
    parts.map((part, i) => [
      i ? s("line", { x1: x(part.from), x2: x(part.from), y1: TOP, y2: TALL - BOTTOM, class: "restart" }) : null,
      s("path", { d: path(part.points), class: "held" }),
      part.points.map(([n, p]) => s("circle", { cx: x(n), cy: y(p), r: 4, class: "dot" },
        s("title", {}, `${percent(p)} after ${n} updates, from ${part.start}`)))]));
}

function render({ model, el }) {
  el.classList.add("ik");
  const title = h("h3"), note = h("p", { className: "quiet" });
  const bar = h("div", { className: "bar" });
  const track = h("div", { className: "track", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
  const says = h("p", { className: "says", "aria-live": "polite" });
  const hint = h("p", { className: "hint", hidden: true },
    "The click has not come through: this notebook passes none on while a cell runs. Its interrupt button (■) ends the run too, and the result is kept.");
  const stop = h("button", { className: "stop" }, "Stop and keep the result");
  const pictures = h("div", { className: "pictures" }), plot = h("div", { className: "plot" });
  const below = h("p", { className: "quiet", textContent: "● line: held-out noise, which alone stops and selects. Dashed: the training images. Upright: a restart." });
  stop.addEventListener("click", () => {
    stop.disabled = true;
    stop.textContent = "Stopping …";
    put(model, { asked: model.get("asked") + 1 });
    setTimeout(() => { hint.hidden = model.get("heard") >= model.get("asked") || model.get("phase") === "done"; }, 5000);
  });
  el.append(h("div", { className: "ik-live" },
    h("header", {}, h("div", {}, title, note), stop), track, says, hint,
    h("div", { className: "parts" }, h("section", {}, h("h4", { textContent: "Latest images" }), pictures),
      h("section", {}, h("h4", { textContent: "Probability of the label" }), plot, below))));
  return follow(model, {
    "phase done total left message heard": () => {
      const [done, total, phase] = [model.get("done"), model.get("total"), model.get("phase")];
      const share = phase === "done" ? 1 : done / Math.max(total, 1);
      bar.style.width = `${100 * share}%`;
      track.setAttribute("aria-valuenow", Math.round(100 * share));
      const left = model.get("left");
      says.textContent = model.get("message") + (phase !== "done" && left >= 0 ? ` · at most ${seconds(left)} left` : "");
      el.firstChild.dataset.phase = phase;
      if (model.get("heard") >= model.get("asked")) hint.hidden = true;
    },
    phase: () => {
      stop.hidden = model.get("phase") === "done";
      stop.disabled = false;
      stop.textContent = model.get("phase") === "samples" ? "Skip the other test images" : "Stop and keep the result";
    },
    "title note": () => { title.textContent = model.get("title"); note.textContent = model.get("note"); },
    images: () => pictures.replaceChildren(...model.get("images").map(([address, p, hit, small]) =>
      h("figure", {}, h("img", { src: address, className: small ? "small" : "", alt: "generated image" }),
        h("figcaption", { className: hit ? "hit" : "" }, `${hit ? "✓ " : ""}${percent(p)}`)))),
    curve: () => plot.replaceChildren(chart(model.get("curve"), model.get("goal"))),
  });
}
export default { render };
