"""Runs looked at: gathered from their directories, compared, drawn on a page."""
