// SPDX-License-Identifier: Apache-2.0
// The chat page in Chromium against the mock server: answers, control of them, pictures.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import {
  ask,
  axe,
  give,
  lastAnswer,
  launch,
  makePicture,
  settled,
  sizeOfPicture,
  thumbnails,
  withPage,
} from "./browser.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const picturesOf = (request) =>
  request.messages.at(-1).content.filter((part) => part.type === "image_url");

describe("answers", () => {
  test("stream in, with figures, and become the history of the next question", () =>
    withPage(browser, { mock: { tokenMs: 30 } }, async ({ page, mock }) => {
      await ask(page, "What is this?");
      await page.getByText("A small harbour at dusk", { exact: false }).waitFor();
      assert.ok(
        await page.getByRole("button", { name: "Stop", exact: true }).isVisible(),
        "it is still being written",
      );
      await settled(page);
      assert.match(await lastAnswer(page).innerText(), /^A small harbour at dusk.*are lit\.$/);
      assert.equal(await lastAnswer(page).locator("strong").innerText(), "harbour");
      const figures = await page.locator(".figures").innerText();
      assert.match(figures, /\d\.\d\d s to first token/);
      assert.match(figures, /\d+(\.\d)? tokens\/s/);
      assert.match(figures, /21 tokens/);
      assert.match(figures, /312 in the prompt \(256 cached\)/);

      await ask(page, "And then?");
      await settled(page);
      const [first, second] = mock.requests;
      assert.equal(first.stream, true);
      assert.deepEqual(first.stream_options, { include_usage: true });
      assert.deepEqual(first.messages, [{ role: "user", content: "What is this?" }]);
      assert.deepEqual(
        second.messages.map((m) => m.role),
        ["user", "assistant", "user"],
      );
      assert.match(second.messages[1].content, /\*\*harbour\*\*/);
    }));

  test("survive bytes cut inside characters and events", () =>
    withPage(browser, { mock: { tokenMs: 0 } }, async ({ page }) => {
      await ask(page, "#split #chinese");
      await settled(page);
      assert.equal(
        await lastAnswer(page).innerText(),
        "这张图片里有一只橘猫，它坐在窗台上。😀 窗外正在下雨，远处可以看到几座山。",
      );
    }));

  test("are rendered as markdown", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, context }) => {
      await context.grantPermissions(["clipboard-read", "clipboard-write"]);
      await ask(page, "#markdown");
      await settled(page);
      const answer = lastAnswer(page);
      assert.equal(await answer.locator("h1").innerText(), "Two ways to bake");
      assert.equal(await answer.locator("ol > li").count(), 3);
      assert.equal(
        await answer
          .locator("td")
          .nth(1)
          .evaluate((cell) => getComputedStyle(cell).textAlign),
        "end",
      );
      assert.equal(await answer.locator("blockquote").count(), 1);
      assert.equal(await answer.locator("a").getAttribute("rel"), "noopener noreferrer nofollow");
      await answer.getByRole("button", { name: "Copy" }).click();
      await answer.getByText("Copied").waitFor();
      assert.match(
        await page.evaluate(() => navigator.clipboard.readText()),
        /^def bake\(loaf: str\) -> str:\n {4}return/,
      );
    }));

  test("cannot run code, load anything or escape their place", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page }) => {
      await ask(page, "#xss");
      await settled(page);
      const answer = lastAnswer(page);
      assert.equal(
        await answer
          .locator(
            "script, img, svg, iframe, form, style, input, [onerror], [onload], [onmouseover], [style]",
          )
          .count(),
        0,
      );
      for (const href of await answer
        .locator("a")
        .evaluateAll((links) => links.map((a) => a.getAttribute("href") ?? ""))) {
        assert.match(href, /^https:/);
      }
      assert.match(await answer.innerText(), /<img src=x onerror=/, "it is shown as text");
      await page.waitForTimeout(300);
      assert.equal(await page.evaluate(() => window.hacked), undefined);
    }));

  test("of thinking models keep their thinking folded and out of the history", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, mock }) => {
      await ask(page, "#think");
      await settled(page);
      assert.equal(
        await lastAnswer(page).innerText(),
        "The sky is blue because air scatters short waves more.",
      );
      assert.equal(await page.getByText("Rayleigh").isVisible(), false);
      await page.getByText("Thinking").click();
      assert.equal(await page.getByText("Rayleigh").isVisible(), true);
      await ask(page, "next");
      await settled(page);
      assert.doesNotMatch(mock.requests[1].messages[1].content, /think|Rayleigh/);
    }));

  test("that the server marks as garbage say so", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page }) => {
      await ask(page, "#garbage");
      await page.getByText("This answer looks like garbage").waitFor();
      assert.ok(await page.getByText("the same 3 tokens 40 times in a row").isVisible());
    }));

  test("that hit the limit, or are empty, say so", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page }) => {
      await ask(page, "#limit");
      await page.getByText("Stopped at the token limit").waitFor();
      await ask(page, "#empty");
      await page.getByText("ended at once, without a word").waitFor();
    }));

  test("follow the end, unless somebody scrolls up", () =>
    withPage(
      browser,
      { mock: { tokenMs: 3 }, context: { viewport: { width: 600, height: 640 } } },
      async ({ page }) => {
        const rest = () =>
          page.evaluate(
            () => document.documentElement.scrollHeight - window.innerHeight - window.scrollY,
          );
        // The answer grows between two frames: the end may be out of view for a moment.
        const atEnd = () =>
          page.waitForFunction(
            () => document.documentElement.scrollHeight - window.innerHeight - window.scrollY < 60,
          );
        await ask(page, "#long");
        await page.getByText("Paragraph 20 of").waitFor();
        await atEnd();
        await page.mouse.move(300, 200);
        await page.mouse.wheel(0, -600);
        await page.getByText("Paragraph 60 of").waitFor();
        assert.ok((await rest()) > 300, "stays where somebody reads");
        await page.getByRole("button", { name: "To the latest answer" }).click();
        await settled(page);
        await atEnd();
      },
    ));
});

describe("control", () => {
  test("stop by button and by Esc ends the request at the server", () =>
    withPage(browser, {}, async ({ page, mock }) => {
      for (const stop of [
        () => page.getByRole("button", { name: "Stop", exact: true }).click(),
        () => page.keyboard.press("Escape"),
      ]) {
        const before = mock.cancelled;
        await ask(page, "#slow");
        await page.locator("section.answer").last().getByText("A small").waitFor();
        await stop();
        await settled(page);
        assert.ok(
          await page
            .locator("section.answer")
            .last()
            .getByText("Stopped", { exact: true })
            .isVisible(),
        );
        for (let i = 0; i < 50 && mock.cancelled === before; ++i) await page.waitForTimeout(20);
        assert.equal(mock.cancelled, before + 1);
      }
    }));

  test("regenerate keeps both answers", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, mock }) => {
      await ask(page, "one");
      await settled(page);
      await page.getByRole("button", { name: "Regenerate" }).click();
      await settled(page);
      assert.equal(mock.requests.length, 2);
      assert.deepEqual(mock.requests[1].messages, mock.requests[0].messages);
      await page.getByText("2 / 2").waitFor();
      await page.getByRole("button", { name: "Previous answer" }).click();
      await page.getByText("1 / 2").waitFor();
    }));

  test("edit and resend replaces the question and what came after it", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, mock }) => {
      for (const text of ["first", "second"]) {
        await ask(page, text);
        await settled(page);
      }
      await page.getByRole("button", { name: "Edit" }).first().click();
      await page.keyboard.press("Escape");
      assert.equal(await page.locator(".editor").count(), 0, "Esc leaves the editor");
      await page.getByRole("button", { name: "Edit" }).first().click();
      await page.locator(".editor textarea").fill("changed");
      await page.keyboard.press("Enter");
      await settled(page);
      assert.deepEqual(mock.requests.at(-1).messages, [{ role: "user", content: "changed" }]);
      assert.equal(await page.locator("article.turn").count(), 1);
    }));

  test("settings are sent, checked and remembered; empty ones are not sent", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, mock }) => {
      await page.getByRole("button", { name: "Settings" }).click();
      await page.getByLabel("System prompt").fill("Answer in verse.");
      await page.getByLabel("Temperature").fill("0.3");
      await page.getByLabel("Longest answer").fill("64");
      await page.getByLabel("Top p").fill("7");
      await page.getByText("Must be").waitFor();
      await axe(page, "settings");
      await page.keyboard.press("Escape");
      await page.reload();
      await ask(page, "go");
      await settled(page);
      const [request] = mock.requests;
      assert.deepEqual(request.messages[0], { role: "system", content: "Answer in verse." });
      assert.deepEqual([request.temperature, request.max_completion_tokens], [0.3, 64]);
      for (const field of ["top_p", "top_k", "seed", "repetition_penalty"])
        assert.ok(!(field in request), field);
    }));

  test("export gives the conversation as JSON and as Markdown", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page }) => {
      await give(page, "paste", [
        { name: "p.png", mimeType: "image/png", buffer: await makePicture(page, 60, 40) },
      ]);
      await thumbnails(page).waitFor();
      await ask(page, "What is this?");
      await settled(page);
      const save = async (label) => {
        await page.getByRole("button", { name: "Export" }).click();
        const [file] = await Promise.all([
          page.waitForEvent("download"),
          page.getByRole("button", { name: label }).click(),
        ]);
        return readFile(await file.path(), "utf8");
      };
      const record = JSON.parse(await save("JSON"));
      assert.match(record.turns[0].question.content[0].image_url.url, /^data:image\/png;base64,/);
      assert.match(record.turns[0].answers[0][0].content, /harbour/);
      const markdown = await save("Markdown");
      assert.match(markdown, /> \*\(p\.png, 60 × 40\)\*\n> What is this\?/);
      assert.match(markdown, /\*\*harbour\*\*/);
    }));
});

describe("pictures", () => {
  test("pasted, dropped and chosen ones are sent before the question, as they are when they fit", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, mock }) => {
      const small = await makePicture(page, 120, 80);
      await give(page, "paste", [{ name: "a.png", mimeType: "image/png", buffer: small }]);
      await thumbnails(page).nth(0).waitFor();
      await give(page, "drop", [{ name: "b.png", mimeType: "image/png", buffer: small }]);
      await thumbnails(page).nth(1).waitFor();
      await page
        .locator(".composer input[type=file]")
        .setInputFiles([{ name: "c.png", mimeType: "image/png", buffer: small }]);
      await thumbnails(page).nth(2).waitFor();
      await page.getByRole("button", { name: "Remove c.png" }).click();
      await ask(page, "Compare them");
      await settled(page);
      const { content } = mock.requests[0].messages[0];
      assert.deepEqual(
        content.map((part) => part.type),
        ["image_url", "image_url", "text"],
      );
      assert.equal(
        content[0].image_url.url,
        `data:image/png;base64,${small.toString("base64")}`,
        "the very bytes of the file",
      );
      assert.equal(await thumbnails(page).count(), 0);
      assert.equal(await page.locator(".question .thumbnail").count(), 2);
      await page.locator(".question .thumbnail").first().click();
      await page.locator("dialog.lightbox[open]").waitFor();
      await page.keyboard.press("Escape");
    }));

  test("large ones are made smaller, to the chosen side", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, mock }) => {
      const big = {
        name: "big.jpg",
        mimeType: "image/jpeg",
        buffer: await makePicture(page, 3000, 1500, "image/jpeg"),
      };
      await give(page, "paste", [big]);
      await thumbnails(page).waitFor();
      await ask(page, "one");
      await settled(page);
      const first = picturesOf(mock.requests[0])[0].image_url.url;
      assert.match(first, /^data:image\/jpeg/);
      assert.deepEqual(await sizeOfPicture(page, first), [1024, 512]);
      await page.getByRole("button", { name: "Settings" }).click();
      await page.getByLabel("Longest side of a picture").selectOption("448");
      await page.keyboard.press("Escape");
      await give(page, "paste", [big]);
      await thumbnails(page).waitFor();
      await ask(page, "two");
      await settled(page);
      assert.deepEqual(
        await sizeOfPicture(page, picturesOf(mock.requests[1])[0].image_url.url),
        [448, 224],
      );
    }));

  test("too many, broken ones and other files are refused in words", () =>
    withPage(browser, {}, async ({ page }) => {
      const buffer = await makePicture(page, 20, 20);
      await give(page, "drop", [
        { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("x") },
      ]);
      await page.getByText("Only pictures can be added.").waitFor();
      await give(page, "drop", [
        { name: "broken.png", mimeType: "image/png", buffer: Buffer.from("not a picture") },
      ]);
      await page.getByText("broken.png is not a picture that this browser can read.").waitFor();
      await give(
        page,
        "drop",
        Array.from({ length: 10 }, (_, i) => ({ name: `${i}.png`, mimeType: "image/png", buffer })),
      );
      await page.getByText("At most 8 pictures per question.").waitFor();
      await thumbnails(page).nth(7).waitFor();
      assert.equal(await thumbnails(page).count(), 8);
      await page.getByRole("button", { name: "Dismiss" }).click();
      assert.equal(await page.getByText("At most 8").count(), 0);
    }));
});
