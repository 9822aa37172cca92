"""Images of prompts, kept for every later use: the plain ones of each source, and with a cue."""
