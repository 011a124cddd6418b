// SPDX-License-Identifier: Apache-2.0
// The chat page in Chromium against the mock server: errors, two models, keyboard, accessibility,
// phone, language, theme.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  ask,
  axe,
  give,
  kFailedLoad,
  lastAnswer,
  launch,
  makePicture,
  question,
  settled,
  thumbnails,
  withPage,
} from "./browser.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

describe("errors", () => {
  const cases = [
    ["#busy", "too many requests waiting", "Try again in about 3 s."],
    ["#context", "did not accept the request", "maximum context length is 4096 tokens"],
    ["#html", "not ready", ""],
    ["#reset", "does not answer", ""],
    ["#cut", "", ""], // the browser reports a broken body as a network failure
    ["#fail", "failed on this request", "the engine stopped"],
  ];
  for (const [word, title, detail] of cases) {
    test(`${word} is explained and can be tried again`, () =>
      withPage(browser, { mock: { tokenMs: 1 }, expected: kFailedLoad }, async ({ page, mock }) => {
        await ask(page, word);
        await settled(page);
        const notice = page.locator(".answer .notice");
        await notice.waitFor();
        assert.match(await notice.innerText(), new RegExp(title));
        assert.ok((await notice.innerText()).includes(detail));
        assert.doesNotMatch(await notice.innerText(), /<html|undefined|\[object/);
        const before = mock.requests.length;
        await notice.getByRole("button", { name: "Try again" }).click();
        await settled(page);
        await notice.waitFor();
        assert.equal(mock.requests.length, before + 1);
        assert.equal(await page.locator("section.answer").count(), 1);
      }));
  }

  test("a key is asked for, refused when wrong and kept for the tab", () =>
    withPage(
      browser,
      { mock: { key: "s3cret", tokenMs: 1 }, expected: kFailedLoad },
      async ({ page, mock }) => {
        const key = page.getByLabel("Key", { exact: true });
        await key.waitFor();
        await axe(page, "key");
        await key.fill("wrong");
        await page.keyboard.press("Enter");
        await page.getByText("The server refused this key.").waitFor();
        await key.fill("s3cret");
        await page.keyboard.press("Enter");
        await page.getByText("Qwen3-VL-8B-Instruct-W8A8").waitFor();
        await page.reload();
        await ask(page, "hello");
        await settled(page);
        assert.equal(mock.requests.length, 1);
        assert.equal(
          await page.evaluate(() => JSON.stringify(localStorage).includes("s3cret")),
          false,
        );
      },
    ));

  test("a server that comes back is found by trying again", async () => {
    await withPage(browser, { expected: kFailedLoad }, async ({ page, mock }) => {
      const port = Number(new URL(mock.url).port);
      await page.getByText("w8a8", { exact: true }).waitFor();
      await mock.stop();
      await ask(page, "hello?");
      await page
        .locator(".answer")
        .getByText("The server does not answer. Is it still running?")
        .waitFor();
      await mock.start(port);
      await page.getByRole("button", { name: "Try again" }).click();
      await lastAnswer(page).getByText("are lit.").waitFor();
    });
  });

  test("a warning of the server about itself stands above everything", () =>
    withPage(browser, { mock: { warning: "The answers will be garbage." } }, async ({ page }) => {
      await page.getByText("The answers will be garbage.").waitFor();
      await page.getByRole("button", { name: "What is served" }).click();
      assert.match(await page.locator("dialog .facts").innerText(), /Memory, weights\s+9\.6 GB/);
    }));

  test("a reload keeps the conversation, a new chat forgets it", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, mock }) => {
      const picture = await makePicture(page, 60, 40);
      await give(page, "paste", [{ name: "p.png", mimeType: "image/png", buffer: picture }]);
      await thumbnails(page).waitFor();
      await ask(page, "first");
      await settled(page);
      await page.reload();
      await lastAnswer(page).getByText("are lit.").waitFor();
      assert.equal(await page.locator(".question .thumbnail").count(), 1);
      await ask(page, "second");
      await settled(page);
      assert.equal(mock.requests[1].messages.length, 3);
      await page.getByRole("button", { name: "New chat" }).click();
      await page.getByText("What would you like to know?").waitFor();
      await page.waitForTimeout(200);
      await page.reload();
      await page.getByText("w8a8", { exact: true }).waitFor();
      await page.waitForTimeout(300);
      assert.equal(await page.locator("article.turn").count(), 0);
    }));

  test("another server without /ingot/info works", () =>
    withPage(
      browser,
      { mock: { info: false, tokenMs: 1 }, expected: kFailedLoad },
      async ({ page }) => {
        await page.getByText("Qwen3-VL-8B-Instruct-W8A8").waitFor();
        assert.equal(await page.locator(".badge").count(), 0);
        await ask(page, "hello");
        await settled(page);
        assert.match(await lastAnswer(page).innerText(), /harbour/);
      },
    ));
});

describe("two models", () => {
  test("answer side by side, with the first differing word marked", () =>
    withPage(browser, { mock: { compare: true, tokenMs: 5 } }, async ({ page, mock }) => {
      await page.getByText("One question, two models").waitFor();
      await ask(page, "What is this?");
      await settled(page);
      assert.deepEqual(mock.requests.map((r) => r.model).sort(), ["float", "w8a8"]);
      const boxes = await page
        .locator("section.answer")
        .evaluateAll((all) => all.map((e) => e.getBoundingClientRect().toJSON()));
      assert.equal(boxes[0].top, boxes[1].top);
      assert.ok(boxes[0].right <= boxes[1].left);
      assert.deepEqual(await page.locator("mark.parting").allInnerTexts(), ["dusk:", "dawn:"]);
      assert.match(
        await page.locator(".verdict").innerText(),
        /part after 4 words:\s*A dusk:\s*B dawn:/,
      );
      await axe(page, "compare");
      await ask(page, "And now #same?");
      await settled(page);
      assert.match(
        await page.locator(".verdict").last().innerText(),
        /Identical answers, 21 words\./,
      );
      await ask(page, "#blank");
      await settled(page);
      assert.match(
        await page.locator(".verdict").last().innerText(),
        /part after 4 words:\s*A dusk:\s*B dawn:/,
        "a blank in front does not show",
      );
      const history = Object.fromEntries(
        mock.requests.slice(2, 4).map((r) => [r.model, r.messages[1].content]),
      );
      assert.match(history.float, /dusk/);
      assert.match(history.w8a8, /dawn/);
    }));
});

describe("people", () => {
  test("everything works by keyboard", () =>
    withPage(browser, { mock: { tokenMs: 1 } }, async ({ page, mock }) => {
      await page.getByText("w8a8", { exact: true }).waitFor();
      await page.keyboard.type("line one");
      await page.keyboard.press("Shift+Enter");
      await page.keyboard.type("line two");
      assert.equal(mock.requests.length, 0);
      await page.keyboard.press("Enter");
      await settled(page);
      assert.equal(mock.requests[0].messages[0].content, "line one\nline two");
      await page.keyboard.press("ArrowUp");
      await page.locator(".editor textarea").waitFor();
      assert.ok(
        await page.locator(".editor textarea").evaluate((e) => e === document.activeElement),
      );
      await page.keyboard.press("Escape");
      assert.ok(
        await page.locator("#question").evaluate((e) => e === document.activeElement),
        "the focus comes back",
      );

      // From the top of the page, Tab reaches every tool, and each shows where the focus is.
      await page.locator(".skip").focus();
      const seen = ["Skip to the question"];
      for (let i = 0; i < 15; ++i) {
        await page.keyboard.press("Tab");
        seen.push(
          await page.evaluate(() => {
            const e = document.activeElement;
            const style = getComputedStyle(e);
            const visible =
              style.outlineStyle !== "none" || e.id === "question" || e.className === "skip";
            return `${e.getAttribute("aria-label") ?? e.textContent}${visible ? "" : " (no visible focus)"}`;
          }),
        );
      }
      const order = [
        "Skip to the question",
        "What is served",
        "New chat",
        "Export",
        "Settings",
        "Copy",
        "Edit",
        "Regenerate",
        "Question",
        "Add pictures",
      ];
      assert.deepEqual(
        order.filter((name) => !seen.includes(name)),
        [],
        seen.join(" | "),
      );
      const places = order.map((name) => seen.indexOf(name));
      assert.deepEqual(
        places,
        [...places].sort((a, b) => a - b),
        seen.join(" | "),
      );
    }));

  test("Enter belongs to the input method while it composes", () =>
    withPage(browser, {}, async ({ page, mock }) => {
      await page.getByText("w8a8", { exact: true }).waitFor();
      await question(page).fill("ni");
      await page.evaluate(() => {
        const event = new KeyboardEvent("keydown", {
          key: "Enter",
          isComposing: true,
          bubbles: true,
          cancelable: true,
        });
        document.getElementById("question").dispatchEvent(event);
      });
      await page.waitForTimeout(100);
      assert.equal(mock.requests.length, 0);
    }));

  for (const colorScheme of ["light", "dark"]) {
    test(`no accessibility violations (${colorScheme}): empty, answers, errors, pictures`, () =>
      withPage(
        browser,
        { mock: { tokenMs: 1 }, context: { colorScheme }, expected: kFailedLoad },
        async ({ page }) => {
          await page.getByText("w8a8", { exact: true }).waitFor();
          await axe(page, "empty");
          await give(page, "paste", [
            { name: "p.png", mimeType: "image/png", buffer: await makePicture(page, 60, 40) },
          ]);
          await thumbnails(page).waitFor();
          for (const text of ["#markdown", "#busy", "#garbage"]) {
            await ask(page, text);
            await settled(page);
          }
          await page.getByRole("button", { name: "Edit" }).first().click();
          await axe(page, "conversation");
          const theme = await page.evaluate(() => document.documentElement.dataset.theme);
          assert.equal(theme, colorScheme);
        },
      ));
  }

  test("a screen reader hears that an answer is being written and then the answer", () =>
    withPage(browser, { mock: { tokenMs: 20 } }, async ({ page }) => {
      const status = page.locator("[role=status]").last();
      await ask(page, "hello");
      await status.getByText("The answer is being written").waitFor({ state: "attached" });
      await settled(page);
      assert.match(await status.textContent(), /^Answer: A small .*harbour/);
    }));

  test("a phone of 360 pixels needs no sideways scrolling", () =>
    withPage(
      browser,
      {
        mock: { tokenMs: 1 },
        context: { viewport: { width: 360, height: 720 }, isMobile: true, hasTouch: true },
      },
      async ({ page }) => {
        const overflow = () =>
          page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
        await page.getByText("What would you like to know?").waitFor();
        assert.equal(await overflow(), 0);
        for (const text of [
          "#markdown",
          "#xss",
          "averyveryveryveryveryverylongwordwithoutanybreakinit".repeat(4),
        ]) {
          await ask(page, text);
          await settled(page);
          assert.equal(await overflow(), 0, text);
        }
        await page.getByRole("button", { name: "Settings" }).click();
        const drawer = await page.locator("dialog[open]").boundingBox();
        assert.ok(drawer.x >= 0 && drawer.x + drawer.width <= 360);
        const sizes = await page
          .locator("dialog[open] button")
          .evaluateAll((all) => all.map((b) => b.getBoundingClientRect().height));
        assert.ok(Math.min(...sizes) >= 34, `targets of ${sizes}`);
        await axe(page, "phone");
      },
    ));

  test("two models stand one above the other on a phone", () =>
    withPage(
      browser,
      { mock: { compare: true, tokenMs: 1 }, context: { viewport: { width: 360, height: 720 } } },
      async ({ page }) => {
        await ask(page, "hello");
        await settled(page);
        const [a, b] = await page
          .locator("section.answer")
          .evaluateAll((all) => all.map((e) => e.getBoundingClientRect().toJSON()));
        assert.ok(a.bottom <= b.top && a.left === b.left);
      },
    ));

  test("the interface is Chinese for a Chinese browser, and can be switched", () =>
    withPage(browser, { mock: { tokenMs: 1 }, context: { locale: "zh-CN" } }, async ({ page }) => {
      await page.getByRole("heading", { name: "想了解什么？" }).waitFor();
      assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-Hans");
      await page.getByRole("button", { name: "English" }).first().click();
      await page.getByRole("heading", { name: "What would you like to know?" }).waitFor();
      await page.reload();
      await page.getByRole("heading", { name: "What would you like to know?" }).waitFor();
    }));

  test("the theme can be switched and is remembered", () =>
    withPage(browser, { context: { colorScheme: "light" } }, async ({ page }) => {
      const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
      const button = page.getByRole("button", { name: /^Theme/ }).first();
      await button.click();
      await button.click();
      assert.equal(await theme(), "dark");
      await page.reload();
      assert.equal(await theme(), "dark");
    }));
});
