"""The recorded studies of chapters 7 to 10 are of today's games: same config, same measures, same variants.

A chapter asserts what such a file says. If the profile or a variant changes and the file does not, the chapter speaks
of a game that nobody can play any more.
"""

from __future__ import annotations

from dataclasses import asdict
from types import ModuleType
from typing import Any

import pytest

from lib.book.paths import repository_root
from lib.games import diat_study, dtn_study, maskface_study, srgan_study
from lib.games.diat import DIATConfig
from lib.games.dtn import DTNConfig
from lib.games.maskface import MaskFaceConfig
from lib.games.srgan import SRGANConfig
from lib.games.study import Study, StudyError, continued, load_study

STUDIES: dict[str, tuple[Any, ModuleType]] = {
    "diat": (DIATConfig.quick(), diat_study),
    "dtn": (DTNConfig.quick(), dtn_study),
    "srgan": (SRGANConfig.quick(), srgan_study),
    "maskface": (MaskFaceConfig.quick(), maskface_study),
}
OPTIONS = ("rounds", "gan_rounds", "pictures", "faces", "test")
"""What the commands set beside the profile: how long, and how many held-out pictures."""


def recorded(name: str) -> Study:
    return load_study(repository_root() / "assets" / "results" / f"{name}_ablation.json")


@pytest.mark.parametrize("name", STUDIES)
def test_a_recorded_study_is_of_todays_game(name: str) -> None:
    quick, module = STUDIES[name]
    study = recorded(name)
    facts = asdict(quick) | {option: study.config[option] for option in OPTIONS if option in study.config}
    today = continued(Study(study.name, facts, module.MEASURES, module.BASES), study)  # refuses another config
    assert today.runs == study.runs and study.runs
    assert dict(study.measures) == dict(module.MEASURES)
    assert dict(study.bases) == dict(module.BASES), "the file names another base; record the study again"
    assert set(study.variants) <= set(module.VARIANTS), "a row that can no longer be trained"


@pytest.mark.parametrize("name", STUDIES)
def test_a_changed_profile_would_be_noticed(name: str) -> None:
    quick, module = STUDIES[name]
    study = recorded(name)
    facts = asdict(quick) | {option: study.config[option] for option in OPTIONS if option in study.config}
    with pytest.raises(StudyError, match="another config"):
        continued(Study(study.name, facts | {"batch": 2 * facts["batch"]}, module.MEASURES, module.BASES), study)
