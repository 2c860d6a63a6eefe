"""Sky, weather and light: from flat colours to a picture at noon or at night."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.worlds.draw import length
from lib.data.worlds.facades_colours import RGB, constant, fixed
from lib.data.worlds.facades_scene import Scene
from lib.data.worlds.facades_shapes import less, ramp, stroke
from lib.data.worlds.world import Batch

# Rows: clear, overcast, rain. Light is linear; colours of the sky are as seen.
SUN = ((0.95, 0.84, 0.66), (0.22, 0.22, 0.21), (0.10, 0.10, 0.10))
AMBIENT = ((0.31, 0.36, 0.45), (0.80, 0.83, 0.87), (0.58, 0.62, 0.67))
ZENITH = ((0.30, 0.52, 0.86), (0.62, 0.67, 0.73), (0.44, 0.49, 0.55))
HORIZON = ((0.78, 0.87, 0.95), (0.86, 0.87, 0.88), (0.66, 0.69, 0.72))
CLOUD = ((0.98, 0.97, 0.96), (0.80, 0.81, 0.83), (0.54, 0.57, 0.61))
NIGHT_ZENITH = ((0.05, 0.08, 0.20), (0.10, 0.11, 0.17), (0.09, 0.10, 0.14))
NIGHT_HORIZON = ((0.20, 0.22, 0.40), (0.24, 0.22, 0.26), (0.20, 0.19, 0.22))
NIGHT_CLOUD = ((0.16, 0.18, 0.30), (0.20, 0.18, 0.22), (0.15, 0.15, 0.18))
SEASONS = ((1.0, 1.0, 1.0), (1.08, 1.0, 0.88), (0.96, 0.99, 1.06))  # tint of daylight
MOON = (0.050, 0.062, 0.100)
LAMP = (1.0, 0.66, 0.32)


def by_weather(scene: Scene, rows: tuple[RGB, ...]) -> Tensor:
    """One row of a table for each picture, (B, 3, 1, 1)."""
    return constant(rows, scene.x.device)[scene.p["weather"]][:, :, None, None]


def paint_sky(scene: Scene) -> None:
    """Blue and clouds, a grey lid, or stars."""
    night = scene.where("time", 1)[:, None]
    zenith = torch.lerp(by_weather(scene, ZENITH), by_weather(scene, NIGHT_ZENITH), night)
    horizon = torch.lerp(by_weather(scene, HORIZON), by_weather(scene, NIGHT_HORIZON), night)
    cloud = torch.lerp(by_weather(scene, CLOUD), by_weather(scene, NIGHT_CLOUD), night)
    colour = torch.lerp(zenith, horizon, ramp(scene.y, -1.1, 0.5)[:, None])
    heap = 0.55 * scene.noise(1.6, 3.2, 55) + 0.30 * scene.noise(4, 7, 56) + 0.15 * scene.noise(11, 16, 57)
    colour = torch.lerp(colour, cloud.expand_as(colour), ramp(heap, 0.44, 0.72)[:, None] * 0.9)
    i, j = torch.floor(scene.x / 0.06), torch.floor(scene.y / 0.06)
    number = scene.random(i, j, 58)
    dot = stroke(
        length(scene.x - (i + 0.5) * 0.06, scene.y - (j + 0.2 + 0.6 * (number * 97).frac()) * 0.06), 0.006, scene.pixel
    )
    clear = (dot * ramp(number, 0.86, 1.0) * scene.where("weather", 0) * ramp(heap, 0.55, 0.40))[:, None] * night
    scene.paint(torch.ones_like(heap), colour + 0.75 * clear, "sky")


def develop(scene: Scene) -> Batch:
    """Let light fall on the scene and take the picture."""
    wet = scene.where("weather", 2)
    _mirror_street(scene, wet)
    flat = scene.image.clamp(0, 1)
    night = scene.where("time", 1)[:, None]
    hidden = scene.shadow[:, None]
    ambient = by_weather(scene, AMBIENT) * (1 - 0.35 * hidden)
    season = constant(SEASONS, flat.device)[scene.p["season"]]
    day = ambient + by_weather(scene, SUN) * (1 - hidden)
    light = torch.lerp(day * season[:, :, None, None], _night_light(scene) * (1 - 0.3 * hidden), night)
    albedo = flat**2 * (1 - 0.22 * wet * scene.solid)[:, None]
    solid = scene.solid[:, None]
    picture = torch.lerp(flat**2, albedo * light, solid) + scene.lamps * 0.95 + _halo(scene)
    picture = _weather(scene, picture)
    picture = 1.06 * picture / (1 + 0.06 * picture + 0.10 * picture**2)
    vignette = 1 - 0.10 * (scene.x**2 + scene.y**2)
    image = (picture.clamp(min=1e-6).sqrt() * vignette[:, None]).clamp(0, 1)
    return {"image": image * 2 - 1, "labels": scene.labels.to(torch.uint8)}


def _night_light(scene: Scene) -> Tensor:
    """Moonlight, and street lamps that light the foot of the house from where they stand."""
    lamp = torch.zeros_like(scene.x)
    for index in (0, 1):
        place = -0.75 + 1.35 * scene.number("colours", 7) * 0.5 + 0.95 * index
        away = length((scene.x - place) * 1.25, (scene.y - scene.layout.ground + 0.25) * 0.95)
        lamp = lamp + 1.0 / (1 + (away / 0.34) ** 2.2)
    colour = fixed(LAMP, scene.x)[:, :, None, None] * (0.42 * lamp)[:, None]
    return fixed(MOON, scene.x)[:, :, None, None] + colour


def _halo(scene: Scene) -> Tensor:
    """What bright lamps spill on the air and the wall around them."""
    small = F.adaptive_avg_pool2d(scene.lamps, 32)
    near = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    wide = F.avg_pool2d(F.pad(near, (3, 3, 3, 3), mode="replicate"), 7, stride=1)
    size = scene.lamps.shape[-2:]
    return F.interpolate(near * 0.12 + wide * 0.30, size=size, mode="bilinear", align_corners=False)


def _mirror_street(scene: Scene, wet: Tensor) -> None:
    """In the rain the street mirrors the lights and the house above it, broken by ripples."""
    depth = (scene.y - scene.layout.ground).clamp(min=0)
    ripple = 0.06 * (scene.noise(9, 60, 59) - 0.5)
    target = torch.stack([scene.x + ripple, scene.y - 2.2 * depth], dim=3).clamp(-1, 1)
    glossy = torch.cat([scene.image, scene.lamps], dim=1)
    mirrored = F.grid_sample(glossy, target, mode="bilinear", padding_mode="border", align_corners=False)
    share = (wet * less(-depth, 0) * ramp(scene.noise(3, 9, 60), 0.25, 0.7))[:, None]
    scene.image = torch.lerp(scene.image * (1 - 0.3 * share), mirrored[:, :3], share * 0.40)
    scene.lamps = scene.lamps + mirrored[:, 3:] * share * 0.5


def _weather(scene: Scene, picture: Tensor) -> Tensor:
    """Haze under clouds and streaks of rain."""
    dull = scene.where("weather", 1, 2)[:, None] * (1 - scene.where("time", 1))[:, None]
    picture = torch.lerp(picture, picture.mean(dim=(1, 2, 3), keepdim=True).expand_as(picture), 0.10 * dull)
    slanted = scene.x + 0.18 * scene.y
    drop = scene.random(torch.floor(slanted / 0.016), torch.floor(scene.y / 0.16 + 9 * torch.sin(slanted * 91)), 66)
    streak = (
        less(0.90 - drop, 0)
        * stroke((slanted / 0.016).frac() - 0.5, 0.2, scene.pixel / 0.016)
        * scene.where("weather", 2)
    )
    brighter = 0.03 + 0.09 * (1 - scene.where("time", 1))
    return picture + (streak * brighter)[:, None]
