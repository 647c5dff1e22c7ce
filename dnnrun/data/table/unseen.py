"""Categories that training has not seen, in rows to predict: counted and told, since they are guessed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

EXAMPLES, LONGEST = 3, 40  # values that are named of a column, and characters of one


@dataclass
class Unseen:
    """By column how many values there were, and the first few different ones."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def see(self, name: str, values: polars.Series) -> None:
        """Count the values, one or more, of a column of text."""
        self._more(name, len(values), values.head(1000).unique(maintain_order=True).head(EXAMPLES).to_list())

    def add(self, other: Unseen) -> None:
        """Count those of more rows."""
        for name, count in other.counts.items():
            self._more(name, count, other.examples[name])

    def _more(self, name: str, count: int, values: list[str]) -> None:
        self.counts[name] = self.counts.get(name, 0) + count
        known = self.examples.get(name, [])
        self.examples[name] = [*known, *(value for value in values if value not in known)][:EXAMPLES]

    def lines(self) -> list[str]:
        """A line for each column."""
        return [
            f"{name}: {count:,} value{'s' * (count > 1)} that training has not seen, taken as unknown "
            f"({', '.join(_short(value) for value in self.examples[name])})"
            for name, count in self.counts.items()
        ]


def _short(value: str) -> str:
    return repr(value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}...")
