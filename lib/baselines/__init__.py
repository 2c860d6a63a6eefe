"""Competitors of the trained networks: they paint a new layout in the style of one photo, each by its own means.

Every one has a call ``paint(photo, layout, target, ...)`` with the same three inputs and the same output.
"""
