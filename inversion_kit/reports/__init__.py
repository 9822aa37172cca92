"""One self-contained HTML file from a result, its numbers as JSON, its gates."""
