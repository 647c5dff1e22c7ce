"""Rows that are on the device a window at a time; a thread puts the next window there while the steps run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from dnnrun.data.room import release
from dnnrun.streams import generator
from dnnrun.train.spread import Shares, Spread
from dnnrun.train.state import Batches

AHEAD = 2  # windows that wait for their turn: the next of an epoch, and of what is evaluated in between


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Window(Batches):
    """Some rows of a split, in place of all: `features`, `labels` and `weights` of these, filled up.

    `order` says in which order they are trained on, as row numbers of the window. `first` is the number of its first
    batch in the epoch, int32.
    """

    first: jax.Array

    def numbers(self, number: jax.Array, size: int) -> jax.Array:
        return super().numbers(number - self.first, size)


class Stream:
    """The rows of a run, streamed.

    `host` has the fields of Batches as NumPy arrays (its order apart), the features in memory or mapped from a file.
    The training rows, `train` (first, stop), are cut into windows of `size` rows, rounded down to whole batches. An
    epoch takes the windows in an order of its own, and the rows of each in an order of its own; both are functions of
    seed and epoch. The rows that fill no batch at the end of the last window sit out that epoch, as they do where all
    rows are on the device: a run with the same orders comes to the same bits. With a `spread`, each window is shared
    out over its devices, and every process takes only the rows of its own.
    """

    def __init__(
        self,
        host: dict[str, Any],
        train: tuple[int, int],
        size: int,
        batch_size: int,
        seed: int,
        spread: Spread | None = None,
    ):
        self.host, self.train, self.batch_size, self.seed, self.spread = host, train, batch_size, seed, spread
        rows = train[1] - train[0]
        self.size = min(max(1, size // batch_size), rows // batch_size) * batch_size
        self.count = -(-(rows // batch_size * batch_size) // self.size)
        fixed = {name: host[name] for name in ("offset", "factor", "key")}
        self.fixed = spread.fixed(fixed) if spread else jax.device_put(fixed)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="windows")
        self.coming: dict[Hashable, Future[Window | Shares]] = {}

    def epoch(self, number: int) -> Epoch:
        """Epoch `number`, 0 the first."""
        return Epoch(self, number, self.turns(number))

    def turns(self, epoch: int) -> list[tuple[int, int]]:
        """The windows in the order of this epoch, each with the number of its first batch."""
        turns, first = [], 0
        for window in generator(self.seed, "windows", epoch).permutation(self.count).tolist():
            turns.append((window, first))
            start, stop = self.bounds(window)
            first += (stop - start) // self.batch_size
        return turns

    def bounds(self, window: int) -> tuple[int, int]:
        """The first row of a window and the one behind its last; the last window has the rows that are over too."""
        start = self.train[0] + window * self.size
        return start, self.train[1] if window == self.count - 1 else start + self.size

    def order(self, epoch: int, window: int) -> np.ndarray:
        """The rows of a window in the order of this epoch, int32, counted from its first."""
        start, stop = self.bounds(window)
        return generator(self.seed, "order", epoch, window).permutation(stop - start).astype(np.int32)

    def pieces(self, start: int, stop: int) -> Iterator[tuple[Window | Shares, int]]:
        """The rows `start` to `stop` (excluded) in windows, each with how many of its rows count."""
        places = [(at, min(at + self.size, stop)) for at in range(start, stop, self.size)]
        named = [(("rows", *place), partial(self.piece, *place)) for place in places]
        for number, (first, last) in enumerate(places):
            yield self.get(*named[number], named[number + 1 : number + 2]), last - first

    def piece(self, start: int, stop: int) -> Window | Shares:
        """The rows `start` to `stop` (excluded) on the device, for evaluation."""
        if self.spread:
            return self._released(self.spread.piece(self.host, self.fixed, start, stop, self.size))
        return self._window(start, stop, 0, np.zeros(0, np.int32))

    def turn(self, epoch: int, window: int, first: int) -> Window | Shares:
        """A window on the device, to train on in this epoch from its batch `first` on."""
        start, stop = self.bounds(window)
        order = self.order(epoch, window)
        if self.spread:
            steps, places = self.size // self.batch_size, start + order
            return self._released(self.spread.window(self.host, self.fixed, places, first, steps, self.batch_size))
        return self._window(start, stop, first, order)

    def _released(self, shares: Shares) -> Shares:
        """The same, once nothing is mapped for it."""
        release(self.host["features"])
        return shares

    def _window(self, start: int, stop: int, first: int, order: np.ndarray) -> Window:
        room = self.size + self.batch_size - 1  # every window has the shape of the largest
        arrays = {"order": np.zeros(room, np.int32)}
        arrays["order"][: len(order)] = order
        for name in ("features", "labels", "weights"):
            if (rows := self.host[name]) is None:
                continue
            arrays[name] = np.zeros((room, *rows.shape[1:]), rows.dtype)
            arrays[name][: stop - start] = rows[start:stop]
            release(rows)
        return Window(**jax.device_put({**arrays, "first": np.int32(first)}), **self.fixed)

    def get(self, name: Hashable, make: Make, ahead: Sequence[tuple[Hashable, Make]]) -> Window | Shares:
        """The window of this name, and let the thread go on with those `ahead`."""
        future = self.coming.pop(name, None) or self.thread.submit(make)
        for later, how in ahead:
            if later not in self.coming:
                self.coming[later] = self.thread.submit(how)
        while len(self.coming) > AHEAD:
            self.coming.pop(next(iter(self.coming))).cancel()
        return future.result()


Make = Callable[[], Window | Shares]


@dataclass(frozen=True)
class Epoch:
    """One epoch of a stream."""

    stream: Stream
    number: int
    turns: list[tuple[int, int]]

    def at(self, batch: int) -> tuple[Window | Shares, int]:
        """The window that has batch `batch` of this epoch, and the number of the batch behind its last one."""
        stream, turn = self.stream, max(n for n, (_, first) in enumerate(self.turns) if first <= batch)
        window, first = self.turns[turn]
        start, stop = stream.bounds(window)
        last = turn + 1 == len(self.turns)
        after = self.number + 1 if last else self.number
        following = stream.turns(after)[0] if last else self.turns[turn + 1]
        found = stream.get(*self._named(self.number, window, first), [self._named(after, *following)])
        return found, first + (stop - start) // stream.batch_size

    def _named(self, epoch: int, window: int, first: int) -> tuple[Hashable, Make]:
        return ("turn", epoch, window), partial(self.stream.turn, epoch, window, first)

    def pieces(self, start: int, stop: int) -> Iterator[tuple[Window | Shares, int]]:
        """As `Stream.pieces`: rows are in no order but the dataset's there."""
        return self.stream.pieces(start, stop)
