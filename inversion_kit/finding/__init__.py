"""Which cues push a classifier towards a label or away from it, found and proved on images."""
