"""Two classifiers side by side: what differs, on the same noise and in the same pictures."""
