// --- scores by distance ---

const { radii, scores } = data;
const picked = new Set(["entropy", "energy", "mahalanobis", "laplace_entropy", "guarded_entropy", "unfamiliarity"]);
// Of other lengths than the colours, so that two series that look alike in one differ in the other.
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 4", "4 2", "12 3 2 3 2 3"];

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
    const [colour, dash] = [`var(--s${i % 8})`, DASHES[i % DASHES.length]];
    const { auroc, auroc_low: low, auroc_high: high } = score.ways[way];
    shape(svg, "path", { d: line(score), fill: "none", stroke: colour, "stroke-width": 2.5,
      "stroke-dasharray": dash, "data-series": score.id });
    auroc.forEach((_, k) => shape(svg, "line", { x1: x(k), x2: x(k), y1: at.y(low[k]), y2: at.y(high[k]), stroke: colour }));
    series.push({ label: score.label, colour, dash, end: auroc.at(-1) });
  });
  nameSeries(svg, series, at, 2);
  const said = series.map(({ label, end }) => `${label} ${end.toFixed(2)}`).join(", ");
  svg.setAttribute("aria-label", `Area under the ROC curve by distance, at infinity: ${said}; the table has the others`);
}

function fillScores() {
  const way = $("way").value;
  const body = $("scores").tBodies[0];
  body.replaceChildren();
  for (const score of scores) {
    const { auroc, auroc_low: low, auroc_high: high, refused } = score.ways[way];
    const row = body.insertRow();
    row.dataset.score = score.id;
    const heading = document.createElement("th");
    heading.scope = "row";
    const button = document.createElement("button");
    [button.type, button.className, button.textContent] = ["button", "choose", score.label];
    heading.append(button);
    row.append(heading);
    mark(row, picked.has(score.id));
    const cell = (value, text) => {
      const node = row.insertCell();
      [node.className, node.dataset.v, node.textContent] = ["n", value, text];
    };
    auroc.forEach((value) => cell(value, value.toFixed(2)));
    cell(high.at(-1) - low.at(-1), `${low.at(-1).toFixed(2)}–${high.at(-1).toFixed(2)}`);
    cell(score.threshold, few(score.threshold));
    cell(score.kept, percent(score.kept));
    cell(refused.at(-1), percent(refused.at(-1)));
  }
}

function pickScore(row) {
  const id = row.dataset.score;
  if (!picked.delete(id)) picked.add(id);
  mark(row, picked.has(id));
  drawRates();
}

$("way").addEventListener("change", () => {
  fillScores();
  drawRates();
});
fillScores();
sortable($("scores"));
choosable($("scores"), pickScore);
drawRates();
addEventListener("resize", drawRates);
