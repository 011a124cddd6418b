// SPDX-License-Identifier: Apache-2.0
// The chat page in Chromium against `ingot serve` itself, on the bundled model: one model, two
// models, the mistake that makes garbage. What the page does with a server that misbehaves is in
// chat.test.mjs and page.test.mjs.
// Environment: INGOT_TEST_PROGRAM, INGOT_TEST_MODEL (float), INGOT_TEST_W8A8 (the same quantized),
// INGOT_TEST_PICTURE (a JPEG whose background is gray), INGOT_TEST_BROWSER; INGOT_TEST_SHOTS: a
// folder for pictures of the page (optional).
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  ask,
  axe,
  give,
  kFailedLoad,
  lastAnswer,
  launch,
  makePicture,
  openPage,
  settled,
  thumbnails,
} from "./browser.mjs";
import { RealServer } from "./real_server.mjs";

const { INGOT_TEST_MODEL: kModel, INGOT_TEST_W8A8: kW8a8 } = process.env;
const kPhone = { viewport: { width: 360, height: 720 }, isMobile: true, hasTouch: true };
const kRamble = "a ".repeat(50); // the bundled model answers with a thousand tokens

let browser, jpeg;
before(async () => {
  browser = await launch();
  const buffer = await readFile(process.env.INGOT_TEST_PICTURE);
  jpeg = { name: "shapes.jpg", mimeType: "image/jpeg", buffer };
});
after(() => browser?.close());

async function withRealPage(server, options, body) {
  const { page, context, problems } = await openPage(browser, server.url, options);
  try {
    await body(page, context);
    assert.deepEqual(problems, []);
  } finally {
    await context.close();
  }
}

async function shot(page, name) {
  const folder = process.env.INGOT_TEST_SHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
}

async function set(page, values) {
  await page.getByRole("button", { name: "Settings" }).click();
  for (const [label, value] of Object.entries(values)) await page.getByLabel(label).fill(value);
  await page.keyboard.press("Escape");
}

// Long answers for others, so that one for the page takes its time; ended by abort().
function keepBusy(server, n) {
  const others = new AbortController();
  const body = { prompt: "a", max_tokens: 3900, ignore_eos: true, stream: true };
  for (let i = 0; i < n; ++i) {
    fetch(new URL("v1/completions", server.url), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: others.signal,
    })
      .then((response) => response.text())
      .catch(() => undefined);
  }
  return others;
}

const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

// What curl gets for the question that the page asks; the page's answer must be the same.
async function answerOf(server, question) {
  const response = await fetch(new URL("v1/chat/completions", server.url), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      temperature: 0,
      messages: [
        {
          role: "user",
          content: [
            {
              type: "image_url",
              image_url: { url: `data:image/jpeg;base64,${jpeg.buffer.toString("base64")}` },
            },
            { type: "text", text: question },
          ],
        },
      ],
    }),
  });
  return (await response.json()).choices[0].message.content;
}

describe("one model", () => {
  let server;
  before(async () => {
    server = await RealServer.start(
      kModel,
      "--served-model-name",
      "tiny-qwen3-vl",
      "--enable-prompt-tokens-details",
    );
  });
  after(async () => assert.equal(await server?.stop(), 0));

  test("sees pictures that are pasted, dropped and chosen", () =>
    withRealPage(server, {}, async (page) => {
      await page.getByText("tiny-qwen3-vl").waitFor();
      await set(page, { Temperature: "0" });
      await give(page, "paste", [jpeg]);
      await thumbnails(page).waitFor();
      const question = "Please describe this picture in detail.";
      await ask(page, question);
      await settled(page);
      const answer = await lastAnswer(page).innerText();
      assert.equal(answer, await answerOf(server, question));
      assert.match(answer, /^The picture shows .* on a gray background\.$/);
      const figures = page.locator(".figures");
      assert.match(await figures.innerText(), /\d\.\d\d s to first token/);
      assert.match(await figures.innerText(), /\d+ in the prompt/);

      await ask(page, "What is the background color?");
      await settled(page);
      assert.match(await figures.last().innerText(), /\d+ in the prompt \(\d+ cached\)/);
      await shot(page, "desktop");

      await page.getByRole("button", { name: "New chat" }).click();
      await give(page, "drop", [jpeg]);
      await thumbnails(page).nth(0).waitFor();
      const png = { name: "c.png", mimeType: "image/png", buffer: await makePicture(page, 96, 96) };
      await page.locator(".composer input[type=file]").setInputFiles([png]);
      await thumbnails(page).nth(1).waitFor();
      await ask(page, "What is the background color?");
      await settled(page);
      assert.notEqual(await lastAnswer(page).innerText(), "");
    }));

  test("is stopped, and the server lets go of the request", () =>
    withRealPage(server, {}, async (page) => {
      await page.getByText("tiny-qwen3-vl").waitFor();
      const aborted = 'vllm:request_success_total{engine="0",model_name="tiny-qwen3-vl",finished_reason="abort"}';
      const before = await server.metric(aborted);
      await set(page, { Temperature: "0" });
      const others = keepBusy(server, 24);
      await server.until("vllm:num_requests_running", 24);
      await ask(page, kRamble);
      await lastAnswer(page).getByText("triangle").waitFor();
      await page.getByRole("button", { name: "Stop", exact: true }).click();
      await settled(page);
      await page.locator("section.answer").getByText("Stopped", { exact: true }).waitFor();
      await server.until(aborted, before + 1);
      others.abort();
      await server.until(aborted, before + 25);
      await server.until("vllm:num_requests_running", 0);
      await server.until("ingot:kv_pages_used", 0);
      // The next question is answered as if nothing had been.
      await page.getByRole("button", { name: "New chat" }).click();
      await ask(page, "What is the background color?");
      await settled(page);
      assert.match(await lastAnswer(page).innerText(), /\S/);
    }));

  test("regenerates with another draw and keeps both answers", () =>
    withRealPage(server, {}, async (page) => {
      await page.getByText("tiny-qwen3-vl").waitFor();
      await set(page, { Temperature: "1.5", "Longest answer": "40" });
      await give(page, "paste", [jpeg]);
      await thumbnails(page).waitFor();
      await ask(page, "Please describe this picture in detail.");
      await settled(page);
      const first = await lastAnswer(page).innerText();
      for (let i = 0; i < 5; ++i) {
        await page.getByRole("button", { name: "Regenerate" }).click();
        await settled(page);
        if ((await lastAnswer(page).innerText()) !== first) break;
      }
      assert.notEqual(await lastAnswer(page).innerText(), first);
      await page.getByRole("button", { name: "Previous answer" }).click();
      await page.getByText(/^1 \/ \d$/).waitFor();
    }));

  test("says what it cannot do", () =>
    withRealPage(server, { expected: kFailedLoad }, async (page) => {
      await page.getByText("tiny-qwen3-vl").waitFor();
      await ask(page, "word ".repeat(6000));
      await settled(page);
      const notice = page.locator(".answer .notice");
      assert.match(await notice.innerText(), /maximum context length is 4096 tokens/);
      await axe(page, "refused");
    }));

  test("is used by keyboard alone", () =>
    withRealPage(server, {}, async (page) => {
      await page.getByText("tiny-qwen3-vl").waitFor();
      await page.keyboard.type("What is this?");
      await page.keyboard.press("Enter");
      await settled(page);
      await page.keyboard.press("ArrowUp");
      await page.locator(".editor textarea").waitFor();
      await page.keyboard.press("Control+A");
      await page.keyboard.type("Is it red?");
      await page.keyboard.press("Enter");
      await settled(page);
      assert.equal(await page.locator("article.turn").count(), 1);
      assert.match(await page.locator(".question").innerText(), /Is it red\?/);
    }));

  for (const [name, context] of [
    ["dark", { colorScheme: "dark" }],
    ["phone", kPhone],
    ["phone-dark", { ...kPhone, colorScheme: "dark" }],
  ]) {
    test(`is accessible and fits (${name})`, () =>
      withRealPage(server, { context }, async (page) => {
        await page.getByText("tiny-qwen3-vl").first().waitFor();
        await axe(page, `${name}, empty`);
        await set(page, { Temperature: "0" });
        await give(page, "paste", [jpeg]);
        await thumbnails(page).waitFor();
        await ask(page, "Please describe this picture in detail.");
        await settled(page);
        assert.equal(await overflow(page), 0);
        await axe(page, name);
        await shot(page, name);
        await page.getByRole("button", { name: "What is served" }).click();
        assert.match(await page.locator("dialog .facts").innerText(), /17\.9 MB/);
        await axe(page, `${name}, facts`);
        await shot(page, `${name}-facts`);
      }));
  }
});

test("a server with a key asks for it", async () => {
  const server = await RealServer.start(kModel, "--api-key", "s3cret");
  try {
    await withRealPage(server, { expected: kFailedLoad }, async (page) => {
      await page.getByLabel("Key", { exact: true }).fill("s3cret");
      await page.keyboard.press("Enter");
      await ask(page, "What is this?");
      await settled(page);
      assert.match(await lastAnswer(page).innerText(), /\S/);
    });
  } finally {
    await server.stop();
  }
});

describe("two models", () => {
  let server;
  before(async () => {
    server = await RealServer.start(
      ...[kModel, "--served-model-name", "tiny-qwen3-vl"],
      ...["--compare", kW8a8, "--compare-name", "tiny-qwen3-vl-W8A8"],
    );
  });
  after(async () => assert.equal(await server?.stop(), 0));

  test("answer side by side, and their first different word is marked", () =>
    withRealPage(server, {}, async (page) => {
      await page.getByText("One question, two models").waitFor();
      await shot(page, "compare-empty");
      await set(page, { Temperature: "0" });
      await give(page, "paste", [jpeg]);
      await thumbnails(page).waitFor();
      await ask(page, "Please describe this picture in detail.");
      await settled(page);
      const boxes = await page
        .locator("section.answer")
        .evaluateAll((all) => all.map((e) => e.getBoundingClientRect().toJSON()));
      assert.equal(boxes[0].top, boxes[1].top);
      assert.ok(boxes[0].right <= boxes[1].left);
      // At this temperature the two draw different words sooner or later.
      await set(page, { Temperature: "2", "Longest answer": "48" });
      const parted = page.locator(".verdict.differs").last();
      for (let i = 0; i < 5 && (await parted.count()) === 0; ++i) {
        await ask(page, "Please describe this picture in detail.");
        await settled(page);
      }
      await parted.waitFor();
      // One mark where the other answer has ended.
      const last = page.locator("article.turn").last();
      const words = await last.locator("mark.parting").allInnerTexts();
      assert.ok(words.length >= 1 && words[0] !== words[1], `${words}`);
      await axe(page, "compare");
      await shot(page, "compare");
      for (const model of ["tiny-qwen3-vl", "tiny-qwen3-vl-W8A8"]) {
        const engine = model.endsWith("W8A8") ? 1 : 0;
        const name = `ingot:requests_total{engine="${engine}",model_name="${model}"}`;
        assert.ok((await server.metric(name)) >= 2, name);
      }
    }));

  test("stand one above the other on a phone", () =>
    withRealPage(server, { context: kPhone }, async (page) => {
      await page.getByText("One question, two models").waitFor();
      await give(page, "paste", [jpeg]);
      await thumbnails(page).waitFor();
      await ask(page, "What is the background color?");
      await settled(page);
      assert.equal(await overflow(page), 0);
      const [a, b] = await page
        .locator("section.answer")
        .evaluateAll((all) => all.map((e) => e.getBoundingClientRect().toJSON()));
      assert.ok(a.bottom <= b.top && a.left === b.left);
      await axe(page, "compare, phone");
      await shot(page, "compare-phone");
    }));
});

test("int8 codes taken for weights: the page warns, garbage is named and counted", async () => {
  const server = await RealServer.start(
    ...[kW8a8, "--unsafe-load-as-float", "--served-model-name", "mistake"],
    ...["--compare", kW8a8, "--compare-name", "sound"],
  );
  try {
    await withRealPage(server, {}, async (page) => {
      await page.getByText("the answers are garbage").waitFor();
      await set(page, { Temperature: "0", "Longest answer": "100" });
      await ask(page, kRamble);
      await settled(page);
      const lane = page.locator("section.answer.a");
      await lane.getByText("This answer looks like garbage").waitFor();
      await lane.getByText("repeat the ones before them").waitFor();
      await axe(page, "garbage");
      await shot(page, "garbage");
      const counted = 'ingot:garbage_requests_total{engine="0",model_name="mistake"}';
      assert.ok((await server.metric(counted)) >= 1);
      assert.match(server.log, /chatcmpl-\w+: answer 0 looks like garbage/);
    });
  } finally {
    await server.stop();
  }
});
