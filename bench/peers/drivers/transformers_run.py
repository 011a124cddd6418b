# SPDX-License-Identifier: Apache-2.0
"""transformers and torch: transformers_run.py MODEL DTYPE THREADS SECTIONS."""
import io
import sys
import time

BEGIN = time.perf_counter()
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import AutoImageProcessor, AutoTokenizer, Qwen3VLForConditionalGeneration  # noqa: E402

import common  # noqa: E402

folder, dtype, threads, sections = sys.argv[1:]
STEPS = 24
torch.set_num_threads(int(threads))
model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="sdpa").eval()
tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
common.emit("start to ready", [time.perf_counter() - BEGIN], "s")
inputs = common.Inputs(time.time_ns())


def ids(n, n_tokens):
    return torch.tensor([tokenizer(inputs.text(n_tokens)).input_ids for _ in range(n)])


def prompt(n_tokens):
    tokens = ids(1, n_tokens)
    return tokens.shape[1] / common.timed(lambda: model(input_ids=tokens, use_cache=True, logits_to_keep=1))


def decode(n):
    out = model(input_ids=ids(n, common.STREAM_PROMPT), use_cache=True, logits_to_keep=1)
    begin = time.perf_counter()
    for _ in range(STEPS):
        out = model(input_ids=out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)
    return n * STEPS / (time.perf_counter() - begin)


def tower(side):
    pixels = processor(images=[Image.open(io.BytesIO(inputs.picture(side)))], return_tensors="pt")
    values = pixels["pixel_values"].to(model.dtype)
    return common.timed(lambda: model.model.visual(values, grid_thw=pixels["image_grid_thw"]))


with torch.inference_mode():
    prompt(32)  # touches the weights
    for section, repeats in common.wanted(sections):
        measure = prompt if section.startswith("pp") else decode if section.startswith("tg") else tower
        common.emit_section(section, [measure(common.number(section)) for _ in range(repeats)])
common.emit_memory()
