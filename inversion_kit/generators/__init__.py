"""Frozen text-to-image pipelines, sampled with a gradient to the class token; tokens as files."""
