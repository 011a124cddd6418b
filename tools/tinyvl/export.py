# SPDX-License-Identifier: Apache-2.0
"""Turns a folder of train.py into one laid out as the public Qwen3-VL checkpoints are (BF16). Usage: export.py TRAINED TEMPLATE.json OUT [--untie]"""
import json, os, shutil, sys
import torch
from safetensors.torch import load_file, save_file

src, template, out = sys.argv[1:4]
untie = "--untie" in sys.argv
os.makedirs(out, exist_ok=True)
dump = lambda o, n, ind=2: json.dump(o, open(f"{out}/{n}", "w"), indent=ind, ensure_ascii=False)
c = json.load(open(src + "/config.json"))
t, v = c["text_config"], c["vision_config"]
text = {k: t[k] for k in ("attention_bias", "attention_dropout", "bos_token_id", "eos_token_id", "head_dim", "hidden_act", "hidden_size", "initializer_range",
                          "intermediate_size", "max_position_embeddings", "model_type", "num_attention_heads", "num_hidden_layers",
                          "num_key_value_heads", "rms_norm_eps", "use_cache", "vocab_size")}
text.update(dtype="bfloat16", rope_theta=5000000, rope_scaling=dict(mrope_interleaved=True, mrope_section=(t.get("rope_parameters") or t["rope_scaling"])["mrope_section"], rope_type="default"))
if not untie:
    text["tie_word_embeddings"] = True
vision = {k: v[k] for k in ("deepstack_visual_indexes", "depth", "hidden_act", "hidden_size", "in_channels", "initializer_range", "intermediate_size", "num_heads",
                            "num_position_embeddings", "out_hidden_size", "patch_size", "spatial_merge_size", "temporal_patch_size")}
vision["model_type"] = "qwen3_vl"
ids = {k: c[k] for k in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")}
dump(dict(sorted(dict(architectures=["Qwen3VLForConditionalGeneration"], model_type="qwen3_vl", text_config=dict(sorted(text.items())), vision_config=dict(sorted(vision.items())),
                      tie_word_embeddings=not untie, transformers_version="4.57.0.dev0", **ids).items())), "config.json", 4)
for f in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
    shutil.copyfile(f"{src}/{f}", f"{out}/{f}")
shutil.copyfile(template, out + "/chat_template.json")
pre = dict(size=dict(longest_edge=1048576, shortest_edge=1024), patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[.5] * 3, image_std=[.5] * 3,
           processor_class="Qwen3VLProcessor")
dump(dict(pre, image_processor_type="Qwen2VLImageProcessorFast"), "preprocessor_config.json", 4)
dump(dict(pre, video_processor_type="Qwen3VLVideoProcessor"), "video_preprocessor_config.json", 4)
end, pad = t["eos_token_id"], t["bos_token_id"]
dump(dict(bos_token_id=pad, pad_token_id=pad, do_sample=True, eos_token_id=[end, pad], top_k=20, top_p=0.8, repetition_penalty=1.0, temperature=0.7,
          transformers_version="4.56.0"), "generation_config.json", 4)
w = load_file(src + "/model.safetensors")
w.pop("lm_head.weight", None)
if untie:
    w["lm_head.weight"] = w["model.language_model.embed_tokens.weight"].clone()
save_file({k: x.to(torch.bfloat16).contiguous() for k, x in sorted(w.items())}, out + "/model.safetensors", metadata={"format": "pt"})
