// SPDX-License-Identifier: Apache-2.0
// The charts of the report, each made from report.json alone.
import type { EChartsCoreOption } from "echarts/core";
import { useCallback, useMemo } from "preact/hooks";
import { Chart, categoryAxis, frame, type Palette, valueAxis } from "./chart";
import { decibel, percent } from "./format";
import type { LinearFigures, Report, Stage } from "./types";

// Equal signals are stored as 200 dB, which would flatten the axis.
const shown = (db: number | null) => (db === null || db >= 200 ? null : Number(db.toFixed(2)));

function StageChart(props: { stages: Stage[]; theme: string; title: string; vision: boolean }) {
  const { stages, vision } = props;
  const option = useCallback(
    (p: Palette): EChartsCoreOption => ({
      ...frame(p),
      xAxis: categoryAxis(
        p,
        stages.map((s) => String(s.layer)),
        { name: vision ? "block" : "layer", nameLocation: "middle", nameGap: 26, nameTextStyle: { color: p.muted } },
      ),
      yAxis: valueAxis(p, "dB", { scale: true }),
      grid: { left: 8, right: 12, top: 36, bottom: 22, containLabel: true },
      series: (vision ? ["vision"] : ["text", "vision"]).map((modality) => ({
        name: `${modality} tokens`,
        type: "line",
        symbolSize: 5,
        connectNulls: true,
        color: modality === "text" ? p.text : p.vision,
        data: stages.map((s) => shown(s.sqnr_db[modality as "text" | "vision"])),
      })),
    }),
    [stages, vision],
  );
  return (
    <Chart
      title={props.title}
      label={`${props.title}: line chart of signal to quantization noise over the ${vision ? "blocks" : "layers"}; the numbers follow as a table`}
      theme={props.theme}
      option={option}
      head={[vision ? "block" : "layer", "text", "vision"]}
      rows={stages.map((s) => [s.layer, decibel(s.sqnr_db.text), decibel(s.sqnr_db.vision)])}
    />
  );
}

export function StageCharts(props: { report: Report; theme: string }) {
  const { text, vision } = useMemo(() => {
    const of = (part: string) => props.report.stages.filter((s) => s.part === part);
    const visionStages = of("vision");
    // A vision tower that stayed float is equal but for the type that its weights are stored in: nothing to draw.
    const differs = visionStages.some((s) => (s.sqnr_db.vision ?? 200) < 90);
    return { text: of("text"), vision: differs ? visionStages : [] };
  }, [props.report]);
  return (
    <>
      {text.length > 0 && (
        <StageChart stages={text} theme={props.theme} title="Hidden states after each text layer" vision={false} />
      )}
      {vision.length > 0 && (
        <StageChart stages={vision} theme={props.theme} title="Hidden states after each vision block" vision={true} />
      )}
    </>
  );
}

export function KindChart(props: { report: Report; theme: string }) {
  const { kinds, points } = useMemo(() => {
    const quantized = props.report.linears.filter((l) => l.exec !== "float");
    const names = [...new Set(quantized.map((l) => l.kind))];
    return { kinds: names, points: quantized };
  }, [props.report]);
  const option = useCallback(
    (p: Palette): EChartsCoreOption => ({
      ...frame(p),
      tooltip: {
        ...(frame(p).tooltip as object),
        trigger: "item",
        formatter: (item: { data: { module: string; value: [number, number] } }) =>
          `${item.data.module}<br>${item.data.value[1].toFixed(1)} dB`,
      },
      xAxis: categoryAxis(p, kinds, { axisLabel: { color: p.muted, interval: 0, rotate: kinds.length > 4 ? 30 : 0 } }),
      yAxis: valueAxis(p, "dB", { scale: true }),
      series: (["text", "vision"] as const).map((modality) => ({
        name: `${modality} tokens`,
        type: "scatter",
        symbolSize: 8,
        symbolOffset: [modality === "text" ? -7 : 7, 0],
        itemStyle: { opacity: 0.65 },
        color: modality === "text" ? p.text : p.vision,
        data: points
          .filter((l) => shown(l.sqnr_db[modality]) !== null)
          .map((l) => ({ value: [kinds.indexOf(l.kind), shown(l.sqnr_db[modality])], module: l.module })),
      })),
    }),
    [kinds, points],
  );
  if (points.length === 0) return null;
  const mean = (rows: LinearFigures[], modality: "text" | "vision") => {
    const values = rows.map((l) => shown(l.sqnr_db[modality])).filter((v) => v !== null);
    return values.length === 0 ? null : values.reduce((x, y) => x + y, 0) / values.length;
  };
  return (
    <Chart
      title="Quantized linears by kind"
      note="Output of each linear against its float twin on the same input; one dot is one linear."
      label="Scatter chart of signal to quantization noise per linear, grouped by kind; the means follow as a table"
      theme={props.theme}
      option={option}
      head={["kind", "linears", "mean text", "mean vision"]}
      rows={kinds.map((kind) => {
        const rows = points.filter((l) => l.kind === kind);
        return [kind, rows.length, decibel(mean(rows, "text")), decibel(mean(rows, "vision"))];
      })}
    />
  );
}

const klEdges = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10];
const klLabels = ["< −6", "−6", "−5", "−4", "−3", "−2", "−1", "0", "≥ 1"]; // powers of ten

export function KlChart(props: { report: Report; theme: string }) {
  const counts = useMemo(() => {
    const bins = new Array<number>(klEdges.length + 1).fill(0);
    for (const sample of props.report.samples) {
      for (const kl of sample.kl) {
        if (kl !== null) bins[klEdges.filter((edge) => kl >= edge).length]++;
      }
    }
    return bins;
  }, [props.report]);
  const option = useCallback(
    (p: Palette): EChartsCoreOption => ({
      ...frame(p),
      legend: { show: false },
      grid: { left: 8, right: 12, top: 28, bottom: 22, containLabel: true },
      xAxis: categoryAxis(p, klLabels, { axisLabel: { color: p.muted, interval: 0, fontSize: 11 }, name: "power of ten, in nats", nameLocation: "middle", nameGap: 26, nameTextStyle: { color: p.muted } }),
      yAxis: valueAxis(p, "tokens", { minInterval: 1 }),
      series: [{ name: "tokens", type: "bar", color: p.b, data: counts, barCategoryGap: "12%" }],
    }),
    [counts],
  );
  return (
    <Chart
      title="KL divergence per token"
      note="From the float to the quantized distribution, along the float model's answer. Bars begin at their label."
      label="Histogram of KL divergence per token; the counts follow as a table"
      theme={props.theme}
      option={option}
      head={["KL from (power of ten)", "tokens"]}
      rows={klLabels.map((label, i) => [label, counts[i]])}
    />
  );
}

export function DivergenceChart(props: { report: Report; theme: string }) {
  const { labels, counts } = useMemo(() => {
    const positions = props.report.samples.map((s) => s.first_divergence).filter((d) => d !== null);
    const last = Math.max(0, ...positions);
    const width = Math.max(1, Math.ceil((last + 1) / 16));
    const bins = new Array<number>(positions.length === 0 ? 0 : Math.ceil((last + 1) / width)).fill(0);
    for (const position of positions) bins[Math.floor(position / width)]++;
    const names = bins.map((_, i) => (width === 1 ? String(i + 1) : `${i * width + 1}–${(i + 1) * width}`));
    const never = props.report.samples.length - positions.length;
    return { labels: [...names, "never"], counts: [...bins, never] };
  }, [props.report]);
  const option = useCallback(
    (p: Palette): EChartsCoreOption => ({
      ...frame(p),
      legend: { show: false },
      grid: { left: 8, right: 12, top: 28, bottom: 22, containLabel: true },
      xAxis: categoryAxis(p, labels, { name: "token of the answer", nameLocation: "middle", nameGap: 26, nameTextStyle: { color: p.muted } }),
      yAxis: valueAxis(p, "answers", { minInterval: 1 }),
      series: [
        {
          name: "answers",
          type: "bar",
          barCategoryGap: "12%",
          data: counts.map((value, i) => ({ value, itemStyle: { color: i === counts.length - 1 ? p.a : p.b } })),
        },
      ],
    }),
    [labels, counts],
  );
  return (
    <Chart
      title="First divergence"
      note="The first token at which the quantized model would have chosen another one."
      label="Histogram of the position of the first differing token; the counts follow as a table"
      theme={props.theme}
      option={option}
      head={["token", "answers"]}
      rows={labels.map((label, i) => [label, counts[i]])}
    />
  );
}

export function AccuracyChart(props: { report: Report; theme: string }) {
  const kinds = props.report.kinds;
  const option = useCallback(
    (p: Palette): EChartsCoreOption => ({
      ...frame(p),
      // Names of models are long: one below the other, so that they fit on a phone.
      legend: { ...(frame(p).legend as object), orient: "vertical", left: 8, itemGap: 6 },
      grid: { left: 8, right: 16, top: 52, bottom: 4, containLabel: true },
      xAxis: valueAxis(p, "", { max: 100, axisLabel: { color: p.muted, formatter: "{value} %", hideOverlap: true } }),
      yAxis: categoryAxis(p, kinds.map((k) => k.kind), { inverse: true, axisLabel: { color: p.ink, width: 150, overflow: "truncate" } }),
      tooltip: {
        ...(frame(p).tooltip as object),
        valueFormatter: (value: number) => `${value} %`,
      },
      series: (["a", "b"] as const).map((side) => ({
        name: props.report.models[side].name,
        type: "bar",
        color: p[side],
        barGap: "10%",
        data: kinds.map((k) => Number((100 * (side === "a" ? k.accuracy_a : k.accuracy_b)).toFixed(1))),
      })),
    }),
    [kinds, props.report],
  );
  if (kinds.length === 0) return null;
  return (
    <Chart
      title="Accuracy by kind of question"
      label="Bar chart of accuracy by kind of question for both models; the numbers follow as a table"
      theme={props.theme}
      wide
      height={Math.max(220, 76 + 38 * kinds.length)}
      option={option}
      head={["kind", "n", props.report.models.a.name, props.report.models.b.name]}
      rows={kinds.map((k) => [k.kind, k.n, percent(k.accuracy_a), percent(k.accuracy_b)])}
    />
  );
}

export function WorstLinears(props: { report: Report }) {
  const rows = useMemo(() => {
    const worst = (l: LinearFigures) =>
      Math.min(shown(l.sqnr_db.text) ?? Infinity, shown(l.sqnr_db.vision) ?? Infinity);
    return props.report.linears
      .filter((l) => l.exec !== "float" && worst(l) < Infinity)
      .sort((x, y) => worst(x) - worst(y))
      .slice(0, 12);
  }, [props.report]);
  if (rows.length === 0) return null;
  const calibrated = rows.some((l) => l.calibration_sqnr_db !== null);
  return (
    <div class="panel">
      <h3>Linears that lose most</h3>
      <p class="note">Candidates for <code>--layers</code> rules of <code>ingot quantize</code>.</p>
      <div class="scroll">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">linear</th>
              <th scope="col">executed as</th>
              <th scope="col">text</th>
              <th scope="col">vision</th>
              {calibrated && <th scope="col">at calibration (text / vision)</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map((l) => (
              <tr>
                <th scope="row"><code title={l.module}>{l.module.replace(/^model\.(language_model\.)?/, "")}</code></th>
                <td>{l.exec}</td>
                <td>{decibel(l.sqnr_db.text)}</td>
                <td>{decibel(l.sqnr_db.vision)}</td>
                {calibrated && (
                  <td>
                    {l.calibration_sqnr_db === null
                      ? "–"
                      : `${decibel(l.calibration_sqnr_db.text)} / ${decibel(l.calibration_sqnr_db.vision)}`}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

