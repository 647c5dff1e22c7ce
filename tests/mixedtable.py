"""A table of mixed columns with something to learn in it: numbers, categories, dates, what is missing.

`python tests/mixedtable.py FILE.csv [ROWS]` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars

CITIES = ("Ankara", "Bergen", "Cusco", "Dakar", "Essen", "Fez", "Graz", "Hobart")


def mixed(rows: int = 20_000, seed: int = 0) -> polars.DataFrame:
    """Columns id, age, income, city, plan, member, joined, visits, constant, empty; targets churn (yes, no) and spend.

    age, income and plan miss values, income more often where it is high; some cities are rare; joined is a date.
    """
    rng = np.random.default_rng(seed)
    age = rng.normal(45, 14, rows).clip(18, 95)
    income = np.exp(rng.normal(10, 0.8, rows))
    city = rng.choice(len(CITIES), rows, p=[0.3, 0.25, 0.2, 0.1, 0.08, 0.05, 0.0199, 0.0001])
    plan = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    member = rng.random(rows) < 0.4
    joined = rng.integers(0, 3650, rows)
    visits = rng.poisson(4, rows)
    effect = np.array([0.0, 1.2, -0.9, 0.5, -1.5, 0.8, 0.3, 0.0])[city] * np.where(plan == 1, 1, -0.4)
    score = (
        0.06 * (age - 45) * np.where(member, -1, 1) + effect + 0.8 * np.log(income / 22000) - 0.0006 * (joined - 1800)
    )
    score = score + 1.1 * (visits == 0) + 0.5 * np.sin(visits)
    churn = rng.random(rows) < 1 / (1 + np.exp(-1.6 * score))
    spend = 40 + 12 * score + rng.normal(0, 4, rows)
    hidden = rng.random(rows) < np.where(income > 40_000, 0.2, 0.05)
    gone = rng.random(rows) < 0.03
    plans = [None if no else ("basic", "plus", "pro")[kind] for kind, no in zip(plan, gone, strict=True)]
    frame = polars.DataFrame(
        {
            "id": [f"c{number:06d}" for number in range(rows)],
            "age": np.where(rng.random(rows) < 0.05, np.nan, age.round(1)),
            "income": np.where(hidden, np.nan, income.round(2)),
            "city": [CITIES[number] for number in city],
            "plan": plans,
            "member": member,
            "joined": np.datetime64("2014-01-01") + joined.astype("timedelta64[D]"),
            "visits": visits,
            "constant": np.ones(rows, np.int64),
            "empty": [None] * rows,
            "churn": np.where(churn, "yes", "no"),
            "spend": spend.round(2),
        }
    )
    return frame.with_columns(polars.col("age", "income").fill_nan(None), polars.col("empty").cast(polars.String))


if __name__ == "__main__":
    mixed(int(sys.argv[2]) if len(sys.argv) > 2 else 20_000).write_csv(Path(sys.argv[1]))
