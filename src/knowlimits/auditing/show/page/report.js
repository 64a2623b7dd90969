"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const LOOKS = {
    model: { colour: "var(--model)", dash: "" },
    laplace: { colour: "var(--laplace)", dash: "7 4" },
    guard: { colour: "var(--guard)", dash: "2 3" },
  };

  function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float64Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true) / 65535);
  }

  function few(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-3) return value.toExponential(1);
    return Number(value.toPrecision(3)).toLocaleString("en");
  }

  // --- drawing in SVG ---

  function shape(parent, name, attributes, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  function path(points) {
    return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  }

  // Names of series beside their ends, pushed apart where they would overlap.
  function nameSeries(svg, series, at, digits) {
    const [gap, low] = [18, 14];
    const names = series.map((one) => ({ ...one, y: at.y(one.end) })).sort((a, b) => a.y - b.y);
    names.forEach((name, i) => { name.y = Math.max(name.y, i ? names[i - 1].y + gap : low); });
    for (let i = names.length - 1; i >= 0; i--) {
      names[i].y = Math.min(names[i].y, i < names.length - 1 ? names[i + 1].y - gap : at.bottom);
    }
    for (const { label, colour, end, y } of names) {
      const text = sizes(svg).narrow ? label : `${label}: ${end.toFixed(digits)}`;
      shape(svg, "text", { x: at.right + 10, y: y + 4, style: `fill:${colour}` }, text);
    }
  }

  // Widths in units of the drawing: on a small screen fewer, so that letters stay legible.
  function sizes(svg) {
    const narrow = svg.parentElement.clientWidth < 520;
    return narrow ? { narrow, width: 430, right: 262 } : { narrow, width: 760, right: 560 };
  }

  function frame(svg, width, height, ticks, yTicks, at) {
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const [value, label] of yTicks) {
      shape(svg, "line", { class: "axis", x1: at.left, x2: at.right, y1: at.y(value), y2: at.y(value) });
      shape(svg, "text", { x: at.left - 6, y: at.y(value) + 4, "text-anchor": "end", class: "soft" }, label);
    }
    for (const [x, label, second] of ticks) {
      shape(svg, "line", { class: "axis", x1: x, x2: x, y1: at.bottom, y2: at.bottom + 5 });
      shape(svg, "text", { x, y: at.bottom + 19, "text-anchor": "middle" }, label);
      if (second) shape(svg, "text", { x, y: at.bottom + 36, "text-anchor": "middle", class: "soft" }, second);
    }
  }

  // --- tables ---

  function sortable(table) {
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const heading = button.parentElement;
      const column = heading.cellIndex;
      const down = heading.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.v;
      const rows = [...table.tBodies[0].rows];
      const numbers = rows.every((row) => !Number.isNaN(Number(key(row))) || key(row) === "nan");
      const order = (a, b) => {
        if (!numbers) return key(a).localeCompare(key(b));
        const [p, q] = [Number(key(a)), Number(key(b))];
        // What is not known goes last, either way.
        if (Number.isNaN(p) || Number.isNaN(q)) return (Number.isNaN(p) - Number.isNaN(q)) * (down ? -1 : 1);
        return p - q;
      };
      rows.sort((a, b) => (down ? -order(a, b) : order(a, b)));
      table.tBodies[0].append(...rows);
    });
  }

  function chosenBy(table, choose) {
    const row = (event) => event.target.closest("tbody tr");
    table.addEventListener("click", (event) => row(event) && choose(row(event)));
    table.addEventListener("keydown", (event) => {
      if (!row(event) || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      choose(row(event));
    });
  }

  // --- confidence along a column ---

  for (const curve of data.curves) curve.confidence = unpack(curve.confidence);

  function drawCurve(index) {
    const column = data.columns[index];
    const svg = $("curve");
    const [width, height] = [sizes(svg).width, 360];
    const at = { left: 44, right: sizes(svg).right, bottom: height - 66 };
    const lowest = 1 / data.classes.length;
    at.y = (value) => at.bottom - ((value - lowest) / (1 - lowest)) * (at.bottom - 16);
    const last = Math.asinh(data.places.at(-1) / 0.5);
    const middle = (at.left + at.right) / 2;
    const x = (place) => middle + (Math.asinh(place / 0.5) / last) * ((at.right - at.left) / 2 - 16);
    const ticks = (sizes(svg).narrow ? [-100, 0, 100] : [-100, -10, -1, 0, 1, 10, 100]).map((place) => [
      x(place), place > 0 ? `+${place}` : `${place}`.replace("-", "−"),
      [-100, -1, 1, 100, 0].includes(place) ? few(column.median + place * column.deviation) : "",
    ]);
    const yTicks = [lowest, (1 + lowest) / 2, 0.99, 1].map((value) => [value, value === 0.99 ? "" : value.toFixed(2)]);
    frame(svg, width, height, ticks, yTicks, at);
    shape(svg, "text", { x: middle, y: height - 8, "text-anchor": "middle", class: "soft" },
      sizes(svg).narrow ? "sd; below, the value" : "standard deviations from the row; below, the value of a row at the median");
    const P = data.places.length;
    const value = (curve, place, quantile) => curve.confidence[(index * P + place) * 3 + quantile];
    const line = (curve, quantile) => data.places.map((place, i) => [x(place), at.y(value(curve, i, quantile))]);
    const model = data.curves.find((curve) => curve.id === "model");
    const band = [...line(model, 0), ...line(model, 2).reverse()];
    shape(svg, "path", { d: `${path(band)}Z`, fill: "var(--model)", opacity: 0.15 });
    const series = [];
    for (const curve of data.curves) {
      const { colour, dash } = LOOKS[curve.id];
      shape(svg, "path", { d: path(line(curve, 1)), fill: "none", stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash,
        "data-series": curve.id });
      curve.ends[index].forEach((end, way) => {
        shape(svg, "circle", { cx: way ? at.right : at.left, cy: at.y(end), r: 4, fill: colour });
      });
      series.push({ label: curve.label, colour, end: curve.ends[index][1] });
    }
    nameSeries(svg, series, at, 3);
    shape(svg, "text", { x: at.right, y: at.bottom + 19, "text-anchor": "middle" }, "+∞");
    shape(svg, "text", { x: at.left, y: at.bottom + 19, "text-anchor": "middle" }, "−∞");
  }

  function pick(name) {
    const index = data.columns.findIndex((column) => column.name === name);
    if (index < 0) return;
    $("pick").value = name;
    for (const row of $("features").tBodies[0].rows) row.setAttribute("aria-selected", row.dataset.column === name);
    drawCurve(index);
  }

  for (const column of data.columns) $("pick").append(new Option(column.name, column.name));
  $("pick").addEventListener("change", (event) => pick(event.target.value));
  sortable($("features"));
  chosenBy($("features"), (row) => pick(row.dataset.column));
  pick(data.columns[0].name);
  addEventListener("resize", () => { pick($("pick").value); drawRates(); });

  // --- scores by distance ---

  const { radii, scores } = data;
  const picked = new Set(["entropy", "energy", "mahalanobis", "laplace_entropy", "guarded_entropy", "unfamiliarity"]);
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7f6fd1", "#8c564b"];
  const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

  function drawRates() {
    const way = $("way").value;
    const svg = $("rates");
    const [width, height] = [sizes(svg).width, 340];
    const at = { left: 44, right: sizes(svg).right, bottom: height - 48 };
    at.y = (value) => at.bottom - value * (at.bottom - 16);
    const x = (k) => at.left + 20 + (k / (radii.length - 1)) * (at.right - at.left - 20);
    const yTicks = [0, 0.25, 0.5, 0.75, 1].map((value) => [value, value.toString()]);
    frame(svg, width, height, radii.map((radius, k) => [x(k), radius === null ? "∞" : radius < 1000 ? `${radius}` : `${radius / 1000}k`]), yTicks, at);
    shape(svg, "text", { x: (at.left + at.right) / 2, y: height - 8, "text-anchor": "middle", class: "soft" },
      sizes(svg).narrow ? "standard deviations" : "standard deviations by which rows are moved");
    const line = (score) => path(score.ways[way].auroc.map((value, k) => [x(k), at.y(value)]));
    for (const score of scores.filter((one) => !picked.has(one.id))) {
      shape(svg, "path", { d: line(score), fill: "none", stroke: "var(--other)", "stroke-width": 1 });
    }
    const series = [];
    scores.filter((one) => picked.has(one.id)).forEach((score, i) => {
      const colour = COLOURS[i % COLOURS.length];
      const { auroc, auroc_low: low, auroc_high: high } = score.ways[way];
      shape(svg, "path", { d: line(score), fill: "none", stroke: colour, "stroke-width": 2.5,
        "stroke-dasharray": DASHES[i % DASHES.length], "data-series": score.id });
      auroc.forEach((_, k) => shape(svg, "line", { x1: x(k), x2: x(k), y1: at.y(low[k]), y2: at.y(high[k]), stroke: colour }));
      series.push({ label: score.label, colour, end: auroc.at(-1) });
    });
    nameSeries(svg, series, at, 2);
  }

  function fillScores() {
    const way = $("way").value;
    const body = $("scores").tBodies[0];
    body.replaceChildren();
    for (const score of scores) {
      const { auroc, auroc_low: low, auroc_high: high, refused } = score.ways[way];
      const row = body.insertRow();
      row.tabIndex = 0;
      row.dataset.score = score.id;
      row.setAttribute("aria-selected", picked.has(score.id));
      const cell = (value, text, tag = "td") => {
        const node = document.createElement(tag);
        node.dataset.v = value;
        node.textContent = text;
        if (tag === "td") node.className = "n"; else node.scope = "row";
        row.append(node);
      };
      cell(score.label, score.label, "th");
      auroc.forEach((value) => cell(value, value.toFixed(2)));
      cell(high.at(-1) - low.at(-1), `${low.at(-1).toFixed(2)}–${high.at(-1).toFixed(2)}`);
      cell(score.threshold, few(score.threshold));
      cell(score.kept, `${(100 * score.kept).toFixed(0)}%`);
      cell(refused.at(-1), `${(100 * refused.at(-1)).toFixed(0)}%`);
    }
  }

  $("way").addEventListener("change", () => { fillScores(); drawRates(); });
  sortable($("scores"));
  chosenBy($("scores"), (row) => {
    const id = row.dataset.score;
    if (!picked.delete(id)) picked.add(id);
    row.setAttribute("aria-selected", picked.has(id));
    drawRates();
  });
  fillScores();
  drawRates();

  // --- the places of an input ---

  // From unsure to sure: light to dark, in print as well as for colour-blind eyes.
  const RAMP = [[247, 244, 249], [212, 196, 226], [166, 137, 200], [118, 76, 164], [63, 14, 112]];

  function tint(confidence) {
    const lowest = 1 / data.classes.length;
    const t = Math.min(Math.max((confidence - lowest) / (1 - lowest), 0), 1) * (RAMP.length - 1);
    const k = Math.min(Math.floor(t), RAMP.length - 2);
    return RAMP[k].map((from, c) => Math.round(from + (t - k) * (RAMP[k + 1][c] - from)));
  }

  function drawRamp(canvas) {
    const ramp = canvas.getContext("2d");
    const lowest = 1 / data.classes.length;
    for (let i = 0; i < 200; i++) {
      ramp.fillStyle = `rgb(${tint(lowest + ((1 - lowest) * i) / 199).join(",")})`;
      ramp.fillRect(i, 0, 1, 12);
    }
  }

  function drawMap() {
    const { shape: [panels, rows, columns], names, shown } = data.map;
    const one = shown.find(({ id }) => id === $("map-shown").value);
    const known = one.values.flat().filter((value) => value !== null);
    // Distances in a logarithmic scale, and the sooner the worse.
    const far = one.id.endsWith("_sd_95");
    const scaled = (value) => (far ? -Math.log(Math.max(value, 1e-3)) : value);
    const lowest = 1 / data.classes.length;
    const ends = far ? [Math.max(...known), Math.min(...known)] : [one.id === "confidence" ? lowest : 0, 1];
    const [low, high] = ends.map(scaled);
    const text = (value) => (value === null ? "not known" : one.id === "sure" ? `${(100 * value).toFixed(0)}%` : few(value));
    $("map-low").textContent = known.length ? text(ends[0]) : "";
    $("map-high").textContent = known.length ? text(ends[1]) : "";
    drawRamp($("map-ramp"));
    const svg = $("map");
    svg.replaceChildren();
    // Fields are squares, but for inputs that are long and narrow.
    let [wide, high_] = [Math.min(28, 320 / columns), Math.min(28, 320 / rows)];
    [wide, high_] = [Math.min(wide, 3 * high_), Math.min(high_, 3 * wide)];
    if (Math.max(rows, columns) <= 3 * Math.min(rows, columns)) wide = high_ = Math.min(wide, high_);
    const [left, top, gap] = [40, 40, 60];
    const [width, height] = [columns * wide, rows * high_];
    const step = (count, size) => [1, 2, 5, 10, 20, 50].find((k) => k * size >= 24 || k * 2 > count) || 50;
    for (let panel = 0; panel < panels; panel++) {
      for (const way of [0, 1]) {
        const [x0, y0] = [left + way * (width + gap), top + panel * (height + top)];
        const title = `${data.map.panels[panel]} ${way ? "↑" : "↓"}`.trim();
        shape(svg, "text", { x: x0 + width / 2, y: y0 - 22, "text-anchor": "middle" }, title);
        for (let c = 0; c < columns; c += step(columns, wide)) {
          shape(svg, "text", { x: x0 + (c + 0.5) * wide, y: y0 - 5, "text-anchor": "middle", class: "soft" }, c);
        }
        for (let r = 0; r < rows; r += step(rows, high_)) {
          shape(svg, "text", { x: x0 - 6, y: y0 + (r + 0.5) * high_ + 4, "text-anchor": "end", class: "soft" }, r);
        }
        for (let k = 0; k < rows * columns; k++) {
          const place = panel * rows * columns + k;
          const [name, value] = [names[place], one.values[way][place]];
          const t = high === low ? 1 : (scaled(value) - low) / (high - low);
          const field = { x: x0 + (k % columns) * wide + 0.5, y: y0 + Math.floor(k / columns) * high_ + 0.5,
            width: wide - 1, height: high_ - 1 };
          if (name === null) field.class = "stays";
          else field.fill = value === null ? "var(--other)" : `rgb(${tint(lowest + t * (1 - lowest)).join(",")})`;
          const node = shape(svg, "rect", field);
          if (name === null) continue;
          node.dataset.column = name;
          node.dataset.text = [`${name} ${way ? "↑" : "↓"}`,
            ...shown.map(({ id, label, values }) => {
              const its = values[way][place];
              return `${label}: ${its === null ? "not known" : id === "sure" ? `${(100 * its).toFixed(0)}%` : few(its)}`;
            })].join("\n");
        }
      }
    }
    svg.setAttribute("viewBox", `0 0 ${Math.max(760, left + 2 * width + gap)} ${panels * (height + top) + 8}`);
  }

  if (data.map) {
    for (const { id, label } of data.map.shown) $("map-shown").append(new Option(label, id));
    $("map-shown").addEventListener("change", drawMap);
    $("map").addEventListener("pointermove", (event) => {
      if (event.target.dataset.text) $("map-readout").textContent = event.target.dataset.text;
    });
    $("map").addEventListener("click", (event) => event.target.dataset.column && pick(event.target.dataset.column));
    drawMap();
  }

  // --- the disc ---

  function drawDisc() {
    const { side, scale, arcs } = data.disc;
    const confidence = unpack(data.disc.confidence);
    const winner = unpack(data.disc.winner).map((value) => Math.round(value * 65535));
    const canvas = $("disc");
    const context = canvas.getContext("2d");
    const size = canvas.width;
    const [centre, radius, ring] = [size / 2, size * 0.395, size * 0.035];
    const place = (px, py) => {
      const [u, v] = [(px - centre) / radius, (centre - py) / radius];
      return { u, v, r: Math.hypot(u, v) };
    };
    const cell = (u, v) => Math.round(((1 - v) / 2) * (side - 1)) * side + Math.round(((u + 1) / 2) * (side - 1));
    const image = context.createImageData(size, size);
    for (let py = 0; py < size; py++) {
      for (let px = 0; px < size; px++) {
        const { u, v, r } = place(px, py);
        if (r >= 0.995) continue;
        const k = cell(u, v);
        const edge = winner[k] !== winner[cell(Math.min(u + 2.2 / side, 1), v)] || winner[k] !== winner[cell(u, Math.max(v - 2.2 / side, -1))];
        const colour = edge && r < 0.97 ? [255, 255, 255] : tint(confidence[k]);
        image.data.set([...colour, 255], 4 * (py * size + px));
      }
    }
    context.putImageData(image, 0, 0);
    for (const [from, to, limit] of arcs) {
      context.beginPath();
      context.lineWidth = ring;
      context.strokeStyle = `rgb(${tint(limit).join(",")})`;
      // A hair more, so that no seams show.
      context.arc(centre, centre, radius + ring, -to - 0.002, -from + 0.002);
      context.stroke();
    }
    context.strokeStyle = "#8a8a94";
    context.fillStyle = "#8a8a94";
    context.font = `${size / 34}px system-ui, sans-serif`;
    context.lineWidth = 1;
    for (const circle of [radius, radius + ring / 2, radius + 1.5 * ring]) {
      context.beginPath();
      context.arc(centre, centre, circle, 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([3, 5]);
    for (const sd of [1, 5, 25, 100]) {
      context.beginPath();
      context.arc(centre, centre, (radius * sd) / (sd + scale), 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
    context.textAlign = "center";
    const outside = radius + 1.5 * ring + size / 60;
    const [across, up] = data.disc.axes.map(({ name }) => (name.length > 34 ? `${name.slice(0, 33)}…` : name));
    context.fillText(`${up} ↑`, centre, centre - outside);
    context.fillText(`${across} →`, centre, centre + outside + size / 40);

    $("ramp-low").textContent = `confidence ${(1 / data.classes.length).toFixed(2)}`;
    drawRamp($("ramp"));
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const { u, v, r } = place(((event.clientX - box.left) * size) / box.width, ((event.clientY - box.top) * size) / box.height);
      let lines = [];
      if (r < 0.995) {
        const stretch = scale / (1 - r);
        lines = [u, v].map((w, i) => {
          const [sd, { name, median, deviation }] = [w * stretch, data.disc.axes[i]];
          return `${name}: ${few(median + sd * deviation)} (${few(sd)} sd)`;
        });
        lines.push(`confidence ${confidence[cell(u, v)].toFixed(3)}, class ${data.classes[winner[cell(u, v)]]}`);
      } else if (r < 1.2) {
        const turn = 2 * Math.PI;
        const angle = Math.atan2(v, u);
        const arc = arcs.find(([from, to]) => ((((angle - from) % turn) + turn) % turn) <= to - from);
        if (arc) lines = ["at infinity", `limit ${arc[2].toFixed(3)}, class ${data.classes[arc[3]]}`];
      }
      if (lines.length) $("disc-readout").textContent = lines.join("\n");
    });
  }
  if (data.disc) drawDisc();
})();
