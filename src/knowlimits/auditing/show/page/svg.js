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

// Names of series beside their ends, each with a piece of its line, pushed apart where they would overlap.
function nameSeries(svg, series, at, digits) {
  const [gap, low] = [20, 14];
  const names = series.map((one) => ({ ...one, y: at.y(one.end) })).sort((a, b) => a.y - b.y);
  names.forEach((name, i) => { name.y = Math.max(name.y, i ? names[i - 1].y + gap : low); });
  for (let i = names.length - 1; i >= 0; i--) {
    names[i].y = Math.min(names[i].y, i < names.length - 1 ? names[i + 1].y - gap : at.bottom);
  }
  for (const { label, colour, dash, end, y } of names) {
    shape(svg, "path", { d: `M${at.right + 8} ${y.toFixed(1)}h22`, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash });
    shape(svg, "text", { x: at.right + 36, y: y + 4 }, sizes(svg).narrow ? label : `${label}: ${end.toFixed(digits)}`);
  }
}

// Widths in units of the drawing: on a small screen fewer, so that letters stay legible.
function sizes(svg) {
  const narrow = svg.parentElement.clientWidth < 520;
  return narrow ? { narrow, width: 430, right: 240 } : { narrow, width: 760, right: 540 };
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
