// Steps of a search: controls, a strip of all frames, the current one large, bars of the classes.
function render({ model, el }) {
  el.classList.add("ik");
  const frames = () => model.get("frames");
  const at = () => Math.min(model.get("position"), frames().length - 1);
  let timer = null;

  const play = h("button", { className: "play", onclick: () => (timer ? halt() : start()) }, "▶ Play");
  const back = h("button", { "aria-label": "One step back", onclick: () => go(at() - 1) }, "◀");
  const next = h("button", { "aria-label": "One step on", onclick: () => go(at() + 1) }, "▶");
  const slider = h("input", { type: "range", min: 0, "aria-label": "Step", oninput: () => go(Number(slider.value)) });
  const says = h("output", { className: "says" });
  const picks = h("div", { className: "ik-tools picks" });
  const strip = h("div", { className: "strip", role: "listbox", "aria-label": "Steps" });
  const now = h("img", { className: "now", alt: "" }), under = h("p", { className: "under" });
  const bars = h("div", { className: "bars" });
  const body = h("div", { className: "body" },
    h("div", { className: "ik-tools" }, h("span", { className: "ik-group" }, back, play, next), slider, says),
    strip, h("div", { className: "both" }, h("div", { className: "one" }, now, under), bars));
  const empty = h("div", { className: "empty" }, "This run is not there: it failed or was not made.");
  el.append(h("div", { className: "ik-player" }, picks, body, empty));

  function go(to) {
    const last = frames().length - 1;
    if (last >= 0) put(model, { position: Math.max(0, Math.min(last, to)) });
  }
  function halt() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ Play";
  }
  function start() {
    if (at() >= frames().length - 1) go(0);
    play.textContent = "❚❚ Pause";
    timer = setInterval(() => (at() >= frames().length - 1 ? halt() : go(at() + 1)), 450);
  }

  // Where the strip has a width only later, as when its place is just being made.
  const centre = () => {
    const chosen = strip.children[at()];
    if (chosen) strip.scrollLeft = chosen.offsetLeft - strip.clientWidth / 2 + chosen.offsetWidth / 2;
  };
  const watch = new ResizeObserver(centre);
  watch.observe(strip);
  const end = follow(model, {
    "choices chosen": () => picks.replaceChildren(...model.get("choices").map(([key, label, options]) =>
      choice(label, options, model.get("chosen")[key], (value) => {
        halt();
        put(model, { chosen: { ...model.get("chosen"), [key]: value } });
      }))),
    frames: () => {
      const all = frames();
      body.hidden = !all.length;
      empty.hidden = all.length > 0;
      slider.max = Math.max(all.length - 1, 0);
      strip.replaceChildren(...all.map((frame, i) => h("button", {
        className: "frame", role: "option", title: frame.title, onclick: () => { halt(); go(i); } },
        h("img", { src: frame.src, className: model.get("small") ? "small" : "", alt: "" }),
        h("span", { className: frame.hit ? "hit" : "" }, `${frame.hit ? "✓ " : ""}${percent(frame.p)}`),
        h("span", { className: "when" }, `${frame.updates}${frame.kept ? " ★" : ""}`))));
    },
    "frames position classes": () => {
      const all = frames(), i = at();
      if (!all.length) return;
      slider.value = i;
      const frame = all[i];
      says.textContent = frame.title;
      for (const [k, child] of [...strip.children].entries()) child.setAttribute("aria-selected", k === i);
      centre();
      now.src = frame.src;
      now.className = model.get("small") ? "now small" : "now";
      now.alt = `${frame.title}: ${percent(frame.p)}`;
      under.textContent = frame.under;
      const best = Math.max(...frame.bars);
      bars.replaceChildren(h("h4", {}, "Classes in this image"), h("p", { className: "quiet" }, "the label first, in blue; ✓ what it is read as"), ...model.get("classes").map((name, c) => {
        const p = frame.bars[c];
        return h("div", { className: `row${c === 0 ? " target" : ""}` },
          h("span", { className: "name", title: name }, `${p === best ? "✓ " : ""}${name}`),
          h("span", { className: "track" }, h("span", { className: "bar", style: { width: `${100 * p}%` } })),
          h("span", { className: "value" }, percent(p)));
      }));
    },
  });
  return () => { halt(); watch.disconnect(); end(); };
}
export default { render };
