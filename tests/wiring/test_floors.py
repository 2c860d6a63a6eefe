"""The library is built in floors: imports only point down, and nowhere in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What a reader climbs; book marks equations on each floor.
FLOORS = {"data": 1, "nn": 2, "losses": 3, "games": 4, "baselines": 5}
GROUND = {"runtime", "images", "labelmaps", "label_files", "snapping"}


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of the library."""
    found = {}
    for path in sorted((ROOT / "lib").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the library that a file imports when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body:  # top level only: an import inside a function is not run at import
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names & set(known)


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imported(path, known) - {name, "lib"} for name, path in known.items()}


def test_no_module_imports_itself_by_a_detour() -> None:
    assert len(list(TopologicalSorter(graph()).static_order())) > 40  # raises CycleError with the circle


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_point_down(floor: str) -> None:
    above = {name for name, level in FLOORS.items() if level > FLOORS[floor]}
    for module, needs in graph().items():
        if module.split(".")[1:2] == [floor]:
            wrong = {need for need in needs if need.split(".")[1] in above}
            assert not wrong, f"{module} stands below {sorted(wrong)} and must not import it"


@pytest.mark.parametrize("name", sorted(GROUND))
def test_the_ground_floor_needs_no_other(name: str) -> None:
    assert not {need for need in graph()[f"lib.{name}"] if need.split(".")[1] in FLOORS}
