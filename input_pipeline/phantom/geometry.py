"""Anatomy coordinates, signed distances to shapes (negative inside), and painting with smooth edges.

One unit is half the field of view; x points to the right of the image, y down.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

Field = Float[np.ndarray, 'height width']
Point = tuple[float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Pose:
    """How the body lies in the image: scale, clockwise rotation in radians, then shift."""

    scale: float
    angle: float
    shift: Point


@dataclasses.dataclass(frozen=True, slots=True)
class Grid:
    """Anatomy coordinates of every pixel.

    Attributes:
      x, y: coordinates, already freed from the pose and bent by the warp.
      pixel: width of a pixel in anatomy units.
      pose: see Pose.
      slack: how far the warp may move a point, in anatomy units.
    """

    x: Field
    y: Field
    pixel: float
    pose: Pose
    slack: float

    def locate(self, points: Float[np.ndarray, 'point 2']) -> Float[np.ndarray, 'point 2']:
        """Pixel coordinates (column, row) of anatomy points, the warp left out."""
        cos, sin = math.cos(self.pose.angle), math.sin(self.pose.angle)
        rotated = points @ np.array([[cos, sin], [-sin, cos]]) * self.pose.scale + np.array(self.pose.shift)
        return (rotated + 1) * self.x.shape[0] / 2 - 0.5

    def window(self, centre: Point, radius: float) -> tuple[slice, slice]:
        """Rows and columns that hold the disc, whatever the warp did to it."""
        cos, sin = self.pose.scale * math.cos(self.pose.angle), self.pose.scale * math.sin(self.pose.angle)
        x = cos * centre[0] - sin * centre[1] + self.pose.shift[0]
        y = sin * centre[0] + cos * centre[1] + self.pose.shift[1]
        half, reach = self.x.shape[0] / 2, (radius + self.slack) / self.pixel + 2
        rows, columns = (
            slice(max(0, int((c + 1) * half - reach)), max(0, int((c + 1) * half + reach) + 1)) for c in (y, x)
        )
        return rows, columns


def create_grid(size: int, pose: Pose, warp: tuple[Field, Field]) -> Grid:
    """Grid of `size` x `size` pixels; `warp` is the displacement in x and y, in anatomy units."""
    steps = (np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1
    across, down = steps[None, :] - pose.shift[0], steps[:, None] - pose.shift[1]
    cos, sin = math.cos(pose.angle) / pose.scale, math.sin(pose.angle) / pose.scale
    x = cos * across + sin * down + warp[0]
    y = cos * down - sin * across + warp[1]
    slack = float(max(np.abs(warp[0]).max(), np.abs(warp[1]).max()))
    return Grid(x, y, 2 / size / pose.scale, pose, slack)


def norm(x: Field, y: Field) -> Field:
    """Length of vectors; np.hypot also guards against overflow, which costs five times as much."""
    return np.sqrt(x * x + y * y)


def ellipse(x: Field, y: Field, centre: Point, radii: Point, angle: float = 0.0) -> Field:
    """Signed distance to an ellipse turned by `angle`, first order around its edge (Quilez)."""
    u, v = x - centre[0], y - centre[1]
    if angle:
        cos, sin = math.cos(angle), math.sin(angle)
        u, v = cos * u + sin * v, cos * v - sin * u
    u, v = u / radii[0], v / radii[1]
    level = np.sqrt(u * u + v * v)
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2) + 1e-6
    return level * (level - 1) / slope


def tube(x: Field, y: Field, points: list[Point], radii: list[float]) -> Field:
    """Signed distance to a bent tube through `points`, its radius changing linearly between them."""
    nearest = np.full(x.shape, np.inf, np.float32)
    for (x0, y0), (x1, y1), r0, r1 in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        distance = norm(x - x0 - along * dx, y - y0 - along * dy) - (r0 + along * (r1 - r0))
        np.minimum(nearest, distance, out=nearest)
    return nearest


def smooth_union(a: Field, b: Field, radius: float) -> Field:
    """Union of two shapes whose concave corners are filled by arcs of about `radius`."""
    blend = np.clip(0.5 + 0.5 * (b - a) / radius, 0, 1)
    return b + (a - b) * blend - radius * blend * (1 - blend)


def smooth_difference(a: Field, b: Field, radius: float) -> Field:
    """What of `a` is outside `b`, with corners rounded by about `radius`."""
    return -smooth_union(-a, b, radius)


def coverage(distance: Field, softness: float) -> Field:
    """Share of each pixel inside the shape; its edge is `softness` anatomy units wide (a pixel at least)."""
    return np.clip(0.5 - distance / softness, 0, 1)


def smooth_step(value: float, low: float, high: float) -> float:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = min(1.0, max(0.0, (value - low) / (high - low)))
    return t * t * (3 - 2 * t)


def paint(image: Field, value: Field | float, share: Field) -> None:
    """Replaces `share` of every pixel by `value`, in place."""
    image += (value - image) * share


def paint_ellipse(
    image: Field,
    grid: Grid,
    value: float,
    centre: Point,
    radii: Point,
    angle: float = 0.0,
    softness: float = 0.0,
) -> None:
    """Paints an ellipse of one value in place, touching only the pixels around it."""
    window = grid.window(centre, max(radii) + softness)
    distance = ellipse(grid.x[window], grid.y[window], centre, radii, angle)
    paint(image[window], value, coverage(distance, grid.pixel + softness))
