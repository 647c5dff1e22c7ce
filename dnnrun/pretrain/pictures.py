"""Pictures of many images side by side: filters, samples, reconstructions."""

from __future__ import annotations

import numpy as np

GAP, SIDE = 1, 56  # pixels between tiles, and about how high a tile is drawn


def tiles(rows: np.ndarray, image: tuple[int, int, int], across: int, stretch: bool = False) -> np.ndarray:
    """Rows of images (n, height * width * channels) side by side, (h, w) or (h, w, 3) uint8.

    Values from 0 to 1 become black to white; with `stretch`, each image's own lowest to its highest.
    """
    height, width, channels = image
    pictures = rows.reshape(-1, height, width, channels).astype(np.float64)
    if stretch:
        low, high = (f(pictures, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
        pictures = (pictures - low) / np.maximum(high - low, 1e-12)
    pictures = np.clip(pictures, 0, 1)
    if channels not in (1, 3):
        pictures = pictures.mean(3, keepdims=True)
    down = -(-len(pictures) // across)
    sheet = np.full((down * (height + GAP) + GAP, across * (width + GAP) + GAP, pictures.shape[3]), 0.5)
    for number, picture in enumerate(pictures):
        top, left = GAP + number // across * (height + GAP), GAP + number % across * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    scale = max(1, round(SIDE / height))
    sheet = np.round(255 * sheet).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
    return sheet[:, :, 0] if sheet.shape[2] == 1 else sheet
