"""A toy street, drawn with its label map."""

import numpy as np
from PIL import Image, ImageDraw

CLASSES = {
    "sky": (70, 130, 180),
    "building": (70, 70, 70),
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "tree": (107, 142, 35),
    "car": (0, 0, 142),
    "person": (220, 20, 60),
    "pole": (153, 153, 153),
}
_ID = {name: label for label, name in enumerate(CLASSES)}
_OVERSAMPLING = 2  # Drawn larger and shrunk, for smooth edges.


def draw_street(rng: np.random.Generator, height: int, width: int):
    """A street towards a vanishing point, with houses, trees, cars, people and poles along it.

    Args:
      rng: decides everything.
      height: in pixels.
      width: in pixels.

    Returns:
      image uint8 [height, width, 3], label uint8 [height, width].
    """
    scene = _Scene(rng, height * _OVERSAMPLING, width * _OVERSAMPLING)
    scene.draw_sky()
    scene.draw_ground()
    for side in (-1, 1):
        scene.draw_houses(side)
    things = [scene.draw_tree, scene.draw_car, scene.draw_person, scene.draw_pole]
    for depth in np.sort(rng.uniform(0.15, 0.9, rng.integers(10, 17))):  # The far ones first.
        things[rng.choice(4, p=[0.22, 0.3, 0.28, 0.2])](depth)
    return scene.render((width, height))


class _Scene:
    """A picture and its label map, drawn alike.

    A place on the ground has a depth, 0 at the horizon and 1 at the lower edge, which is also
    the scale of what stands there, and an across, -1 and 1 at the edges of the road.
    """

    def __init__(self, rng, height, width):
        self.rng = rng
        self.height, self.width = height, width
        self.image = Image.new("RGB", (width, height))
        self.label = Image.new("L", (width, height))
        self.brushes = ImageDraw.Draw(self.image), ImageDraw.Draw(self.label)
        self.horizon = height * rng.uniform(0.4, 0.5)
        self.vanishing = width * rng.uniform(0.35, 0.65)
        self.road = height * rng.uniform(0.6, 0.8)  # Half its width at depth 1.
        self.curb = rng.uniform(1.4, 1.7)  # Across of the sidewalk's outer edge.
        self.light = rng.uniform(0.75, 1.1)

    def render(self, size):
        """Shrinks both to (width, height) and adds the camera's noise."""
        image = np.asarray(self.image.resize(size, Image.Resampling.BOX), np.float32)
        image = image * self.light + self.rng.normal(0, 5, image.shape)
        label = self.label.resize(size, Image.Resampling.NEAREST)
        return np.clip(image, 0, 255).astype(np.uint8), np.array(label)

    def draw_sky(self):
        top, bottom = self.tint((90, 150, 225), 25), self.tint((205, 222, 240), 15)
        rows = int(self.horizon) + 2
        for y in range(rows):
            self.box("sky", (top * (rows - y) + bottom * y) / rows, 0, y, self.width, y)
        for _ in range(self.rng.integers(0, 5)):
            x, y = self.rng.uniform(0, [self.width, 0.5 * self.horizon])
            for dx, dy in self.rng.normal(0, [0.04 * self.width, 0.01 * self.height], (5, 2)):
                radii = 0.05 * self.width, 0.03 * self.height
                self.ellipse("sky", self.tint((238, 241, 247), 4), x + dx, y + dy, *radii)

    def draw_ground(self):
        asphalt = self.tint((85, 85, 92), 12)
        self.box("sidewalk", self.tint((165, 152, 140), 15), 0, self.horizon, self.width, 1e4)
        self.strip("road", asphalt, -1, 1, 0, 2)
        for start in np.geomspace(0.1, 1, 8):
            self.strip("road", asphalt + 110, -0.03, 0.03, start, start * 1.2)

    def draw_houses(self, side):
        """A row of fronts along the sidewalk, from the horizon to beyond the picture's edge."""
        edges = np.geomspace(0.06, 3, self.rng.integers(6, 10))
        for far, near in zip(edges, edges[1:]):
            if self.rng.random() < 0.15 and near < 1:
                continue  # A gap to see the sky through.
            wall = self.tint(self.rng.choice([(170, 90, 70), (200, 180, 140), (140, 140, 150)]), 20)
            tall = self.rng.uniform(0.7, 1.5)
            self.front("building", wall, side, (far, near), (0, tall))
            columns = np.linspace(far, near, 8)
            for floor in np.arange(0.15, tall - 0.15, 0.28):
                for window in zip(columns[1::2], columns[2::2]):
                    self.front("building", wall * 0.45, side, window, (floor, floor + 0.15))

    def draw_tree(self, depth):
        x, y, unit = self.stand(self.sidewalk(), depth)
        leaves = self.tint((60, 115, 45), 25)
        self.box("tree", (90, 65, 40), x - 0.03 * unit, y - 0.5 * unit, x + 0.03 * unit, y)
        for dx, dy in self.rng.normal(0, 0.1, (9, 2)):
            color = leaves * self.rng.uniform(0.75, 1.2)
            crown = x + dx * unit, y + (dy - 0.7) * unit
            self.ellipse("tree", color, *crown, 0.14 * unit, 0.14 * unit)

    def draw_car(self, depth):
        x, y, unit = self.stand(self.rng.choice([-1, 1]) * self.rng.uniform(0.3, 0.75), depth)
        paint, half = self.tint(self.rng.integers(30, 230, 3), 20), 0.26 * unit

        def part(color, left, top, right, bottom):
            self.box(
                "car", color, x + left * half, y - top * half, x + right * half, y - bottom * half
            )

        for wheel in (-0.75, 0.5):
            part((25, 25, 28), wheel, 0.3, wheel + 0.25, 0)
        part(paint, -1, 0.85, 1, 0.15)
        part(paint * 0.8, -0.75, 1.35, 0.75, 0.85)
        part((60, 75, 90), -0.62, 1.27, 0.62, 0.9)
        for lamp in (-0.95, 0.7):
            part((250, 235, 170), lamp, 0.7, lamp + 0.25, 0.5)

    def draw_person(self, depth):
        place = self.sidewalk() if self.rng.random() < 0.75 else self.rng.uniform(-0.9, 0.9)
        x, y, unit = self.stand(place, depth)
        tall = unit * self.rng.uniform(0.36, 0.46)
        coat, trousers = self.tint(self.rng.integers(20, 235, 3), 10), self.tint((50, 50, 80), 30)
        for leg in (-0.1, 0.02):
            self.box("person", trousers, x + leg * tall, y - 0.5 * tall, x + (leg + 0.08) * tall, y)
        self.box("person", coat, x - 0.14 * tall, y - 0.84 * tall, x + 0.14 * tall, y - 0.42 * tall)
        self.ellipse("person", (224, 182, 150), x, y - 0.92 * tall, 0.08 * tall, 0.1 * tall)

    def draw_pole(self, depth):
        x, y, unit = self.stand(self.rng.choice([-1, 1]) * 1.08, depth)
        thick = max(0.02 * unit, _OVERSAMPLING)
        self.box("pole", self.tint((120, 122, 125), 10), x - thick, y - 0.95 * unit, x + thick, y)
        sign = self.rng.choice([(200, 40, 40), (40, 80, 190), (235, 200, 60)])
        self.ellipse("pole", sign, x, y - 0.95 * unit, 0.08 * unit, 0.08 * unit)

    def sidewalk(self):
        return self.rng.choice([-1, 1]) * self.rng.uniform(1.12, self.curb - 0.08)

    def stand(self, across, depth):
        """(x, y) of a place on the ground and the length of a unit there, in pixels."""
        unit = depth * self.height * 0.75
        y = self.horizon + depth * (self.height - self.horizon)
        return self.vanishing + across * self.road * depth, y, unit

    def strip(self, name, color, left, right, far, near):
        """A piece of the ground."""
        corners = [(left, far), (right, far), (right, near), (left, near)]
        self.polygon(name, color, [self.stand(*corner)[:2] for corner in corners])

    def front(self, name, color, side, depths, heights):
        """A piece of the walls along the sidewalk; heights are in units."""
        far, near = (self.stand(side * self.curb, depth) for depth in depths)
        low, high = heights
        corners = [(far, low), (near, low), (near, high), (far, high)]
        self.polygon(name, color, [(x, y - h * unit) for (x, y, unit), h in corners])

    def box(self, name, color, *box):
        self.paint("rectangle", name, color, [round(edge) for edge in box])

    def ellipse(self, name, color, x, y, radius_x, radius_y):
        box = [x - radius_x, y - radius_y, x + radius_x, y + radius_y]
        self.paint("ellipse", name, color, box)

    def polygon(self, name, color, points):
        self.paint("polygon", name, color, points)

    def paint(self, shape, name, color, where):
        image, label = self.brushes
        getattr(image, shape)(where, fill=tuple(int(c) for c in np.clip(color, 0, 255)))
        getattr(label, shape)(where, fill=_ID[name])

    def tint(self, color, spread):
        """A color close to the given one."""
        return np.asarray(color) + self.rng.uniform(-spread, spread, 3)
