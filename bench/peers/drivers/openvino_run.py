# SPDX-License-Identifier: Apache-2.0
"""OpenVINO GenAI on an exported folder: openvino_run.py PIPELINE IR_DIR THREADS SECTIONS.

PIPELINE `one` is VLMPipeline (pictures, prompts, one sequence), `many` is ContinuousBatchingPipeline (several at once).
"""
import io
import sys
import time

BEGIN = time.perf_counter()
import numpy  # noqa: E402
import openvino  # noqa: E402
import openvino_genai as genai  # noqa: E402
from PIL import Image  # noqa: E402

import common  # noqa: E402

kind, folder, threads, sections = sys.argv[1:]
inputs = common.Inputs(time.time_ns())


def how(n_tokens):
    config = genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos, config.do_sample, config.apply_chat_template = n_tokens, True, False, False
    return config


def load():
    options = {"INFERENCE_NUM_THREADS": int(threads)}
    if kind == "one":
        return genai.VLMPipeline(folder, "CPU", **options)
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_batched_tokens, scheduler.max_num_seqs = 2, 512, 16
    return genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", options)


def one(text, n_tokens, png=None):
    """Its own measurements of one request."""
    more = {"images": [openvino.Tensor(numpy.array(Image.open(io.BytesIO(png)))[None])]} if png else {}
    return pipeline.generate(text, generation_config=how(n_tokens), **more).perf_metrics


def many(n, n_prompt, n_answer):
    texts = [inputs.text(n_prompt) for _ in range(n)]
    return common.timed(lambda: pipeline.generate(texts, [how(n_answer)] * n))


def sample(section):
    count = common.number(section)
    if section.startswith("serve"):
        return count * common.ANSWER / many(count, common.PROMPT, common.ANSWER)
    if section.startswith("tg") and kind == "many":
        steps = common.ANSWER - 1
        return count * steps / (many(count, common.STREAM_PROMPT, 1 + steps) - many(count, common.STREAM_PROMPT, 1))
    if section == "tg1":
        return 1000 / one(inputs.text(common.STREAM_PROMPT), common.ANSWER).get_tpot().mean
    return count / (one(inputs.text(count), 1).get_ttft().mean / 1000)  # pp


def picture(section, repeats, towers):
    """First token with a new picture; what its preparation (the vision tower and the embedding of the text) took, on the side."""
    side, first = common.number(section), []
    for _ in range(repeats):
        metrics = one("What is in the picture?", 1, inputs.picture(side))
        first.append(metrics.get_ttft().mean / 1000)
        towers.setdefault(side, []).append(metrics.get_prepare_embeddings_duration().mean / 1000)
    return first


pipeline = load()
common.emit("start to ready", [time.perf_counter() - BEGIN], "s")
if kind == "one":
    one(inputs.text(32), 4)
else:
    many(1, 32, 4)
towers, asked = {}, dict(common.wanted(sections))
for section, repeats in asked.items():
    if section.startswith("ttft"):
        common.emit_section(section, picture(section, repeats, towers))
    elif not section.startswith("vit"):
        common.emit_section(section, [sample(section) for _ in range(repeats)])
for section, repeats in asked.items():
    if section.startswith("vit"):
        side = common.number(section)
        if side not in towers:
            picture("ttft" + str(side), repeats, towers)
        common.emit_section(section, towers[side])
common.emit_memory()
