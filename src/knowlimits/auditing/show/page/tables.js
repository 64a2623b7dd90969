// --- tables ---

const rowsOf = (table) => [...table.tBodies[0].rows];

const UNKNOWN = ["nan", "-"];

// Sorts by the column of a heading's button; `sorted` is told.
function sortable(table, sorted = () => {}) {
  const headings = [...table.tHead.rows[0].cells];
  const key = ({ dataset, style, textContent }) => dataset.v ?? (style.getPropertyValue("--s") || textContent.trim());
  table.tHead.addEventListener("click", (event) => {
    const heading = event.target.closest("button")?.closest("th");
    if (!heading) return;
    const column = headings.indexOf(heading);
    const down = heading.getAttribute("aria-sort") !== "descending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = rowsOf(table).map((row) => ({ row, key: key(row.cells[column]) }));
    const numbers = rows.every((one) => UNKNOWN.includes(one.key) || !Number.isNaN(Number(one.key)));
    const order = (a, b) => {
      if (!numbers) return a.key.localeCompare(b.key);
      const [p, q] = [Number(a.key), Number(b.key)];
      // What is not known goes last, either way.
      if (Number.isNaN(p) || Number.isNaN(q)) return (Number.isNaN(p) - Number.isNaN(q)) * (down ? -1 : 1);
      return p - q;
    };
    rows.sort((a, b) => (down ? -order(a, b) : order(a, b)));
    table.tBodies[0].append(...rows.map(({ row }) => row));
    sorted();
  });
}

// Rows are chosen by the buttons in their headings, or anywhere else in them. Among the buttons one goes by arrows, so that
// Tab leaves the table at once.
function choosable(table, choose) {
  const body = table.tBodies[0];
  const reach = (button) => {
    for (const other of body.querySelectorAll('.choose[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  };
  for (const button of body.querySelectorAll(".choose")) button.tabIndex = -1;
  const first = body.querySelector(".choose");
  if (first) reach(first);
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row) return;
    reach(row.querySelector(".choose"));
    choose(row);
  });
  body.addEventListener("keydown", (event) => {
    const buttons = [...body.querySelectorAll(".choose")];
    const last = buttons.length - 1;
    const at = buttons.indexOf(event.target);
    const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    reach(buttons[to]);
    buttons[to].focus();
  });
}

const nameOf = (row) => row.querySelector(".choose").textContent;

function mark(row, chosen) {
  row.classList.toggle("chosen", chosen);
  row.querySelector(".choose").setAttribute("aria-pressed", chosen);
}

// Shows the rows that pass, in the order in which they stand, no more than so many; says how many there are of both.
function filterRows(table, passes, most) {
  const count = { shown: 0, found: 0 };
  for (const row of rowsOf(table)) {
    const found = passes(row);
    row.hidden = !found || count.shown >= most;
    count.found += found;
    count.shown += !row.hidden;
  }
  return count;
}
