// Plotly measures its place before it is there: tell it again when a figure does not fit.
function render({ el }) {
  el.hidden = true;
  let view = null, waiting = 0;
  const misfit = () => [...view.querySelectorAll(".js-plotly-plot")].some((plot) => {
    const room = plot.parentElement?.clientWidth ?? 0, drawn = plot.querySelector(".main-svg")?.clientWidth ?? room;
    return room > 0 && Math.abs(room - drawn) > 2;
  });
  const look = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (misfit()) window.dispatchEvent(new Event("resize")); }, 120);
  };
  const changed = new MutationObserver(look), resized = new ResizeObserver(look);
  const begin = setInterval(() => {
    view = el.closest(".ik-view");
    if (!view) return;
    clearInterval(begin);
    changed.observe(view, { childList: true, subtree: true });
    resized.observe(view);
    look();
  }, 50);
  return () => { clearInterval(begin); clearTimeout(waiting); changed.disconnect(); resized.disconnect(); };
}
export default { render };
