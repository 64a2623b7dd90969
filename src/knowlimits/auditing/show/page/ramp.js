// --- colours from unsure to sure ---

// Light to dark, in print as well as for colour-blind eyes.
const RAMP = [[247, 244, 249], [212, 196, 226], [166, 137, 200], [118, 76, 164], [63, 14, 112]];

// The colour of a share from 0 to 1.
function tint(share) {
  const t = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const k = Math.min(Math.floor(t), RAMP.length - 2);
  return RAMP[k].map((from, c) => Math.round(from + (t - k) * (RAMP[k + 1][c] - from)));
}

// What stands out from that colour: white, or the darkest of all.
function against(share) {
  return share < 0.6 ? RAMP.at(-1) : [255, 255, 255];
}

// How far a confidence is from that of a coin to 1.
function sureness(confidence, classes) {
  return (confidence - 1 / classes) / (1 - 1 / classes);
}

function drawRamp(canvas) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  for (let i = 0; i < width; i++) {
    context.fillStyle = `rgb(${tint(i / (width - 1)).join(",")})`;
    context.fillRect(i, 0, 1, height);
  }
}
