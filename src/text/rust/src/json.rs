// SPDX-License-Identifier: Apache-2.0
// A JSON reader for conversations. Its own because numbers must survive as Python keeps them (integers of any size up to 38
// digits stay integers, 1.0 stays a float), keys keep their order, and depth is bounded.

use crate::fail::Fail;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>), // keys are unique: of a repeated key the last value counts, as in Python
}

const MAX_DEPTH: usize = 100;

/// Parses one JSON document; `what` names it in errors.
pub fn parse(text: &str, what: &str) -> Result<Json, Fail> {
    let mut reader = Reader { bytes: text.as_bytes(), text, pos: 0, what };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.pos != reader.bytes.len() {
        return Err(reader.error("more text after the end of the JSON value"));
    }
    Ok(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    pos: usize,
    what: &'a str,
}

impl Reader<'_> {
    fn error(&self, found: &str) -> Fail {
        Fail::user(format!("{}: not valid JSON at byte {}: {}", self.what, self.pos, found))
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.pos), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
    }

    fn literal(&mut self, word: &str, value: Json) -> Result<Json, Fail> {
        if self.bytes[self.pos..].starts_with(word.as_bytes()) {
            self.pos += word.len();
            return Ok(value);
        }
        Err(self.error("expected a value"))
    }

    fn value(&mut self, depth: usize) -> Result<Json, Fail> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested deeper than 100 levels"));
        }
        match self.bytes.get(self.pos) {
            None => Err(self.error("the text ends where a value was expected")),
            Some(b'n') => self.literal("null", Json::Null),
            Some(b't') => self.literal("true", Json::Bool(true)),
            Some(b'f') => self.literal("false", Json::Bool(false)),
            Some(b'"') => Ok(Json::Str(self.string()?)),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.map(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.error("expected a value")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, Fail> {
        self.pos += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.bytes.get(self.pos) == Some(&b']') {
            self.pos += 1;
            return Ok(Json::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.bytes.get(self.pos) {
                Some(b',') => self.pos += 1,
                Some(b']') => {
                    self.pos += 1;
                    return Ok(Json::List(items));
                }
                _ => return Err(self.error("expected ',' or ']'")),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Json, Fail> {
        self.pos += 1;
        let mut pairs: Vec<(String, Json)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        self.skip_space();
        if self.bytes.get(self.pos) == Some(&b'}') {
            self.pos += 1;
            return Ok(Json::Map(pairs));
        }
        loop {
            self.skip_space();
            if self.bytes.get(self.pos) != Some(&b'"') {
                return Err(self.error("expected a key in quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            if self.bytes.get(self.pos) != Some(&b':') {
                return Err(self.error("expected ':'"));
            }
            self.pos += 1;
            self.skip_space();
            let value = self.value(depth + 1)?;
            match places.get(&key) {
                Some(&place) => pairs[place] = (key, value),
                None => {
                    places.insert(key.clone(), pairs.len());
                    pairs.push((key, value));
                }
            }
            self.skip_space();
            match self.bytes.get(self.pos) {
                Some(b',') => self.pos += 1,
                Some(b'}') => {
                    self.pos += 1;
                    return Ok(Json::Map(pairs));
                }
                _ => return Err(self.error("expected ',' or '}'")),
            }
        }
    }

    fn digits(&mut self) -> Result<(), Fail> {
        let start = self.pos;
        while matches!(self.bytes.get(self.pos), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        if self.pos == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Json, Fail> {
        let start = self.pos;
        if self.bytes[self.pos] == b'-' {
            self.pos += 1;
        }
        let first = self.pos;
        self.digits()?;
        if self.bytes[first] == b'0' && self.pos > first + 1 {
            return Err(self.error("a number with a leading zero"));
        }
        let mut float = false;
        if self.bytes.get(self.pos) == Some(&b'.') {
            float = true;
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.pos), Some(b'e' | b'E')) {
            float = true;
            self.pos += 1;
            if matches!(self.bytes.get(self.pos), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits()?;
        }
        let spelled = &self.text[start..self.pos];
        if float {
            return spelled
                .parse()
                .map(Json::Float)
                .map_err(|_| self.error("an unreadable number"));
        }
        spelled.parse().map(Json::Int).map_err(|_| self.error("an integer of more than 38 digits"))
    }

    fn hex4(&mut self) -> Result<u32, Fail> {
        let digits = self.bytes.get(self.pos..self.pos + 4);
        let Some(digits) = digits.filter(|d| d.iter().all(u8::is_ascii_hexdigit)) else {
            return Err(self.error("expected four hexadecimal digits"));
        };
        let code =
            digits.iter().fold(0, |code, d| code * 16 + (*d as char).to_digit(16).unwrap_or(0));
        self.pos += 4;
        Ok(code)
    }

    fn unicode_escape(&mut self) -> Result<char, Fail> {
        let mut code = self.hex4()?;
        if (0xd800..0xdc00).contains(&code) && self.bytes[self.pos..].starts_with(b"\\u") {
            self.pos += 2;
            let low = self.hex4()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.error("half of a surrogate pair"));
            }
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        char::from_u32(code).ok_or_else(|| self.error("half of a surrogate pair"))
    }

    fn string(&mut self) -> Result<String, Fail> {
        self.pos += 1;
        let mut out = String::new();
        loop {
            let start = self.pos;
            while !matches!(self.bytes.get(self.pos), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.pos += 1;
            }
            out.push_str(&self.text[start..self.pos]); // both ends stand beside ASCII, so on character borders
            match self.bytes.get(self.pos) {
                None => return Err(self.error("a string without end")),
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.pos += 1;
                    let escape = self.bytes.get(self.pos).copied();
                    self.pos += 1;
                    out.push(match escape {
                        Some(c @ (b'"' | b'\\' | b'/')) => c as char,
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => self.unicode_escape()?,
                        _ => {
                            self.pos = (self.pos - 1).min(self.bytes.len());
                            return Err(self.error("an unknown escape"));
                        }
                    });
                }
                Some(_) => return Err(self.error("a control character inside a string")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_kind() {
        let parsed = parse("[1, 1.0, 1e-07, 12345678901234567890123, -0]", "x").unwrap();
        let expected = vec![
            Json::Int(1),
            Json::Float(1.0),
            Json::Float(1e-7),
            Json::Int(12345678901234567890123),
            Json::Int(0),
        ];
        assert_eq!(parsed, Json::List(expected));
    }

    #[test]
    fn strings_and_order() {
        let parsed = parse(r#"{"b": "\ud83d\ude42\n\u00e9", "a": 1, "b": 2}"#, "x").unwrap();
        assert_eq!(parsed, Json::Map(vec![("b".into(), Json::Int(2)), ("a".into(), Json::Int(1))]));
        assert_eq!(parse(r#""\ud83d\ude42""#, "x").unwrap(), Json::Str("🙂".into()));
    }

    #[test]
    fn broken_input_is_refused() {
        for text in [
            "",
            "[",
            "[1,]",
            "{\"a\"}",
            "01",
            "1.",
            "-",
            "nul",
            "\"\\ud800\"",
            "\"a",
            "\"\\",
            "\"\\u12",
            "[1] 2",
            "\"\u{1}\"",
            "{\"a\":1,}",
            "1e",
            "123456789012345678901234567890123456789012",
        ] {
            assert!(parse(text, "x").is_err(), "{text:?}");
        }
        assert!(parse(&"[".repeat(10_000), "x").is_err());
    }
}
