// SPDX-License-Identifier: Apache-2.0
// Bundles a page into one HTML file without any reference to the network. Usage: node build.mjs [OUT_DIR]
import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const outDir = process.argv[2] ?? join(root, "dist");

const result = await build({
  absWorkingDir: root,
  entryPoints: ["report/src/main.tsx"],
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2020"],
  jsx: "automatic",
  jsxImportSource: "preact",
  outdir: "dist",
  write: false,
  legalComments: "eof",
  charset: "utf8",
  logLevel: "warning",
  define: { "process.env.NODE_ENV": '"production"' },
});

const textOf = (ending) => {
  const file = result.outputFiles.find((f) => f.path.endsWith(ending));
  if (!file) throw new Error(`the bundle has no ${ending} file`);
  return file.text;
};
// Inside an element, only its own end tag matters.
const script = textOf(".js").replaceAll("</script", "<\\/script");
const style = textOf(".css").replaceAll("</style", "<\\/style");
const template = await readFile(join(root, "report/page.html"), "utf8");
const html = template
  .replace("/*STYLE*/", () => style.trim())
  .replace("/*SCRIPT*/", () => script.trim());

await mkdir(outDir, { recursive: true });
await writeFile(join(outDir, "report.html"), html);
