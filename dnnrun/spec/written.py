"""Values that look like a number or a boolean and are read as texts: how to write them."""

from __future__ import annotations

import re
from typing import Any

_TRUE = ("yes", "on", "y", "true")
_FALSE = ("no", "off", "n", "false")


def hint(value: Any, place: list[dict[str, Any]], plain: bool) -> str:
    """Advice, with its leading `; `, for a text where the schema nodes of `place` wanted something else; else ''.

    `plain` is whether the text stood without quotes.
    """
    kinds = {node.get("type") for node in place} | {"boolean" for node in place if isinstance(node.get("const"), bool)}
    texts = [node for node in place if node.get("type") == "string" and not {"enum", "const"} & node.keys()]
    if isinstance(value, int | float) and texts and kinds <= {"string", "null"}:
        return f"; put it in quotes: '{str(value).lower() if isinstance(value, bool) else value}'"
    if not isinstance(value, str):
        return ""
    if {"integer", "number"} & kinds and (advice := _number(value, plain)):
        return f"; {advice}"
    if "boolean" in kinds and value.lower() in _TRUE + _FALSE:
        return f"; write {'true' if value.lower() in _TRUE else 'false'}" + ("" if plain else " without quotes")
    if any(node.get("type") == "null" for node in place) and value.lower() in ("none", "nil"):
        return "; write null for none"
    return ""


def _number(text: str, plain: bool) -> str:
    if not plain and re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", text):
        return "remove the quotes"
    if re.fullmatch(r"[-+]?[0-9][0-9_]*(_[0-9]+)+(\.[0-9]*)?", text):
        return f"digits are not grouped: write {text.replace('_', '')}"
    if re.fullmatch(r"[-+]?[0-9]{1,3}(,[0-9]{3})+", text):
        return f"digits are not grouped: write {text.replace(',', '')}"
    if re.fullmatch(r"[-+]?0(x[0-9a-fA-F]{1,16}|o[0-7]{1,20}|b[01]{1,64})", text):
        return f"numbers are decimal: write {int(text, 0)}"
    if re.fullmatch(r"[-+]?0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?", text):
        sign = text[:1].strip("0123456789")
        return f"numbers have no leading zeros: write {sign}{text.lstrip('+-0') or 0}"
    if re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?", text):
        return "the exponent has no digits: write it as 1e-3"
    if re.fullmatch(r"[-+]?[0-9]+,[0-9]+", text):
        return f"write a decimal point: {text.replace(',', '.')}"
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)? ?%", text):
        return f"write a fraction instead of percent: {float(text.rstrip('% ')) / 100:g}"
    return ""
