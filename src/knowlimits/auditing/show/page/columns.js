// --- column by column, to infinity ---

function drawColumn(index) {
  const column = data.columns[index];
  const svg = $("curve");
  const last = Math.asinh(data.places.at(-1) / 0.5);
  const { at, named } = drawAlong(svg, index, (frame, narrow) => {
    const middle = (frame.left + frame.right) / 2;
    const x = (place) => middle + (Math.asinh(place / 0.5) / last) * ((frame.right - frame.left) / 2 - 16);
    const ticks = (narrow ? [-100, 0, 100] : [-100, -10, -1, 0, 1, 10, 100]).map((place) => [
      x(place), place > 0 ? `+${place}` : `${place}`.replace("-", "−"),
      [-100, -1, 1, 100, 0].includes(place) ? few(column.median + place * column.deviation) : "",
    ]);
    ticks.push([frame.left, "−∞"], [frame.right, "+∞"]);
    const below = narrow ? "sd; below, the value" : "standard deviations from the row; below, the value of a row at the median";
    return { places: data.places, x, ticks, below };
  });
  for (const curve of data.curves) {
    curve.ends[index].forEach((end, way) => {
      shape(svg, "circle", { cx: way ? at.right : at.left, cy: at.y(end), r: 4, fill: LOOKS[curve.id].colour });
    });
  }
  nameSeries(svg, named((curve) => curve.ends[index][1]), at, 3);
  const ends = data.curves.map(({ label, ends }) => `${label} ${ends[index][0].toFixed(3)} and ${ends[index][1].toFixed(3)}`);
  svg.setAttribute("aria-label", `Confidence along ${column.name}; limits at minus and plus infinity: ${ends.join("; ")}`);
}

function pick(name) {
  const index = drawnColumn(name);
  if (index < 0) return;
  $("pick").value = name;
  for (const row of rowsOf($("features"))) mark(row, nameOf(row) === name);
  drawColumn(index);
}

for (const column of data.columns) $("pick").append(new Option(column.name, column.name));
$("pick").addEventListener("change", (event) => pick(event.target.value));
sortable($("features"));
choosable($("features"), (row) => pick(nameOf(row)));
pick(data.columns[0].name);
addEventListener("resize", () => pick($("pick").value));
