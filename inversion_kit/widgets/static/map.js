// Points of a drawing by Python: the picture under the mouse, lasso and box.
function render({ model, el }) {
  el.classList.add("ik");
  let at = new Float32Array(), points = [], over = -1, drag = null;
  const pictures = new Map(), asked = new Set();
  const plot = h("img", { alt: "Map of images", draggable: false }), front = h("img", { alt: "", className: "front", draggable: false });
  const ring = h("div", { className: "ring", hidden: true }), tip = h("div", { className: "tip", hidden: true });
  const line = s("polygon", {}), stage = h("div", { className: "stage" }, plot, front, s("svg", { class: "lasso" }, line), ring, tip);
  el.append(h("div", { className: "ik-map" }, stage));

  const spot = (event) => { const box = stage.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const scale = () => plot.clientWidth / model.get("wide");
  const place = (i, k = scale()) => [at[2 * i] * k, at[2 * i + 1] * k];
  function nearest(x, y) {
    const k = scale();
    let best = -1, least = 14 * 14;
    points.forEach((_, i) => { const d = (at[2 * i] * k - x) ** 2 + (at[2 * i + 1] * k - y) ** 2; if (d <= least) { least = d; best = i; } });
    return best;
  }
  function tell() {
    tip.hidden = ring.hidden = over < 0;
    if (over < 0) return;
    const point = points[over], known = pictures.get(point);
    tip.replaceChildren(...(!known ? [h("span", { className: "waiting" })] : known.src ? [picture(known, "")] : []),
      h("div", {}, ...(known?.lines ?? []).map((words, i) => h("div", { className: i ? "quiet" : "first" }, words))));
    Object.assign(tip.dataset, { point, ready: Boolean(known) });
    const [x, y] = place(over), [wide, tall] = [stage.clientWidth, stage.clientHeight];
    Object.assign(ring.style, { left: `${x}px`, top: `${y}px` });
    tip.style.left = `${Math.max(4, x + 16 + tip.offsetWidth > wide ? x - 16 - tip.offsetWidth : x + 16)}px`;
    tip.style.top = `${Math.max(4, Math.min(tall - tip.offsetHeight - 4, y - tip.offsetHeight / 2))}px`;
  }
  function hover(i) {
    if (i === over) return;
    over = i;
    if (i >= 0 && !asked.has(points[i])) {
      asked.add(points[i]);
      model.send({ want: points[i] });
    }
    tell();
  }
  const inside = (polygon, x, y) => polygon.reduce((odd, [xi, yi], i) => {
    const [xj, yj] = polygon.at(i - 1);
    return yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi ? !odd : odd;
  }, false);
  const on = (name, heard) => stage.addEventListener(name, heard);
  on("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault(); // no text is selected
    hover(-1);
    drag = [spot(event)];
    stage.setPointerCapture(event.pointerId);
  });
  on("pointermove", (event) => {
    const to = spot(event);
    if (!drag) return hover(nearest(...to));
    const [from] = drag;
    drag = model.get("mode") === "lasso" ? [...drag, to] : [from, [to[0], from[1]], to, [from[0], to[1]]];
    line.setAttribute("points", drag.join(" "));
  });
  on("pointerup", (event) => {
    if (!drag) return;
    const path = drag, [[x, y]] = path, to = spot(event), still = Math.hypot(to[0] - x, to[1] - y) < 4 && path.length < 6, k = scale();
    drag = null;
    line.setAttribute("points", "");
    const hit = still ? [nearest(...to)].filter((i) => i >= 0) : [...points.keys()].filter((i) => inside(path, ...place(i, k)));
    put(model, { chosen: hit.map((i) => points[i]), drawn: model.get("drawn") + 1 });
  });
  on("pointerleave", () => { if (!drag) hover(-1); });
  const answer = (message) => {
    if (pictures.size > 3000) { pictures.clear(); asked.clear(); }
    pictures.set(message.point, message);
    if (over >= 0) tell();
  };
  model.on("msg:custom", answer);
  const end = follow(model, {
    "svg spots points": () => {
      hover(-1);
      pictures.clear();
      asked.clear();
      plot.src = model.get("svg");
      const view = model.get("spots");
      at = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
      points = model.get("points");
    },
    front: () => {
      front.hidden = !model.get("front");
      plot.classList.toggle("back", !front.hidden);
      if (!front.hidden) front.src = model.get("front");
    },
  });
  return () => { model.off("msg:custom", answer); end(); };
}
export default { render };
