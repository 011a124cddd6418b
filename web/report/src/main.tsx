// SPDX-License-Identifier: Apache-2.0
// The report page: reads the JSON inside the page and draws it. Nothing is loaded from anywhere.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Answers } from "./answers";
import { AccuracyChart, DivergenceChart, KindChart, KlChart, StageCharts, WorstLinears } from "./charts";
import { Cards, Details, Models, Verdict } from "./summary";
import type { Report } from "./types";
import "./style.css";

type Theme = "auto" | "light" | "dark";

function useTheme(): [Theme, string, (theme: Theme) => void] {
  const [theme, setTheme] = useState<Theme>("auto");
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const [systemDark, setSystemDark] = useState(media.matches);
  useEffect(() => {
    const listen = (event: MediaQueryListEvent) => setSystemDark(event.matches);
    media.addEventListener("change", listen);
    return () => media.removeEventListener("change", listen);
  }, []);
  const effective = theme === "auto" ? (systemDark ? "dark" : "light") : theme;
  document.documentElement.dataset.theme = effective;
  return [theme, effective, setTheme];
}

function App({ report }: { report: Report }) {
  const [theme, effective, setTheme] = useTheme();
  const { a, b } = report.models;
  document.title = `${a.name} against ${b.name}: ingot compare`;
  return (
    <>
      <header>
        <div>
          <p class="brand">ingot compare</p>
          <h1>
            {a.name} <span class="against">against</span> {b.name}
          </h1>
        </div>
        <label class="theme">
          Theme
          <select value={theme} onChange={(e) => setTheme(e.currentTarget.value as Theme)}>
            <option value="auto">auto</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
      </header>
      <main>
        <section aria-label="Summary">
          <Verdict report={report} />
          <Cards report={report} />
          <Models report={report} />
          <Details report={report} />
        </section>
        <section aria-labelledby="tokens">
          <h2 id="tokens">Answers and tokens</h2>
          <div class="grid">
            <KlChart report={report} theme={effective} />
            <DivergenceChart report={report} theme={effective} />
            <AccuracyChart report={report} theme={effective} />
          </div>
        </section>
        {report.stages.length + report.linears.length > 0 && (
          <section aria-labelledby="layers">
            <h2 id="layers">Signal to quantization noise</h2>
            <p class="note">In decibels, higher is better: 20 dB is an error of 10 %, 40 dB of 1 %.</p>
            <div class="grid">
              <StageCharts report={report} theme={effective} />
              <KindChart report={report} theme={effective} />
            </div>
            <WorstLinears report={report} />
          </section>
        )}
        <Answers report={report} />
      </main>
    </>
  );
}

const app = document.getElementById("app");
const data = document.getElementById("report");
if (app && data) {
  app.replaceChildren();
  render(<App report={JSON.parse(data.textContent ?? "") as Report} />, app);
  document.documentElement.dataset.ready = "true";
}
