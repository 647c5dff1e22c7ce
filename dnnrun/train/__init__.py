"""Training: the state, the compiled step, the loop. Knows neither specs nor files, and is handed its clock."""
