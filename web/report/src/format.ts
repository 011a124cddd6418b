// SPDX-License-Identifier: Apache-2.0
// Numbers for people.

export function percent(share: number | null, digits = 1): string {
  return share === null ? "–" : `${(100 * share).toFixed(digits)} %`;
}

export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = n;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

export function seconds(s: number): string {
  if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.round(s % 60)).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

// Three significant digits; very small values in powers of ten.
export function figure(x: number | null): string {
  if (x === null) return "–";
  if (x === 0) return "0";
  const magnitude = Math.abs(x);
  if (magnitude < 1e-3 || magnitude >= 1e6) return x.toExponential(1);
  return String(Number(x.toPrecision(3)));
}

export function decibel(x: number | null): string {
  return x === null ? "–" : x >= 200 ? "equal" : `${x.toFixed(1)} dB`;
}

export function signed(x: number, digits = 1): string {
  const text = x.toFixed(digits);
  return x > 0 ? `+${text}` : text.replace("-", "−");
}
