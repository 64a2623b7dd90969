// --- the disc: the whole plane of two columns ---

// The picture's middle, and the radii of the plane and of the ring round it, as shares of its width.
const [MIDDLE, RIM, RING] = [0.5, 0.44, 0.035];

// Draws it on the elements that disc.html makes, whose ids begin with `id`, and lets people read it.
function drawDisc(id, disc, classes) {
  const { side, scale, arcs, axes } = disc;
  const confidence = unpack(disc.confidence);
  const winner = unpack(disc.winner).map((value) => Math.round(value * 65535));
  const cell = (u, v) => Math.round(((1 - v) / 2) * (side - 1)) * side + Math.round(((u + 1) / 2) * (side - 1));
  const colour = (value) => tint(sureness(value, classes.length));
  paintDisc($(id), arcs, colour, (u, v) => {
    const k = cell(u, v);
    const edge = winner[k] !== winner[cell(Math.min(u + 2.2 / side, 1), v)] || winner[k] !== winner[cell(u, Math.max(v - 2.2 / side, -1))];
    return edge && Math.hypot(u, v) < 0.97 ? against(sureness(confidence[k], classes.length)) : colour(confidence[k]);
  }, [1, 5, 25, 100].map((sd) => sd / (sd + scale)));

  const [across, up] = axes.map(({ name }) => name);
  $(`${id}-across`).textContent = `${across} →`;
  $(`${id}-up`).textContent = `${up} ↑`;
  $(`${id}-low`).textContent = `confidence ${(1 / classes.length).toFixed(2)}`;
  drawRamp($(`${id}-ramp`));
  const limits = arcs.map((arc) => arc[2]);
  const turn = 2 * Math.PI;
  const sure = arcs.reduce((share, [from, to, limit]) => share + (limit >= 0.99) * (to - from), 0) / turn;
  $(id).setAttribute("aria-label", `Confidence over the plane of ${across} and ${up}. Limits round the rim from ` +
    `${Math.min(...limits).toFixed(2)} to ${Math.max(...limits).toFixed(2)}, 0.99 or more in ${percent(sure)} of the directions.`);

  readDisc(id, (u, v) => {
    const r = Math.hypot(u, v);
    if (r < 0.995) {
      const stretch = scale / (1 - r);
      const values = [u, v].map((w, i) => {
        const [sd, { name, median, deviation }] = [w * stretch, axes[i]];
        return `${name}: ${few(median + sd * deviation)} (${few(sd)} sd)`;
      });
      return [...values, `confidence ${confidence[cell(u, v)].toFixed(3)}, class ${classes[winner[cell(u, v)]]}`];
    }
    const angle = Math.atan2(v, u);
    const arc = arcs.find(([from, to]) => ((((angle - from) % turn) + turn) % turn) <= to - from);
    return arc && r < 1.2 ? ["at infinity", `limit ${arc[2].toFixed(3)}, class ${classes[arc[3]]}`] : [];
  });
}

// The plane by the colour of its places, the ring by that of limits, and circles at radii.
function paintDisc(canvas, arcs, colour, inside, circles) {
  const context = canvas.getContext("2d");
  const size = canvas.width;
  const [centre, radius, ring] = [MIDDLE, RIM, RING].map((share) => share * size);
  const image = context.createImageData(size, size);
  for (let py = 0; py < size; py++) {
    for (let px = 0; px < size; px++) {
      const [u, v] = [(px - centre) / radius, (centre - py) / radius];
      if (Math.hypot(u, v) < 0.995) image.data.set([...inside(u, v), 255], 4 * (py * size + px));
    }
  }
  context.putImageData(image, 0, 0);
  const circle = (r) => {
    context.beginPath();
    context.arc(centre, centre, r, 0, 2 * Math.PI);
    context.stroke();
  };
  context.lineWidth = ring;
  for (const [from, to, limit] of arcs) {
    context.beginPath();
    context.strokeStyle = `rgb(${colour(limit).join(",")})`;
    // A hair more, so that no seams show.
    context.arc(centre, centre, radius + ring, -to - 0.002, -from + 0.002);
    context.stroke();
  }
  // A grey that stands out in the light and in the dark.
  context.strokeStyle = "#82828c";
  context.lineWidth = 1;
  for (const r of [radius, radius + ring / 2, radius + 1.5 * ring]) circle(r);
  context.setLineDash([3, 5]);
  for (const r of circles) circle(radius * r);
  context.setLineDash([]);
}

// Reads what `say` has for a place, under the pointer or where arrow keys have gone; the middle is (0, 0), the rim 1 from it.
function readDisc(id, say) {
  const [canvas, here] = [$(id), $(`${id}-here`)];
  let at = [0, 0];
  const read = (u, v) => {
    const lines = say(u, v);
    if (!lines.length) return;
    at = [u, v];
    here.hidden = false;
    here.style.left = `${100 * (MIDDLE + u * RIM)}%`;
    here.style.top = `${100 * (MIDDLE - v * RIM)}%`;
    $(`${id}-readout`).textContent = lines.join("\n");
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    read(((event.clientX - box.left) / box.width - MIDDLE) / RIM, (MIDDLE - (event.clientY - box.top) / box.height) / RIM);
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  $(`${id}-keys`).addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: [0, 0] }[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const step = event.shiftKey ? 0.1 : 0.02;
    let [u, v] = event.key === "Home" ? way : [at[0] + way[0] * step, at[1] + way[1] * step];
    // No farther than the ring.
    const beyond = Math.max(Math.hypot(u, v) / (1 + RING / RIM), 1);
    read(u / beyond, v / beyond);
  });
}
