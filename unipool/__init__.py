"""Compare speaker-verification backends on frozen encoders, from one cache."""
