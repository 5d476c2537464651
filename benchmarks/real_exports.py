"""Exports of annotation tools as converted by `convert_folder`, next to a plain reading of them.

python benchmarks/real_exports.py TOOL=FOLDER ... [--blank_images]

TOOL is labelme, cvat (images 1.1), roboflow (masks or COCO) or label_studio (JSON); FOLDER is an
export as downloaded, with its images. The plain reading shares no code with the converter: every
outline is filled at 4 x 4 points of each pixel by the even-odd rule, later shapes over earlier
ones, and the points of a class are counted; runs and masks are copied. labelme's shapes are drawn
by Pillow, as labelme itself draws them. Images that the converter refuses are left out of both.

--blank_images takes black images of the sizes in the export in place of those that are missing.

Prints the pixels of each class, and one JSON line last; `surplus` is what was converted beyond the
plain reading, as a share of it.
"""

import argparse
import base64
import collections
import csv
import glob
import io
import json
import math
import os
import shutil
import sys
import tempfile
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

POINTS = 4  # Of a pixel's side.
IGNORED = "ignored"


class Canvas:
    """Labels at POINTS x POINTS points of each pixel of an image."""

    def __init__(self, height, width):
        self.size = height, width
        self.points = np.zeros((height * POINTS, width * POINTS), np.uint8)
        self.labels = {"background": 0}

    def number(self, label):
        return self.labels.setdefault(label, len(self.labels))

    def fill(self, label, corners):
        """Fills an outline, row by row of points, between every other crossing."""
        start = np.asarray(corners, float).reshape(-1, 2) * POINTS - 0.5
        end = np.roll(start, -1, axis=0)
        bottom = min(math.ceil(start[:, 1].max()), len(self.points))
        for row in range(max(math.floor(start[:, 1].min()), 0), bottom):
            crosses = (start[:, 1] > row) != (end[:, 1] > row)
            (x0, y0), (x1, y1) = start[crosses].T, end[crosses].T
            crossings = np.ceil(np.sort(x0 + (row - y0) * (x1 - x0) / (y1 - y0)))
            crossings = np.clip(crossings, 0, self.points.shape[1]).astype(int)
            for left, right in zip(crossings[::2], crossings[1::2]):
                self.points[row, left:right] = self.number(label)

    def fill_ellipse(self, label, center, radii, degrees):
        y, x = (np.indices(self.points.shape) + 0.5) / POINTS
        dx, dy, angle = x - center[0], y - center[1], math.radians(degrees)
        along = (dx * math.cos(angle) + dy * math.sin(angle)) / radii[0]
        across = (dy * math.cos(angle) - dx * math.sin(angle)) / radii[1]
        self.points[along**2 + across**2 <= 1] = self.number(label)

    def paste(self, label, mask, top=0, left=0):
        height, width = (side * POINTS for side in mask.shape)
        top, left = top * POINTS, left * POINTS
        part = self.points[top : top + height, left : left + width]
        part[mask.repeat(POINTS, 0).repeat(POINTS, 1)] = self.number(label)

    def pixels(self):
        counts = np.bincount(self.points.ravel(), minlength=len(self.labels)) / POINTS**2
        return {label: float(counts[number]) for label, number in self.labels.items()}


def read_labelme(folder):
    for path in find(folder, "*.json"):
        content = load(path)
        height, width = content["imageHeight"], content["imageWidth"]
        canvas, labels = Image.new("L", (width, height)), ["background"]
        pen = ImageDraw.Draw(canvas)
        for shape in content["shapes"]:
            points = [tuple(point) for point in shape["points"]]
            kind = shape["shape_type"] or "polygon"
            names = {"__ignore__": IGNORED, "_background_": "background"}
            label = names.get(shape["label"], shape["label"])
            if label not in labels:
                labels.append(label)
            color = {"fill": labels.index(label), "outline": labels.index(label)}
            if kind == "rectangle" and len(points) == 2:
                (x0, y0), (x1, y1) = points
                box = [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]
                pen.rectangle(box, **color)
            elif kind == "circle":
                (x, y), edge = points
                radius = math.dist((x, y), edge)
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], **color)
            elif kind in ("polygon", "rectangle", "oriented_rectangle") and len(points) > 2:
                pen.polygon(points, **color)
            elif kind == "mask":
                with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as mask:
                    corner = tuple(round(coordinate) for coordinate in points[0])
                    inside = Image.fromarray(np.asarray(mask.convert("L")) > 0)
                    canvas.paste(color["fill"], corner, inside)
        counts = np.bincount(np.asarray(canvas).ravel(), minlength=len(labels))
        yield content["imagePath"], (height, width), dict(zip(labels, counts.tolist()))


def read_cvat(folder):
    (path,) = find(folder, "*.xml")
    for image in ElementTree.parse(path).getroot().iter("image"):
        canvas = Canvas(int(image.get("height")), int(image.get("width")))
        for shape in sorted(image, key=lambda shape: int(shape.get("z_order", 0))):
            value, label = shape.attrib, shape.get("label")
            degrees = float(value.get("rotation", 0))
            if shape.tag == "polygon":
                points = value["points"].replace(";", ",").split(",")
                canvas.fill(label, [float(number) for number in points])
            elif shape.tag == "box":
                left, top, right, bottom = (float(value[s]) for s in ("xtl", "ytl", "xbr", "ybr"))
                canvas.fill(label, turned_box(left, top, right, bottom, degrees))
            elif shape.tag == "ellipse":
                x, y, *radii = (float(value[name]) for name in ("cx", "cy", "rx", "ry"))
                canvas.fill_ellipse(label, (x, y), radii, degrees)
            elif shape.tag == "mask":
                runs = [int(run) for run in value["rle"].split(",")]
                bits = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
                mask = bits.reshape(int(value["height"]), int(value["width"]))
                canvas.paste(label, mask, int(value["top"]), int(value["left"]))
        yield image.get("name"), canvas.size, canvas.pixels()


def turned_box(left, top, right, bottom, degrees):
    center, turn = complex(left + right, top + bottom) / 2, np.exp(1j * math.radians(degrees))
    corners = (
        complex(left, top),
        complex(right, top),
        complex(right, bottom),
        complex(left, bottom),
    )
    turned = [center + (corner - center) * turn for corner in corners]
    return [(corner.real, corner.imag) for corner in turned]


def read_roboflow(folder):
    for path in find(folder, "_annotations.coco.json"):
        content = load(path)
        names = {category["id"]: category["name"] for category in content["categories"]}
        for image in content["images"]:
            canvas = Canvas(image["height"], image["width"])
            own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
            for annotation in sorted(own, key=lambda a: -a["area"]):
                for outline in annotation["segmentation"]:
                    canvas.fill(names[annotation["category_id"]], outline)
            yield image["file_name"], canvas.size, canvas.pixels()
    for path in find(folder, "_classes.csv"):
        with open(path) as file:
            names = {int(row[0]): row[1].strip() for row in list(csv.reader(file))[1:]}
        for mask in find(os.path.dirname(path), "*_mask.png"):
            with Image.open(mask) as image:
                numbers, counts = np.unique(np.asarray(image), return_counts=True)
                size = image.size[::-1]
            pixels = {names[number]: int(count) for number, count in zip(numbers, counts)}
            yield mask.replace("_mask.png", ".jpg"), size, pixels


def read_label_studio(folder):
    (path,) = find(folder, "*.json")
    for task in load(path):
        if "annotations" in task:
            name, shapes = task["data"]["image"], task["annotations"][-1]["result"]
        else:  # The short form.
            name, lists = task["image"], [v for v in task.values() if isinstance(v, list)]
            shapes = [{**shape, "value": shape} for some in lists for shape in some]
        height, width = shapes[0]["original_height"], shapes[0]["original_width"]
        canvas = Canvas(height, width)
        for shape in shapes:
            value = shape["value"]
            label = next((v[0] for k, v in value.items() if k.endswith("labels")), None)
            if label is None:
                continue
            if "rle" in value:
                opacity = unpack(value["rle"]).reshape(height, width, 4)[..., 3]
                canvas.paste(label, opacity > 127)
            elif "points" in value:
                canvas.fill(label, np.array(value["points"]) * (width / 100, height / 100))
            elif "radiusX" in value:
                center = value["x"] * width / 100, value["y"] * height / 100
                radii = value["radiusX"] * width / 100, value["radiusY"] * height / 100
                canvas.fill_ellipse(label, center, radii, value.get("rotation", 0))
        yield name, canvas.size, canvas.pixels()


def unpack(packed):
    """The bytes of a brush of Label Studio, a bit at a time."""
    bits = iter("".join(f"{byte:08b}" for byte in packed))

    def number(count):
        return int("".join(next(bits) for _ in range(count)), 2)

    length, word = number(32), number(5) + 1
    lengths = [number(4) + 1 for _ in range(4)]
    values = []
    while len(values) < length:
        is_run, count = number(1), number(lengths[number(2)]) + 1
        values += [number(word)] * count if is_run else [number(word) for _ in range(count)]
    return np.array(values)


READERS = {
    "labelme": read_labelme,
    "cvat": read_cvat,
    "roboflow": read_roboflow,
    "label_studio": read_label_studio,
}


def find(folder, pattern):
    return sorted(glob.glob(os.path.join(glob.escape(folder), "**", pattern), recursive=True))


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def stem(name):
    return os.path.splitext(os.path.basename(name))[0]


def convert(folder, output):
    """The pixels of each class in each image by its name."""
    import tensorflow as tf

    from adl_tf.data.description import read_dataset_description
    from data_prep import convert_folder
    from data_prep.run import run_conversion

    run_conversion(convert_folder.plan(folder), output, max_errors=10**6)
    description = read_dataset_description(output)
    names = {**dict(enumerate(description.class_names)), 255: IGNORED}
    converted = {}
    for shard in (shard for split in description.splits.values() for shard in split.shards):
        for record in tf.data.TFRecordDataset(os.path.join(output, shard.file)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            name, encoded = (
                feature[key].bytes_list.value[0]
                for key in ("image/filename", "image/segmentation/class/encoded")
            )
            label = np.asarray(Image.open(io.BytesIO(encoded)))
            numbers, counts = np.unique(label, return_counts=True)
            converted[stem(name.decode() + ".")] = {
                names[number]: int(count) for number, count in zip(numbers, counts)
            }
    return converted


def add_blank_images(folder, plain):
    present = {os.path.basename(path) for path in find(folder, "*")}
    for name, (height, width), _ in plain:
        base = os.path.basename(name)
        if base not in present:
            Image.new("RGB", (width, height)).save(os.path.join(folder, base))


def total(images):
    pixels = collections.Counter()
    for counts in images:
        pixels.update(counts)
    return {label: count for label, count in sorted(pixels.items()) if count}


def compare(tool, folder, blank_images):
    with tempfile.TemporaryDirectory() as temporary:
        copy = shutil.copytree(folder, os.path.join(temporary, "in"))
        plain = list(READERS[tool](copy))
        if blank_images:
            add_blank_images(copy, plain)
        converted = convert(copy, os.path.join(temporary, "out"))
    plain = {stem(name): counts for name, _, counts in plain}
    pixels = total(converted.values())
    expected = total(plain[name] for name in converted)
    labels = sorted({*pixels, *expected})
    rows = {label: (pixels.get(label, 0), expected.get(label, 0.0)) for label in labels}
    return {
        "tool": tool,
        "export": os.path.basename(os.path.normpath(folder)),
        "images": len(converted),
        "left_out": len(plain) - len(converted),
        "pixels": {label: {"converted": c, "plain": p} for label, (c, p) in rows.items()},
        "surplus": {label: round(c / p - 1, 6) if p else None for label, (c, p) in rows.items()},
    }


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("exports", nargs="+")
    parser.add_argument("--blank_images", action="store_true")
    arguments = parser.parse_args()
    results = []
    for export in arguments.exports:
        tool, _, folder = export.partition("=")
        if tool not in READERS or not os.path.isdir(folder):
            sys.exit(f"{export}: give TOOL=FOLDER, a tool of {', '.join(READERS)}")
        result = compare(tool, folder, arguments.blank_images)
        results.append(result)
        print(f"{tool}, {result['export']}: {result['images']} images, ", end="")
        print(f"{result['left_out']} left out")
        for label, counts in result["pixels"].items():
            surplus = result["surplus"][label]
            share = "" if surplus is None else f"{100 * surplus:+9.3f} %"
            print(f"  {label:30}{counts['converted']:>14,}{counts['plain']:>18,.2f}{share}")
    print(json.dumps({"exports": results}))


if __name__ == "__main__":
    main()
