// SPDX-License-Identifier: Apache-2.0
// Marks a stretch of an answer's visible text inside the rendered HTML.

function* textNodes(root: HTMLElement): Generator<Text> {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.parentElement?.closest(".code-head")) yield node as Text;
  }
}

export function visibleText(root: HTMLElement): string {
  let text = "";
  for (const node of textNodes(root)) text += node.data;
  return text;
}

export function unmark(root: HTMLElement): void {
  for (const mark of root.querySelectorAll("mark.parting")) {
    const parent = mark.parentNode;
    mark.replaceWith(...mark.childNodes);
    parent?.normalize();
  }
}

// `start` and `length` count in visibleText(root).
export function markText(root: HTMLElement, start: number, length: number): void {
  let offset = 0;
  const pieces: [Text, number, number][] = [];
  for (const node of textNodes(root)) {
    const [from, to] = [Math.max(start, offset), Math.min(start + length, offset + node.length)];
    if (from < to) pieces.push([node, from - offset, to - offset]);
    offset += node.length;
  }
  for (const [node, from, to] of pieces) {
    const middle = node.splitText(from);
    middle.splitText(to - from);
    const mark = document.createElement("mark");
    mark.className = "parting";
    middle.replaceWith(mark);
    mark.append(middle);
  }
}
