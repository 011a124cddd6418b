// SPDX-License-Identifier: Apache-2.0
// Where two answers part: by words, and by characters in scripts that put no spaces between words.

const kSingle = String.raw`\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}`;
const kWord = new RegExp(`[${kSingle}]|\\s+|[^\\s${kSingle}]+`, "gu");

export function splitWords(text: string): string[] {
  return text.match(kWord) ?? [];
}

export interface Parting {
  same: string; // the common beginning, whole words
  a: string; // the first differing word of each; "" where the answer has ended
  b: string;
  restA: string;
  restB: string;
  wordsBefore: number; // common words, not counting blanks
}

// null when the texts are equal. While an answer is still being written, its last word may grow:
// with `growing` an end of text is no difference yet, nor is a last word that begins like the other
// one.
export function firstDifference(a: string, b: string, growing = false): Parting | null {
  if (a === b) return null;
  const wordsA = splitWords(a);
  const wordsB = splitWords(b);
  let i = 0;
  while (i < wordsA.length && i < wordsB.length && wordsA[i] === wordsB[i]) ++i;
  const [wordA, wordB] = [wordsA[i] ?? "", wordsB[i] ?? ""];
  if (growing) {
    const endsA = i >= wordsA.length - 1 && wordB.startsWith(wordA);
    const endsB = i >= wordsB.length - 1 && wordA.startsWith(wordB);
    if (endsA || endsB) return null;
  }
  return {
    same: wordsA.slice(0, i).join(""),
    a: wordA,
    b: wordB,
    restA: wordsA.slice(i + 1).join(""),
    restB: wordsB.slice(i + 1).join(""),
    wordsBefore: wordsA.slice(0, i).filter((word) => word.trim() !== "").length,
  };
}
