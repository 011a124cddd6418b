# SPDX-License-Identifier: Apache-2.0
"""Trains a small byte-level BPE with Qwen's own normalizer, pre-tokenizer and special tokens (same order)."""
import json
import sys
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from samples import Maker

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
           "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
           "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
           "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
           "<think>", "</think>"]
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def build(path, extra_text, vocab=2048):
    t = Tokenizer(models.BPE(byte_fallback=False, ignore_merges=False))
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated", False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    t.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    t.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    m = Maker(7)
    m.draw_text = lambda img, *a: img
    lines = []
    for _ in range(20000):
        _, q, a = m.sample()
        lines += [q, a]
    lines += extra_text
    tr = trainers.BpeTrainer(vocab_size=vocab - len(SPECIAL), special_tokens=[], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(lines, tr)
    t.add_special_tokens(SPECIAL[:14] + SPECIAL[16:22])
    raw = json.loads(t.to_str())
    base = len(raw["model"]["vocab"])
    keep_special = {"<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
                    "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"}
    raw["added_tokens"] = [dict(id=base + i, content=s, single_word=False, lstrip=False, rstrip=False, normalized=False,
                                special=s not in keep_special) for i, s in enumerate(SPECIAL)]
    json.dump(raw, open(path + "/tokenizer.json", "w"), ensure_ascii=False, indent=1)
    conf = dict(add_bos_token=False, add_prefix_space=False, bos_token=None, clean_up_tokenization_spaces=False,
                eos_token="<|im_end|>", errors="replace", model_max_length=4096, pad_token="<|endoftext|>",
                split_special_tokens=False, tokenizer_class="Qwen2Tokenizer", unk_token=None,
                added_tokens_decoder={str(base + i): dict(content=s, lstrip=False, normalized=False, rstrip=False,
                                                          single_word=False, special=s not in keep_special)
                                      for i, s in enumerate(SPECIAL)},
                additional_special_tokens=SPECIAL[1:14])
    json.dump(conf, open(path + "/tokenizer_config.json", "w"), indent=1)
    v = raw["model"]["vocab"]
    json.dump(v, open(path + "/vocab.json", "w"), ensure_ascii=False)
    with open(path + "/merges.txt", "w") as f:
        f.write("#version: 0.2\n")
        for mg in raw["model"]["merges"]:
            f.write((mg if isinstance(mg, str) else " ".join(mg)) + "\n")
    return {s: base + i for i, s in enumerate(SPECIAL)}, base + len(SPECIAL)


if __name__ == "__main__":
    print(build(sys.argv[1], []))
