// --- candidates ---

sortable($("candidates-table"));
data.discs.forEach((disc, k) => drawDisc(`disc-${k}`, disc, data.classes));

if ($("faults-table")) {
  const table = $("faults-table");
  // In the order that the numbers are in, whatever the table is sorted by.
  const cases = rowsOf(table);
  sortable(table);
  $("faults-shown").addEventListener("change", (event) => {
    const values = data.faults.values[data.faults.shown.indexOf(event.target.value)];
    cases.forEach((row, k) => values[k].forEach((value, c) => {
      const cell = row.cells[c + 2];
      cell.className = value === null ? "n" : "heat";
      cell.style.setProperty("--s", (value ?? 0) / 1000);
      cell.dataset.v = value ?? "nan";
      cell.textContent = value === null ? "-" : (value / 10).toFixed(0);
    }));
    for (const heading of table.tHead.rows[0].cells) heading.removeAttribute("aria-sort");
  });
}
