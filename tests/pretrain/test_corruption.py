"""Corruptions: each spoils what it says, and nothing else."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from dnnrun.errors import SpecError
from dnnrun.pretrain.corruption import Corruption

IMAGE = (8, 8, 1)
ROWS = 500


def spoiled(options: Any, image: tuple[int, int, int] | None = IMAGE) -> tuple[np.ndarray, np.ndarray]:
    """Rows of numbers that are all different, and what becomes of them."""
    x = (1 + np.arange(ROWS * 64, dtype=np.float32)).reshape(ROWS, 64) / (ROWS * 64)
    corrupt = Corruption.parse(options).build(64, image)
    return x, np.asarray(jax.jit(corrupt)(x, jax.random.key(3)))


def test_mask_puts_a_share_to_zero() -> None:
    x, y = spoiled({"type": "mask", "rate": 0.25})
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert np.array_equal(y[y != 0], x[y != 0])


def test_salt_and_pepper_go_to_both_ends() -> None:
    x, y = spoiled({"type": "salt_and_pepper", "rate": 0.4, "low": -1, "high": 2})
    assert (y == -1).mean() == pytest.approx(0.2, abs=0.02)
    assert (y == 2).mean() == pytest.approx(0.2, abs=0.02)
    rest = (y != -1) & (y != 2)
    assert np.array_equal(y[rest], x[rest])


def test_gaussian_adds_noise_of_its_deviation() -> None:
    x, y = spoiled({"type": "gaussian", "std": 0.5})
    assert (y - x).std() == pytest.approx(0.5, abs=0.01)
    assert (y - x).mean() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_permute_moves_a_share_and_keeps_every_value(share: float) -> None:
    x, y = spoiled({"type": "permute", "share": share})
    assert np.array_equal(np.sort(x, 1), np.sort(y, 1))
    assert ((x != y).sum(1) == round(share * 64)).all()
    assert (x[0] != y[0]).tolist() != (x[1] != y[1]).tolist() or share == 1  # each row its own


def test_block_swap_exchanges_two_blocks() -> None:
    x, y = spoiled({"type": "block_swap", "size": 4})
    assert ((x != y).sum(1) == 2 * 16).all()
    for before, after in zip(x.reshape(-1, 8, 8)[:20], y.reshape(-1, 8, 8)[:20], strict=True):
        blocks = [(r, c) for r in (0, 4) for c in (0, 4)]
        moved = [b for b in blocks if not np.array_equal(before[b[0] :, b[1] :][:4, :4], after[b[0] :, b[1] :][:4, :4])]
        (a, b) = moved
        assert np.array_equal(before[a[0] :, a[1] :][:4, :4], after[b[0] :, b[1] :][:4, :4])


def test_block_swap_leaves_what_no_block_covers() -> None:
    x, y = (rows.reshape(-1, 8, 8) for rows in spoiled({"type": "block_swap", "size": 3}))
    assert np.array_equal(x[:, 6:], y[:, 6:])
    assert np.array_equal(x[:, :, 6:], y[:, :, 6:])


def test_column_swap_takes_from_the_same_column_of_another_row() -> None:
    x, y = spoiled({"type": "column_swap", "share": 0.3}, None)
    assert (x != y).mean() == pytest.approx(0.3, abs=0.02)
    for column in range(5):
        assert set(y[:, column]) <= set(x[:, column])


def test_the_same_key_gives_the_same_rows() -> None:
    for options in ("mask", "salt_and_pepper", "gaussian", "permute", {"type": "block_swap", "size": 2}, "column_swap"):
        (_, a), (_, b) = spoiled(options), spoiled(options)
        assert np.array_equal(a, b)


def test_blocks_want_an_image() -> None:
    with pytest.raises(SpecError) as caught:
        Corruption.parse("block_swap").check(64, None)
    assert str(caught.value) == "block_swap: wants images, and this data is a table; use column_swap"
