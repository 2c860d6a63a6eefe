"""Judges of faces for tests that only need some."""

from __future__ import annotations

import torch

from lib.data.worlds.faces import Faces
from lib.games.maskface_measures import Judges
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.metrics.segmentation_score import ParserConfig, SceneParser


def untrained_judges() -> Judges:
    """Untrained: their answers are arbitrary, and known."""
    torch.manual_seed(0)
    parser = SceneParser(ParserConfig("faces", Faces.palette.names, size=32, widths=(4, 6)))
    reader = AttributeReader(
        ReaderConfig("faces", attributes={"hair": ("black", "blond", "brown", "grey")}, parameters={}, size=32, width=4)
    )
    return Judges(parser.eval(), reader.eval())
