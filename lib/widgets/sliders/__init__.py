"""Sliders beside a picture: styles, attributes, latent codes, anything that is a few numbers."""

from lib.widgets.sliders.board import Range, SliderBoard, SliderError

__all__ = ["Range", "SliderBoard", "SliderError"]
