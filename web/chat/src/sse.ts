// SPDX-License-Identifier: Apache-2.0
// Server-sent events from pieces of bytes that may be cut anywhere: inside a character, a line or
// an event. The format:
// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

export class SseParser {
  private readonly decoder = new TextDecoder("utf-8");
  private pending = ""; // the beginning of a line
  private data: string[] = []; // the data lines of the event so far
  private afterCr = false; // a line feed now belongs to the line end before it

  // Returns the data of every event that is complete now.
  push(bytes: Uint8Array): string[] {
    return this.take(this.decoder.decode(bytes, { stream: true }));
  }

  // The stream ended: an event without its blank line still counts, since proxies drop trailing
  // newlines.
  finish(): string[] {
    const events = this.take(this.decoder.decode() + "\n");
    if (this.data.length > 0) events.push(this.closeEvent());
    return events;
  }

  private take(text: string): string[] {
    const events: string[] = [];
    let start = 0;
    for (let i = 0; i < text.length; ++i) {
      const c = text.charCodeAt(i);
      if (c === 10 && this.afterCr) {
        this.afterCr = false;
        start = i + 1;
        continue;
      }
      this.afterCr = c === 13;
      if (c !== 10 && c !== 13) continue;
      const line = this.pending + text.slice(start, i);
      this.pending = "";
      start = i + 1;
      if (line === "") {
        if (this.data.length > 0) events.push(this.closeEvent());
      } else {
        this.field(line);
      }
    }
    this.pending += text.slice(start);
    return events;
  }

  private field(line: string): void {
    if (!line.startsWith("data:") && line !== "data") return; // comments, event names, ids
    const value = line.slice(5);
    this.data.push(value.startsWith(" ") ? value.slice(1) : value);
  }

  private closeEvent(): string {
    const event = this.data.join("\n");
    this.data = [];
    return event;
  }
}
