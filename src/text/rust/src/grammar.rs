// SPDX-License-Identifier: Apache-2.0
//! Structured output: a JSON schema, regex or Lark grammar becomes a matcher that says which tokens may come next
//! (llguidance). Hostile input is bounded: size and nesting before the compiler sees it, the compiler's own fuel, a time
//! limit, a deep stack of its own. A grammar that cannot be compiled is an error; there is no lenient mode.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

use crate::fail::{Fail, FailKind};
use crate::guard::is_control;
use crate::tokenizer::Tokenizer;

const MAX_TEXT: usize = 1 << 20;
const MAX_NESTING: usize = 96;
/// Address space only; pages are taken as the recursion needs them.
const STACK: usize = 256 << 20;
/// Compilations that ran out of time go on until their fuel ends; no more than so many at once.
const MAX_WORKERS: usize = 4;

static WORKERS: AtomicUsize = AtomicUsize::new(0);

pub struct Grammars {
    factory: Arc<ParserFactory>,
}

/// The numbers are those of ingot_text.h.
#[derive(Clone, Copy)]
pub enum Kind {
    JsonSchema,
    Regex,
    Lark,
}

impl Kind {
    pub fn of(number: i32) -> Result<Kind, Fail> {
        match number {
            0 => Ok(Kind::JsonSchema),
            1 => Ok(Kind::Regex),
            2 => Ok(Kind::Lark),
            _ => Err(Fail { kind: FailKind::Internal, message: format!("grammar kind {number}") }),
        }
    }
}

impl Grammars {
    /// `vocab`: size of the masks; tokens from the tokenizer's own size on are never allowed. `ends`: tokens that end an
    /// answer, allowed where the grammar may stop.
    pub fn new(tokenizer: &Tokenizer, vocab: usize, ends: &[u32]) -> Result<Grammars, Fail> {
        if ends.is_empty() || ends.iter().any(|id| *id as usize >= vocab) {
            return Err(Fail::format(format!(
                "end tokens {ends:?} outside of the vocabulary of {vocab}"
            )));
        }
        let trie = TokTrie::from(
            &TokRxInfo::new(vocab as u32, ends[0]),
            &(0..vocab as u32).map(|id| trie_bytes(tokenizer, id)).collect::<Vec<_>>(),
        );
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie.with_eos_tokens(ends)));
        let mut factory = ParserFactory::new_simple(&env)
            .map_err(|e| Fail { kind: FailKind::Internal, message: e.to_string() })?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Grammars { factory: Arc::new(factory) })
    }

    pub fn compile(&self, kind: Kind, text: &str, limit: Duration) -> Result<Matcher, Fail> {
        check_bounds(kind, text)?;
        if WORKERS.fetch_add(1, Ordering::AcqRel) >= MAX_WORKERS {
            WORKERS.fetch_sub(1, Ordering::AcqRel);
            return Err(Fail::user("too many grammars are being compiled; try again later"));
        }
        let (send, receive) = mpsc::channel();
        let factory = self.factory.clone();
        let text = text.to_owned();
        let spawned = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            let work = std::panic::AssertUnwindSafe(|| build(&factory, kind, &text));
            let result = std::panic::catch_unwind(work)
                .unwrap_or_else(|_| Err(Fail::user("the grammar makes its compiler fail")));
            WORKERS.fetch_sub(1, Ordering::AcqRel);
            let _ = send.send(result);
        });
        if let Err(error) = spawned {
            WORKERS.fetch_sub(1, Ordering::AcqRel);
            return Err(Fail { kind: FailKind::Internal, message: error.to_string() });
        }
        receive.recv_timeout(limit).unwrap_or_else(|_| {
            Err(Fail::user(format!("the grammar was not compiled within {} s", limit.as_secs())))
        })
    }
}

fn build(factory: &ParserFactory, kind: Kind, text: &str) -> Result<Matcher, Fail> {
    let user = |e: &dyn std::fmt::Display| Fail::user(one_line(&e.to_string()));
    let grammar = match kind {
        Kind::JsonSchema => TopLevelGrammar::from_json_schema(bound_whitespace(
            serde_json::from_str(text).map_err(|e| user(&format!("the schema is no JSON: {e}")))?,
        )),
        Kind::Regex => TopLevelGrammar::from_regex(text),
        Kind::Lark => TopLevelGrammar::from_lark(text.to_owned()),
    };
    let mut matcher = Matcher::new(factory.create_parser(grammar));
    if let Some(error) = matcher.get_error() {
        return Err(user(&error));
    }
    // The first mask runs here: what is too complex shows now, not in the middle of an answer.
    let mask = matcher.compute_mask_or_eos().map_err(|e| user(&e))?;
    if mask.is_zero() {
        return Err(Fail::user("no text satisfies the grammar"));
    }
    Ok(matcher)
}

/// Between two parts of a document: what `json.dumps` writes with or without indentation, and a little more. llguidance's own
/// default has no end, and small models fill their whole answer with white space when nothing stops them.
const WHITESPACE: &str = r"(?:[ \t]{1,4}|[ \t]{0,2}\r?\n[ \t]{0,40})";

/// The schema with `WHITESPACE`, unless it says itself how white space is written.
fn bound_whitespace(mut schema: serde_json::Value) -> serde_json::Value {
    if schema == serde_json::Value::Bool(true) {
        schema = serde_json::json!({});
    }
    let Some(object) = schema.as_object_mut() else { return schema };
    let options = object.entry("x-guidance").or_insert_with(|| serde_json::json!({}));
    if let Some(options) = options.as_object_mut() {
        if options.get("whitespace_flexible") != Some(&serde_json::Value::Bool(false)) {
            options.entry("whitespace_pattern").or_insert_with(|| WHITESPACE.into());
        }
    }
    schema
}

/// First lines of a compiler message, without its dumps of the grammar.
fn one_line(message: &str) -> String {
    let line = message.lines().find(|l| !l.trim().is_empty()).unwrap_or("not understood");
    line.chars().take(300).collect()
}

/// Parsers of grammars are recursive: their depth is bounded before they run. Brackets are counted wherever they stand, in
/// literals too; a real grammar stays far below the limit.
fn check_bounds(kind: Kind, text: &str) -> Result<(), Fail> {
    if text.len() > MAX_TEXT {
        return Err(Fail::user(format!(
            "the grammar has {} bytes, more than {MAX_TEXT}",
            text.len()
        )));
    }
    if let Kind::JsonSchema = kind {
        return Ok(()); // serde_json stops at 128 levels
    }
    let mut depth = 0usize;
    let mut escaped = false;
    for c in text.bytes() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            b'\\' => escaped = true,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(Fail::user(format!("more than {MAX_NESTING} nested brackets")));
        }
    }
    Ok(())
}

/// What a token stands for in the trie; control tokens are marked so that no text can match them, and ids without a token
/// get a marked name of their own.
fn trie_bytes(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let marked = |name: &str| {
        let mut bytes = vec![TokTrie::SPECIAL_TOKEN_MARKER];
        bytes.extend_from_slice(name.as_bytes());
        bytes
    };
    match tokenizer.added.binary_search_by_key(&id, |a| a.id) {
        Ok(at) => {
            let added = &tokenizer.added[at];
            match is_control(&added.text, added.special) {
                true => marked(&added.text),
                false => added.text.clone().into_bytes(),
            }
        }
        Err(_) => {
            let bytes = tokenizer.token_bytes(id);
            if bytes.is_empty() { marked(&format!("<[{id}]>")) } else { bytes }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_bounded_before_a_parser_runs() {
        assert!(check_bounds(Kind::Regex, &"(".repeat(60_000)).is_err());
        assert!(check_bounds(Kind::Lark, &"[".repeat(97)).is_err());
        assert!(check_bounds(Kind::Regex, "(a[bc]{2,3})*").is_ok());
        assert!(check_bounds(Kind::Regex, &"\\(".repeat(1000)).is_ok());
    }
}
