/* SPDX-License-Identifier: Apache-2.0 */
/* The C interface of the Rust crate (rust/src/lib.rs). Results arrive through the sink while a call lasts; nothing that one
 * side allocated is freed by the other. Functions with a status return 0, or 1 (user), 2 (format), 3 (internal) after an
 * error message went to the sink. All functions but _new and _free may run at the same time on one handle. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct IngotTokenizer IngotTokenizer;
typedef struct IngotTemplate IngotTemplate;
typedef struct IngotGrammars IngotGrammars;
typedef struct IngotMatcher IngotMatcher;

enum { kIngotBytes = 0, kIngotIds = 1, kIngotRanges = 2, kIngotError = 3 };

/* kIngotBytes: text or raw bytes; kIngotIds: uint32_t[]; kIngotRanges: uint64_t[2 * n] (begin, end in bytes);
 * kIngotError: message. `size` counts bytes. The sink must not throw. */
typedef struct {
  void (*sink)(void* context, int32_t what, const void* data, size_t size);
  void* context;
} IngotOutput;

typedef struct {
  const uint8_t* data;
  size_t size;
} IngotText;

/* A template variable: JSON text; unnamed: an object of further variables. Text of untrusted ones never becomes a control
 * token. "messages" is an array of messages. */
typedef struct {
  IngotText name;
  IngotText json;
  int32_t trusted;
} IngotVariable;

int32_t ingot_tokenizer_new(IngotText json, IngotTokenizer** handle, IngotOutput out);
void ingot_tokenizer_free(IngotTokenizer* handle);
/* Per added token: its id with the special flag in bit 31, then its text. Returns the largest id + 1. */
uint64_t ingot_tokenizer_added(const IngotTokenizer* handle, IngotOutput out);
/* `ranges`: ascending byte ranges of `text` in which no control token is recognised. Sends the ids. */
int32_t ingot_tokenizer_encode(const IngotTokenizer* handle, IngotText text, const uint64_t* ranges, size_t n_ranges,
                               IngotOutput out);
int32_t ingot_tokenizer_decode(const IngotTokenizer* handle, const uint32_t* ids, size_t n_ids, int32_t skip_special,
                               IngotOutput out);
int32_t ingot_tokenizer_token_bytes(const IngotTokenizer* handle, uint32_t id, IngotOutput out);
int64_t ingot_tokenizer_token_id(const IngotTokenizer* handle, IngotText token); /* -1: none */
/* Sends the text of the longest start of `bytes` that does not end inside a character; returns that start's length. */
size_t ingot_utf8_prefix(IngotText bytes, IngotOutput out);

int32_t ingot_template_new(IngotText source, const IngotTokenizer* tokenizer, uint64_t fuel, IngotTemplate** handle,
                           IngotOutput out);
void ingot_template_free(IngotTemplate* handle);
/* Sends the text, then the ranges in which no control token counts. */
int32_t ingot_template_render(const IngotTemplate* handle, const IngotVariable* variables, size_t n_variables,
                              int32_t protect, IngotOutput out);

enum { kIngotJsonSchema = 0, kIngotRegex = 1, kIngotLark = 2 };

/* Compiles grammars for one tokenizer, whose tokens are copied. `vocab`: bits of a mask; `ends`: tokens that end an answer. */
int32_t ingot_grammars_new(const IngotTokenizer* tokenizer, size_t vocab, const uint32_t* ends, size_t n_ends,
                           IngotGrammars** handle, IngotOutput out);
void ingot_grammars_free(IngotGrammars* handle);
/* A matcher is used by one thread at a time, which may change. */
int32_t ingot_matcher_new(const IngotGrammars* grammars, int32_t kind, IngotText text, uint64_t limit_ms,
                          IngotMatcher** handle, IngotOutput out);
int32_t ingot_matcher_clone(const IngotMatcher* from, IngotMatcher** handle, IngotOutput out);
void ingot_matcher_free(IngotMatcher* handle);
/* Bit i % 32 of word i / 32: token i may come next. */
int32_t ingot_matcher_mask(IngotMatcher* handle, uint32_t* words, size_t n_words, IngotOutput out);
int32_t ingot_matcher_accept(IngotMatcher* handle, uint32_t token, IngotOutput out);
int32_t ingot_matcher_stopped(const IngotMatcher* handle);

#ifdef __cplusplus
}
#endif
