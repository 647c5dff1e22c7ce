"""Models by what they are for: words, task, size of the inputs, number of classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dnnrun.errors import ZooError
from dnnrun.zoo.catalogue import Entry

SIZE = re.compile(r"(\d+)x(\d+)(?:x(\d+))?")
CHANNELS = {"grey": 1, "gray": 1, "greyscale": 1, "grayscale": 1, "colour": 3, "color": 3, "rgb": 3}


@dataclass(frozen=True)
class Query:
    """What is looked for; None where it does not matter. `image` is (height, width)."""

    words: tuple[str, ...] = ()
    task: str | None = None
    image: tuple[int, int] | None = None
    channels: int | None = None
    features: int | None = None
    classes: int | None = None


def query_of(words: Sequence[str], task: str | None, size: str | None, classes: int | None) -> Query:
    """`28x28 grey, 10 classes` as a query; `size` is 28x28, 28x28x1 or a number of features. Raises ZooError."""
    text = " ".join(words).lower().replace(",", " ")
    found = Query(task=task, classes=classes)
    if match := re.search(r"\b(\d+) (?:class|classes|outputs)\b", text):
        found = replace(found, classes=int(match[1]) if classes is None else classes)
        text = text.replace(match[0], " ")
    if match := re.search(r"\b(\d+) (?:features|inputs|columns)\b", text):
        found, text = replace(found, features=int(match[1])), text.replace(match[0], " ")
    rest = []
    for word in text.split():
        if match := SIZE.fullmatch(word):
            found = _sized(found, match)
        elif word in CHANNELS:
            found = replace(found, channels=CHANNELS[word])
        else:
            rest.append(word)
    if size is not None:
        if match := SIZE.fullmatch(size):
            found = _sized(found, match)
        elif size.isdecimal():
            found = replace(found, features=int(size))
        else:
            raise ZooError(f"--input {size}: wanted HEIGHTxWIDTH, HEIGHTxWIDTHxCHANNELS, or a number of features")
    return replace(found, words=tuple(rest))


def search(models: Sequence[Entry], query: Query) -> list[Entry]:
    """The models that fit, the best on their own test rows first."""
    found = [model for model in models if _fits(model, query)]
    return sorted(found, key=lambda model: (-_accuracy(model), model.name))


def _sized(query: Query, match: re.Match[str]) -> Query:
    channels = int(match[3]) if match[3] else query.channels
    return replace(query, image=(int(match[1]), int(match[2])), channels=channels)


def _fits(model: Entry, query: Query) -> bool:
    card = model.card
    image = card.input.get("image")
    text = " ".join(
        [card.name, card.task, card.data, card.licence, card.description, *card.tags, *card.classes]
    ).lower()
    return all(
        (
            all(word in text for word in query.words),
            query.task in (None, card.task),
            query.image is None or (bool(image) and tuple(image[:2]) == query.image),
            query.channels is None or (bool(image) and image[2] == query.channels),
            query.features in (None, card.input.get("features")),
            query.classes in (None, len(card.classes)),
        )
    )


def _accuracy(model: Entry) -> float:
    for split in ("test", "validation", "train"):
        if split in model.card.metrics:
            return float(model.card.metrics[split].get("accuracy", 0.0))
    return 0.0
