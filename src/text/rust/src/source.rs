// SPDX-License-Identifier: Apache-2.0
//! Two spellings that the engine lacks, rewritten inside of the template's tags: {% generation %} blocks (they only mark
//! assistant text for training) and comparisons with none (`x == none` becomes `x is none`, see python::Null).

/// The template text with both rewritten; everything else stays byte for byte.
pub fn adapt(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let close = match rest.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                out.push('{');
                rest = &rest[1..];
                continue;
            }
        };
        let length = tag_length(rest, close);
        out.push_str(&match close {
            "#}" => rest[..length].to_owned(),
            _ => adapt_tag(&rest[..length]),
        });
        let raw = close == "%}" && tag_word(&rest[..length]) == "raw";
        rest = &rest[length..];
        if raw {
            let end = rest.match_indices("{%").find(|(at, _)| tag_word(&rest[*at..]) == "endraw");
            let end = end.map_or(rest.len(), |(at, _)| at);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// Bytes up to and including `close`, which does not count inside of quotes (comments have none).
fn tag_length(text: &str, close: &str) -> usize {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut at = 2;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, _) if text.as_bytes()[at..].starts_with(close.as_bytes()) => {
                return at + close.len();
            }
            (None, c @ (b'"' | b'\'')) if close != "#}" => quote = Some(c),
            (Some(_), b'\\') => at += 1,
            (Some(q), c) if q == c => quote = None,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn tag_word(tag: &str) -> &str {
    let body = tag[2..].trim_start_matches(['-', '+']).trim_start();
    let end = body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len());
    &body[..end]
}

fn adapt_tag(tag: &str) -> String {
    if tag.starts_with("{%") {
        match tag_word(tag) {
            "generation" => return tag.replacen("generation", "if true", 1),
            "endgeneration" => return tag.replacen("endgeneration", "endif", 1),
            _ => {}
        }
    }
    let mut out = String::with_capacity(tag.len() + 8);
    let mut quote = None;
    let mut at = 0;
    while let Some(c) = tag[at..].chars().next() {
        if quote.is_none() {
            if let Some((length, replacement)) = none_comparison(&tag[at..]) {
                out.push_str(replacement);
                at += length;
                continue;
            }
        }
        out.push(c);
        at += c.len_utf8();
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(_), '\\') => {
                if let Some(escaped) = tag[at..].chars().next() {
                    out.push(escaped);
                    at += escaped.len_utf8();
                }
            }
            (Some(q), c) if q == c => quote = None,
            _ => {}
        }
    }
    out
}

fn none_comparison(text: &str) -> Option<(usize, &'static str)> {
    let replacement = match text.get(..2)? {
        "==" => " is none",
        "!=" => " is not none",
        _ => return None,
    };
    let operand = text[2..].trim_start();
    if !operand.starts_with("none") && !operand.starts_with("None") {
        return None;
    }
    if operand[4..].starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some((text.len() - operand.len() + 4, replacement))
}

#[cfg(test)]
mod tests {
    use super::adapt;

    #[test]
    fn rewrites_inside_of_tags_only() {
        assert_eq!(
            adapt("{{ x == none }} == none {% if x != None %}"),
            "{{ x  is none }} == none {% if x  is not none %}"
        );
        assert_eq!(
            adapt("{{ '== none' }}{# == none #}{% raw %}{{ x == none }}{% endraw %}"),
            "{{ '== none' }}{# == none #}{% raw %}{{ x == none }}{% endraw %}"
        );
        assert_eq!(adapt("{%- generation -%}a{% endgeneration %}"), "{%- if true -%}a{% endif %}");
        assert_eq!(
            adapt("{{ x == nonesuch }} { {{ 'unclosed"),
            "{{ x == nonesuch }} { {{ 'unclosed"
        );
    }
}
