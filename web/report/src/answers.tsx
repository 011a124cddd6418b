// SPDX-License-Identifier: Apache-2.0
// The answers of both models side by side, with filters.
import { useMemo, useState } from "preact/hooks";
import { figure, percent } from "./format";
import type { Report, Sample } from "./types";

type Show = "all" | "differing" | "worse" | "better";
type Order = "kl" | "data";
const kPage = 20;

function matches(sample: Sample, show: Show, kind: string, query: string): boolean {
  if (kind !== "" && sample.kind !== kind) return false;
  if (show === "differing" && sample.text_a === sample.text_b) return false;
  const change = (sample.score_b ?? 0) - (sample.score_a ?? 0);
  if (show === "worse" && !(change < 0)) return false;
  if (show === "better" && !(change > 0)) return false;
  if (query === "") return true;
  const hay = `${sample.id}\n${sample.question}\n${sample.text_a}\n${sample.text_b}`.toLowerCase();
  return hay.includes(query.toLowerCase());
}

function Score({ value }: { value: number | null }) {
  if (value === null) return null;
  const name = value >= 1 ? "right" : value > 0 ? "partly right" : "wrong";
  return <span class={`score ${value >= 1 ? "right" : value > 0 ? "partly" : "wrong"}`}>{name}</span>;
}

// The float model's answer, each token tinted by how far the quantized model's distribution is from it.
function Tokens({ sample }: { sample: Sample }) {
  if (sample.tokens.length === 0) return null;
  return (
    <p class="tokens" aria-label="float answer, tokens marked by KL divergence">
      {sample.tokens.map((token, i) => {
        const kl = sample.kl[i];
        const strength = kl === null ? 100 : Math.min(100, Math.max(0, 25 * (Math.log10(kl + 1e-9) + 4)));
        const agree = sample.agree[i];
        return (
          <span
            class={agree ? "" : "other"}
            style={{ background: `color-mix(in srgb, var(--b) ${(strength * 0.55).toFixed(0)}%, transparent)` }}
            title={`KL ${figure(kl)} nats${agree ? "" : ", another token chosen"}`}
          >
            {token === "" ? "⏎" : token}
          </span>
        );
      })}
    </p>
  );
}

function AnswerCard({ sample, report }: { sample: Sample; report: Report }) {
  const same = sample.text_a === sample.text_b;
  return (
    <article class="answer">
      <div class="pictures">
        {sample.pictures.map((picture) =>
          picture.thumbnail === "" ? (
            <span class="missing">{picture.name}</span>
          ) : (
            <img src={picture.thumbnail} alt={picture.name} title={`${picture.name}, ${picture.width} × ${picture.height}`} loading="lazy" />
          ),
        )}
        {sample.pictures.length === 0 && <span class="missing">no picture</span>}
      </div>
      <div class="words">
        <h3>{sample.question}</h3>
        <p class="note">
          {sample.id} · KL {figure(sample.kl_mean)} · same token {percent(sample.top1_agree, 0)}
          {sample.first_divergence !== null && ` · differs at token ${sample.first_divergence + 1}`}
        </p>
        {sample.references.length > 0 && (
          <p class="reference">
            <span class="tag">expected</span> {sample.references.join(" / ")}
          </p>
        )}
        <div class="pair">
          <div>
            <h4><span class="dot a" />{report.models.a.name} <Score value={sample.score_a} /></h4>
            <p class="text">{sample.text_a || <em>nothing</em>}</p>
          </div>
          <div class={same ? "" : "differs"}>
            <h4><span class="dot b" />{report.models.b.name} <Score value={sample.score_b} /></h4>
            <p class="text">{sample.text_b || <em>nothing</em>}</p>
          </div>
        </div>
        <details>
          <summary>Tokens</summary>
          <Tokens sample={sample} />
        </details>
      </div>
    </article>
  );
}

export function Answers({ report }: { report: Report }) {
  const anyDiffers = report.samples.some((s) => s.text_a !== s.text_b);
  const [show, setShow] = useState<Show>(anyDiffers ? "differing" : "all");
  const [kind, setKind] = useState("");
  const [query, setQuery] = useState("");
  const [order, setOrder] = useState<Order>("kl");
  const [count, setCount] = useState(kPage);
  const kinds = useMemo(() => [...new Set(report.samples.map((s) => s.kind))].sort(), [report]);
  const found = useMemo(() => {
    const rows = report.samples.filter((s) => matches(s, show, kind, query));
    return order === "kl" ? [...rows].sort((x, y) => (y.kl_mean ?? Infinity) - (x.kl_mean ?? Infinity)) : rows;
  }, [report, show, kind, query, order]);
  const scored = report.totals.n_scored > 0;
  const first = <T,>(set: (value: T) => void) => (value: T) => {
    set(value);
    setCount(kPage);
  };
  return (
    <section aria-labelledby="answers">
      <h2 id="answers">Answers side by side</h2>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>
          Show
          <select value={show} onChange={(e) => first(setShow)(e.currentTarget.value as Show)}>
            <option value="all">all</option>
            <option value="differing">only differing</option>
            {scored && <option value="worse">quantized is worse</option>}
            {scored && <option value="better">quantized is better</option>}
          </select>
        </label>
        <label>
          Kind
          <select value={kind} onChange={(e) => first(setKind)(e.currentTarget.value)}>
            <option value="">all</option>
            {kinds.map((name) => (
              <option value={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          Order
          <select value={order} onChange={(e) => first(setOrder)(e.currentTarget.value as Order)}>
            <option value="kl">largest KL first</option>
            <option value="data">as in the data</option>
          </select>
        </label>
        <label class="grow">
          Search
          <input type="search" value={query} placeholder="question, answer or id" onInput={(e) => first(setQuery)(e.currentTarget.value)} />
        </label>
      </form>
      <p class="note" role="status">
        {found.length} of {report.samples.length} answers
      </p>
      {found.slice(0, count).map((sample) => (
        <AnswerCard key={sample.id} sample={sample} report={report} />
      ))}
      {found.length > count && (
        <button type="button" class="more" onClick={() => setCount(count + kPage)}>
          Show {Math.min(kPage, found.length - count)} more
        </button>
      )}
    </section>
  );
}
