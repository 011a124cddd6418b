// SPDX-License-Identifier: Apache-2.0
//! tokenizer.json through Hugging Face's crate, plus encoding with parts in which no control token counts, and raw bytes.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::catch_unwind;

use tokenizers::{
    DecoderWrapper, Model, ModelWrapper, NormalizerWrapper, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer,
};

use crate::fail::Fail;
use crate::guard::{ControlToken, Twins, guard_chars, is_control};

pub struct Added {
    pub id: u32,
    pub text: String,
    pub special: bool,
}

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    char_bytes: HashMap<char, u8>,
    guards: Vec<char>,
    pub added: Vec<Added>, // ascending ids
    pub control: Vec<ControlToken>,
    pub vocab_size: u64,
}

/// Ids far above any vocabulary are a broken or hostile file.
const MAX_VOCAB: u64 = 1 << 24;

fn broken(error: impl std::fmt::Display) -> Fail {
    Fail::format(error.to_string())
}

/// The printable characters that stand for bytes in a byte-level vocabulary: printable Latin-1 stands for itself, the other
/// 68 bytes for U+0100 and up, in order. Source: openai/gpt-2: src/encoder.py (bytes_to_unicode).
fn byte_alphabet() -> HashMap<char, u8> {
    let mut map = HashMap::new();
    let mut next = 256u32;
    for byte in 0..=255u8 {
        let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let code = if printable { u32::from(byte) } else { next };
        if !printable {
            next += 1;
        }
        map.insert(char::from_u32(code).unwrap_or('\u{fffd}'), byte);
    }
    map
}

impl Tokenizer {
    pub fn parse(bytes: &[u8]) -> Result<Tokenizer, Fail> {
        // Some malformed files make the crate panic; they are the file's fault, not the program's.
        let mut inner = catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes))
            .map_err(|_| Fail::format("one of its parts is malformed"))?
            .map_err(broken)?;
        check_kind(&inner)?;
        inner.with_truncation(None).map_err(broken)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(false);
        let decoder = inner.get_added_tokens_decoder();
        let mut added: Vec<Added> = decoder
            .iter()
            .map(|(id, t)| Added { id: *id, text: t.content.clone(), special: t.special })
            .collect();
        added.sort_by_key(|a| a.id);
        let largest = inner.get_vocab(true).values().copied().max();
        let vocab_size = largest.map_or(0, |id| u64::from(id) + 1);
        if vocab_size == 0 || vocab_size > MAX_VOCAB {
            return Err(Fail::format(format!(
                "the largest token id is {largest:?}, expected 0 to {MAX_VOCAB}"
            )));
        }
        let control: Vec<ControlToken> = added
            .iter()
            .filter(|a| is_control(&a.text, a.special))
            .map(|a| ControlToken { text: a.text.clone(), special: a.special })
            .collect();
        let guards = guard_chars(&control);
        Ok(Tokenizer { inner, char_bytes: byte_alphabet(), guards, added, control, vocab_size })
    }

    /// Ids of `text`; inside the untrusted byte ranges no control token is recognised.
    pub fn encode(&self, text: &str, untrusted: &[Range<usize>]) -> Result<Vec<u32>, Fail> {
        let guarded = untrusted.iter().any(|r| text[r.clone()].contains(&self.guards[..]));
        if !guarded {
            let encoding = self.inner.encode_fast(text, false).map_err(broken)?;
            return Ok(encoding.get_ids().to_vec());
        }
        let twins = Twins::choose(&self.guards, [text].into_iter()).ok_or_else(|| {
            Fail::user("the text uses every private-use character; remove some of them")
        })?;
        let marked = twins.mark(text, untrusted, false);
        // Without a normalizer the pieces keep their own characters; each text piece is normalised below, after its twins
        // are turned back (normalisation may combine '<' with what follows it).
        let pieces = self
            .inner
            .get_added_vocabulary()
            .extract_and_normalize(None::<&NormalizerWrapper>, &marked);
        let mut ids = Vec::new();
        for (piece, _, tokens) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None)
        {
            match tokens {
                Some(tokens) => ids.extend(tokens.iter().map(|t| t.id)),
                None => ids.extend(self.encode_plain(&twins.unmark(piece))?),
            }
        }
        Ok(ids)
    }

    /// Normalizer, pre-tokenizer and model, without a look at added tokens.
    fn encode_plain(&self, text: &str) -> Result<Vec<u32>, Fail> {
        let mut pieces = PreTokenizedString::from(text);
        if let Some(normalizer) = self.inner.get_normalizer() {
            pieces
                .normalize(|n| tokenizers::Normalizer::normalize(normalizer, n))
                .map_err(broken)?;
        }
        if let Some(splitter) = self.inner.get_pre_tokenizer() {
            splitter.pre_tokenize(&mut pieces).map_err(broken)?;
        }
        pieces.tokenize(|n| self.inner.get_model().tokenize(n.get())).map_err(broken)?;
        let encoding = pieces.into_encoding(None, 0, OffsetType::None).map_err(broken)?;
        Ok(encoding.get_ids().to_vec())
    }

    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let Some(token) = self.inner.id_to_token(id) else { return Vec::new() };
        let bytes: Option<Vec<u8>> =
            token.chars().map(|c| self.char_bytes.get(&c).copied()).collect();
        bytes.unwrap_or_else(|| token.into_bytes())
    }

    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Fail> {
        self.inner.decode(ids, skip_special).map_err(broken)
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
}

fn check_kind(inner: &tokenizers::Tokenizer) -> Result<(), Fail> {
    let ModelWrapper::BPE(bpe) = inner.get_model() else {
        return Err(Fail::user("a tokenizer model other than BPE; Qwen models use byte-level BPE"));
    };
    if bpe.dropout.is_some_and(|p| p > 0.0) {
        return Err(Fail::user(
            "BPE dropout is on, which makes encoding random; set \"dropout\" to null",
        ));
    }
    if !matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
        return Err(Fail::user("a decoder other than ByteLevel; Qwen models use byte-level BPE"));
    }
    Ok(())
}

/// The longest start of `bytes` that does not end inside a character, lossily as text, and its length.
pub fn utf8_prefix(bytes: &[u8]) -> (String, usize) {
    let mut at = 0;
    loop {
        match std::str::from_utf8(&bytes[at..]) {
            Ok(_) => return (String::from_utf8_lossy(bytes).into_owned(), bytes.len()),
            Err(error) => {
                let valid = at + error.valid_up_to();
                match error.error_len() {
                    Some(length) => at = valid + length,
                    None => return (String::from_utf8_lossy(&bytes[..valid]).into_owned(), valid),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_stops_before_a_cut_character() {
        assert_eq!(utf8_prefix("aé".as_bytes()), ("aé".into(), 3));
        assert_eq!(utf8_prefix(&[b'a', 0xc3]), ("a".into(), 1));
        assert_eq!(utf8_prefix(&[0xff, 0xc3]), ("\u{fffd}".into(), 1));
        assert_eq!(utf8_prefix(&[0xf0, 0x9f, b'x', 0xe4]), ("\u{fffd}x".into(), 3));
    }

    #[test]
    fn alphabet_covers_all_bytes() {
        let map = byte_alphabet();
        assert_eq!(map.len(), 256);
        assert_eq!(map[&'Ġ'], b' ');
        assert_eq!(map[&'Ċ'], b'\n');
    }
}
