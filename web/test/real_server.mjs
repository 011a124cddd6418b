// SPDX-License-Identifier: Apache-2.0
// `ingot serve` as a child process, for tests of the page against the real thing.
// Environment: INGOT_TEST_PROGRAM.
import { spawn } from "node:child_process";

const kStartMs = 60_000;

export class RealServer {
  log = ""; // standard error so far
  #child;

  // Resolves when the server is ready; rejects with its log when it ends before.
  static async start(...args) {
    const server = new RealServer();
    const all = ["serve", "--host", "127.0.0.1", "--port", "0", ...args];
    server.#child = spawn(process.env.INGOT_TEST_PROGRAM, all, {
      stdio: ["ignore", "ignore", "pipe"],
    });
    await new Promise((resolve, reject) => {
      const fail = () => reject(new Error(`the server did not start:\n${server.log}`));
      const timer = setTimeout(fail, kStartMs);
      server.#child.once("exit", fail);
      server.#child.stderr.setEncoding("utf8").on("data", (text) => {
        server.log += text;
        const chat = /^chat: +(http:\S+)$/m.exec(server.log);
        if (!chat || !/^ready after/m.test(server.log)) return;
        server.url = chat[1];
        clearTimeout(timer);
        server.#child.off("exit", fail);
        resolve();
      });
    });
    return server;
  }

  // The value of a metric whose line begins with `name`, labels included; NaN when it is not there.
  async metric(name) {
    const text = await (await fetch(new URL("metrics", this.url))).text();
    const line = text.split("\n").find((l) => l.startsWith(name));
    return line ? Number(line.split(" ").at(-1)) : NaN;
  }

  async until(name, value) {
    for (let i = 0; i < 200; ++i) {
      if ((await this.metric(name)) === value) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${name} is ${await this.metric(name)}, expected ${value}`);
  }

  // SIGTERM; resolves to the exit code.
  async stop() {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    return ended;
  }
}
