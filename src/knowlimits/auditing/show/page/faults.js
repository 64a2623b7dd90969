// --- faults ---

function fillMatrix() {
  const cells = data.faults.cells[$("matrix-shown").value];
  const wide = $("matrix").tHead.rows[0].cells.length - 1;
  for (const { row, place } of data.faults.lines) {
    for (let k = 0; k < wide; k++) {
      const [cell, one] = [row.cells[k + 1], cells[place * wide + k]];
      if (one === null) continue;
      cell.textContent = one < 0 ? "-" : (one / 10).toFixed(0);
      cell.style.setProperty("--s", Math.max(one, 0) / 1000);
    }
  }
}

function fillRefused() {
  const score = $("faults-score");
  const refused = data.faults.refused[score.value];
  $("faults-table").tHead.querySelector("th:last-child button").textContent = `Refused, ${score.selectedOptions[0].text}`;
  for (const { row, place } of data.faults.listed) {
    const [cell, one] = [row.cells[row.cells.length - 1], refused[place]];
    cell.textContent = one < 0 ? "-" : percent(one / 1000);
    cell.classList.toggle("bar", one >= 0);
    cell.style.setProperty("--s", one < 0 ? "" : one / 1000);
  }
}

function listFaults() {
  const words = $("faults-find").value.toLowerCase().split(/\s+/);
  const kind = $("faults-kind").value;
  const passes = ({ cells }) => {
    const text = `${cells[0].textContent} ${cells[1].textContent}`.toLowerCase();
    return (!kind || cells[1].textContent === kind) && words.every((word) => text.includes(word));
  };
  const { shown, found } = filterRows($("faults-table"), passes, Number($("faults-most").value) || Infinity);
  $("faults-count").textContent = `${shown.toLocaleString("en")} of ${found.toLocaleString("en")} shown`;
}

if (data.faults) {
  data.faults.listed = rowsOf($("faults-table")).map((row, place) => ({ row, place }));
  sortable($("faults-table"), listFaults);
  $("faults-score").addEventListener("change", fillRefused);
  $("faults-find").addEventListener("input", listFaults);
  for (const id of ["faults-kind", "faults-most"]) $(id).addEventListener("change", listFaults);
  listFaults();
}
if ($("matrix")) {
  data.faults.lines = rowsOf($("matrix")).map((row, place) => ({ row, place }));
  $("matrix-shown").addEventListener("change", fillMatrix);
  choosable($("matrix"), (row) => {
    const chosen = !row.classList.contains("chosen");
    for (const other of rowsOf($("matrix"))) mark(other, chosen && other === row);
    $("faults-find").value = chosen ? nameOf(row) : "";
    listFaults();
  });
}
