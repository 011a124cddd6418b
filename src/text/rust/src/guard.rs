// SPDX-License-Identifier: Apache-2.0
//! Text from a conversation must never become a control token, however the template moves it around.
//!
//! Strings of a template engine forget where they came from, so the origin is carried by the characters themselves. Every
//! control token begins and ends with a "guard" character ('<' and '>' for Qwen). Before rendering, guard characters of the
//! conversation are replaced by twins: private-use characters that occur nowhere else. One character stays one character, so
//! slices, splits, strips and lengths in the template work as before. After rendering a control token can only be recognised
//! where its guard characters are no twins, that is where the template wrote them; then the twins are turned back.
//!
//! A template that looks for '<...>' inside a conversation's text could tell the difference. So the conversation is rendered
//! plainly as well: when both results read the same, the marked one is exact. When they differ, see template.rs.

use std::ops::Range;

use crate::json::Json;

#[derive(Clone, Debug)]
pub struct ControlToken {
    pub text: String,
    pub special: bool,
}

/// Added tokens that steer the model: all special ones, and spellings like <think> and [INST]. Other added tokens (runs of
/// spaces in some vocabularies) are ordinary text.
pub fn is_control(text: &str, special: bool) -> bool {
    let bracketed = (text.starts_with('<') && text.ends_with('>'))
        || (text.starts_with('[') && text.ends_with(']'));
    !text.is_empty() && (special || (bracketed && text.len() > 2))
}

/// First and last character of each token; letters and digits are no guards (they would take part in words), then the
/// other characters of that token serve.
pub fn guard_chars(tokens: &[ControlToken]) -> Vec<char> {
    let mut chars: Vec<char> = Vec::new();
    for token in tokens {
        let ends: Vec<char> =
            token.text.chars().next().into_iter().chain(token.text.chars().last()).collect();
        let usable = |c: &&char| !c.is_alphanumeric() && !c.is_whitespace();
        let ends: Vec<char> = ends.iter().filter(usable).copied().collect();
        if ends.is_empty() {
            chars.extend(token.text.chars().collect::<Vec<_>>().iter().filter(usable));
        } else {
            chars.extend(ends);
        }
    }
    chars.sort_unstable();
    chars.dedup();
    chars
}

/// A one-to-one map between guard characters and private-use characters.
#[derive(Clone, Debug, Default)]
pub struct Twins {
    pairs: Vec<(char, char)>,
}

impl Twins {
    /// Chooses twins that occur in none of the texts. None when the texts use up the private-use planes.
    pub fn choose<'a>(guards: &[char], texts: impl Iterator<Item = &'a str>) -> Option<Twins> {
        const FIRST: u32 = 0xf0000;
        const COUNT: usize = 0x20000;
        let mut used = vec![false; COUNT];
        for text in texts {
            for c in text.chars() {
                let code = c as u32;
                if code >= FIRST {
                    used[(code - FIRST) as usize] = true;
                }
            }
        }
        // The last two code points of each plane are no characters.
        let mut free = (0..COUNT).filter(|i| !used[*i] && (i & 0xffff) < 0xfffe);
        let mut pairs = Vec::new();
        for guard in guards {
            pairs.push((*guard, char::from_u32(FIRST + free.next()? as u32)?));
        }
        Some(Twins { pairs })
    }

    fn twin(&self, c: char) -> Option<char> {
        self.pairs.iter().find(|pair| pair.0 == c).map(|pair| pair.1)
    }

    fn plain(&self, c: char) -> Option<char> {
        self.pairs.iter().find(|pair| pair.1 == c).map(|pair| pair.0)
    }

    /// Replaces guard characters inside `ranges` (byte ranges, ascending) or, with `invert`, outside of them.
    pub fn mark(&self, text: &str, ranges: &[Range<usize>], invert: bool) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        let mut next = ranges.iter().peekable();
        for (at, c) in text.char_indices() {
            while next.peek().is_some_and(|range| range.end <= at) {
                next.next();
            }
            let inside = next.peek().is_some_and(|range| range.start <= at);
            out.push(if inside != invert { self.twin(c).unwrap_or(c) } else { c });
        }
        out
    }

    pub fn unmark(&self, text: &str) -> String {
        text.chars().map(|c| self.plain(c).unwrap_or(c)).collect()
    }

    /// Byte ranges, in the unmarked text, that must not take part in control tokens: from a twin to the last twin that
    /// follows with no guard character of the template between.
    pub fn untrusted_ranges(&self, marked: &str) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        let mut open = false;
        for c in marked.chars() {
            if let Some(plain) = self.plain(c) {
                let end = at + plain.len_utf8();
                match ranges.last_mut() {
                    Some(last) if open => last.end = end,
                    _ => ranges.push(at..end),
                }
                open = true;
                at = end;
            } else {
                if self.twin(c).is_some() {
                    open = false;
                }
                at += c.len_utf8();
            }
        }
        ranges
    }
}

/// Where `tokens` are spelled in `text`, leftmost and longest first, without overlaps.
pub fn find_tokens<'a>(
    text: &str,
    tokens: impl Iterator<Item = &'a ControlToken> + Clone,
) -> Vec<(Range<usize>, &'a str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let longest = tokens
            .clone()
            .map(|t| t.text.as_str())
            .filter(|t| rest.starts_with(t))
            .max_by_key(|t| t.len());
        match longest {
            Some(token) => {
                found.push((at..at + token.len(), token));
                at += token.len();
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    found
}

/// Calls `change(text, is_assistant_text)` on every string and key below `json`, a list of messages when `messages` is set.
pub fn map_strings(
    json: &Json,
    messages: bool,
    change: &mut dyn FnMut(&str, bool) -> String,
) -> Json {
    match json {
        Json::List(items) if messages => {
            Json::List(items.iter().map(|item| map_message(item, change)).collect())
        }
        _ => map_all(json, false, change),
    }
}

fn map_all(json: &Json, assistant: bool, change: &mut dyn FnMut(&str, bool) -> String) -> Json {
    match json {
        Json::Str(text) => Json::Str(change(text, assistant)),
        Json::List(items) => {
            Json::List(items.iter().map(|item| map_all(item, assistant, change)).collect())
        }
        Json::Map(pairs) => Json::Map(
            pairs.iter().map(|(k, v)| (change(k, false), map_all(v, assistant, change))).collect(),
        ),
        other => other.clone(),
    }
}

fn map_message(message: &Json, change: &mut dyn FnMut(&str, bool) -> String) -> Json {
    let Json::Map(pairs) = message else { return map_all(message, false, change) };
    let assistant = pairs.iter().any(|(k, v)| k == "role" && *v == Json::Str("assistant".into()));
    let mapped = pairs.iter().map(|(key, value)| {
        let text = assistant && (key == "content" || key == "reasoning_content");
        (change(key, false), map_all(value, text, change))
    });
    Json::Map(mapped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Vec<ControlToken> {
        [("<|im_end|>", true), ("<think>", false), ("<|im_start|>", true)]
            .map(|(text, special)| ControlToken { text: text.into(), special })
            .to_vec()
    }

    #[test]
    fn marks_and_unmarks() {
        let guards = guard_chars(&tokens());
        assert_eq!(guards, ['<', '>']);
        let text = "a<|im_end|>b\u{f0000}";
        let twins = Twins::choose(&guards, [text].into_iter()).unwrap();
        let marked = twins.mark(text, &[], true);
        assert!(!marked.contains('<') && !marked.contains('>'));
        assert_eq!(twins.unmark(&marked), text);
        assert_eq!(twins.untrusted_ranges(&marked), [1..11]);
    }

    #[test]
    fn template_characters_end_a_range() {
        let twins = Twins::choose(&['<', '>'], [].into_iter()).unwrap();
        let user = twins.mark("<|im_end|>", &[], true);
        let marked = format!("<|im_start|>x{user} y{user}<|im_end|>{user}");
        assert_eq!(twins.untrusted_ranges(&marked), [13..35, 45..55]);
    }

    #[test]
    fn control_tokens() {
        assert!(
            is_control("<think>", false) && is_control("[INST]", false) && is_control("PAD", true)
        );
        assert!(
            !is_control("    ", false) && !is_control("word", false) && !is_control("<>", false)
        );
        assert_eq!(guard_chars(&[ControlToken { text: "A|B".into(), special: true }]), ['|']);
    }

    #[test]
    fn finds_longest() {
        let list = tokens();
        let found = find_tokens("x<think><|im_end|", list.iter());
        assert_eq!(found, [(1..8, "<think>")]);
    }
}
