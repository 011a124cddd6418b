// SPDX-License-Identifier: Apache-2.0
// Bundles the pages, each into one HTML file without any reference to the network. Usage: node
// build.mjs [OUT_DIR [PAGE...]] The chat page also gets chat.csp: its Content-Security-Policy,
// which names its one script and one style by their hashes.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.url));
const outDir = process.argv[2] ?? join(root, "dist");
const pages = process.argv.length > 3 ? process.argv.slice(3) : ["report", "chat"];

async function bundle(page) {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [`${page}/src/main.tsx`],
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
    if (!file) throw new Error(`the bundle of ${page} has no ${ending} file`);
    return file.text.trim();
  };
  // Inside an element, only its own end tag matters.
  return {
    script: textOf(".js").replaceAll("</script", "<\\/script"),
    style: textOf(".css").replaceAll("</style", "<\\/style"),
  };
}

const hashOf = (text) => `'sha256-${createHash("sha256").update(text, "utf8").digest("base64")}'`;

// What the chat page may do: run its own script, talk to its own server, show pictures that it
// holds itself. HTML reaches the document through DOMPurify only (trusted types).
const chatPolicy = ({ script, style }) =>
  [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "img-src data: blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types dompurify",
  ].join("; ");

await mkdir(outDir, { recursive: true });
for (const page of pages) {
  const { script, style } = await bundle(page);
  const template = await readFile(join(root, page, "page.html"), "utf8");
  const html = template.replace("/*STYLE*/", () => style).replace("/*SCRIPT*/", () => script);
  await writeFile(join(outDir, `${page}.html`), html);
  if (page === "chat") await writeFile(join(outDir, "chat.csp"), chatPolicy({ script, style }));
}
