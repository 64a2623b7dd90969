// --- the places of an input ---

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
  const text = (value) => (value === null ? "not known" : one.id === "sure" ? percent(value) : few(value));
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
        else field.fill = value === null ? "var(--other)" : `rgb(${tint(t).join(",")})`;
        const node = shape(svg, "rect", field);
        if (name === null) continue;
        // Where it is among all fields, to go from one to the next.
        Object.assign(node.dataset, { across: way * columns + (k % columns), down: panel * rows + Math.floor(k / columns) });
        node.dataset.column = name;
        node.dataset.text = [`${name} ${way ? "↑" : "↓"}`,
          ...shown.map(({ id, label, values }) => {
            const its = values[way][place];
            return `${label}: ${its === null ? "not known" : id === "sure" ? percent(its) : few(its)}`;
          })].join("\n");
      }
    }
  }
  svg.setAttribute("aria-label", `${one.label}, by places of the input: from ${text(ends[0])}, light, to ${text(ends[1])}, dark`);
  svg.setAttribute("viewBox", `0 0 ${Math.max(760, left + 2 * width + gap)} ${panels * (height + top) + 8}`);
}

// The field that is read, and the one that keys go on from.
function readField(field) {
  if (!field?.dataset.text) return;
  for (const other of $("map").querySelectorAll(".read")) other.classList.remove("read");
  field.classList.add("read");
  $("map-readout").textContent = field.dataset.text;
}

// The next field that way; places that stay are passed over.
function nextField(field, across, down) {
  const fields = [...$("map").querySelectorAll("rect[data-text]")];
  if (!field) return fields[0];
  const [x, y] = [Number(field.dataset.across), Number(field.dataset.down)];
  const ahead = (one) => (across ? Number(one.dataset.down) === y && (one.dataset.across - x) * across : Number(one.dataset.across) === x && (one.dataset.down - y) * down);
  const steps = fields.map((one) => [ahead(one), one]).filter(([step]) => step > 0);
  return steps.length ? steps.reduce((a, b) => (b[0] < a[0] ? b : a))[1] : field;
}

if (data.map) {
  for (const { id, label } of data.map.shown) $("map-shown").append(new Option(label, id));
  $("map-shown").addEventListener("change", drawMap);
  $("map").addEventListener("pointermove", (event) => readField(event.target));
  $("map").addEventListener("click", (event) => {
    readField(event.target);
    if (event.target.dataset.column) pick(event.target.dataset.column);
  });
  $("map-keys").addEventListener("keydown", (event) => {
    const field = $("map").querySelector(".read");
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) readField(nextField(field, ...step));
    else if (field && ["Enter", " "].includes(event.key)) pick(field.dataset.column);
    else return;
    event.preventDefault();
  });
  drawMap();
}
