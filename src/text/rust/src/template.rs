// SPDX-License-Identifier: Apache-2.0
//! Chat templates as Hugging Face runs them: Jinja with trimmed blocks, loop controls, tojson, raise_exception, strftime_now
//! and Python's string methods. Source of the environment: huggingface/transformers:
//! src/transformers/utils/chat_template_utils.py (_compile_jinja_template).

use std::collections::HashMap;
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::fail::Fail;
use crate::guard::{ControlToken, Twins, find_tokens, guard_chars, map_strings};
use crate::json::Json;
use crate::{python, source};

const NAME: &str = "chat template";
const REFUSAL: &str = "the chat template refuses this conversation: ";

pub struct Template {
    env: Environment<'static>,
    source: String,
    control: Vec<ControlToken>,
    guards: Vec<char>,
}

/// One template variable. Text inside of untrusted ones cannot become a control token.
pub struct Variable {
    pub name: String,
    pub value: Json,
    pub trusted: bool,
}

#[derive(Debug)]
pub struct Rendered {
    pub text: String,
    pub untrusted: Vec<Range<usize>>, // byte ranges of `text`
}

impl Template {
    pub fn compile(source: &str, control: Vec<ControlToken>, fuel: u64) -> Result<Template, Fail> {
        let mut env = environment()?;
        env.set_fuel(Some(fuel));
        env.add_template_owned(NAME, source::adapt(source))
            .map_err(|e| Fail::format(describe(&e)))?;
        let guards = guard_chars(&control);
        Ok(Template { env, source: source.to_owned(), control, guards })
    }

    pub fn render(&self, variables: &[Variable], protect: bool) -> Result<Rendered, Fail> {
        let plain = self.run(variables)?;
        if !protect {
            return Ok(Rendered { text: plain, untrusted: vec![] });
        }
        let strings = untrusted_strings(variables);
        if !strings.iter().any(|s| s.contains(&self.guards[..])) {
            return Ok(Rendered { text: plain, untrusted: vec![] });
        }
        let texts =
            strings.iter().map(String::as_str).chain([self.source.as_str(), plain.as_str()]);
        let twins = Twins::choose(&self.guards, texts).ok_or_else(|| {
            Fail::user("the conversation uses every private-use character; remove some of them")
        })?;
        let marked = self.run(&self.mark(variables, &twins))?;
        let text = twins.unmark(&marked);
        let untrusted = twins.untrusted_ranges(&marked);
        // The template looked for '<...>' in the conversation and took another way. What the reference gives holds while
        // nothing in the conversation spells a control token; otherwise the conversation's text stays opaque.
        if text != plain
            && !self.spells_control(&strings)
            && self.same_control_tokens(&plain, &marked)
        {
            return Ok(Rendered { text: plain, untrusted: vec![] });
        }
        Ok(Rendered { text, untrusted })
    }

    fn run(&self, variables: &[Variable]) -> Result<String, Fail> {
        let context = Value::from_pairs(
            variables.iter().map(|v| (v.name.as_str(), python::to_value(&v.value))),
        );
        let template = self.env.get_template(NAME).map_err(|e| Fail::user(describe(&e)))?;
        template.render(context).map_err(|e| Fail::user(describe(&e)))
    }

    /// Twins for the guard characters of every untrusted string. What an assistant said before keeps its <think> and
    /// <tool_call> (control tokens that are not special): the model wrote them, and templates look for them.
    fn mark(&self, variables: &[Variable], twins: &Twins) -> Vec<Variable> {
        let mut change = |text: &str, assistant: bool| {
            let keep: Vec<Range<usize>> = match assistant {
                true => find_tokens(text, self.control.iter().filter(|t| !t.special))
                    .into_iter()
                    .map(|f| f.0)
                    .collect(),
                false => vec![],
            };
            twins.mark(text, &keep, true)
        };
        let mark = |v: &Variable| Variable {
            name: v.name.clone(),
            value: match v.trusted {
                true => v.value.clone(),
                false => map_strings(&v.value, v.name == "messages", &mut change),
            },
            trusted: v.trusted,
        };
        variables.iter().map(mark).collect()
    }

    /// Whether a string, or the strings one after the other, spell a control token.
    fn spells_control(&self, strings: &[String]) -> bool {
        let joined = strings.concat();
        self.control.iter().any(|t| joined.contains(&t.text))
    }

    fn same_control_tokens(&self, plain: &str, marked: &str) -> bool {
        let count = |text: &str| {
            let mut counts: HashMap<String, usize> = HashMap::new();
            for (_, token) in find_tokens(text, self.control.iter()) {
                *counts.entry(token.to_owned()).or_default() += 1;
            }
            counts
        };
        count(plain) == count(marked)
    }
}

fn untrusted_strings(variables: &[Variable]) -> Vec<String> {
    let mut strings = Vec::new();
    for variable in variables.iter().filter(|v| !v.trusted) {
        map_strings(&variable.value, variable.name == "messages", &mut |text, _| {
            strings.push(text.to_owned());
            String::new()
        });
    }
    strings
}

fn environment() -> Result<Environment<'static>, Fail> {
    let mut env = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    env.set_syntax(syntax.map_err(|e| Fail::format(e.to_string()))?);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_formatter(format_value);
    env.set_recursion_limit(200);
    env.set_unknown_method_callback(python_method);
    minijinja_contrib::add_to_environment(&mut env);
    env.add_filter("tojson", |value: &Value, kwargs: Kwargs| python::to_json(value, kwargs));
    env.add_filter("string", |value: &Value| {
        let mut out = String::new();
        python::write_str(&mut out, value);
        out
    });
    env.add_test("none", |value: &Value| python::is_none(value));
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSAL}{message}")))
    });
    env.add_function("strftime_now", strftime_now);
    Ok(env)
}

fn format_value(out: &mut Output, _state: &mut State, value: &Value) -> Result<(), Error> {
    let write = |out: &mut Output, text: &str| out.write_str(text).map_err(Error::from);
    match value.as_str() {
        Some(text) => write(out, text),
        None => {
            let mut text = String::new();
            python::write_str(&mut text, value);
            write(out, &text)
        }
    }
}

/// Python's methods that pycompat lacks, then pycompat.
fn python_method(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let (Some(text), Some(arg)) = (value.as_str(), args.first().map(|a| a.as_str())) else {
        return unknown_method_callback(state, value, method, args);
    };
    let pieces = |a: &str, b: &str, c: &str| Value::from_iter([a, b, c]);
    match (method, arg) {
        ("removeprefix", Some(prefix)) => {
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        ("removesuffix", Some(suffix)) => {
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        ("partition", Some(separator)) => Ok(match text.split_once(separator) {
            Some((before, after)) => pieces(before, separator, after),
            None => pieces(text, "", ""),
        }),
        ("rpartition", Some(separator)) => Ok(match text.rsplit_once(separator) {
            Some((before, after)) => pieces(before, separator, after),
            None => pieces("", "", text),
        }),
        ("rsplit", Some(separator)) if !separator.is_empty() => {
            let limit = args.get(1).and_then(Value::as_usize).unwrap_or(usize::MAX - 1);
            let mut parts: Vec<&str> = text.rsplitn(limit.saturating_add(1), separator).collect();
            parts.reverse();
            Ok(Value::from_iter(parts))
        }
        _ => unknown_method_callback(state, value, method, args),
    }
}

/// datetime.now().strftime(format) in the local time zone.
fn strftime_now(format: String, _rest: Rest<Value>) -> Result<String, Error> {
    let error = |what: &'static str| Error::new(ErrorKind::InvalidOperation, what);
    let format = std::ffi::CString::new(format)
        .map_err(|_| error("strftime_now: a zero byte in the format"))?;
    if format.is_empty() {
        return Ok(String::new());
    }
    let mut buffer = [0u8; 512];
    // SAFETY: plain C calls on local memory; strftime writes at most buffer.len() bytes and returns how many.
    let written = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&now, &mut parts).is_null() {
            return Err(error("strftime_now: no local time"));
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &parts)
    };
    Ok(String::from_utf8_lossy(&buffer[..written]).into_owned())
}

fn describe(error: &Error) -> String {
    let detail = error.detail().unwrap_or_default();
    if let Some(at) = detail.find(REFUSAL) {
        return detail[at..].to_owned();
    }
    let line = error.line().map(|n| format!(" (line {n} of the template)")).unwrap_or_default();
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("the chat template takes too many steps{line}");
    }
    let detail = detail.replace("plain object is not iterable", "null is not iterable");
    let separator = if detail.is_empty() { "" } else { ": " };
    format!("{}{separator}{detail}{line}", error.kind())
}
