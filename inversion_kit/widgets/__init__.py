"""Results in a notebook: `inversion_kit.explore`, the live view of `invert`, and summaries as HTML.

A view is made of small anywidgets over plain data (`elements`) and plotly figures; what links them
is Python (`run_view`, `audit_view`). They need the extra ``notebook``, no server and no network.
"""
