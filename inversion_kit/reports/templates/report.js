"use strict";
(() => {
  const data = JSON.parse(document.getElementById("inversion-kit-data").textContent);
  const rows = data.labels;
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const one = (selector, root = document) => root.querySelector(selector);
  const at = (element) => Number(element.dataset.at);
  const made = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text) element.textContent = text;
    return element;
  };
  const drawn = (svg, tag, name) => {
    const element = document.createElementNS(svg.namespaceURI, tag);
    element.setAttribute("class", name);
    return element;
  };

  // A slider over the checks: the pictures, the column and the line in the chart move together.
  const player = (strip) => {
    if (strip.dataset.ready) return;
    strip.dataset.ready = "yes";
    const heads = all("thead th[data-updates]", strip);
    if (heads.length < 2) return;
    const lines = all("tbody tr", strip);
    const box = made("div", "player"), play = made("button"), slider = made("input"), says = made("output"), screen = made("div", "screen");
    play.type = "button";
    Object.assign(slider, { type: "range", min: 0, max: heads.length - 1, step: 1, value: heads.length - 1 });
    slider.setAttribute("aria-label", "Check along the search");
    box.append(play, slider, says, screen);
    strip.before(box);
    const chart = one("svg.chart", strip.parentElement);
    let cursor = null;
    const plot = chart && one(".plot", chart);
    if (plot) {
      cursor = drawn(chart, "line", "cursor");
      chart.append(cursor);
    }
    const move = (updates) => {
      const [left, top, width, height] = plot.dataset.box.split(" ").map(Number);
      const [low, high] = plot.dataset.range.split(" ").map(Number);
      const x = left + width * (updates - low) / (high - low);
      for (const [name, value] of Object.entries({ x1: x, x2: x, y1: top, y2: top + height })) cursor.setAttribute(name, value);
    };
    const draw = () => {
      const now = Number(slider.value), head = heads[now];
      heads.forEach((h, i) => h.classList.toggle("at", i === now));
      screen.replaceChildren(...lines.map((line) => {
        const cells = all("td", line);
        cells.forEach((cell, i) => cell.classList.toggle("at", i === now));
        const figure = made("figure");
        figure.append(one(".p", cells[now]).cloneNode(true), made("figcaption", "", one(".score", cells[now]).firstChild.textContent));
        return figure;
      }));
      says.textContent = `after ${head.dataset.updates} updates: ${head.dataset.mean} on average`;
      slider.setAttribute("aria-valuetext", says.textContent);
      if (cursor) move(Number(head.dataset.updates));
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
  if (rows.length < 2) return;

  // One order and one filter for the table, the pictures and the details.
  const lists = all("[data-list]");
  one(".tools").hidden = false;
  const value = (row, key) => {
    const ranked = { verdict: data.verdicts, finding: data.finding_kinds }[key];
    const shown = ranked ? ranked.indexOf(row[key]) : row[key];
    return shown !== null && typeof shown === "object" ? shown.value : shown;
  };
  const compare = (key, down) => (a, b) => {
    const [x, y] = [value(rows[a], key), value(rows[b], key)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
    return (down ? -order : order) || a - b;
  };
  const sort = (key, down) => {
    const order = rows.map((_, i) => i).sort(compare(key, down));
    const place = new Map(order.map((i, n) => [i, n]));
    for (const list of lists) list.append(...all(":scope > [data-at]", list).sort((a, b) => place.get(at(a)) - place.get(at(b))));
    for (const head of all(".board th[data-key]")) {
      if (head.dataset.key === key) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  };
  for (const head of all(".board th[data-key]")) {
    const button = made("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      sort(head.dataset.key, now === null ? head.dataset.first === "down" : now === "ascending");
    });
  }

  let redraw = () => {}; // the maps, once they are there
  const search = one("#search"), verdict = one("#verdict"), kind = one("#kind"), finding = one("#finding"); // the last only where findings were looked for
  const fits = (row) =>
    row.label.toLocaleLowerCase().includes(search.value.trim().toLocaleLowerCase()) &&
    (!verdict.value || row.verdict === verdict.value) &&
    (!finding?.value || row.finding === finding.value) &&
    (!kind.value || row.attention.some((reason) => kind.value === "any" || reason.kind === kind.value));
  const filter = () => {
    const kept = rows.map(fits), n = kept.filter(Boolean).length;
    for (const list of lists) for (const item of all(":scope > [data-at]", list)) item.hidden = !kept[at(item)];
    one("#shown").textContent = `${n} of ${rows.length} labels`;
    one("#nothing").hidden = n > 0;
    redraw();
  };
  for (const control of [search, verdict, kind, finding]) control?.addEventListener("input", filter);
  const clear = () => { search.value = verdict.value = kind.value = ""; if (finding) finding.value = ""; filter(); };
  one("#clear").addEventListener("click", clear);
  for (const link of all("[data-verdict]")) link.addEventListener("click", () => { clear(); verdict.value = link.dataset.verdict; filter(); });

  // Table or pictures, and pictures of another arm in both.
  const show = (name) => {
    one("#as-table").hidden = name !== "table";
    one("#as-pictures").hidden = name === "table";
    for (const button of all("[data-show]")) button.setAttribute("aria-pressed", String(button.dataset.show === name));
  };
  for (const button of all("[data-show]")) button.addEventListener("click", () => show(button.dataset.show));
  show("table");
  const there = (label, arm, column) => data.there[label][arm][column] === "1";
  const place = (picture, label, arm, column, words) => {
    const is = there(label, arm, column);
    picture.className = is ? `p s${label} r${arm} c${column}` : "gap grey";
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", is ? words : `${words}: none`);
    return picture;
  };
  const arm = one("#arm");
  arm.addEventListener("input", () => {
    for (const picture of all("[data-picture]")) {
      const [label, column] = picture.dataset.picture.split(" ").map(Number);
      place(picture, label, arm.selectedIndex, column, `${rows[label].label}, ${data.words[arm.selectedIndex]}, ${data.columns[column]}`);
    }
  });

  // Links, cells and marks open the label that they lead to.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    const holder = target && target.closest("details.label");
    if (!holder) return;
    if (holder.hidden) clear();
    holder.open = true;
    target.scrollIntoView();
  };
  const open = (label) => { location.hash = `#label-${label}`; reveal(); };
  addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#label-"]');
    if (link && link.getAttribute("href") === location.hash) reveal();
  });
  one("#open-all").addEventListener("click", () => all("details.label:not([hidden])").forEach((d) => { d.open = true; }));
  one("#close-all").addEventListener("click", () => all("details.label").forEach((d) => { d.open = false; }));
  for (const part of all(".readout, .folds")) part.hidden = false;
  const cells = one(".matrices"), readout = one("#cell"); // none under a picture of pixels
  if (readout) {
    cells.addEventListener("pointerover", (event) => {
      const title = event.target.closest("rect[data-i]")?.querySelector("title");
      if (title) readout.textContent = title.textContent;
    });
    cells.addEventListener("click", (event) => {
      const cell = event.target.closest("rect[data-i]");
      if (cell) open(Number(cell.dataset.i.split(" ")[0]));
    });
  }

  // The maps: the nearest mark under the pointer, or the next one by the keyboard, shows its picture.
  const points = data.map;
  if (points) {
    const card = one("#map-card"), shown = one("#map-shown"), says = one("#map-says"), ofArm = one("#map-arm"), colour = one("#map-colour"); // the last as of "finding"
    card.hidden = one(".tools", card).hidden = false;
    const visible = (n) => (ofArm.value === "" || points.arm[n] === Number(ofArm.value)) && fits(rows[points.label[n]]);
    const holders = all(".maps [data-space]");
    for (const holder of holders) holder.hidden = false; // what is hidden has no places
    const maps = holders.map((holder) => {
      const svg = one("svg", holder), marks = all("[data-i]", svg);
      const same = drawn(svg, "path", "same"), here = drawn(svg, "circle", "here");
      svg.prepend(same);
      svg.append(here);
      const spots = new Map(marks.map((mark) => {
        const box = mark.getBBox();
        return [Number(mark.dataset.i), [box.x + box.width / 2, box.y + box.height / 2]];
      }));
      const order = [...spots.keys()].sort((a, b) => points.label[a] - points.label[b] || points.arm[a] - points.arm[b] || points.column[a] - points.column[b]);
      return { space: holder.dataset.space, svg, marks, same, here, spots, order };
    });
    const recolour = () => { for (const holder of holders) holder.hidden = holder.dataset.colour !== (colour?.value ?? "verdict"); };
    recolour();
    colour?.addEventListener("input", recolour);
    const known = new Map(); // of label, arm and column, an image's place
    for (const map of maps) if (map.space === "image") for (const n of map.order) known.set(`${points.label[n]} ${points.arm[n]} ${points.column[n]}`, n);
    const picture = (label, arm, column, words) => place(made("span"), label, arm, column, words);
    let now = null;
    const focus = (map, n) => {
      now = { map, n };
      const label = points.label[n], arm = points.arm[n], column = map.space === "image" ? points.column[n] : 0;
      for (const other of maps) {
        other.same.setAttribute("d", other.order.filter((k) => points.label[k] === label && visible(k)).map((k) => `M${other.spots.get(k).join(" ")}h0`).join(""));
        other.here.setAttribute("r", other === map ? 11 : 0);
      }
      map.here.setAttribute("cx", map.spots.get(n)[0]);
      map.here.setAttribute("cy", map.spots.get(n)[1]);
      const name = rows[label].label, said = points.verdicts[points.verdict[n]];
      const words = map.space === "image"
        ? `“${name}”, ${data.words[arm]}, ${data.columns[column]}: read as “${points.classes[points.read[n]]}”` + (said.startsWith("not read") ? "" : `; ${said}`)
        : `Token of “${name}”, ${data.words[arm]}, run ${data.seeds[points.column[n]]}`;
      const finding = colour?.value === "finding" ? `. Its label: ${rows[label].finding}` : "";
      const main = made("div", "main"), text = made("p", "", words + finding + ". "), link = made("a", "", "Open its label");
      link.href = `#label-${label}`;
      text.append(made("br"), link);
      main.append(picture(label, arm, column, words), text);
      const others = made("div", "others");
      data.words.forEach((title, a) => {
        if (!there(label, a, column)) return;
        const figure = made("figure", a === arm ? "now" : "");
        figure.append(picture(label, a, column, `The same noise, ${title}`), made("figcaption", "", title));
        others.append(figure);
      });
      shown.replaceChildren(main, others);
      says.className = "unseen";
      says.textContent = words;
    };
    redraw = () => {
      for (const { marks, same } of maps) {
        for (const mark of marks) mark.toggleAttribute("hidden", !visible(Number(mark.dataset.i)));
        same.setAttribute("d", "");
      }
    };
    ofArm.addEventListener("input", redraw);
    for (const map of maps) {
      const { svg, spots, order } = map;
      for (const [name, value] of Object.entries({ tabindex: "0", role: "application", "aria-describedby": "map-keys" })) svg.setAttribute(name, value);
      const nearest = (event) => {
        const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        let best = -1, least = 28 * 28;
        for (const [n, spot] of spots) {
          const apart = (spot[0] - x) ** 2 + (spot[1] - y) ** 2;
          if (apart < least && visible(n)) { best = n; least = apart; }
        }
        return best;
      };
      svg.addEventListener("pointermove", (event) => {
        const n = nearest(event);
        if (n >= 0 && now?.n !== n) focus(map, n);
      });
      svg.addEventListener("click", (event) => {
        const n = nearest(event);
        if (n < 0) return;
        focus(map, n);
        if (event.pointerType !== "touch") open(points.label[n]);
      });
      const steps = { ArrowRight: [1, false], ArrowLeft: [-1, false], ArrowDown: [1, true], ArrowUp: [-1, true] };
      svg.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && now) { event.preventDefault(); open(points.label[now.n]); return; }
        if (!(event.key in steps)) return;
        event.preventDefault();
        const list = order.filter(visible);
        if (!list.length) return;
        const [step, label] = steps[event.key];
        let next = now ? list.indexOf(now.n) : -1;
        if (next < 0) { focus(map, list[0]); return; }
        const before = points.label[list[next]];
        do next = (next + step + list.length) % list.length;
        while (label && points.label[list[next]] === before && list.some((n) => points.label[n] !== before));
        focus(map, list[next]);
      });
    }
  }
  filter();
  reveal();
})();
