"""The worlds by name, for commands: a world is imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module

from lib.data.worlds.world import World, WorldError

_HOMES = {
    "faces": ("lib.data.worlds.faces", "Faces"),
    "facades": ("lib.data.worlds.facades", "Facades"),
    "digits": ("lib.data.worlds.street_digits", "StreetDigits"),
}
WORLD_NAMES = tuple(_HOMES)


def world_named(name: str) -> World:
    """The world with this name: ``faces``, ``facades`` or ``digits``.

    Raises:
        WorldError: there is no such world.
    """
    if name not in _HOMES:
        raise WorldError(f"There is no world {name!r}; the worlds are {', '.join(WORLD_NAMES)}.")
    module, class_name = _HOMES[name]
    world: World = getattr(import_module(module), class_name)()
    return world
