// SPDX-License-Identifier: Apache-2.0
//! The C interface (ingot_text.h). Nothing crosses it but plain memory: results go to a callback of the caller while the call
//! lasts, so neither side frees what the other allocated. Panics end here as an internal error.

mod fail;
mod grammar;
mod guard;
mod json;
mod python;
mod source;
mod template;
mod tokenizer;

use std::ffi::c_void;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fail::{Fail, FailKind};
use grammar::{Grammars, Kind};
use json::Json;
use llguidance::Matcher;
use template::{Template, Variable};
use tokenizer::Tokenizer;

/// What a callback receives. The numbers are those of ingot_text.h.
#[derive(Clone, Copy)]
#[repr(i32)]
enum What {
    Bytes = 0,  // UTF-8 text or raw bytes
    Ids = 1,    // uint32_t[]
    Ranges = 2, // uint64_t[2 * n]: begin, end
    Error = 3,  // UTF-8 message
}

pub type Sink = extern "C" fn(context: *mut c_void, what: i32, data: *const c_void, size: usize);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Output {
    sink: Sink,
    context: *mut c_void,
}

impl Output {
    fn send<T>(&self, what: What, data: &[T]) {
        (self.sink)(self.context, what as i32, data.as_ptr().cast(), size_of_val(data));
    }
}

#[repr(C)]
pub struct Text {
    data: *const u8,
    size: usize,
}

impl Text {
    /// SAFETY: `data` points to `size` readable bytes that outlive the call (or size is 0).
    unsafe fn bytes(&self) -> &[u8] {
        if self.size == 0 {
            &[]
        } else {
            unsafe { std::slice::from_raw_parts(self.data, self.size) }
        }
    }

    unsafe fn str(&self, what: &str) -> Result<&str, Fail> {
        std::str::from_utf8(unsafe { self.bytes() }).map_err(|e| {
            Fail::user(format!("{what} is not valid UTF-8 at byte {}", e.valid_up_to()))
        })
    }
}

#[repr(C)]
pub struct NamedJson {
    name: Text,
    json: Text,
    trusted: i32,
}

/// Runs `body`; 0 when it succeeds, else the kind of the failure, with the message sent to `out`.
fn guarded(out: Output, body: impl FnOnce() -> Result<(), Fail>) -> i32 {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {}))); // the message below says it
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default();
        Err(Fail { kind: FailKind::Internal, message: text })
    });
    match result {
        Ok(()) => 0,
        Err(fail) => {
            out.send(What::Error, fail.message.as_bytes());
            fail.kind as i32
        }
    }
}

/// # Safety
/// `json` is valid for the call; `handle` receives an owned pointer on success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_tokenizer_new(
    json: Text,
    handle: *mut *mut Tokenizer,
    out: Output,
) -> i32 {
    guarded(out, || {
        let tokenizer = Tokenizer::parse(unsafe { json.bytes() })?;
        unsafe { *handle = Box::into_raw(Box::new(tokenizer)) };
        Ok(())
    })
}

/// # Safety
/// `handle` came from ingot_tokenizer_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_tokenizer_free(handle: *mut Tokenizer) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(handle) })));
}

/// # Safety
/// `handle` is alive. Sends Ids [1] and Bytes per added token: the id with the special flag in bit 31, then the text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_tokenizer_added(handle: *const Tokenizer, out: Output) -> u64 {
    let tokenizer = unsafe { &*handle };
    for added in &tokenizer.added {
        out.send(What::Ids, &[added.id | (u32::from(added.special) << 31)]);
        out.send(What::Bytes, added.text.as_bytes());
    }
    tokenizer.vocab_size
}

/// # Safety
/// `handle` is alive, `text` valid, `ranges` points to 2 * n_ranges ascending byte offsets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_tokenizer_encode(
    handle: *const Tokenizer,
    text: Text,
    ranges: *const u64,
    n_ranges: usize,
    out: Output,
) -> i32 {
    guarded(out, || {
        let tokenizer = unsafe { &*handle };
        let text = unsafe { text.str("the text")? };
        let flat = if n_ranges == 0 {
            &[]
        } else {
            unsafe { std::slice::from_raw_parts(ranges, 2 * n_ranges) }
        };
        let ranges: Vec<Range<usize>> =
            flat.chunks_exact(2).map(|r| r[0] as usize..r[1] as usize).collect();
        if ranges.iter().any(|r| text.get(r.clone()).is_none()) {
            return Err(Fail::user("a piece of the prompt ends inside of a character"));
        }
        out.send(What::Ids, &tokenizer.encode(text, &ranges)?);
        Ok(())
    })
}

/// # Safety
/// `handle` is alive, `ids` points to n_ids numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_tokenizer_decode(
    handle: *const Tokenizer,
    ids: *const u32,
    n_ids: usize,
    skip_special: i32,
    out: Output,
) -> i32 {
    guarded(out, || {
        let ids = if n_ids == 0 { &[] } else { unsafe { std::slice::from_raw_parts(ids, n_ids) } };
        out.send(What::Bytes, unsafe { &*handle }.decode(ids, skip_special != 0)?.as_bytes());
        Ok(())
    })
}

/// # Safety
/// `handle` is alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_tokenizer_token_bytes(
    handle: *const Tokenizer,
    id: u32,
    out: Output,
) -> i32 {
    guarded(out, || {
        out.send(What::Bytes, &unsafe { &*handle }.token_bytes(id));
        Ok(())
    })
}

/// # Safety
/// `handle` is alive, `token` valid. Returns -1 when there is no such token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_tokenizer_token_id(handle: *const Tokenizer, token: Text) -> i64 {
    let Ok(token) = (unsafe { token.str("the token") }) else { return -1 };
    let id = catch_unwind(AssertUnwindSafe(|| unsafe { &*handle }.id(token)));
    id.ok().flatten().map_or(-1, i64::from)
}

/// # Safety
/// `bytes` is valid. Sends the text of the longest start that ends at a character border; returns its length in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_utf8_prefix(bytes: Text, out: Output) -> usize {
    let (text, length) = tokenizer::utf8_prefix(unsafe { bytes.bytes() });
    out.send(What::Bytes, text.as_bytes());
    length
}

/// # Safety
/// `source` is valid, `tokenizer` alive (its control tokens are copied); `handle` receives an owned pointer on success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_template_new(
    source: Text,
    tokenizer: *const Tokenizer,
    fuel: u64,
    handle: *mut *mut Template,
    out: Output,
) -> i32 {
    guarded(out, || {
        let source = unsafe { source.str("the template") }.map_err(|e| Fail::format(e.message))?;
        let template = Template::compile(source, unsafe { &*tokenizer }.control.clone(), fuel)?;
        unsafe { *handle = Box::into_raw(Box::new(template)) };
        Ok(())
    })
}

/// # Safety
/// `handle` came from ingot_template_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_template_free(handle: *mut Template) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(handle) })));
}

/// # Safety
/// `handle` is alive, `variables` points to n_variables entries. Sends Bytes (the text), then Ranges (untrusted parts).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_template_render(
    handle: *const Template,
    variables: *const NamedJson,
    n_variables: usize,
    protect: i32,
    out: Output,
) -> i32 {
    guarded(out, || {
        let given = if n_variables == 0 {
            &[]
        } else {
            unsafe { std::slice::from_raw_parts(variables, n_variables) }
        };
        let mut parsed: Vec<Variable> = Vec::new();
        for variable in given {
            let name = unsafe { variable.name.str("a variable's name")? };
            let value = json::parse(unsafe { variable.json.str(name)? }, name)?;
            let trusted = variable.trusted != 0;
            match value {
                // The unnamed variable is an object of further variables; given ones are not overridden.
                Json::Map(pairs) if name.is_empty() => {
                    let fresh = |key: &str| !parsed.iter().any(|p: &Variable| p.name == key);
                    let fresh: Vec<_> = pairs.into_iter().filter(|(key, _)| fresh(key)).collect();
                    parsed.extend(fresh.into_iter().map(|(name, value)| Variable {
                        name,
                        value,
                        trusted,
                    }));
                }
                _ if name.is_empty() => {
                    return Err(Fail::user("extra template variables must be a JSON object"));
                }
                value => parsed.push(Variable { name: name.to_owned(), value, trusted }),
            }
        }
        check_messages(&parsed, protect != 0)?;
        let rendered = unsafe { &*handle }.render(&parsed, protect != 0)?;
        out.send(What::Bytes, rendered.text.as_bytes());
        let ranges: Vec<u64> =
            rendered.untrusted.iter().flat_map(|r| [r.start as u64, r.end as u64]).collect();
        out.send(What::Ranges, &ranges);
        Ok(())
    })
}

/// The outer shape of a conversation; what is inside the messages is the template's business, except that a plain string as
/// a part of the content can pass for a picture ('image' in "...").
fn check_messages(variables: &[Variable], protect: bool) -> Result<(), Fail> {
    let Some(Variable { value: Json::List(messages), .. }) =
        variables.iter().find(|v| v.name == "messages")
    else {
        return Err(Fail::user("messages must be a JSON array"));
    };
    for (index, message) in messages.iter().enumerate() {
        let Json::Map(pairs) = message else {
            return Err(Fail::user(format!(
                "messages[{index}] must be an object with \"role\" and \"content\""
            )));
        };
        let content = pairs.iter().find(|(key, _)| key == "content").map(|(_, value)| value);
        if let (true, Some(Json::List(parts))) = (protect, content) {
            if let Some(place) = parts.iter().position(|part| !matches!(part, Json::Map(_))) {
                let wanted = "must be an object such as {\"type\": \"text\", \"text\": ...}";
                return Err(Fail::user(format!("messages[{index}].content[{place}] {wanted}")));
            }
        }
    }
    Ok(())
}

/// # Safety
/// `tokenizer` is alive (its tokens are copied), `ends` points to n_ends ids; `handle` receives an owned pointer on success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_grammars_new(
    tokenizer: *const Tokenizer,
    vocab: usize,
    ends: *const u32,
    n_ends: usize,
    handle: *mut *mut Grammars,
    out: Output,
) -> i32 {
    guarded(out, || {
        let ends =
            if n_ends == 0 { &[] } else { unsafe { std::slice::from_raw_parts(ends, n_ends) } };
        let grammars = Grammars::new(unsafe { &*tokenizer }, vocab, ends)?;
        unsafe { *handle = Box::into_raw(Box::new(grammars)) };
        Ok(())
    })
}

/// # Safety
/// `handle` came from ingot_grammars_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_grammars_free(handle: *mut Grammars) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(handle) })));
}

/// # Safety
/// `grammars` is alive, `text` valid; `handle` receives an owned pointer on success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_matcher_new(
    grammars: *const Grammars,
    kind: i32,
    text: Text,
    limit_ms: u64,
    handle: *mut *mut Matcher,
    out: Output,
) -> i32 {
    guarded(out, || {
        let text = unsafe { text.str("the grammar")? };
        let limit = Duration::from_millis(limit_ms);
        let matcher = unsafe { &*grammars }.compile(Kind::of(kind)?, text, limit)?;
        unsafe { *handle = Box::into_raw(Box::new(matcher)) };
        Ok(())
    })
}

/// # Safety
/// `from` is alive and not in use; `handle` receives an owned pointer on success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_matcher_clone(
    from: *const Matcher,
    handle: *mut *mut Matcher,
    out: Output,
) -> i32 {
    guarded(out, || {
        let copy = unsafe { &*from }.deep_clone();
        unsafe { *handle = Box::into_raw(Box::new(copy)) };
        Ok(())
    })
}

/// # Safety
/// `handle` came from ingot_matcher_new or _clone and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_matcher_free(handle: *mut Matcher) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(handle) })));
}

/// # Safety
/// `handle` is alive and used by no other thread; `words` points to n_words words, which receive one bit per token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_matcher_mask(
    handle: *mut Matcher,
    words: *mut u32,
    n_words: usize,
    out: Output,
) -> i32 {
    guarded(out, || {
        let mask = unsafe { &mut *handle }
            .compute_mask_or_eos()
            .map_err(|e| Fail::user(format!("the grammar cannot go on: {e}")))?;
        let target = unsafe { std::slice::from_raw_parts_mut(words, n_words) };
        let source = mask.as_slice();
        for (at, word) in target.iter_mut().enumerate() {
            *word = source.get(at).copied().unwrap_or(0);
        }
        Ok(())
    })
}

/// # Safety
/// `handle` is alive and used by no other thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_matcher_accept(
    handle: *mut Matcher,
    token: u32,
    out: Output,
) -> i32 {
    guarded(out, || {
        unsafe { &mut *handle }
            .consume_token(token)
            .map_err(|e| Fail::user(format!("the grammar does not allow token {token}: {e}")))
    })
}

/// # Safety
/// `handle` is alive and used by no other thread. 1: the grammar is complete and nothing can follow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ingot_matcher_stopped(handle: *const Matcher) -> i32 {
    let stopped = catch_unwind(AssertUnwindSafe(|| unsafe { &*handle }.is_stopped()));
    i32::from(stopped.unwrap_or(true))
}
