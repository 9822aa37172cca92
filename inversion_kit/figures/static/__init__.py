"""A picture's specification as inline SVG: no script, no style sheet and no plotly.

The part of plotly's terms that the specifications of this folder use: scatter (lines, gaps,
markers, ``fill="toself"``), bars from left to right, error bars along x, heatmaps, pictures,
annotations, shapes, a legend, and axes with a domain, ticks, title, grid and a range.
"""

from __future__ import annotations

from inversion_kit.figures.static.draw import svg

__all__ = ["svg"]
