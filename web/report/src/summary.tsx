// SPDX-License-Identifier: Apache-2.0
// The head of the report: verdict, the figures that decide, both models side by side.
import { bytes, decibel, figure, percent, seconds, signed } from "./format";
import type { ModelFigures, Report } from "./types";

function Card(props: { name: string; value: string; detail?: string }) {
  return (
    <div class="card">
      <dt>{props.name}</dt>
      <dd>
        <span class="value">{props.value}</span>
        {props.detail && <span class="detail">{props.detail}</span>}
      </dd>
    </div>
  );
}

export function Cards({ report }: { report: Report }) {
  const { a, b } = report.models;
  const t = report.totals;
  const drop = a.accuracy !== null && b.accuracy !== null ? 100 * (b.accuracy - a.accuracy) : null;
  return (
    <dl class="cards">
      {b.accuracy !== null && (
        <Card
          name="Accuracy, quantized"
          value={percent(b.accuracy)}
          detail={`float ${percent(a.accuracy)}${drop === null ? "" : `, ${signed(drop)} points`}`}
        />
      )}
      <Card
        name="Same token chosen"
        value={percent(t.top1_agree, 2)}
        detail={`of ${t.n_tokens} tokens`}
      />
      <Card
        name="KL, mean"
        value={figure(t.kl_mean)}
        detail={`99 % below ${figure(t.kl_p99)} nats`}
      />
      <Card
        name="Identical answers"
        value={percent(t.n_samples ? t.identical_texts / t.n_samples : null)}
        detail={`${t.identical_texts} of ${t.n_samples}`}
      />
      <Card
        name="Size, quantized"
        value={bytes(b.weight_bytes)}
        detail={`float ${bytes(a.weight_bytes)}`}
      />
    </dl>
  );
}

// Broken limits first; without any, what is worth knowing; a clean bill only when there is nothing.
export function Verdict({ report }: { report: Report }) {
  const { ok, findings, remarks } = report.verdict;
  const lines = [...findings, ...remarks];
  const state = !ok ? "bad" : remarks.length > 0 ? "fair" : "good";
  const title = { bad: "Something is wrong:", fair: "No limit is broken, but look at this:", good: "Nothing wrong found." };
  return (
    <div class={`verdict ${state}`} role="status">
      <strong>{title[state]}</strong>
      {lines.length > 0 && (
        <ul>
          {lines.map((line) => (
            <li>{line}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function Models({ report }: { report: Report }) {
  const { a, b } = report.models;
  const row = (name: string, get: (m: ModelFigures) => string) => (
    <tr>
      <th scope="row">{name}</th>
      <td>{get(a)}</td>
      <td>{get(b)}</td>
    </tr>
  );
  const scored = report.totals.n_scored > 0;
  return (
    <div class="scroll">
      <table class="models">
        <thead>
          <tr>
            <td />
            <th scope="col"><span class="dot a" />{a.name}</th>
            <th scope="col"><span class="dot b" />{b.name}</th>
          </tr>
        </thead>
        <tbody>
          {row("Format", (m) => m.format)}
          {row("Computed in", (m) => (m.emulate === "none" ? m.precision : `${m.precision}, as on ${m.emulate}`))}
          {row("Weights", (m) => bytes(m.weight_bytes))}
          {row("Peak memory", (m) => bytes(m.peak_bytes))}
          {row("Time for all answers", (m) => seconds(m.total_s))}
          {row("Prompt tokens per second", (m) => figure(m.prefill_tokens_per_s))}
          {row("Answer tokens per second", (m) => figure(m.decode_tokens_per_s))}
          {scored && row(`Accuracy (${report.settings.metric})`, (m) => percent(m.accuracy))}
          {scored && row("Exact match", (m) => percent(m.exact_match))}
          {scored && row("ANLS", (m) => percent(m.anls))}
        </tbody>
      </table>
    </div>
  );
}

export function Details({ report }: { report: Report }) {
  const t = report.totals;
  const quantized = report.linears.filter((l) => l.exec !== "float").length;
  const final = report.stages.filter((s) => s.part === "text").at(-1);
  return (
    <details class="panel">
      <summary>How this was measured</summary>
      <ul>
        <li>
          {t.n_samples} samples of {report.data.description}, answered greedily with at most{" "}
          {report.settings.max_tokens} tokens; {t.n_scored} have reference answers.
        </li>
        <li>
          KL and token agreement: the quantized model reads the float model's answer token by token; both distributions
          are compared at every position, the end of the answer included. Median KL {figure(t.kl_p50)}, 90 % below{" "}
          {figure(t.kl_p90)}, largest {figure(t.kl_max)} nats.
        </li>
        <li>The answers shown are each model's own, not forced.</li>
        <li>
          Signal to noise: on {report.settings.layer_samples} samples, prompt tokens only. {quantized} of{" "}
          {report.linears.length} linears are quantized.
          {final && ` After the last layer: text ${decibel(final.sqnr_db.text)}, vision ${decibel(final.sqnr_db.vision)}.`}
        </li>
        {report.notes.map((note) => (
          <li>{note}</li>
        ))}
      </ul>
      <p class="note">
        ingot {report.ingot}, {report.created}. <code>{report.command.join(" ")}</code>
      </p>
    </details>
  );
}
