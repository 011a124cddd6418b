// SPDX-License-Identifier: Apache-2.0
// Chromium, the page and a server together; every page fails its test when it logs an error or asks
// another machine for anything.
// Environment: INGOT_TEST_PAGE_DIR (chat.html, chat.csp), INGOT_TEST_BROWSER.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { Mock } from "./mock_server.mjs";

export const kFailedLoad = /Failed to load resource/; // the browser logs every 4xx and 5xx

const axeSource = await readFile(
  createRequire(import.meta.url).resolve("axe-core/axe.min.js"),
  "utf8",
);

export async function launch() {
  return chromium.launch({
    executablePath: process.env.INGOT_TEST_BROWSER || "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-quic",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

// Opens the page at `url`. Console lines that `expected` matches are part of the test (the browser
// logs every 4xx).
export async function openPage(browser, url, { context: options = {}, expected = /(?!)/ } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: "en-US",
    ...options,
  });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("console", (line) => {
    if (["error", "warning"].includes(line.type()) && !expected.test(line.text()))
      problems.push(`console: ${line.text()}`);
  });
  page.on("request", (request) => {
    const target = request.url();
    if (!/^(data|blob):/.test(target) && new URL(target).origin !== new URL(url).origin)
      problems.push(`request: ${target}`);
  });
  page.setDefaultTimeout(30_000);
  await page.goto(url);
  return { page, context, problems };
}

// test body with a mock server and a page: withPage(browser, {mock, context, expected}, async
// ({page, mock}) => ...)
export async function withPage(browser, options, body) {
  const mock = await new Mock({
    pageDir: process.env.INGOT_TEST_PAGE_DIR,
    ...options.mock,
  }).start();
  const { page, context, problems } = await openPage(browser, mock.url, options);
  try {
    await body({ page, mock, context });
    assert.deepEqual(problems, []);
  } finally {
    await context.close();
    await mock.stop();
  }
}

export const question = (page) => page.locator("#question");

export async function ask(page, text) {
  await question(page).fill(text);
  await page.locator("button[type=submit].round:enabled").waitFor(); // what is served is known
  await question(page).press("Enter");
}

// Waits until no answer is under way: the send button is back.
export const settled = (page) => page.getByRole("button", { name: "Send", exact: true }).waitFor();

export const lastAnswer = (page) => page.locator("section.answer .prose").last();

export async function axe(page, where) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { resultTypes: ["violations"] }),
  );
  const lines = violations.map(
    (v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`,
  );
  assert.deepEqual(lines, [], where);
}

// A PNG of one colour, drawn by the browser itself.
export async function makePicture(page, width, height, type = "image/png") {
  const url = await page.evaluate(
    ([w, h, mime]) => {
      const canvas = document.createElement("canvas");
      canvas.width = w;
      canvas.height = h;
      const context = canvas.getContext("2d");
      context.fillStyle = "#c33";
      context.fillRect(0, 0, w, h);
      context.fillStyle = "#fff";
      context.fillRect(w / 4, h / 4, w / 2, h / 2);
      return canvas.toDataURL(mime);
    },
    [width, height, type],
  );
  return Buffer.from(url.split(",")[1], "base64");
}

// Chooses, pastes or drops files the way a person's browser reports it.
export async function give(page, kind, files) {
  const data = files.map(({ name, mimeType, buffer }) => ({
    name,
    mimeType,
    base64: buffer.toString("base64"),
  }));
  await page.evaluate(
    ([how, list]) => {
      const transfer = new DataTransfer();
      for (const { name, mimeType, base64 } of list) {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: mimeType }));
      }
      const target = document.getElementById("question");
      const event =
        how === "paste"
          ? new ClipboardEvent("paste", {
              clipboardData: transfer,
              bubbles: true,
              cancelable: true,
            })
          : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
      target.dispatchEvent(event);
    },
    [kind, data],
  );
}

export const thumbnails = (page) => page.locator(".composer .thumbnail");

export async function sizeOfPicture(page, dataUrl) {
  return page.evaluate(async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  }, dataUrl);
}
