// SPDX-License-Identifier: Apache-2.0
// Values as Python writes them: str(), repr() and json.dumps, which the reference's templates see.

use std::fmt::Write;

use minijinja::value::{Kwargs, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::json::Json;

/// JSON null inside a conversation. minijinja's own none can be iterated (as an empty list), Python's cannot, and templates
/// rely on the error; so null is an object that can do nothing.
#[derive(Debug)]
pub struct Null;

impl Object for Null {
    fn repr(self: &std::sync::Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn is_true(self: &std::sync::Arc<Self>) -> bool {
        false
    }
    fn render(self: &std::sync::Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("None")
    }
}

pub fn is_none(value: &Value) -> bool {
    value.is_none() || value.downcast_object_ref::<Null>().is_some()
}

pub fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from_object(Null),
        Json::Bool(b) => Value::from(*b),
        Json::Int(i) => match i64::try_from(*i) {
            Ok(small) => Value::from(small),
            Err(_) => Value::from(*i),
        },
        Json::Float(f) => Value::from(*f),
        Json::Str(s) => Value::from(s.as_str()),
        Json::List(items) => Value::from_iter(items.iter().map(to_value)),
        Json::Map(pairs) => {
            Value::from_pairs(pairs.iter().map(|(k, v)| (Value::from(k.as_str()), to_value(v))))
        }
    }
}

/// repr(float): shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
pub fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}"); // "-1.25e-7": shortest digits in Rust as well
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { plain + ".0" }
}

enum Number {
    Int(i128),
    BigInt(u128),
    Float(f64),
}

fn number(value: &Value) -> Option<Number> {
    if value.is_integer() {
        return match i128::try_from(value.clone()) {
            Ok(i) => Some(Number::Int(i)),
            Err(_) => u128::try_from(value.clone()).ok().map(Number::BigInt),
        };
    }
    f64::try_from(value.clone()).ok().map(Number::Float)
}

fn write_number(out: &mut String, value: &Value, float: fn(f64) -> String) {
    match number(value) {
        Some(Number::Int(i)) => write!(out, "{i}").unwrap_or(()),
        Some(Number::BigInt(i)) => write!(out, "{i}").unwrap_or(()),
        Some(Number::Float(f)) => out.push_str(&float(f)),
        None => out.push_str(&value.to_string()),
    }
}

/// str(value), what {{ value }} prints.
pub fn write_str(out: &mut String, value: &Value) {
    match value.kind() {
        ValueKind::String => out.push_str(value.as_str().unwrap_or_default()),
        ValueKind::Undefined => {}
        _ => write_repr(out, value, 0),
    }
}

fn write_repr(out: &mut String, value: &Value, depth: usize) {
    if depth > 100 {
        out.push_str("...");
        return;
    }
    if is_none(value) {
        out.push_str("None");
        return;
    }
    match value.kind() {
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => write_number(out, value, float_repr),
        ValueKind::String => write_string_repr(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq => {
            write_items(out, value, depth, if value.is_tuple() { ("(", ")") } else { ("[", "]") })
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_repr(out, &key, depth + 1);
                out.push_str(": ");
                write_repr(out, &value.get_item(&key).unwrap_or_default(), depth + 1);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

fn write_items(out: &mut String, value: &Value, depth: usize, (open, close): (&str, &str)) {
    out.push_str(open);
    for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        write_repr(out, &item, depth + 1);
    }
    if value.is_tuple() && value.len() == Some(1) {
        out.push(',');
    }
    out.push_str(close);
}

fn write_string_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                write!(out, "\\x{:02x}", c as u32).unwrap_or(())
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

struct Dumper {
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    ascii: bool,
    sort: bool,
}

/// The `tojson` filter of the reference: json.dumps(x, ensure_ascii=False, indent, separators, sort_keys).
/// Source of the defaults: huggingface/transformers: src/transformers/utils/chat_template_utils.py.
pub fn to_json(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent: Option<Value> = kwargs.get("indent")?;
    let indent = indent.filter(|v| !is_none(v)).map(|v| match v.as_usize() {
        Some(width) => " ".repeat(width.min(64)),
        None => v.as_str().unwrap_or_default().to_owned(),
    });
    let separators: Option<Value> = kwargs.get("separators")?;
    let (item_separator, key_separator) = match separators.filter(|v| !is_none(v)) {
        Some(pair) => {
            (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string())
        }
        None => ((if indent.is_some() { "," } else { ", " }).to_owned(), ": ".to_owned()),
    };
    let ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    kwargs.assert_all_used()?;
    let mut out = String::new();
    Dumper { indent, item_separator, key_separator, ascii, sort }.dump(&mut out, value, 0)?;
    Ok(out)
}

impl Dumper {
    fn newline(&self, out: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            for _ in 0..depth {
                out.push_str(indent);
            }
        }
    }

    fn dump(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > 100 {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "tojson: nested deeper than 100 levels",
            ));
        }
        if is_none(value) {
            out.push_str("null");
            return Ok(());
        }
        match value.kind() {
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => write_number(out, value, json_float),
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq => self.list(out, value, depth)?,
            ValueKind::Map => self.map(out, value, depth)?,
            kind => {
                let message = format!("tojson: a value of type {kind} has no JSON form");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }

    fn list(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        out.push('[');
        let mut empty = true;
        for item in value.try_iter()? {
            if !empty {
                out.push_str(&self.item_separator);
            }
            empty = false;
            self.newline(out, depth + 1);
            self.dump(out, &item, depth + 1)?;
        }
        if !empty {
            self.newline(out, depth);
        }
        out.push(']');
        Ok(())
    }

    fn map(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sort {
            keys.sort();
        }
        out.push('{');
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                out.push_str(&self.item_separator);
            }
            self.newline(out, depth + 1);
            match key.as_str() {
                Some(text) => self.string(out, text),
                None => {
                    let mut spelled = String::new();
                    self.dump(&mut spelled, key, depth + 1)?;
                    self.string(out, &spelled);
                }
            }
            out.push_str(&self.key_separator);
            self.dump(out, &value.get_item(key)?, depth + 1)?;
        }
        if !keys.is_empty() {
            self.newline(out, depth);
        }
        out.push('}');
        Ok(())
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 => write!(out, "\\u{:04x}", c as u32).unwrap_or(()),
                c if self.ascii && !(' '..='~').contains(&c) => {
                    let mut units = [0u16; 2];
                    for unit in c.encode_utf16(&mut units) {
                        write!(out, "\\u{unit:04x}").unwrap_or(());
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn json_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    float_repr(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_like_python() {
        for (value, text) in [
            (1.0, "1.0"),
            (1e-7, "1e-07"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-2.5e20, "-2.5e+20"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e100, "1e+100"),
            (123456789.125, "123456789.125"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float_repr(value), text);
        }
    }
}
