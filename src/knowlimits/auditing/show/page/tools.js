// --- the numbers of the page, and how they are written ---

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true) / 65535);
}

function few(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1);
  return Number(value.toPrecision(3)).toLocaleString("en");
}

const percent = (share) => `${(100 * share).toFixed(0)}%`;
