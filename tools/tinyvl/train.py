# SPDX-License-Identifier: Apache-2.0
"""Trains a tiny Qwen3-VL from scratch on the samples of samples.py; saves it as a Hugging Face checkpoint.

Usage: train.py OUT --minutes M [--resume]
"""
import argparse
import glob
import inspect
import json
import math
import os
import queue
import threading
import time

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from patches import patches, picture_tokens
from samples import SIZES, Maker
import tokenizer as tk
from tokenizers import Tokenizer

ap = argparse.ArgumentParser()
ap.add_argument("out")
ap.add_argument("--minutes", type=float, default=60)
ap.add_argument("--batch", type=int, default=64)
ap.add_argument("--lr", type=float, default=1e-3)
ap.add_argument("--resume", action="store_true")
ap.add_argument("--easyvqa", default="")
ap.add_argument("--level", type=float, default=0.0, help="variety of the pictures at the start, see samples.Maker")
ap.add_argument("--top", type=float, default=0.35, help="variety at the end")
a = ap.parse_args()
os.makedirs(a.out, exist_ok=True)
torch.manual_seed(1)
torch.set_num_threads(2)
if not a.resume:
    tk.build(a.out, [])
tok = Tokenizer.from_file(a.out + "/tokenizer.json")
IDS = {t: tok.token_to_id(t) for t in tk.SPECIAL}
V = (tok.get_vocab_size() + 63) // 64 * 64

text = dict(model_type="qwen3_vl_text", vocab_size=V, hidden_size=256, intermediate_size=768, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, head_dim=64, hidden_act="silu", rms_norm_eps=1e-6,
            max_position_embeddings=4096, rope_theta=5000000.0, attention_bias=False, attention_dropout=0.0,
            rope_scaling=dict(rope_type="default", mrope_interleaved=True, mrope_section=[12, 10, 10]),
            tie_word_embeddings=True, eos_token_id=IDS["<|im_end|>"], bos_token_id=IDS["<|endoftext|>"], initializer_range=0.02,
            use_cache=True, dtype="float32")
vision = dict(model_type="qwen3_vl", depth=4, hidden_size=192, hidden_act="gelu_pytorch_tanh", intermediate_size=512, num_heads=3,
              in_channels=3, patch_size=16, temporal_patch_size=2, spatial_merge_size=2, out_hidden_size=256,
              num_position_embeddings=2304, deepstack_visual_indexes=[0, 1, 2], initializer_range=0.02)
cfg = Qwen3VLConfig(text_config=text, vision_config=vision, image_token_id=IDS["<|image_pad|>"], video_token_id=IDS["<|video_pad|>"],
                    vision_start_token_id=IDS["<|vision_start|>"], vision_end_token_id=IDS["<|vision_end|>"], tie_word_embeddings=True)
model = Qwen3VLForConditionalGeneration(cfg)
if a.resume:
    model = Qwen3VLForConditionalGeneration.from_pretrained(a.out, dtype=torch.float32)
from transformers.models.qwen3_vl import modeling_qwen3_vl as mq


def attend(self, hidden_states, cu_seqlens, position_embeddings=None, **kw):
    """The library's vision attention for pictures of one size: one batched call instead of one a picture."""
    n, b = hidden_states.shape[0], len(cu_seqlens) - 1
    q, k, v = self.qkv(hidden_states).reshape(n, 3, self.num_heads, -1).permute(1, 0, 2, 3).unbind(0)
    q, k = mq.apply_rotary_pos_emb_vision(q, k, *position_embeddings)
    q, k, v = (t.reshape(b, n // b, self.num_heads, -1).transpose(1, 2).to(v.dtype) for t in (q, k, v))
    o = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return self.proj(o.transpose(1, 2).reshape(n, -1))


mq.Qwen3VLVisionAttention.forward = attend
print("parameters", sum(p.numel() for p in model.parameters()) / 1e6, "M", flush=True)

def encode(sample):
    ims, q, ans = sample
    px, grid, pre = [], [], "<|im_start|>user\n"
    for im in ims:
        p, g = patches(im)
        px.append(p); grid.append(g)
        pre += picture_tokens(g)
    pre += q + "<|im_end|>\n<|im_start|>assistant\n"
    i = tok.encode(pre, add_special_tokens=False).ids
    o = tok.encode(ans + "<|im_end|>", add_special_tokens=False).ids
    return px, grid, i, o


def batch(mk, n):
    mk.size = mk.r.choice(SIZES if mk.hard() else SIZES[:4])
    s = [encode(mk.sample()) for _ in range(n)]
    L = max(len(x[2]) + len(x[3]) for x in s)
    ids = torch.full((n, L), IDS["<|endoftext|>"]); lab = torch.full((n, L), -100); att = torch.zeros((n, L), dtype=torch.long)
    px, grid = [], []
    for k, (p, g, i, o) in enumerate(s):
        t = i + o
        ids[k, :len(t)] = torch.tensor(t); att[k, :len(t)] = 1
        lab[k, len(i):len(t)] = torch.tensor(o)
        px += p; grid += g
    mm = (ids == IDS["<|image_pad|>"]).long()
    return dict(input_ids=ids, attention_mask=att, labels=lab, pixel_values=torch.cat(px), image_grid_thw=torch.tensor(grid),
                mm_token_type_ids=mm)


photos = []
try:
    import skimage.data
    from PIL import Image
    d = os.path.dirname(skimage.data.__file__)
    photos = [Image.open(f).convert("RGB") for f in glob.glob(d + "/*.png") + glob.glob(d + "/*.jpg")]
    photos = [p for p in photos if min(p.size) >= 128]
except Exception as e:
    print("no photos", e)
print("photos", len(photos), flush=True)
mk = Maker(int(time.time()) if a.resume else 12345, photos)
if a.easyvqa:
    easy = json.load(open(a.easyvqa + "/train.json"))
    from PIL import Image
    cache = {}

    def t_easy(self=mk):
        q, ans, i = self.r.choice(easy)
        if i not in cache:
            cache[i] = Image.open(f"{a.easyvqa}/train/{i}.png").convert("RGB")
        return [cache[i].resize(self.size, Image.BILINEAR)], q[0].upper() + q[1:], ans
    mk.t_easy = t_easy
    mk.MIX = Maker.MIX + [("t_easy", 6)]

mk.level = a.level
Q = queue.Queue(4)
threading.Thread(target=lambda: [Q.put(batch(mk, a.batch)) for _ in iter(int, 1)], daemon=True).start()
accepts = set(inspect.signature(model.forward).parameters)
opt = torch.optim.AdamW(model.parameters(), lr=a.lr, betas=(0.9, 0.98), weight_decay=0.05)
T0, step, seen, run = time.time(), 0, 0, None
while True:
    el = (time.time() - T0) / 60
    if el > a.minutes:
        break
    fr = el / a.minutes
    lr = a.lr * min(1, (step + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fr)))
    mk.level = max(a.level, min(a.top, (fr - 0.2) / 0.5))
    for g in opt.param_groups:
        g["lr"] = lr
    b = {k: v for k, v in Q.get().items() if k in accepts}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**b).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step(); opt.zero_grad(set_to_none=True)
    step += 1; seen += a.batch
    run = loss.item() if run is None else 0.98 * run + 0.02 * loss.item()
    if step % int(os.environ.get('EVERY', 50)) == 0:
        print(f"step {step} seen {seen} min {el:.1f} loss {run:.4f} lr {lr:.2e} q {Q.qsize()}", flush=True)
    if step % 500 == 0:
        model.save_pretrained(a.out)
model.save_pretrained(a.out)
print("saved", flush=True)
