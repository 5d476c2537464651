"""A folder of images and their masks, as people have them.

Images are in images/ (also JPEGImages/, imgs/) or in the folder itself; masks in masks/ (also
labels/, annotations/, SegmentationClass/) or beside the images, named like their image, with or
without an ending such as _mask. classes.txt (also class_names.txt) names the classes: line i is
class i, optionally with a color: `road 128 64 128`. Splits are the subfolders of images/ and masks/
(images/train, masks/train, ...) or the lists of ImageSets/Segmentation; without either a seeded
fraction of the images is set aside as val.

A mask is
- an 8-bit image of class ids, 255 for pixels to ignore; with --mask_values=0,255 the pixels of the
  first class are 0 and those of the second 255;
- an image of the classes' colors, those of classes.txt or else PASCAL VOC's color map;
- a JSON file of polygons, as labelme writes it; class 0 is what none of them covers;
- or all masks are in one JSON file of annotations, as COCO has them: FOLDER/NAME.json; or in one
  for each split, with its name: train.json, val.json, ...
"""

import functools
import os
import random
import re
from typing import Dict, List, Sequence, Tuple

from absl import flags

from adl_tf.data.description import IGNORE_LABEL, Color, default_colors
from data_prep import coco_json, folders, labelme, program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import map_ids, read_image, read_mask

# labelme's name of what it stores as 255.
_IGNORED = "__ignore__"


def plan(
    input_dir: str,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    mask_values: Sequence[int] = (),
) -> Conversion:
    """Lists the pairs.

    Args:
      input_dir: the folder.
      val_fraction: share of the images set aside as val where there are no subfolders.
      seed: of that choice.
      mask_values: of the pixels of each class, in their order; empty for the class ids. Other
        pixels must be the ignore label.

    Raises:
      ConversionError: a part of the folder is missing or empty, a line of classes.txt is
        invalid, or there is not one mask value for each class.
    """
    annotations = coco_json.find(input_dir)
    folder = folders.explore(input_dir)
    if annotations:
        names, splits = coco_json.read(annotations, os.path.join(input_dir, folder.images))
        colors = default_colors(len(names))
    else:
        splits = folders.list_splits(input_dir, folder)
        names, colors = _find_classes(input_dir, folder, splits)
    if mask_values and not (len(set(mask_values)) == len(mask_values) == len(names)):
        raise ConversionError(
            f"mask_values {list(mask_values)}: give one value for each of the {len(names)} classes."
        )
    if set(splits) == {""}:
        splits = _set_aside(splits[""], val_fraction, seed)
    options = {"mask_values": tuple(mask_values)} if mask_values else {}
    return Conversion(
        name=os.path.basename(os.path.abspath(input_dir)),
        class_names=names,
        colors=colors,
        source="a folder of images and masks",
        splits=splits,
        convert=functools.partial(convert, names=names, colors=colors, **options),
    )


def convert(
    item: Item,
    *,
    names: Sequence[str],
    colors: Sequence[Color],
    mask_values: Sequence[int] = (),
) -> Example:
    """Stores the image as it is, and the mask as class ids."""
    if not isinstance(item.label, str):
        return coco_json.convert(item)
    if item.label.endswith(".json"):
        return Example(*read_image(item.image), labelme.draw(item.label, names))
    label = read_mask(item.label, colors)
    if mask_values:
        ids = {IGNORE_LABEL: IGNORE_LABEL, **{value: i for i, value in enumerate(mask_values)}}
        label = map_ids(label, ids, item.label)
    return Example(*read_image(item.image), label)


def _set_aside(items: Sequence[Item], fraction: float, seed: int) -> Dict[str, List[Item]]:
    """Random ones as val."""
    count = round(len(items) * fraction)
    val = set(random.Random(seed).sample(range(len(items)), count))
    return {
        "train": [item for i, item in enumerate(items) if i not in val],
        "val": [item for i, item in enumerate(items) if i in val],
    }


def _find_classes(root: str, folder: folders.Folder, splits) -> Tuple[Sequence[str], Sequence]:
    if folder.classes:
        return _read_classes(os.path.join(root, folder.classes))
    masks = [item.label for items in splits.values() for item in items]
    polygons = [path for path in masks if path.endswith(".json")]
    if polygons:
        names = labelme.class_names(polygons)
        return names, default_colors(len(names))
    path = os.path.join(root, folders.CLASS_FILES[0])
    raise ConversionError(f"{path}: missing; write one class name per line.")


def _read_classes(path):
    try:
        with open(path, encoding="utf-8-sig") as file:  # Some editors put a mark at the start.
            lines = [line.strip() for line in file if line.strip() not in ("", _IGNORED)]
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path}: not UTF-8 ({error.reason}); save it as that.") from error
    parts = [re.fullmatch(r"(.*?)(?:\s+(\d+)\s+(\d+)\s+(\d+))?", line).groups() for line in lines]
    if not 0 < len(lines) <= IGNORE_LABEL:
        raise ConversionError(f"{path}: {len(lines)} classes; give 1 to {IGNORE_LABEL}.")
    colors = [
        tuple(map(int, color)) if color[0] else default
        for (_, *color), default in zip(parts, default_colors(len(lines)))
    ]
    for line, color in zip(lines, colors):
        if max(color) > 255:
            raise ConversionError(f"{path}: {line!r}: a color has three values in 0..255.")
    return tuple(name for name, *_ in parts), tuple(colors)


def _plan_flags(input_dir, mask_values, **options):
    try:
        values = [int(value) for value in mask_values]
    except ValueError:
        raise ConversionError(
            f"--mask_values={','.join(mask_values)}: give whole numbers such as 0,255."
        ) from None
    return plan(input_dir, mask_values=values, **options)


if __name__ == "__main__":
    flags.DEFINE_float("val_fraction", 0.2, "Share of val if there are no subfolders.", 0, 1)
    flags.DEFINE_integer("seed", 0, "Random seed of the choice of val.")
    flags.DEFINE_list("mask_values", [], "Pixel value of each class in the masks [0,1,2,...].")
    program.main(_plan_flags, options=("val_fraction", "seed", "mask_values"))
