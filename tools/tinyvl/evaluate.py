# SPDX-License-Identifier: Apache-2.0
"""Exact-match accuracy of a tiny Qwen3-VL folder on a data folder of make_pictures.py, by kind of question. Usage: evaluate.py MODEL DATA [N]"""
import collections
import inspect
import json
import sys
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import Qwen3VLForConditionalGeneration

from patches import patches, picture_tokens

def main():
    model, data = sys.argv[1:3]
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 10 ** 9
    m = Qwen3VLForConditionalGeneration.from_pretrained(model, dtype=torch.float32).eval()
    tok = Tokenizer.from_file(model + "/tokenizer.json")
    end = tok.token_to_id("<|im_end|>")
    good, all_ = collections.Counter(), collections.Counter()
    for line in list(open(data + "/messages.jsonl"))[:n]:
        s = json.loads(line)
        px, grid, pre, q = [], [], "<|im_start|>user\n", ""
        for p in s["messages"][0]["content"]:
            if p["type"] == "image":
                x, g = patches(Image.open(f"{data}/{p['image']}").convert("RGB"))
                px.append(x); grid.append(g)
                pre += picture_tokens(g)
            else:
                pre += p["text"]; q = p["text"]
        ids = torch.tensor([tok.encode(pre + "<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False).ids])
        kw = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
        if "mm_token_type_ids" in inspect.signature(m.forward).parameters:  # transformers 5
            kw["mm_token_type_ids"] = (ids == m.config.image_token_id).long()
        if px:
            kw.update(pixel_values=torch.cat(px), image_grid_thw=torch.tensor(grid))
        with torch.no_grad():
            o = m.generate(**kw, max_new_tokens=40, do_sample=False, eos_token_id=end, pad_token_id=end)[0, ids.shape[1]:].tolist()
        a = tok.decode([t for t in o if t != end], skip_special_tokens=True)
        k = "no picture" if not px else "two pictures" if len(px) > 1 else " ".join(q.split()[:2])
        all_[k] += 1
        good[k] += a.strip() == s["answer"]
        if all_[k] <= 2:
            print(repr(q), "|", s["answer"], "|", a)
    for k, c in all_.most_common():
        print(f"{k:20s} {good[k]:4d} / {c}")
    print("all", sum(good.values()), "/", sum(all_.values()))


main()
