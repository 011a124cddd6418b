# SPDX-License-Identifier: Apache-2.0
"""Pictures as the model takes them: rows of 2 frames x 16 x 16 pixels, in the order of Qwen2-VL's processor (blocks of 2 x 2 patches)."""
import numpy as np
import torch

PATCH, MERGE = 16, 2
FACTOR = PATCH * MERGE
BICUBIC = 3


def patches(image):
    """PIL image -> ([grid_h * grid_w, 3 * 2 * 16 * 16] float32 in -1..1, (1, grid_h, grid_w)). Sides are rounded to 32."""
    width, height = (max(FACTOR, round(side / FACTOR) * FACTOR) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), BICUBIC)
    x = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1) / 127.5 - 1.0
    rows, cols = height // PATCH, width // PATCH
    x = x.reshape(3, rows // MERGE, MERGE, PATCH, cols // MERGE, MERGE, PATCH).permute(1, 4, 2, 5, 0, 3, 6)
    x = x.reshape(rows * cols, 3, 1, PATCH, PATCH).expand(-1, -1, 2, -1, -1).reshape(rows * cols, -1)
    return x, (1, rows, cols)


def picture_tokens(grid):
    return "<|vision_start|>" + "<|image_pad|>" * (grid[1] * grid[2] // MERGE**2) + "<|vision_end|>"
