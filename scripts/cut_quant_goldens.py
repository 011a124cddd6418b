#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cuts the recorded runs of the original quantizer down to what the tests need.

    scripts/cut_quant_goldens.py FULL tests/data/goldens/quant

FULL holds, for every recorded run, the folder that the original tool wrote and NAME_dump/ with what its calibration saw
(activations sample by sample, observers, fake-quantized tensors). The cut keeps one whole checkpoint (s_untied), the
quantized tensors of its folder plus a hash of the whole weight file, and a few representative linears of everything
else. Needs nothing beside Python's standard library.
"""
import json
import os
import re
import shutil
import struct
import sys

RANK = {n: i for i, n in enumerate(["I64", "F32", "I32", "BF16", "F16", "I8"])}


def read(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
        data = f.read()
    header.pop("__metadata__", None)
    return {k: (v["dtype"], v["shape"], data[v["data_offsets"][0]:v["data_offsets"][1]]) for k, v in header.items()}


def write(path, tensors):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    names = sorted(tensors, key=lambda k: (RANK[tensors[k][0]], k))
    header, offset = {}, 0
    for name in names:
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            f.write(tensors[name][2])


def fnv1a(path):
    value = 0xCBF29CE484222325
    with open(path, "rb") as f:
        for byte in f.read():
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def cut(full, out, path, keep):
    tensors = {k: v for k, v in read(os.path.join(full, path)).items() if keep(k, v)}
    write(os.path.join(out, path), tensors)


def copy(full, out, path):
    os.makedirs(os.path.dirname(os.path.join(out, path)), exist_ok=True)
    shutil.copyfile(os.path.join(full, path), os.path.join(out, path))


QUANT = re.compile(r"\.(weight_scale|weight_offset|input_scale|input_offset|deq_scale|quant_bias)$")


def main():
    full, out = sys.argv[1:]
    text = r"model\.(language_model\.)?layers\."
    few = re.compile(text + r"(0\.(self_attn\.[qo]_proj|mlp\.gate_proj)|2\.self_attn\.o_proj)\.")
    older = re.compile(text + r"0\.(self_attn\.[qo]_proj|mlp\.gate_proj)\.|visual\.blocks\.0\.attn\.(qkv|proj)\.")

    # The whole checkpoint and the original's folder without what equals the checkpoint.
    for name in sorted(os.listdir(os.path.join(full, "inputs/s_untied"))):
        copy(full, out, "inputs/s_untied/" + name)
    weights = "v0/quant_model_weight_w8a8.safetensors"
    for name in sorted(os.listdir(os.path.join(full, "v0"))):
        if not name.endswith(".safetensors") and name not in ("tokenizer.json", "vocab.json"):
            copy(full, out, "v0/" + name)
    quantized = {QUANT.sub(".weight", k) for k in read(os.path.join(full, weights)) if QUANT.search(k)}
    cut(full, out, weights, lambda k, v: QUANT.search(k) or k in quantized)
    with open(os.path.join(out, "v0/hash.json"), "w") as f:
        path = os.path.join(full, weights)
        json.dump({"file": os.path.basename(path), "bytes": os.path.getsize(path), "fnv1a64": "%016x" % fnv1a(path)}, f)
        f.write("\n")

    # Calibration: activations, observers, fake-quantized tensors.
    for part in ("acts", "observers"):
        cut(full, out, f"v0_dump/{part}.safetensors", lambda k, v: few.match(k))
        cut(full, out, f"qwen2_5_vl_dump/{part}.safetensors", lambda k, v: older.match(k))
    for run in ("v0", "qwen2_5_vl"):
        copy(full, out, f"{run}_dump/fakequant.safetensors")
    copy(full, out, "v0_act1_dump/observers.safetensors")

    # Mean of extremes: everything but the codes (they equal v0's). Dynamic: one layer.
    cut(full, out, "v0_act1/quant_model_weight_w8a8.safetensors", lambda k, v: QUANT.search(k))
    cut(full, out, "v0_dynamic/quant_model_weight_w8a8_dynamic.safetensors",
        lambda k, v: re.search(r"layers\.1\.self_attn", k))

    for run in ("v0_act1", "v0_dynamic"):
        for name in ("stripped.json", "quant_model_description.json", "config.json"):
            copy(full, out, f"{run}/{name}")

    # The older family in BF16, with biases and the weights that its outlier step had changed.
    cut(full, out, "qwen2_5_vl/quant_model_weight_w8a8.safetensors", lambda k, v: older.match(k))
    cut(full, out, "inputs/qwen2_5_vl/model.safetensors", lambda k, v: older.match(k))
    cut(full, out, "qwen2_5_vl_dump/anti.safetensors", lambda k, v: older.match(k))


if __name__ == "__main__":
    main()
