// SPDX-License-Identifier: Apache-2.0
// The parts of the chat page that need no browser: event stream, first difference, sampling fields.
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createRequire } from "node:module";

const web = join(dirname(fileURLToPath(import.meta.url)), "..");
const { build } = createRequire(join(web, "package.json"))("esbuild");

async function load(name) {
  const { outputFiles } = await build({
    entryPoints: [join(web, "chat/src", name)],
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return import(
    `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`
  );
}

const { SseParser } = await load("sse.ts");
const { firstDifference, splitWords } = await load("diff.ts");
const { shortName } = await load("names.ts");
const { kSamplingFields, parseField, samplingFields } = await load("sampling.ts");

const encoder = new TextEncoder();
function parseInPieces(text, size) {
  const bytes = encoder.encode(text);
  const parser = new SseParser();
  const events = [];
  for (let i = 0; i < bytes.length; i += size)
    events.push(...parser.push(bytes.subarray(i, i + size)));
  return [...events, ...parser.finish()];
}

test("events come out the same however the bytes are cut", () => {
  const stream =
    ': a comment\r\n\r\nevent: x\ndata: {"a":"橘猫 😀"}\n\ndata: two\rdata:lines\r\n\r\ndata:\n\nid: 7\n\ndata: [DONE]\n\n';
  const expected = ['{"a":"橘猫 😀"}', "two\nlines", "", "[DONE]"];
  for (let size = 1; size <= 12; ++size)
    assert.deepEqual(parseInPieces(stream, size), expected, `pieces of ${size}`);
  assert.deepEqual(parseInPieces(stream, 1000), expected);
});

test("an event without its blank line still counts at the end", () => {
  for (const end of ["", "\n", "\r\n"])
    assert.deepEqual(parseInPieces(`data: last${end}`, 3), ["last"]);
});

test("words split at blanks, and at characters where there are no blanks", () => {
  assert.deepEqual(splitWords("two boats"), ["two", " ", "boats"]);
  assert.deepEqual(splitWords("一只cat。"), ["一", "只", "cat。"]);
  assert.deepEqual(splitWords(""), []);
});

test("first difference", () => {
  assert.equal(firstDifference("same text", "same text"), null);
  const parting = firstDifference("a red boat", "a blue boat");
  assert.deepEqual(
    [parting.same, parting.a, parting.b, parting.wordsBefore],
    ["a ", "red", "blue", 1],
  );
  const ended = firstDifference("a red", "a red boat");
  assert.deepEqual([ended.a, ended.b, ended.wordsBefore], ["", " ", 2]);
  assert.equal(firstDifference("一只橘猫", "一只白猫").a, "橘");
});

test("while an answer grows, an end of text is no difference", () => {
  assert.equal(firstDifference("a red", "a red boat", true), null);
  assert.equal(firstDifference("a re", "a red boat", true), null);
  assert.equal(firstDifference("", "a", true), null);
  assert.equal(firstDifference("a blue", "a red boat", true).b, "red");
});

test("sampling fields: empty is the model's default, values out of range are not sent", () => {
  const empty = Object.fromEntries(kSamplingFields.map((spec) => [spec.setting, ""]));
  assert.deepEqual(samplingFields(empty), {});
  const typed = {
    ...empty,
    temperature: "0",
    topP: "0,9",
    topK: "2.5",
    maxTokens: "0",
    seed: " 7 ",
    repetitionPenalty: "x",
  };
  assert.deepEqual(samplingFields(typed), { temperature: 0, top_p: 0.9, seed: 7 });
  const temperature = kSamplingFields.find((spec) => spec.field === "temperature");
  assert.equal(parseField(temperature, "2.1"), undefined);
  assert.equal(parseField(temperature, "NaN"), undefined);
  assert.equal(parseField(temperature, " "), null);
});

test("names of models are shortened where that tells them apart", () => {
  const all = ["/models/Qwen3-VL-8B/", "/models/Qwen3-VL-8B-W8A8", "plain", "a/same", "b/same"];
  assert.deepEqual(
    all.map((name) => shortName(name, all)),
    ["Qwen3-VL-8B", "Qwen3-VL-8B-W8A8", "plain", "a/same", "b/same"],
  );
  assert.equal(shortName("/", ["/"]), "/");
});
