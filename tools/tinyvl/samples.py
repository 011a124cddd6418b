# SPDX-License-Identifier: Apache-2.0
"""Synthetic visual question answering samples for a tiny Qwen3-VL.

Each sample is (list of PIL images, question, answer). Deterministic in its seed.
Task mix: word reading (a small TextVQA), numbers, shapes and colours (easy-VQA like),
counting, position, two-image comparison, description, text-only arithmetic.
"""
import glob, random
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageFilter

WORDS = """stop exit open closed hotel police taxi bank school market street avenue bridge river north south east west
coffee tea bread milk sugar salt pizza burger salad pasta apple orange banana lemon grape cherry melon peach water juice
beer wine lunch dinner kitchen garden office museum library theater cinema station airport train metro ticket platform gate
parking garage entrance private public danger warning caution speed limit slow fast left right turn yield merge one two three
four five six seven eight nine ten red green blue yellow black white purple brown silver golden monday tuesday friday sunday
winter summer spring autumn january march april june july august october music dance radio piano guitar violin drum song
football tennis hockey soccer baseball runner winner team coach player stadium book page paper pencil letter story novel
doctor nurse health pharmacy clinic dental emergency fire ambulance computer screen mouse keyboard phone camera battery
power energy solar engine motor wheel brake truck bus car bicycle plane ship boat harbor island ocean beach mountain forest
desert valley tree flower grass leaf stone sand snow rain cloud storm wind sun moon star planet earth space rocket tiger
lion bear wolf horse sheep goat chicken rabbit turtle eagle shark whale dolphin monkey zebra panda king queen prince castle
knight dragon magic crown sword shield tower house home family mother father brother sister friend happy smile love peace
welcome hello goodbye thanks please sorry enjoy relax sleep dream hope faith light dark heavy sale price cheap free offer
discount cash credit dollar euro store shop mall bakery butcher florist barber salon fashion shoes shirt jacket dress hat
glass bottle cup plate knife fork spoon table chair sofa lamp mirror window door floor wall roof brick wood metal plastic
paint brush color art design photo gallery studio print copy news press daily weekly world global local city town village
county state nation flag union senate court judge law order justice rule vote party leader mayor student teacher class
lesson exam grade degree college campus science physics biology history math logic number zero single double triple half""".split()
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 50), "blue": (40, 70, 220), "yellow": (240, 220, 40),
           "black": (15, 15, 15), "white": (245, 245, 245), "purple": (140, 40, 170), "brown": (130, 80, 40),
           "gray": (128, 128, 128), "teal": (0, 128, 128)}
SHAPES = ["circle", "rectangle", "triangle"]
SIZES = [(96, 32), (128, 32), (96, 64), (128, 64), (100, 70), (96, 96), (128, 96), (160, 64), (130, 90)]
FONTS = sorted(p for p in glob.glob("/usr/share/fonts/truetype/**/*.ttf", recursive=True)
               if any(k in p for k in ("DejaVuSans", "DejaVuSerif", "LiberationSans", "LiberationSerif", "LiberationMono",
                                       "FreeSans", "FreeSerif", "FreeMono"))
               and "Symbol" not in p and "ExtraLight" not in p)


BASIC = [p for p in FONTS if p.endswith("DejaVuSans-Bold.ttf")]


class Maker:
    """level in 0..1: how much of the variety (fonts, noise, photographs, rotation, large pictures) is used; training raises it."""

    def __init__(self, seed, photos=(), level=1.0):
        self.level = level
        self.n_words = 40
        self.size = None   # when set, every picture has this size (training batches are then uniform, hence fast)
        self.r = random.Random(seed)
        self.n = np.random.default_rng(seed)
        self.photos = list(photos)

    def ground(self, w, h, colour):
        r = self.r
        kind = r.random() if self.hard() else 1
        if self.photos and kind < 0.2:
            p = r.choice(self.photos)
            s = r.uniform(0.3, 1.0)
            cw, ch = max(w, int(p.width * s)), max(h, int(p.height * s))
            cw, ch = min(cw, p.width), min(ch, p.height)
            x, y = r.randint(0, p.width - cw), r.randint(0, p.height - ch)
            img = p.crop((x, y, x + cw, y + ch)).resize((w, h), Image.BILINEAR)
            veil = Image.new("RGB", (w, h), colour)
            return Image.blend(img, veil, 0.55)
        a = np.ones((h, w, 3), np.float32) * np.array(colour, np.float32)
        if kind < 0.6:
            a += self.n.normal(0, r.uniform(2, 14), a.shape)
        if kind < 0.4:
            a += np.linspace(-25, 25, w)[None, :, None] * r.choice([-1, 1])
        return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))

    def word(self):
        return self.r.choice(WORDS[:self.n_words])

    def hard(self):
        return self.r.random() < self.level

    def two_colours(self):
        while True:
            a, b = self.r.sample(list(COLOURS), 2)
            ca, cb = COLOURS[a], COLOURS[b]
            if abs(sum(ca) - sum(cb)) > 200 or max(abs(x - y) for x, y in zip(ca, cb)) > 140:
                return a, b

    def draw_text(self, img, lines, colour):
        r, d = self.r, ImageDraw.Draw(img)
        w, h = img.size
        rows = len(lines)
        for i, t in enumerate(lines):
            hard = self.hard()
            path = r.choice(FONTS if hard else BASIC)
            hi = min(h // rows - 2, 30)
            size = r.randint(max(12, int(hi * 0.55)), hi) if hard else min(hi, 20)
            while True:
                f = ImageFont.truetype(path, size)
                x0, y0, x1, y1 = d.textbbox((0, 0), t, font=f)
                if x1 - x0 <= w - 4 or size <= 9:
                    break
                size -= 1
            fx, fy = 3, int(i * h / rows) + max(0, h // rows - (y1 - y0)) // 2
            if hard:
                fx = r.randint(1, max(1, w - (x1 - x0) - 2))
                fy = int(i * h / rows) + r.randint(0, max(0, h // rows - (y1 - y0) - 2))
            d.text((fx - x0, fy - y0), t, font=f, fill=colour)
        if self.hard() and r.random() < 0.2:
            img = img.rotate(r.uniform(-5, 5), Image.BILINEAR, fillcolor=img.getpixel((1, 1)))
        if self.hard() and r.random() < 0.12:
            img = img.filter(ImageFilter.GaussianBlur(r.uniform(0.3, 0.8)))
        return img

    def case(self, t):
        return self.r.choice([t, t, t.upper(), t.capitalize()]) if self.hard() else t

    def word_image(self, lines):
        bg, fg = self.two_colours()
        w, h = self.size or self.r.choice(SIZES if self.hard() else SIZES[:4])
        if not self.size:
            h = max(h, 32 * len(lines))
            if max(map(len, lines)) > 7:
                w = max(w, 128)
        return self.draw_text(self.ground(w, h, COLOURS[bg]), lines, COLOURS[fg]), bg, fg

    def shape(self, d, kind, box, colour):
        x0, y0, x1, y1 = box
        if kind == "circle":
            d.ellipse(box, fill=colour)
        elif kind == "rectangle":
            d.rectangle((x0, y0 + (y1 - y0) // 6, x1, y1 - (y1 - y0) // 6), fill=colour)
        else:
            d.polygon([((x0 + x1) / 2, y0), (x0, y1), (x1, y1)], fill=colour)

    def shapes_image(self, n):
        r = self.r
        w, h = self.size or r.choice([(96, 64), (96, 96), (128, 64), (128, 96)])
        bg = r.choice(["white", "gray", "black", "yellow"])
        img = self.ground(w, h, COLOURS[bg])
        d = ImageDraw.Draw(img)
        got = []
        for i in range(n):
            c = r.choice([k for k in COLOURS if k != bg])
            k = r.choice(SHAPES)
            s = r.randint(min(16, h // 2), min(30, w // n - 4, h - 6))
            x = i * w // n + r.randint(0, max(0, w // n - s - 2))
            y = r.randint(2, h - s - 3)
            self.shape(d, k, (x, y, x + s, y + s), COLOURS[c])
            got.append((c, k))
        return img, bg, got

    # one method a task; each returns images, question, answer
    def t_word(self):
        t = self.case(self.word())
        img, _, _ = self.word_image([t])
        q = self.r.choice(["What word is written in the image?", "What does the sign say?", "Read the text.",
                           "What is the text in this picture?"])
        return [img], q, t

    def t_number(self):
        t = str(self.r.randint(0, 10 ** self.r.randint(1, 4 if self.hard() else 2) - 1))
        img, _, _ = self.word_image([t])
        return [img], self.r.choice(["What number is shown?", "Read the number.", "What does the sign say?"]), t

    def t_lines(self):
        a, b = self.case(self.word()), self.case(self.word())
        img, _, _ = self.word_image([a, b])
        q, ans = self.r.choice([("What is the first word?", a), ("What is the second word?", b),
                                ("Read all the text.", a + " " + b)])
        return [img], q, ans

    def t_shape(self):
        img, bg, got = self.shapes_image(1)
        c, k = got[0]
        r = self.r
        kind = r.randint(0, 3)
        if kind == 0:
            return [img], r.choice(["What shape is in the image?", "What shape does the image contain?"]), k
        if kind == 1:
            return [img], r.choice([f"What color is the {k}?", "What is the color of the shape?"]), c
        if kind == 2:
            k2 = r.choice([k, r.choice(SHAPES)])
            return [img], r.choice([f"Is there a {k2} in the image?", f"Does the image contain a {k2}?"]), "yes" if k2 == k else "no"
        c2 = r.choice([c, r.choice(list(COLOURS))])
        return [img], r.choice([f"Is there a {c2} shape?", f"Is the shape {c2}?"]), "yes" if c2 == c else "no"

    def t_shapes(self):
        n = self.r.randint(2, 3)
        img, bg, got = self.shapes_image(n)
        q, a = self.r.choice([("How many shapes are there?", str(n)),
                              ("What color is the shape on the left?", got[0][0]),
                              ("What color is the shape on the right?", got[-1][0]),
                              ("What shape is on the left?", got[0][1]),
                              ("What shape is on the right?", got[-1][1]),
                              ("What is the background color?", bg)])
        return [img], q, a

    def t_describe(self):
        q = "Please describe this picture in detail."
        if self.r.random() < 0.5:
            t = self.case(self.word())
            img, bg, fg = self.word_image([t])
            return [img], q, f'The picture shows the word "{t}" written in {fg} on a {bg} background.'
        n = self.r.randint(1, 3)
        img, bg, got = self.shapes_image(n)
        parts = [f"a {c} {k}" for c, k in got]
        s = parts[0] if n == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
        return [img], q, f"The picture shows {s} on a {bg} background."

    def t_pair(self):
        a = self.word()
        b = a if self.r.random() < 0.5 else self.word()
        ia, _, _ = self.word_image([a])
        ib, _, _ = self.word_image([b])
        q, ans = self.r.choice([("Do both images show the same word?", "yes" if a == b else "no"),
                                ("What does the first image say?", a), ("What does the second image say?", b)])
        return [ia, ib], q, ans

    def t_text(self):
        a, b = self.r.randint(0, 20), self.r.randint(0, 20)
        w = self.word()
        q, ans = self.r.choice([(f"What is {a} plus {b}?", str(a + b)), (f"Spell the word {w}.", "-".join(w)),
                                (f"Repeat the word {w}.", w), ("Hello!", "Hello! How can I help you?"),
                                ("Who are you?", "I am a very small vision-language model.")])
        return [], q, ans

    MIX = [("t_word", 26), ("t_number", 5), ("t_shape", 22), ("t_shapes", 18), ("t_describe", 22), ("t_pair", 3), ("t_text", 4)]

    def sample(self):
        names, weights = zip(*self.MIX)
        return getattr(self, self.r.choices(names, weights)[0])()
