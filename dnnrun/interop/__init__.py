"""Networks of other frameworks: read, never executed; understood as layers of ours; and ours written for them."""
