"""The catalogue: models with their cards and checksums, found again by what they are for."""
