"""The variants of a reuse search as a picture: means with their intervals, one below the other. SVG, self-contained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from dnnrun.sweep.reuse.variants import Variant
from dnnrun.sweep.reuse.verdict import Recommendation, Tried
from dnnrun.sweep.statistics import Estimate

LEFT, RIGHT, WIDTH, ROW, HEAD, FOOT, GAP = 250, 120, 960, 20, 96, 30, 8
# Okabe and Ito's colours, told apart with colour blindness too
COLOURS = {None: "#0072b2", "dropped": "#d55e00", "replaced": "#009e73", "added": "#cc79a7", "scratch": "#444444"}
NAMES = {None: "as in the spec", "dropped": "top dropped", "replaced": "top replaced", "added": "one added"}

Across = Callable[[float], float]


def draw(
    variants: Sequence[Variant], found: Sequence[Tried], recommended: Recommendation, metric: str, score: str
) -> str:
    """The picture. A band shows from scratch, a ring the recommended variant; pale dots are behind it for sure.

    Diamonds are the `score` of the test rows.
    """
    entries = {str(entry.variant): entry for entry in found}
    shown = [entry for variant in variants if (entry := entries.get(str(variant)))]
    estimates = [entry.ranked.estimate for entry in shown if entry.ranked.estimate]
    estimates += [entry.test for entry in shown if entry.test]
    low, high, step = _scale([value for e in estimates for value in (e.mean - (e.half or 0), e.mean + (e.half or 0))])

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    places, y, depth = {}, float(HEAD), None
    for entry in shown:
        y += GAP if depth is not None and entry.variant.reuse != depth else 0
        places[str(entry.variant)], depth, y = y + ROW / 2, entry.variant.reuse, y + ROW
    bottom = y + 4
    tested = score if any(entry.test for entry in shown) else None
    parts = [_head(metric, recommended, [entry.variant for entry in shown], tested)]
    parts += _axis(low, high, step, x, bottom)
    scratch = next((entry.ranked.estimate for entry in shown if entry.variant.scratch), None)
    if scratch:
        parts.append(_band(scratch, x, bottom))
    for entry in shown:
        parts += _row(entry, places[str(entry.variant)], x, entry.variant == recommended.variant)
    height = bottom + FOOT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _head(metric: str, recommended: Recommendation, variants: Sequence[Variant], score: str | None) -> str:
    title = f"Layers to reuse and to freeze: {metric}, mean and 95% interval over seeds"
    lines = [
        f'<text x="16" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="16" y="44">recommended (ring): {escape(str(recommended.variant))}; pale: behind it beyond '
        f"chance{f'; diamonds: test {score}' if score else ''}</text>",
    ]
    tops = list(dict.fromkeys(variant.top for variant in variants if not variant.scratch))
    left = 16
    for top in tops:
        lines.append(f'<circle cx="{left + 5}" cy="64" r="5" fill="{COLOURS[top]}"/>')
        lines.append(f'<text x="{left + 15}" y="68">{NAMES[top]}</text>')
        left += 120
    lines.append(f'<rect x="{left}" y="58" width="22" height="12" fill="#444444" opacity="0.18"/>')
    lines.append(f'<text x="{left + 28}" y="68">from scratch, with its interval</text>')
    return "\n".join(lines)


def _axis(low: float, high: float, step: float, x: Across, bottom: float) -> list[str]:
    parts, digits = [], max(0, -math.floor(math.log10(step)))
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        at = f"{x(value):.1f}"
        parts.append(f'<line x1="{at}" y1="{HEAD - 8}" x2="{at}" y2="{bottom}" stroke="#dddddd"/>')
        parts.append(f'<text x="{at}" y="{bottom + 16}" text-anchor="middle" fill="#555555">{value:.{digits}f}</text>')
    return parts


def _band(scratch: Estimate, x: Across, bottom: float) -> str:
    left, right = x(scratch.mean - (scratch.half or 0)), x(scratch.mean + (scratch.half or 0))
    return (
        f'<rect x="{left:.1f}" y="{HEAD - 8}" width="{right - left:.1f}" height="{bottom - HEAD + 8:.1f}" '
        f'fill="#444444" opacity="0.12"/>\n<line x1="{x(scratch.mean):.1f}" y1="{HEAD - 8}" '
        f'x2="{x(scratch.mean):.1f}" y2="{bottom:.1f}" stroke="#444444" stroke-dasharray="4 3"/>'
    )


def _row(entry: Tried, y: float, x: Across, ring: bool) -> list[str]:
    variant, found = entry.variant, entry.ranked.estimate
    weight = ' font-weight="bold"' * ring
    parts = [f'<text x="{LEFT - 12}" y="{y + 4:.1f}" text-anchor="end"{weight}>{escape(str(variant))}</text>']
    if found is None:
        return [*parts, f'<text x="{LEFT + 4}" y="{y + 4:.1f}" fill="#bb0000">failed on every seed</text>']
    colour = COLOURS["scratch" if variant.scratch else variant.top]
    pale = ' opacity="0.4"' * (not entry.ranked.tied)
    line = f'stroke="{colour}" stroke-width="2"{pale}'
    if found.half is not None:
        left, right = x(found.mean - found.half), x(found.mean + found.half)
        parts.append(f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}" {line}/>')
    at = x(found.mean)
    parts.append(f'<circle cx="{at:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"{pale}/>')
    if ring:
        parts.append(f'<circle cx="{at:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    if entry.test:
        t = x(entry.test.mean)
        diamond = f"{t - 5:.1f},{y:.1f} {t:.1f},{y - 5:.1f} {t + 5:.1f},{y:.1f} {t:.1f},{y + 5:.1f}"
        parts.append(f'<polygon points="{diamond}" fill="white" stroke="{colour}"/>')
    failed = f" ({entry.ranked.failed} failed)" if entry.ranked.failed else ""
    parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y + 4:.1f}" fill="#333333">{found}{failed}</text>')
    return parts


def _scale(values: Sequence[float]) -> tuple[float, float, float]:
    """Round ends around the values, and a round step between them."""
    low, high = min(values), max(values)
    spread = max(high - low, 1e-6)
    power = 10.0 ** math.floor(math.log10(spread / 5))
    step = next(factor * power for factor in (1, 2, 5, 10) if spread / (factor * power) <= 8)
    return math.floor(low / step) * step, math.ceil(high / step) * step + (low == high) * step, step
