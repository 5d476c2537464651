"""A folder of 12 photos with outlines drawn by hand, as labelme saves them, for `adl_tf.auto`.

python benchmarks/photos.py CAMVID FOLDER

The photos are of CamVid's training images, each cut to another size. The outlines, of sky,
buildings, roads and cars, are in `outlines.json`: coarse, drawn over the photos without a look at
CamVid's masks.
"""

import json
import os
import sys

from PIL import Image

OUTLINES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "outlines.json")


def main(camvid, folder):
    os.makedirs(folder)
    with open(OUTLINES) as file:
        outlines = json.load(file)
    for index, (name, shapes) in enumerate(outlines.items()):
        with Image.open(os.path.join(camvid, "train", name)) as opened:
            width, height = opened.width - 11 * index, opened.height - 7 * index
            opened.crop((0, 0, width, height)).save(os.path.join(folder, name), quality=92)
        content = {
            "imagePath": name,
            "imageHeight": height,
            "imageWidth": width,
            "shapes": [
                {"label": label, "shape_type": "polygon", "points": points}
                for label, points in shapes
            ],
        }
        with open(os.path.join(folder, f"{os.path.splitext(name)[0]}.json"), "w") as file:
            json.dump(content, file, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
