// --- within plausible ranges ---

function drawRange(name) {
  const index = drawnColumn(name);
  const { median, deviation } = data.columns[index];
  const svg = $("range-curve");
  const ends = data.ranges[name];
  // Where nothing is said of an end, the picture goes on for three standard deviations.
  const [low, high] = ends.map((end, way) => (end ? (end[0] - median) / deviation : way ? 3 : -3));
  const { at, named } = drawAlong(svg, index, (frame, narrow) => {
    const x = (place) => frame.left + 16 + ((place - low) / (high - low)) * (frame.right - frame.left - 32);
    const count = narrow ? 3 : 5;
    const ticks = Array.from({ length: count }, (_, i) => {
      const place = low + ((high - low) * i) / (count - 1);
      return [x(place), few(median + place * deviation)];
    });
    const places = [low, ...data.places.filter((place) => place > low && place < high), high];
    return { places, x, ticks, below: narrow ? "value of a row at the median" : "value of a row at the median, as all rows move alike" };
  });
  ends.forEach((end, way) => {
    if (!end) return;
    const [, least, middle, most] = end;
    const x = way ? at.right - 16 : at.left + 16;
    shape(svg, "path", { d: path([[x, at.y(least)], [x, at.y(most)]]), stroke: "var(--ink)", "stroke-width": 1.5 });
    shape(svg, "circle", { cx: x, cy: at.y(middle), r: 4.5, fill: "var(--paper)", stroke: "var(--ink)", "stroke-width": 2, "data-end": way });
  });
  nameSeries(svg, named((curve) => confidenceAt(curve, index, high, 1)), at, 3);
  const said = ends.map((end, way) => end && `at its ${way ? "high" : "low"} end, ${few(end[0])}, ${end[2].toFixed(3)}`).filter(Boolean);
  svg.setAttribute("aria-label", `Confidence within the range of ${name}: ${said.join("; ")}`);
}

function pickRange(name) {
  if (drawnColumn(name) < 0 || !data.ranges[name]) return;
  $("range-pick").value = name;
  for (const table of ["ranges-pictures", "ranges-table"]) {
    for (const row of rowsOf($(table))) mark(row, nameOf(row) === name);
  }
  drawRange(name);
}

if (data.ranges) {
  const names = rowsOf($("ranges-pictures")).map(nameOf).filter((name) => drawnColumn(name) >= 0);
  for (const name of names) $("range-pick").append(new Option(name, name));
  $("range-pick").addEventListener("change", (event) => pickRange(event.target.value));
  for (const table of ["ranges-pictures", "ranges-table"]) {
    sortable($(table));
    choosable($(table), (row) => pickRange(nameOf(row)));
  }
  pickRange(names[0]);
  addEventListener("resize", () => pickRange($("range-pick").value));
}
