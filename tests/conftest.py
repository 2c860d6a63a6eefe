"""The same conditions for every test: quick profile, few threads, fixed seeds."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

# Before torch is imported: the kernels of the chapters inherit it.
os.environ.setdefault("BOOK_PROFILE", "quick")

import hypothesis
import numpy as np
import pytest
import torch

MAX_THREADS = 2

hypothesis.settings.register_profile("book", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("book")


def pytest_configure(config: pytest.Config) -> None:
    """Leave each pytest-xdist worker one thread: more than one per core makes all of them slower."""
    asked = int(os.environ.get("OMP_NUM_THREADS", MAX_THREADS))
    worker = "PYTEST_XDIST_WORKER" in os.environ
    if worker:
        os.environ["OMP_NUM_THREADS"] = "1"  # for the kernels that this worker starts
    torch.set_num_threads(1 if worker else min(asked, os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Seed the global generators before each test: a network built in a test starts from the same weights."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
