"""Augmentation: what it does to pixels, and that every draw is a function of the run's key and the step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dnnrun.data.augment import Augment
from dnnrun.errors import DataError
from dnnrun.train.augment import Augmentation
from dnnrun.train.trouble import first_bad_layer
from tests.smallnets import BATCH, PER_EPOCH, net, same

IMAGE = (5, 6, 2)
ROWS = 400
KEY = jnp.array([3, 4], jnp.uint32)
PIXELS = np.random.default_rng(0).integers(1, 255, (ROWS, *IMAGE), np.uint8)


def moved(step: int = 0, **options: Any) -> np.ndarray:
    augmentation = Augmentation(Augment(**options), IMAGE)
    key = augmentation.key(KEY, jnp.int32(step))
    return np.asarray(augmentation.move(jnp.asarray(PIXELS.reshape(ROWS, -1)), key)).reshape(PIXELS.shape)


def window(image: np.ndarray, down: int, right: int, fill: str) -> np.ndarray:
    """`image` moved by so many pixels, by NumPy."""
    padded = np.pad(image, ((9, 9), (9, 9), (0, 0)), mode="edge" if fill == "edge" else "constant")
    return padded[9 - down : 9 - down + IMAGE[0], 9 - right : 9 - right + IMAGE[1]]


def mirrored(image: np.ndarray, flip: str | None) -> list[np.ndarray]:
    """Every mirror image that `flip` allows."""
    over = {None: [()], "horizontal": [(), (1,)], "vertical": [(), (0,)], "both": [(), (0,), (1,), (0, 1)]}[flip]
    return [np.flip(image, axes) for axes in over]


@pytest.mark.parametrize(
    ("shift", "fill", "flip"),
    [
        (0, "black", "horizontal"),
        (0, "black", "vertical"),
        (0, "black", "both"),
        (1, "black", "horizontal"),
        (1, "edge", "both"),
        (3, "black", None),
        (2, "edge", None),
    ],
)
def test_every_image_is_a_moved_one_and_all_moves_are_drawn(shift: int, fill: Any, flip: Any) -> None:
    found, seen = moved(shift=shift, fill=fill, flip=flip), set()
    for before, after in zip(PIXELS, found, strict=True):
        fits = [
            (number, down, right)
            for number, image in enumerate(mirrored(before, flip))
            for down in range(-shift, shift + 1)
            for right in range(-shift, shift + 1)
            if np.array_equal(window(image, down, right, fill), after)
        ]
        assert fits
        seen.update(fits)
    assert found.dtype == np.uint8
    assert len(seen) == len(mirrored(PIXELS[0], flip)) * (2 * shift + 1) ** 2


def test_a_step_draws_the_same_again_and_another_step_another() -> None:
    options = {"shift": 2, "flip": "horizontal"}
    np.testing.assert_array_equal(moved(7, **options), moved(7, **options))
    assert (moved(7, **options) != moved(8, **options)).any()


def test_noise_is_normal_and_of_the_size_that_was_wanted() -> None:
    augmentation = Augmentation(Augment(noise=0.25), None)
    x = jnp.zeros((1000, 50))
    noise = np.asarray(augmentation.disturb(x, augmentation.key(KEY, jnp.int32(0))))
    assert abs(noise.mean()) < 0.005
    assert noise.std() == pytest.approx(0.25, rel=0.02)
    assert (np.abs(noise) < 0.25).mean() == pytest.approx(0.6827, abs=0.01)


def test_rows_are_moved_before_they_are_scaled() -> None:
    """What comes in is black as the data has it, not 0 of what was scaled."""
    small = net()
    image = (2, 3, 1)  # of the six features of the small network
    program = replace(small.program, augmentation=Augmentation(Augment(shift=1), image))
    x, labels, _ = program.batch(small.data, jnp.int32(PER_EPOCH + 1))
    plain, same_labels, _ = small.data.batch(jnp.int32(1), BATCH)
    np.testing.assert_array_equal(labels, same_labels)
    offset, factor = float(small.data.offset), float(small.data.factor)
    black = (0 - offset) * factor
    for before, after in zip(np.asarray(plain), np.asarray(x), strict=True):
        new = np.setdiff1d(after, before)
        np.testing.assert_allclose(new, np.full(len(new), black), rtol=1e-6)
    assert (np.asarray(x) != np.asarray(plain)).any()


def test_cuts_do_not_change_a_bit() -> None:
    small = net()
    program = replace(small.program, augmentation=Augmentation(Augment(shift=1, noise=0.1, flip="both"), (2, 3, 1)))
    program.compile(small.state, small.frozen, small.data)
    whole = program.train_chunk(small.state, small.frozen, small.data, 0, PER_EPOCH)
    state = small.state
    for start, stop in ((0, 1), (1, 3), (3, PER_EPOCH)):
        state = program.train_chunk(state, small.frozen, small.data, start, stop)
    assert same(whole.params, state.params)
    plain = small.program.train_chunk(small.state, small.frozen, small.data, 0, PER_EPOCH)
    assert not same(whole.params, plain.params)
    scores = [p.evaluate(small.tensors(whole), small.data, 0, 12) for p in (program, small.program)]
    assert scores[0] == scores[1]  # nothing changes in evaluation


def test_a_loss_that_is_not_finite_is_found_in_the_rows_as_they_were() -> None:
    small = net()
    program = replace(small.program, augmentation=Augmentation(Augment(noise=1e38), None))
    found = first_bad_layer(program, small.state, small.frozen, small.data)
    assert found == ("hidden1", "its pre-activations")


@pytest.mark.parametrize(
    ("options", "image", "message"),
    [
        (
            {"shift": 1},
            None,
            "data.augment.shift: wants images, and this data is a table; leave it out (noise is for tables too)",
        ),
        (
            {"flip": "both", "noise": 0.1},
            None,
            "data.augment.flip: wants images, and this data is a table; leave it out (noise is for tables too)",
        ),
        (
            {"shift": 5},
            (5, 6, 1),
            "data.augment.shift: 5 pixels move an image of 5 x 6 out of sight; take less than 5",
        ),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], image: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Augment(**options).check(image)
    assert str(caught.value) == message
    Augment(noise=0.1).check(image)


def test_draws_are_those_of_no_other_stream() -> None:
    """No step's key, from which layers draw, is an augmentation's."""
    augmentation = Augmentation(Augment(noise=0.1), None)
    key = jax.random.wrap_key_data(KEY, impl="threefry2x32")
    steps = {jax.random.key_data(jax.random.fold_in(key, step)).tobytes() for step in range(50)}
    own = {jax.random.key_data(augmentation.key(KEY, jnp.int32(step))).tobytes() for step in range(50)}
    assert len(steps | own) == 100
