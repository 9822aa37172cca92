"""Results on disk: whole or not there, checked when read, opened lazily, exported."""
