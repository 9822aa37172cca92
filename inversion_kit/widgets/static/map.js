// Points on a canvas, drawn once; what moves with the mouse is drawn on a second one above it.
const MARKS = {
  circle: (c, x, y, r) => c.arc(x, y, r, 0, 7),
  square: (c, x, y, r) => c.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8),
  diamond: (c, x, y, r) => { c.moveTo(x, y - r * 1.2); c.lineTo(x + r * 1.2, y); c.lineTo(x, y + r * 1.2); c.lineTo(x - r * 1.2, y); c.closePath(); },
  "triangle-up": (c, x, y, r) => { c.moveTo(x, y - r * 1.2); c.lineTo(x + r * 1.15, y + r * 0.9); c.lineTo(x - r * 1.15, y + r * 0.9); c.closePath(); },
  x: (c, x, y, r) => { const a = r * 1.1, b = r * 0.45; c.moveTo(x - a, y - a + b); c.lineTo(x - b + b, y - b + b); for (const [dx, dy] of [[-a + b, -a], [0, -b], [a - b, -a], [a, -a + b], [b, 0], [a, a - b], [a - b, a], [0, b], [-a + b, a], [-a, a - b], [-b, 0], [-a, -a + b]]) c.lineTo(x + dx, y + dy); c.closePath(); },
  star: (c, x, y, r) => { for (let i = 0; i < 10; i += 1) { const q = i % 2 ? r * 0.6 : r * 1.4, a = (Math.PI * i) / 5 - Math.PI / 2; c[i ? "lineTo" : "moveTo"](x + q * Math.cos(a), y + q * Math.sin(a)); } c.closePath(); },
};
const floats = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function symbol(entry) {
  const canvas = h("canvas", { width: 28, height: 28, className: "symbol" });
  const c = canvas.getContext("2d");
  c.fillStyle = entry.colour;
  c.beginPath();
  MARKS[entry.symbol](c, 14, 14, 9);
  c.fill();
  return canvas;
}

function render({ model, el }) {
  el.classList.add("ik");
  let xy = new Float32Array(), group = new Uint8Array(), token = new Uint8Array(), bright = new Uint8Array();
  let zoom = { k: 1, x: 0, y: 0 }, mode = "lasso", over = -1, drag = null, chosen = new Set();
  const pictures = new Map(), asked = new Set();
  const base = h("canvas", { role: "img", "aria-label": "Map of images" }), top = h("canvas", { className: "top" });
  const tip = h("div", { className: "tip", hidden: true });
  const stage = h("div", { className: "stage" }, base, top, tip);
  const busy = h("div", { className: "busy", hidden: true, role: "status" });
  stage.append(busy);
  const modes = h("div", { className: "ik-group", role: "group", "aria-label": "Mouse" }, ...["lasso", "box", "move"].map((name) =>
    h("button", { "data-mode": name, onclick: () => { mode = name; shown(); } }, name[0].toUpperCase() + name.slice(1))));
  const reset = h("button", { onclick: () => { zoom = { k: 1, x: 0, y: 0 }; select([]); draw(); } }, "Reset");
  const picks = h("div", { className: "ik-tools" }), legend = h("ul", { className: "legend" }), note = h("p", { className: "quiet" });
  el.append(h("div", { className: "ik-map" }, h("div", { className: "ik-tools" }, picks, modes, reset), stage, legend, note));

  const size = () => [stage.clientWidth || 480, stage.clientHeight || 380];
  const pad = 16;
  const place = (i) => {
    const [w, t] = size();
    return [(pad + xy[2 * i] * (w - 2 * pad)) * zoom.k + zoom.x, (pad + (1 - xy[2 * i + 1]) * (t - 2 * pad)) * zoom.k + zoom.y];
  };
  function shown() {
    for (const button of modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    stage.dataset.mode = mode;
  }
  function fit(canvas) {
    const [w, t] = size(), ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(t * ratio)) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(t * ratio);
    }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, w, t);
    return c;
  }
  function draw() {
    const c = fit(base), entries = model.get("legend"), n = group.length;
    const radius = (n > 4000 ? 2.6 : n > 800 ? 3.4 : 5) * Math.min(2, Math.sqrt(zoom.k));
    const focus = chosen.size > 0 || bright.length === n && bright.includes(1);
    const lit = (i) => !focus || (chosen.size ? chosen.has(i) : bright[i] === 1);
    // The legend's order is for reading; what must not be covered is drawn last.
    const groups = entries.map((_, g) => g).sort((a, b) => entries[a].drawn - entries[b].drawn);
    for (const faded of [true, false]) {
      c.globalAlpha = faded ? 0.13 : 0.8;
      for (const g of groups) {
        c.fillStyle = entries[g].colour;
        c.strokeStyle = "#ffffff";
        c.lineWidth = 0.6;
        c.beginPath();
        for (let i = 0; i < n; i += 1) {
          if (group[i] !== g || lit(i) === faded) continue;
          const [x, y] = place(i), r = token[i] ? radius * 1.5 : radius;
          if (entries[g].symbol === "circle") c.moveTo(x + r, y);
          MARKS[entries[g].symbol](c, x, y, r);
        }
        c.fill();
        if (!faded && n <= 4000) c.stroke();
      }
    }
    c.globalAlpha = 1;
    overlay();
  }
  function overlay() {
    const c = fit(top);
    if (drag && mode !== "move") {
      c.beginPath();
      drag.path.forEach(([x, y], i) => c[i ? "lineTo" : "moveTo"](x, y));
      c.closePath();
      c.fillStyle = "rgba(10, 90, 156, .12)";
      c.strokeStyle = "#0a5a9c";
      c.setLineDash([5, 3]);
      c.fill();
      c.stroke();
      c.setLineDash([]);
    }
    if (over >= 0) {
      const [x, y] = place(over);
      c.beginPath();
      c.arc(x, y, 9, 0, 7);
      c.lineWidth = 2.5;
      c.strokeStyle = "#1c1e21";
      c.stroke();
    }
  }
  function nearest(mx, my) {
    let best = -1, least = 14 * 14;
    for (let i = 0; i < group.length; i += 1) {
      const [x, y] = place(i), d = (x - mx) ** 2 + (y - my) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }
  function tell() {
    tip.hidden = over < 0;
    if (over < 0) return;
    const known = pictures.get(over);
    const lines = known ? known.lines : [model.get("captions")[over] ?? ""];
    tip.replaceChildren(...(known && !known.src ? [] : [known ? h("img", { src: known.src, className: known.small ? "small" : "", alt: "" }) : h("span", { className: "waiting" })]),
      h("div", {}, ...lines.map((line, i) => h("div", { className: i ? "quiet" : "first" }, line))));
    tip.dataset.point = over;
    tip.dataset.ready = String(Boolean(known));
    const [x, y] = place(over), [w, t] = size();
    const [tw, tt] = [tip.offsetWidth, tip.offsetHeight];
    tip.style.left = `${Math.max(4, x + 16 + tw > w ? x - 16 - tw : x + 16)}px`;
    tip.style.top = `${Math.max(4, Math.min(t - tt - 4, y - tt / 2))}px`;
  }
  function hover(i) {
    if (i === over) return;
    over = i;
    overlay();
    tell();
    if (i >= 0 && !pictures.has(i) && !asked.has(i)) {
      asked.add(i);
      model.send({ want: i });
    }
  }
  const inside = (polygon, x, y) => {
    let odd = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i, i += 1) {
      const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
    }
    return odd;
  };
  function select(points) {
    chosen = new Set(points);
    put(model, { chosen: points });
  }
  const spot = (event) => { const box = stage.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const at = spot(event);
    drag = { from: at, path: [at], zoom: { ...zoom } };
    stage.setPointerCapture(event.pointerId);
    hover(-1);
  });
  stage.addEventListener("pointermove", (event) => {
    const at = spot(event);
    if (!drag) { hover(nearest(...at)); return; }
    if (mode === "move") {
      zoom = { ...drag.zoom, x: drag.zoom.x + at[0] - drag.from[0], y: drag.zoom.y + at[1] - drag.from[1] };
      draw();
      return;
    }
    drag.path = mode === "lasso" ? [...drag.path, at] : [drag.from, [at[0], drag.from[1]], at, [drag.from[0], at[1]]];
    overlay();
  });
  stage.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { path, from } = drag, at = spot(event);
    drag = null;
    if (mode !== "move") {
      if (Math.hypot(at[0] - from[0], at[1] - from[1]) < 4 && path.length < 6) {
        const hit = nearest(...at);
        select(hit >= 0 ? [hit] : []);
      } else {
        const found = [];
        for (let i = 0; i < group.length; i += 1) if (inside(path, ...place(i))) found.push(i);
        select(found);
      }
    }
    draw();
  });
  stage.addEventListener("pointerleave", () => { if (!drag) hover(-1); });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && mode !== "move") return;
    event.preventDefault();
    const [x, y] = spot(event), k = Math.max(1, Math.min(30, zoom.k * Math.exp(-event.deltaY / 300)));
    zoom = { k, x: x - ((x - zoom.x) * k) / zoom.k, y: y - ((y - zoom.y) * k) / zoom.k };
    if (k === 1) zoom = { k, x: 0, y: 0 };
    draw();
  }, { passive: false });

  const answer = (message) => {
    if (message.point === undefined) return;
    if (pictures.size > 3000) { pictures.clear(); asked.clear(); }
    pictures.set(message.point, message);
    if (message.point === over) tell();
  };
  model.on("msg:custom", answer);
  const watch = new ResizeObserver(() => draw());
  watch.observe(stage);
  shown();
  const end = follow(model, {
    "xy group token bright legend": () => {
      xy = floats(model.get("xy"));
      group = bytes(model.get("group"));
      token = bytes(model.get("token"));
      bright = bytes(model.get("bright"));
      over = -1;
      draw();
      const entries = model.get("legend");
      legend.replaceChildren(...entries.slice(0, 12).map((entry) => h("li", {}, symbol(entry), entry.name, h("span", { className: "quiet" }, ` ${entry.count}`))),
        ...(entries.length > 12 ? [h("li", { className: "quiet" }, `and ${entries.length - 12} more: point at one to see its name`)] : []));
    },
    captions: () => { pictures.clear(); asked.clear(); },
    chosen: () => {
      const now = model.get("chosen");
      if (now.length !== chosen.size || now.some((i) => !chosen.has(i))) { chosen = new Set(now); draw(); }
    },
    note: () => { note.textContent = model.get("note"); },
    busy: () => { busy.hidden = !model.get("busy"); busy.textContent = model.get("busy"); },
    "choices picked": () => picks.replaceChildren(...model.get("choices").map(([key, label, options]) =>
      choice(label, options, model.get("picked")[key], (value) => put(model, { picked: { ...model.get("picked"), [key]: value } })))),
  });
  return () => { watch.disconnect(); model.off("msg:custom", answer); end(); };
}
export default { render };
