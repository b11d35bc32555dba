"""Drawing a stained smear: dyes on glass, and the light that comes through them.

A smear absorbs light; it does not reflect it. So nothing here has a colour: shapes add amounts of
dye, and `Smear.photograph` turns amounts into optical density and density into light by
Beer-Lambert's law. Overlapping red cells darken each other, and a stronger or bluer stain changes
every cell as it does under a microscope.

Lengths and positions are fractions of the picture's side, so that a scene does not depend on the
number of pixels it is drawn with.
"""

import cv2
import numpy as np

# Natural-log optical density of one unit of each dye over red, green and blue light, relative to
# clear glass: read off photographs of the PBC set (Acevedo et al. 2020, Data in Brief 30:105474).
DYES = {
    "violet": (1.26, 2.02, 0.56),  # azure B on DNA and on azurophilic granules
    "blue": (0.62, 0.55, 0.12),  # azure B on the RNA of cytoplasm
    "eosin": (0.26, 0.80, 0.58),  # on the proteins of eosinophilic granules
    "haemoglobin": (0.24, 0.35, 0.22),
}
WARM_LIGHT, COLD_LIGHT = (253, 227, 203), (221, 216, 238)  # two white balances of the same camera
SUBPIXEL_BITS = 6  # fixed-point coordinates: what OpenCV anti-aliases with

Point = tuple[float, float]


class Smear:
    """Dyes on a square of glass.

    Masks are float32 (size, size) in [0, 1], anti-aliased; points are (x, y).

    Attributes:
      size: Side of the picture in pixels.
      rng: Generator of everything that is random about this smear.
      dyes: Amount of each dye, float32 (size, size), in units of `DYES`.
    """

    def __init__(self, size: int, rng: np.random.Generator):
        self.size = size
        self.rng = rng
        self._planes = np.zeros((len(DYES), size, size), np.float32)
        self.dyes = dict(zip(DYES, self._planes, strict=True))

    def lay(self, mask: np.ndarray, **amounts: float | np.ndarray) -> None:
        """Replaces what is under `mask` by these amounts of dyes."""
        for name, plane in self.dyes.items():
            plane += mask * (amounts.get(name, 0.0) - plane)

    def stain(self, mask: np.ndarray, **amounts: float | np.ndarray) -> None:
        """Adds dye under `mask` to what is there."""
        for name, amount in amounts.items():
            self.dyes[name] += mask * amount

    def outline(self, centre: Point, radius: float, wobble: float = 0.0) -> np.ndarray:
        """Returns a filled, nearly round mask, whose radius varies by `wobble`, relative to it."""
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        waves = np.arange(2, 6)[:, None]
        heights = self.rng.normal(size=(4, 1)) / waves
        phases = self.rng.uniform(0, 2 * np.pi, (4, 1))
        stray = wobble * (heights * np.cos(waves * angle + phases)).sum(0)
        radii = self._trimmed(radius * (1 + np.clip(stray, -0.3, 0.3)))[:, None]
        points = centre + radii * np.stack([np.cos(angle), np.sin(angle)], -1)
        canvas = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(canvas, [self._fixed(points)], 255, cv2.LINE_AA, SUBPIXEL_BITS)
        return canvas * np.float32(1 / 255)

    def discs(self, points: np.ndarray, radii: np.ndarray, shades: np.ndarray) -> np.ndarray:
        """Returns discs of `radii` (N,) at `points` (N, 2), with `shades` (N,) in [0, 1]."""
        canvas = np.zeros((self.size, self.size), np.uint8)
        scale = self.size * (1 << SUBPIXEL_BITS)
        radii = np.rint(self._trimmed(radii) * scale).astype(int)
        shades = np.rint(255 * shades).astype(int)
        for point, radius, shade in zip(
            self._fixed(points).tolist(), radii.tolist(), shades.tolist(), strict=True
        ):
            cv2.circle(canvas, point, radius, shade, -1, cv2.LINE_AA, SUBPIXEL_BITS)
        return canvas * np.float32(1 / 255)

    def lobes(self, points: np.ndarray, radii: np.ndarray, filament: float = 0.0) -> np.ndarray:
        """Returns discs melted together, with a thread through them if its width `filament` > 0."""
        softness = 0.01 * self.size
        melted = cv2.GaussianBlur(self.discs(points, radii, np.ones(len(radii))), (0, 0), softness)
        melted = np.clip((melted - 0.5) * max(1.0, 2 * softness) + 0.5, 0, 1)
        if filament:  # drawn after the melting, which would have swallowed it
            line = np.zeros((self.size, self.size), np.uint8)
            path, width = self._fixed(points), max(1, round(filament * self.size))
            cv2.polylines(line, [path], False, 230, width, cv2.LINE_AA, SUBPIXEL_BITS)
            melted = np.maximum(melted, line * np.float32(1 / 255))
        return melted

    def granules(self, centre: Point, spread: float, radius: float, count: int) -> np.ndarray:
        """Returns `count` unevenly dark grains of about `radius` within `spread` of `centre`."""
        distance, angle = np.sqrt(self.rng.random(count)), 2 * np.pi * self.rng.random(count)
        places = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        radii = radius * self.rng.uniform(0.7, 1.3, count)
        return self.discs(centre + spread * places, radii, self.rng.uniform(0.43, 1.0, count))

    def texture(self, grain: float) -> np.ndarray:
        """Returns smooth noise, float32 (size, size) of mean 0 and std 1, in patches of `grain`."""
        cells = round(1 / grain)
        coarse = self.rng.standard_normal((cells, cells), np.float32)
        return 1.4 * cv2.resize(coarse, (self.size, self.size), interpolation=cv2.INTER_CUBIC)

    def border(self, mask: np.ndarray, width: float) -> np.ndarray:
        """Returns the inner edge of a mask, about `width` wide."""
        return mask * (1 - cv2.GaussianBlur(mask, (0, 0), width * self.size))

    def red_cells(self, centre: Point, clearing: float) -> None:
        """Covers the glass with red cells, except for a disc of `clearing` around `centre`."""
        rng, radius = self.rng, self.rng.uniform(0.088, 0.108)
        places = self._scattered(radius)
        radii = radius * rng.normal(1, 0.07, len(places))
        kept = np.hypot(*(places - centre).T) > clearing + 0.85 * radii
        places, radii = self.size * places[kept], self.size * radii[kept]

        # Each is drawn on a tile of its own, all tiles at once, then laid on the padded glass. In
        # place where it can be, since fresh memory costs more here than arithmetic.
        side = int(2.6 * radius * self.size) + 2
        corners = np.rint(places).astype(int) - side // 2
        offsets = (corners - places + 0.5).astype(np.float32)
        u = (offsets[:, :1] + np.arange(side, dtype=np.float32))[:, None, :]
        v = (offsets[:, 1:] + np.arange(side, dtype=np.float32))[:, :, None]
        tilt, squash, hollow, pallor, depth = (
            rng.uniform(low, high, (len(places), 1, 1)).astype(np.float32)
            for low, high in ((0, np.pi), (0, 0.09), (0.2, 0.36), (-0.15, 0.1), (0.85, 1.1))
        )
        pallor += np.float32(rng.uniform(0.4, 0.9))
        pixels = radii.astype(np.float32)[:, None, None]
        # An ellipse's quadratic form: squared distance from its middle, 1 at its edge.
        long, short = (pixels * (1 + squash)) ** -2, (pixels * (1 - squash)) ** -2
        cosine, sine = np.cos(tilt), np.sin(tilt)
        d2 = u * u * (long * cosine**2 + short * sine**2) + v * v * (
            long * sine**2 + short * cosine**2
        )
        d2 += u * (2 * cosine * sine * (long - short)) * v
        well = d2 / hollow
        tiles = well * well
        tiles *= well
        tiles += 1
        np.divide(-pallor * depth, tiles, out=tiles)
        tiles += depth
        d2 -= 1
        d2 *= -pixels / 2
        d2 += 0.5
        tiles *= np.clip(d2, 0, 1, out=d2)

        # Squares are summed, so that where two cells overlap it is darker, but not twice as dark.
        tiles *= tiles
        glass = np.zeros((self.size + 2 * side,) * 2, np.float32)
        for (left, top), tile in zip((corners + side).tolist(), tiles, strict=True):
            glass[top : top + side, left : left + side] += tile
        self.dyes["haemoglobin"] += np.sqrt(glass[side:-side, side:-side])

    def _scattered(self, radius: float) -> np.ndarray:
        """Returns centres of red cells (N, 2) all over the glass, evenly spread but not regular."""
        rng = self.rng
        steps = np.arange(-5, 6) * radius * rng.uniform(1.95, 2.5)
        x, y = (axis.ravel() for axis in np.meshgrid(steps, steps))
        turn = rng.uniform(0, np.pi / 2)
        lattice = [x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)]
        places = 0.5 + np.stack(lattice, -1) + radius * rng.normal(0, 0.4, (len(x), 2))
        kept = rng.random(len(places)) < rng.uniform(0.6, 1.0)
        return places[kept & (np.abs(places - 0.5) < 0.5 + radius).all(1)]

    def photograph(self) -> np.ndarray:
        """Returns the smear seen through a microscope: uint8 (size, size, 3), RGB."""
        rng = self.rng
        density = np.array(list(DYES.values())) * rng.normal(1, 0.05, (len(DYES), 3))
        density *= rng.uniform(0.8, 1.2) * rng.uniform(0.85, 1.15, (len(DYES), 1))
        light = np.array(COLD_LIGHT if rng.random() < 0.1 else WARM_LIGHT)
        light = light * rng.uniform(0.95, 1.01) * rng.normal(1, 0.01, 3)
        # The lamp is never quite centred, and plasma dries unevenly.
        ramp = np.linspace(-1, 1, self.size, dtype=np.float32)
        tilt = rng.normal(0, 0.015, 2).astype(np.float32)
        haze = tilt[0] * ramp + tilt[1] * ramp[:, None] + 0.006 * self.texture(1 / 4)

        exponent = -density.T.astype(np.float32) @ self._planes.reshape(len(DYES), -1)
        exponent -= haze.ravel()
        exponent += np.log(light).astype(np.float32)[:, None]
        picture = cv2.exp(exponent, exponent).reshape(3, self.size, self.size)
        focus = self.size * rng.uniform(0.001, 0.006)
        noise = rng.standard_normal((self.size, self.size), np.float32)
        noise *= rng.uniform(0.5, 2.5)
        return cv2.merge(
            [  # the sum is rounded and saturated
                cv2.add(cv2.GaussianBlur(plane, (0, 0), focus), noise, dtype=cv2.CV_8U)
                for plane in picture
            ]
        )

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        """Returns positions in OpenCV's fixed-point pixels; (0, 0) is the first pixel's centre."""
        return np.rint((points * self.size - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)

    def _trimmed(self, radii: np.ndarray) -> np.ndarray:
        """Returns radii less half a pixel: OpenCV draws its anti-aliased edge outside a shape."""
        return np.maximum(radii - 0.5 / self.size, 0)
