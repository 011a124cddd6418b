// SPDX-License-Identifier: Apache-2.0
// Answers to HTML. Two walls: markdown-it passes no HTML of the text through and no javascript:
// links, and DOMPurify keeps only the elements and attributes listed here. Pictures in answers
// become links: the page loads nothing from anywhere.
import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";

const markdown = new MarkdownIt({ html: false, linkify: true, breaks: true, typographer: false });

const kTags = [
  "a",
  "blockquote",
  "br",
  "button",
  "code",
  "del",
  "div",
  "em",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "hr",
  "li",
  "ol",
  "p",
  "pre",
  "s",
  "span",
  "strong",
  "table",
  "tbody",
  "td",
  "th",
  "thead",
  "tr",
  "ul",
];
const kAttributes = [
  "href",
  "title",
  "class",
  "start",
  "type",
  "rel",
  "target",
  "data-align",
  "data-copy",
  "tabindex",
];

const escapeHtml = (text: string) => markdown.utils.escapeHtml(text);

let copyLabel = "Copy";
export function setCopyLabel(label: string): void {
  copyLabel = label;
  cache.clear();
}

function codeBlock(code: string, language: string): string {
  const name = language ? `<span>${escapeHtml(language)}</span>` : "<span></span>";
  return (
    `<div class="code"><div class="code-head">${name}` +
    `<button type="button" data-copy="code">${escapeHtml(copyLabel)}</button></div>` +
    `<pre tabindex="0"><code>${escapeHtml(code)}</code></pre></div>\n`
  );
}

markdown.renderer.rules.fence = (tokens, index) =>
  codeBlock(tokens[index].content, tokens[index].info.trim().split(/\s+/)[0] ?? "");
markdown.renderer.rules.code_block = (tokens, index) => codeBlock(tokens[index].content, "");
markdown.renderer.rules.image = (tokens, index) => {
  const token = tokens[index];
  const url = String(token.attrGet("src") ?? "");
  const label = escapeHtml(token.content || url);
  return /^https?:/i.test(url)
    ? `<a href="${escapeHtml(url)}" ${kLinkAttributes}>${label}</a>`
    : label;
};
const kLinkAttributes = 'target="_blank" rel="noopener noreferrer nofollow"';
markdown.renderer.rules.link_open = (tokens, index, options, _env, renderer) => {
  tokens[index].attrSet("target", "_blank");
  tokens[index].attrSet("rel", "noopener noreferrer nofollow");
  return renderer.renderToken(tokens, index, options);
};
// A wide table scrolls in its own box; its alignment is a data attribute, since the policy of the
// page forbids inline styles.
markdown.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>';
markdown.renderer.rules.table_close = () => "</table></div>";
for (const rule of ["th_open", "td_open"]) {
  markdown.renderer.rules[rule] = (tokens, index, options, _env, renderer) => {
    const align = /text-align:\s*(left|right|center)/.exec(
      String(tokens[index].attrGet("style") ?? ""),
    )?.[1];
    tokens[index].attrs = align ? [["data-align", align]] : null;
    return renderer.renderToken(tokens, index, options);
  };
}

export type SafeHtml = string | TrustedHTML;
interface TrustedHTML {
  readonly trusted: unique symbol;
}

function sanitize(html: string): SafeHtml {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: kTags,
    ALLOWED_ATTR: kAttributes,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ADD_URI_SAFE_ATTR: kAttributes.filter((name) => name !== "href"), // hold no addresses
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    RETURN_TRUSTED_TYPE: true,
  }) as unknown as SafeHtml;
}

// Blocks that were rendered before, so that a growing answer costs only its last block.
const cache = new Map<string, SafeHtml>();
const kMaxCached = 2000;

// One piece of HTML per top-level block: while an answer grows, only its last block changes in the
// document.
export function renderBlocks(text: string): SafeHtml[] {
  const env = {};
  const tokens = markdown.parse(text, env);
  const blocks: SafeHtml[] = [];
  let first = 0;
  for (let i = 0; i < tokens.length; ++i) {
    if (tokens[i].level !== 0 || tokens[i].nesting === 1) continue;
    const html = markdown.renderer.render(tokens.slice(first, i + 1), markdown.options, env);
    first = i + 1;
    let safe = cache.get(html);
    if (safe === undefined) {
      if (cache.size >= kMaxCached) cache.clear();
      safe = sanitize(html);
      cache.set(html, safe);
    }
    blocks.push(safe);
  }
  return blocks;
}

// Thinking models write "<think> ... </think> answer", the first tag often in the prompt already.
export function splitThinking(text: string): { thinking: string; answer: string } {
  const end = text.indexOf("</think>");
  if (end >= 0) {
    return {
      thinking: text
        .slice(0, end)
        .replace(/^\s*<think>/, "")
        .trim(),
      answer: text.slice(end + 8).trimStart(),
    };
  }
  if (/^\s*<think>/.test(text))
    return { thinking: text.replace(/^\s*<think>/, "").trim(), answer: "" };
  return { thinking: "", answer: text };
}
