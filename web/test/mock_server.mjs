// SPDX-License-Identifier: Apache-2.0
// A server with the interface of `ingot serve` and made-up answers, for working on the page and for
// its tests. Usage: node mock_server.mjs PAGE_DIR [--port N] [--key K] [--compare]. PAGE_DIR holds
// chat.html and chat.csp (build.mjs). A word in the question chooses the answer: see kAnswers and
// Mock.#misbehave.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const kHostile = [
  '<script>window.hacked = "script"</script>',
  "<img src=x onerror=\"window.hacked = 'onerror'\">",
  "[press me](javascript:window.hacked='link')",
  '[data](data:text/html,<script>window.hacked="data"</script>)',
  "![tracker](https://tracker.example/pixel.png?q=secret)",
  "<svg onload=\"window.hacked='svg'\"><style>body{display:none}</style></svg>",
  '<a href="https://example.org" style="position:fixed;inset:0">over everything</a>',
  "[x](https://example.org/\"onmouseover=\"window.hacked='attribute')",
  "```<img src=x onerror=window.hacked='info'>\n</code></pre><script>window.hacked='fence'</script>\n```",
  "<iframe srcdoc=\"<script>parent.hacked='frame'</script>\"></iframe><form action=/ingot><input name=x></form>",
].join("\n\n");

const kMarkdown = `# Two ways to bake

A loaf needs **flour**, *water* and \`salt\`.

1. Mix
2. Wait
   - at least an hour
3. Bake

| step | minutes | °C |
|:-----|--------:|:--:|
| rise |      90 | 24 |
| bake |      45 | 230 |

\`\`\`python
def bake(loaf: str) -> str:
    return f"warm {loaf}"  # a line that is long enough to need scrolling on a phone, and then some
\`\`\`

> Wait until it is cold.

See [the long story](https://example.org/bread).
`;

const kAnswers = {
  "#markdown": kMarkdown,
  "#xss": kHostile,
  "#chinese": "这张图片里有一只**橘猫**，它坐在窗台上。😀 窗外正在下雨，远处可以看到几座山。",
  "#think":
    "<think>\nThe person asks about the sky. Rayleigh scattering.\n</think>\n\nThe sky is blue because air scatters short waves more.",
  "#long": Array.from(
    { length: 60 },
    (_, i) => `Paragraph ${i + 1} of a long answer that goes on for a while.`,
  ).join("\n\n"),
  "#empty": "",
};
const kDefault =
  "A small **harbour** at dusk: three boats lie at the pier, and the windows of the houses behind it are lit.";
const kOther =
  "A small **harbour** at dawn: three boats lie at the pier, and the windows of the houses behind it are dark.";

// About one token per word.
const tokensOf = (text) => text.match(/\s*[^\s\u4e00-\u9fff]+|\s*[\u4e00-\u9fff]|\s+/gu) ?? [];

export class Mock {
  requests = []; // bodies of the chat requests
  cancelled = 0;
  #server;
  #options;

  constructor(options) {
    this.#options = {
      key: "",
      compare: false,
      info: true,
      tokenMs: 15,
      model: "Qwen3-VL-8B-Instruct-W8A8",
      ...options,
    };
  }

  set(options) {
    Object.assign(this.#options, options);
  }

  async start(port = 0) {
    const { pageDir } = this.#options;
    const page = await readFile(join(pageDir, "chat.html"));
    const policy = await readFile(join(pageDir, "chat.csp"), "utf8");
    this.#server = createServer((request, response) => {
      const fail = (error) => response.destroy(error);
      if (request.url === "/") {
        response.writeHead(200, {
          "Content-Type": "text/html; charset=utf-8",
          "Content-Security-Policy": policy,
        });
        response.end(page);
      } else {
        this.#api(request, response).catch(fail);
      }
    });
    await new Promise((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.#server.address().port}/`;
    return this;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #models() {
    return this.#options.compare ? ["float", "w8a8"] : [this.#options.model];
  }

  async #api(request, response) {
    const json = (status, body, headers = {}) => {
      response.writeHead(status, { "Content-Type": "application/json", ...headers });
      response.end(JSON.stringify(body));
    };
    const { key, info } = this.#options;
    if (key && request.headers.authorization !== `Bearer ${key}`)
      return json(401, { error: "Unauthorized" });
    if (request.url === "/v1/models") {
      const data = this.#models().map((id) => ({
        id,
        object: "model",
        owned_by: "vllm",
        max_model_len: 4096,
      }));
      return json(200, { object: "list", data });
    }
    if (request.url === "/ingot/info" && info) return json(200, this.#info());
    if (request.url !== "/v1/chat/completions" || request.method !== "POST") {
      return json(404, {
        error: { message: "Not Found", type: "NotFoundError", param: null, code: 404 },
      });
    }
    let text = "";
    for await (const piece of request) text += piece;
    const body = JSON.parse(text);
    this.requests.push(body);
    const content = body.messages.at(-1).content;
    const question =
      typeof content === "string"
        ? content
        : content
            .filter((p) => p.type === "text")
            .map((p) => p.text)
            .join("");
    if (this.#misbehave(question, response, json)) return undefined;
    return this.#stream(body, question, response);
  }

  #info() {
    return {
      version: "0.1.0",
      format: "ascend",
      quantization: "w8a8",
      emulate: "310p",
      memory: { weights_bytes: 9.6e9, kv_cache_bytes: 4.3e9 },
      warning: this.#options.warning,
      compare: this.#options.compare ? { a: "float", b: "w8a8" } : null,
    };
  }

  #misbehave(question, response, json) {
    const error = (status, message, headers) =>
      json(
        status,
        { error: { message, type: "BadRequestError", param: null, code: status } },
        headers,
      );
    if (question.includes("#busy"))
      error(429, "queue is full: 64 requests wait", { "Retry-After": "3" });
    else if (question.includes("#context"))
      error(400, "This model's maximum context length is 4096 tokens, but 5120 were asked for.");
    else if (question.includes("#html"))
      response.writeHead(502, { "Content-Type": "text/html" }).end("<html>Bad gateway</html>");
    else if (question.includes("#reset")) response.destroy();
    else return false;
    return true;
  }

  async #stream(body, question, response) {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.on("close", () => {
      if (!response.writableEnded) this.cancelled += 1;
    });
    const word = Object.keys(kAnswers).find((name) => question.includes(name));
    const second = this.#options.compare && body.model === "w8a8" && !question.includes("#same");
    const blank = second && question.includes("#blank") ? " " : "";
    const tokens = tokensOf(blank + (word ? kAnswers[word] : second ? kOther : kDefault));
    const tokenMs = question.includes("#slow") ? 150 : this.#options.tokenMs;
    const id = `chatcmpl-${this.requests.length}`;
    const send = (fields) => {
      const event = `data: ${JSON.stringify({ id, object: "chat.completion.chunk", model: body.model, ...fields })}\n\n`;
      return this.#write(response, event, question.includes("#split"));
    };
    const delta = (content) =>
      send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
    if (question.includes("#wait")) await sleep(6000);
    await send({
      choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }],
    });
    for (const [i, token] of tokens.entries()) {
      if (response.destroyed) return;
      if (question.includes("#cut") && i === 6) return response.destroy();
      if (question.includes("#fail") && i === 6) {
        await send({
          error: { message: "the engine stopped", type: "InternalServerError", code: 500 },
        });
        return response.end("data: [DONE]\n\n");
      }
      await delta(token);
      await sleep(tokenMs);
    }
    const limit = question.includes("#limit");
    await send({ choices: [{ index: 0, delta: {}, finish_reason: limit ? "length" : "stop" }] });
    const usage = {
      prompt_tokens: 312,
      completion_tokens: tokens.length,
      total_tokens: 312 + tokens.length,
      prompt_tokens_details: { cached_tokens: 256 },
    };
    const warning = question.includes("#garbage")
      ? { ingot_warning: "the same 3 tokens 40 times in a row" }
      : {};
    await send({ choices: [], usage, ...warning });
    response.end("data: [DONE]\n\n");
  }

  // With `split`, in pieces of three bytes: inside characters, lines and events.
  async #write(response, text, split) {
    const bytes = Buffer.from(text);
    if (!split) return response.write(bytes);
    response.socket?.setNoDelay(true);
    for (let i = 0; i < bytes.length; i += 3) {
      response.write(bytes.subarray(i, i + 3));
      await new Promise((resolve) => setImmediate(resolve));
    }
    return true;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const option = (name) =>
    process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : "";
  const mock = new Mock({
    pageDir: process.argv[2],
    key: option("--key"),
    compare: process.argv.includes("--compare"),
  });
  await mock.start(Number(option("--port")) || 8003);
  console.log(`mock server at ${mock.url}`);
}
