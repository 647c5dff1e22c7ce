"""Many trials of one spec over seeds: planned, run side by side, resumed, compared with intervals."""
