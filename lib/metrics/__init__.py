"""Measures: layout fidelity by independent judges, appearance, single-image Fréchet distance, baselines."""

from __future__ import annotations

from lib.metrics.baselines import copy_paste, copy_source
from lib.metrics.layout import Judge, LayoutScores, PatchJudge, ceiling, layout_scores
from lib.metrics.segmenter import SegmenterConfig, SegmenterJudge
from lib.metrics.table import evaluate

__all__ = [
    "Judge",
    "LayoutScores",
    "PatchJudge",
    "SegmenterConfig",
    "SegmenterJudge",
    "ceiling",
    "copy_paste",
    "copy_source",
    "evaluate",
    "layout_scores",
]
