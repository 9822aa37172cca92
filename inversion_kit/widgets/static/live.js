// A search while it runs: plain data, a picture drawn by Python, and a button that stops it.
const seconds = (n) => (n >= 90 ? `${Math.round(n / 60)}\u00a0min` : `${Math.max(1, Math.round(n))}\u00a0s`);

function render({ model, el }) {
  el.classList.add("ik");
  const title = h("h3"), note = h("p", { className: "quiet" }), bar = h("div", { className: "bar" });
  const track = h("div", { className: "track", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
  const says = h("p", { className: "says", "aria-live": "polite" });
  const hint = h("p", { className: "hint", hidden: true },
    "The click has not come through: this notebook passes none on while a cell runs. Its interrupt button (■) ends the run too, and the result is kept.");
  const pictures = h("div", { className: "pictures" }), plot = h("div", { className: "plot" });
  const stop = h("button", { className: "stop", onclick: () => {
    stop.disabled = true;
    stop.textContent = "Stopping …";
    put(model, { asked: model.get("asked") + 1 });
    setTimeout(() => { hint.hidden = model.get("heard") >= model.get("asked") || model.get("phase") === "done"; }, 5000);
  } });
  const root = h("div", { className: "ik-live" },
    h("header", {}, h("div", {}, title, note), stop), track, says, hint,
    h("div", { className: "parts" }, h("section", {}, h("h4", {}, "Latest images"), pictures),
      h("section", {}, h("h4", {}, "Probability of the label"), plot)));
  el.append(root);
  return follow(model, {
    "phase done total left message heard": () => {
      const [done, total, phase, left] = ["done", "total", "phase", "left"].map((name) => model.get(name));
      const share = phase === "done" ? 1 : done / Math.max(total, 1);
      bar.style.width = `${100 * share}%`;
      track.setAttribute("aria-valuenow", Math.round(100 * share));
      says.textContent = model.get("message") + (phase !== "done" && left >= 0 ? ` · at most ${seconds(left)} left` : "");
      root.dataset.phase = phase;
      if (model.get("heard") >= model.get("asked")) hint.hidden = true;
    },
    phase: () => {
      stop.hidden = model.get("phase") === "done";
      stop.disabled = false;
      stop.textContent = model.get("phase") === "samples" ? "Skip the other test images" : "Stop and keep the result";
    },
    "title note": () => { title.textContent = model.get("title"); note.textContent = model.get("note"); },
    images: () => pictures.replaceChildren(...model.get("images").map((one) => h("figure", {}, picture(one, "generated image"),
      h("figcaption", { className: one.hit ? "hit" : "" }, `${one.hit ? "✓ " : ""}${one.says}`)))),
    chart: () => { plot.innerHTML = model.get("chart"); }, // figures.static.svg: every text in it is escaped
  });
}
export default { render };
