"""From a classifier, a label and a generator to a learned token: `invert`."""
