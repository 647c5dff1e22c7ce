"""Peak memory and speed of training on a CSV file, and on one eight times as large, in memory and streamed.

    python benchmarks/streaming.py [--times 8] [--window 2000]

The small file has 60,000 rows of 784 numbers, as benchmarks/tables.py makes them. Peak memory is that of a process of
its own, as the kernel counts it. Results go to benchmarks/results/streaming.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from tables import FEW, ROWS, WIDTH, dnnrun, files_of

RESULTS = Path(__file__).parent / "results" / "streaming.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--window", type=int, default=2000)
    options = parser.parse_args()
    lines = ["| rows | as float32 | `data.stream` | peak memory | examples/s of the epoch |", f"|{'---|' * 5}"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files_of(place)
        text = (place / "wide.csv").read_bytes()
        head = text.index(b"\n") + 1
        with (place / "long.csv").open("wb") as file:
            file.write(text[:head])
            for _ in range(options.times):
                file.write(text[head:])
        for name, count in (("few", FEW), ("wide", ROWS), ("long", ROWS * options.times)):
            for stream in (None, options.window):
                given = [f"data.source.path={name}.csv", f"data.stream={json.dumps(stream)}"]
                told, peak = dnnrun(place, "train", "wide.yaml", *given, "--json")
                speed = json.loads(told)["timing"]["examples_per_s"]
                lines.append(
                    f"| {count:,} | {count * WIDTH * 4 / 1e6:,.0f} MB | {stream or 'unset'} | {peak:,.0f} MB | "
                    f"{speed:,.0f} |"
                )
                print(lines[-1], flush=True)
    command = f"python benchmarks/streaming.py --times {options.times} --window {options.window}"
    RESULTS.write_text(
        f"# Streamed rows\n\nMeasured by `{command}` on {os.cpu_count()} cores.\n\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
