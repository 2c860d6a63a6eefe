"""Blocks and networks, one idea per module."""
