# SPDX-License-Identifier: Apache-2.0
"""Writes a visual question answering set in TextVQA's JSON layout: images/*.jpg|png, textvqa.json, messages.jsonl.

Usage: make_pictures.py OUT --seed N --count N [--single]     (--single: one picture a sample, as TextVQA has)
textvqa.json holds the single-picture questions; messages.jsonl holds every sample, also those with two or no pictures.
"""
import argparse, glob, json, os
from PIL import Image
import skimage.data
from samples import Maker

ap = argparse.ArgumentParser()
ap.add_argument("out"); ap.add_argument("--seed", type=int, required=True); ap.add_argument("--count", type=int, default=64)
ap.add_argument("--single", action="store_true"); ap.add_argument("--level", type=float, default=0.35)
a = ap.parse_args()
os.makedirs(a.out + "/images", exist_ok=True)
d = os.path.dirname(skimage.data.__file__)
photos = [Image.open(f).convert("RGB") for f in sorted(glob.glob(d + "/*.png") + glob.glob(d + "/*.jpg"))]
photos = [p for p in photos if min(p.size) >= 128]
m = Maker(a.seed, photos, level=a.level)
rows, msgs, k = [], [], 0
while k < a.count:
    ims, q, ans = m.sample()
    if a.single and len(ims) != 1:
        continue
    names = []
    for j, im in enumerate(ims):
        n = f"{a.seed:04d}{k:05d}{'ab'[j] if len(ims) > 1 else ''}"
        ext = "png" if m.r.random() < 0.3 else "jpg"
        im.save(f"{a.out}/images/{n}.{ext}", **({} if ext == "png" else dict(quality=93, subsampling=0)))
        names.append((n, ext))
    msgs.append(dict(id=k, messages=[dict(role="user", content=[dict(type="image", image=f"images/{n}.{e}") for n, e in names]
                                          + [dict(type="text", text=q)])], answer=ans))
    if len(ims) == 1:
        rows.append(dict(question=q, image_id=names[0][0], image_classes=[], flickr_original_url="", flickr_300k_url="",
                         image_width=ims[0].width, image_height=ims[0].height, answers=[ans] * 10,
                         question_tokens=q.lower().rstrip("?").split(), question_id=a.seed * 100000 + k, set_name="val"))
    k += 1
json.dump(dict(dataset_type="val", dataset_name="textvqa", dataset_version="0.5.1", data=rows), open(a.out + "/textvqa.json", "w"), indent=1)
with open(a.out + "/messages.jsonl", "w") as f:
    for x in msgs:
        f.write(json.dumps(x) + "\n")
print(len(rows), len(msgs))
