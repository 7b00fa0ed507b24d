"""Draw the plugin's icon, which napari.yaml names: outlined cells, one of them still a polygon with its corners."""

import math
from pathlib import Path

from PIL import Image, ImageDraw

TARGET = Path(__file__).parents[1] / "src" / "napari_seg_trainer" / "icon.png"
SIDE, FINE = 256, 4
GROUND, BLUE, ORANGE, WHITE = "#1d2733", "#56b4e9", "#e69f00", "#ffffff"


def main() -> None:
    size = SIDE * FINE
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, size - 1, size - 1), radius=size // 5, fill=GROUND)
    for x, y, wide, high, turn, colour in (
        (0.34, 0.33, 0.20, 0.16, 0.5, BLUE),
        (0.70, 0.36, 0.14, 0.19, 0.3, BLUE),
        (0.47, 0.70, 0.23, 0.17, -0.2, ORANGE),
    ):
        outline = [_point(x, y, wide, high, turn, 2 * math.pi * i / 64, size) for i in range(65)]
        draw.polygon(outline, fill=f"{colour}40")
        draw.line(outline, fill=colour, width=size // 28, joint="curve")
    corners = [_point(0.47, 0.70, 0.23, 0.17, -0.2, 2 * math.pi * i / 8, size) for i in range(8)]
    for cx, cy in corners:
        radius = size / 32
        draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=WHITE)
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(TARGET, optimize=True)


def _point(x: float, y: float, wide: float, high: float, turn: float, angle: float, size: int) -> tuple[float, float]:
    """Return a point of an ellipse that is turned."""
    across, down = wide * math.cos(angle), high * math.sin(angle)
    return (
        size * (x + across * math.cos(turn) - down * math.sin(turn)),
        size * (y + across * math.sin(turn) + down * math.cos(turn)),
    )


if __name__ == "__main__":
    main()
