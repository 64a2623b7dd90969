// --- confidence along a column, of the model and its remedies ---

const LOOKS = {
  model: { colour: "var(--model)", dash: "" },
  laplace: { colour: "var(--laplace)", dash: "7 4" },
  guard: { colour: "var(--guard)", dash: "2 3" },
};

for (const curve of data.curves) curve.confidence = unpack(curve.confidence);

const drawnColumn = (name) => data.columns.findIndex((column) => column.name === name);

// At so many standard deviations, in a straight line between places; quantiles 0, 1 and 2 are 5%, the median and 95%.
function confidenceAt(curve, index, place, quantile) {
  const { places } = data;
  const at = (k) => curve.confidence[(index * places.length + k) * 3 + quantile];
  const k = Math.min(Math.max(places.findIndex((one) => one >= place), 1), places.length - 1);
  const t = (place - places[k - 1]) / (places[k] - places[k - 1]);
  return at(k - 1) + t * (at(k) - at(k - 1));
}

// Draws the curves of a column through `places`; `picture` says for a frame where these are, their ticks, and what stands below.
function drawAlong(svg, index, picture) {
  const { narrow, width, right } = sizes(svg);
  const height = 360;
  const at = { left: 48, right, bottom: height - 66 };
  const lowest = 1 / data.classes.length;
  at.y = (value) => at.bottom - ((value - lowest) / (1 - lowest)) * (at.bottom - 16);
  const { places, x, ticks, below } = picture(at, narrow);
  const yTicks = [lowest, (1 + lowest) / 2, 0.99, 1].map((value) => [value, value === 0.99 ? "" : value.toFixed(2)]);
  frame(svg, width, height, ticks, yTicks, at);
  shape(svg, "text", { x: (at.left + at.right) / 2, y: height - 8, "text-anchor": "middle", class: "soft" }, below);
  const line = (curve, quantile) => places.map((place) => [x(place), at.y(confidenceAt(curve, index, place, quantile))]);
  const model = data.curves.find((curve) => curve.id === "model");
  shape(svg, "path", { d: `${path([...line(model, 0), ...line(model, 2).reverse()])}Z`, fill: "var(--model)", opacity: 0.2 });
  for (const curve of data.curves) {
    const { colour, dash } = LOOKS[curve.id];
    shape(svg, "path", { d: path(line(curve, 1)), fill: "none", stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash,
      "data-series": curve.id });
  }
  const named = (end) => data.curves.map((curve) => ({ label: curve.label, ...LOOKS[curve.id], end: end(curve) }));
  return { at, named };
}
