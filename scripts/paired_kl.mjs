// SPDX-License-Identifier: Apache-2.0
// Is one quantized folder nearer to the float model than another, or is it chance? Two reports of `ingot compare` on the same
// questions: ratios of the mean and of the median KL (second over first) with 95 % intervals of a paired bootstrap over the
// questions (a question's tokens hang together, so questions are drawn, not tokens):
//   node scripts/paired_kl.mjs A/report.json B/report.json
import { readFileSync } from "node:fs";

const DRAWS = 2000;

// Small generator with a fixed seed (mulberry32), so that the figures can be repeated.
let state = 1;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function ratios(a, b, chosen) {
  const left = chosen.flatMap((i) => a[i]), right = chosen.flatMap((i) => b[i]);
  return [mean(right) / mean(left), median(right) / median(left)];
}

if (process.argv.length !== 4) {
  console.error("usage: node scripts/paired_kl.mjs A/report.json B/report.json");
  process.exit(2);
}
const [a, b] = process.argv.slice(2, 4).map((file) => JSON.parse(readFileSync(file, "utf8")).samples);
if (a.length !== b.length || a.some((sample, i) => sample.id !== b[i].id)) {
  console.error("The reports hold different questions: run ingot compare with the same --data for both.");
  process.exit(3);
}
const klA = a.map((sample) => sample.kl), klB = b.map((sample) => sample.kl);
const all = ratios(klA, klB, klA.map((_, i) => i));
const draws = [[], []];
for (let draw = 0; draw < DRAWS; ++draw) {
  const drawn = ratios(klA, klB, klA.map(() => Math.floor(random() * klA.length)));
  drawn.forEach((ratio, which) => draws[which].push(ratio));
}
["mean", "median"].forEach((name, which) => {
  const sorted = draws[which].sort((x, y) => x - y);
  const at = (share) => sorted[Math.floor(share * DRAWS)].toFixed(2);
  console.log(`KL ${name}: ratio ${all[which].toFixed(2)}, 95 % interval ${at(0.025)} to ${at(0.975)}`);
});
