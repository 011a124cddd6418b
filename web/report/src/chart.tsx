// SPDX-License-Identifier: Apache-2.0
// One chart with its numbers as a table behind it (for screen readers, copying and printing).
import { BarChart, LineChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent,
  GridComponent,
  LegendComponent,
  TooltipComponent,
} from "echarts/components";
import { type EChartsCoreOption, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

use([
  BarChart,
  LineChart,
  ScatterChart,
  GridComponent,
  TooltipComponent,
  LegendComponent,
  AriaComponent,
  SVGRenderer,
]);

export interface Palette {
  ink: string;
  muted: string;
  line: string;
  panel: string;
  a: string;
  b: string;
  text: string;
  vision: string;
}

export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const get = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: get("ink"),
    muted: get("muted"),
    line: get("line"),
    panel: get("panel"),
    a: get("a"),
    b: get("b"),
    text: get("text"),
    vision: get("vision"),
  };
}

// ECharts measures labels itself, so it needs the name of the font (the page's, style.css).
const kFont = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif';

// What every chart shares: font, legend, tooltip, room for labels.
export function frame(p: Palette): EChartsCoreOption {
  return {
    animation: false,
    textStyle: { fontFamily: kFont, color: p.ink },
    aria: { enabled: true },
    legend: { top: 0, left: 56, textStyle: { color: p.ink, fontFamily: kFont }, itemHeight: 10, itemWidth: 16, itemGap: 18 },
    grid: { left: 8, right: 12, top: 40, bottom: 4, containLabel: true },
    tooltip: {
      trigger: "axis",
      confine: true,
      backgroundColor: p.panel,
      borderColor: p.line,
      textStyle: { color: p.ink },
    },
  };
}

export function valueAxis(p: Palette, name: string, extra: object = {}): object {
  return {
    type: "value",
    name,
    nameLocation: "end",
    nameTextStyle: { color: p.muted, align: "left" },
    axisLabel: { color: p.muted, fontFamily: kFont },
    splitLine: { lineStyle: { color: p.line } },
    ...extra,
  };
}

export function categoryAxis(p: Palette, labels: string[], extra: object = {}): object {
  return {
    type: "category",
    data: labels,
    axisLabel: { color: p.muted, hideOverlap: true, fontFamily: kFont },
    axisLine: { lineStyle: { color: p.line } },
    axisTick: { show: false },
    ...extra,
  };
}

interface ChartProps {
  title: string;
  note?: ComponentChildren;
  label: string; // what a screen reader says
  height?: number;
  wide?: boolean; // takes the whole width
  theme: string; // redraws when it changes
  option: (palette: Palette) => EChartsCoreOption;
  head: string[];
  rows: (string | number)[][];
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const chart = init(element, undefined, { renderer: "svg" });
    chart.setOption(props.option(readPalette()));
    const observer = new ResizeObserver(() => chart.resize());
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.dispose();
    };
  }, [props.theme, props.option]);
  return (
    <figure class={props.wide ? "chart wide" : "chart"}>
      <figcaption>
        <h3>{props.title}</h3>
        {props.note && <p class="note">{props.note}</p>}
      </figcaption>
      <div
        ref={box}
        role="img"
        aria-label={props.label}
        style={{ height: `${props.height ?? 280}px` }}
      />
      <details>
        <summary>Numbers</summary>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                {props.head.map((cell) => (
                  <th scope="col">{cell}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {props.rows.map((row) => (
                <tr>
                  {row.map((cell, i) => (i === 0 ? <th scope="row">{cell}</th> : <td>{cell}</td>))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}
