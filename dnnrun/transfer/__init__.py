"""Reuse of what was learned: which layers come from where, which stay frozen, and for how long."""
