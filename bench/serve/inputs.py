# SPDX-License-Identifier: Apache-2.0
"""Prompts of an exact number of tokens and pictures of an exact size; no two alike, so that no cache helps unasked."""
import math
import random
import struct
import zlib

SINE = bytes(int(127.5 + 127 * math.sin(math.tau * i / 1024)) for i in range(1024))


class Inputs:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, n_tokens):
        """Qwen's tokenizers make one token of each digit."""
        return "".join(self.random.choices("0123456789", k=n_tokens))

    def picture(self, side):
        """A square PNG with soft waves of colour."""
        waves = [(self.random.uniform(0.5, 5), self.random.uniform(0.5, 5), self.random.randrange(1024)) for _ in range(3)]
        across = [[int(1024 * fx * x / side) + phase for x in range(side)] for fx, _, phase in waves]
        rows = bytearray()
        for y in range(side):
            rows.append(1)  # each pixel as its difference to the left neighbour
            line = bytearray(3 * side)
            for channel, (_, fy, _) in enumerate(waves):
                down = int(1024 * fy * y / side)
                values = [SINE[(a + down) & 1023] for a in across[channel]]
                line[channel::3] = bytes((b - a) & 255 for a, b in zip([0, *values], values))
            rows += line
        return _png(side, side, bytes(rows))


def _png(width, height, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
