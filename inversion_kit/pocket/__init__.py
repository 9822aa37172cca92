"""The embedded default: a small Stable Diffusion and four classifiers of traffic signs."""
