"""A folder of images and their masks, as people have them.

Images and masks are told by the names of folders (images/, JPEGImages/, ..., masks/, labels/,
annotations/, SegmentationClass/, 1st_manual/, ...), or by themselves: the masks that lie beside the
images, or the only other folder. Which mask belongs to which image is the one way in which their
names map one to one, whatever is before or after what they share; where two fit alike, --images and
--masks choose. Splits are folders at any depth (images/train, train/images, train_images, valid/),
or the lists of ImageSets/Segmentation; without val a seeded fraction of the images is set aside.
classes.txt (also class_names.txt, ...) names the classes: line i is class i, optionally with a
color: `road 128 64 128`.

A mask is
- an 8-bit image of class ids, 255 for pixels to ignore; with --mask_values=0,255 the pixels of the
  first class are 0 and those of the second 255;
- an image of the classes' colors, those of classes.txt or else PASCAL VOC's color map;
- a JSON file of polygons, as labelme writes it; class 0 is what none of them covers;
- or all masks are in one JSON file of annotations, as COCO has them, or in one for each split, told
  by its name or folder.
"""

import filecmp
import functools
import os
import posixpath
import random
import re
from typing import Dict, List, Optional, Sequence, Tuple, Union

from absl import flags

from adl_tf.data.description import IGNORE_LABEL, Color, default_colors
from data_prep import annotation_files, coco_json, folders, labelme, layout, naming, program
from data_prep.annotation_files import ImageIndex
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import IMAGE_SUFFIXES, map_ids, read_image, read_mask
from data_prep.survey import propose_classes

# labelme's name of what it stores as 255.
_IGNORED = "__ignore__"


def plan(
    input_dir: str,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    mask_values: Sequence[Union[int, str]] = (),
    images: str = "",
    masks: str = "",
) -> Conversion:
    """Lists the pairs.

    Args:
      input_dir: the folder.
      val_fraction: share of the images set aside as val where the folder has none; 0 for no val.
      seed: of that choice.
      mask_values: of the pixels of each class, in their order, as numbers or their texts; empty
        for the class ids. Other pixels must be the ignore label.
      images: pattern of the paths of images, as `*/photos/*`; empty to find them.
      masks: as well, of masks or files of annotations.

    Raises:
      ConversionError: a part of the folder is missing or empty, two ways to pair fit alike, a line
        of classes.txt is invalid, or there is not one whole number for each class.
    """
    values = _whole_numbers(mask_values)
    files = folders.list_files(input_dir)
    annotations = annotation_files.find(input_dir, files, masks)
    class_file, *others = folders.find_class_files(files) or [None]
    if annotations:
        names, found = _read_annotations(input_dir, files, annotations, images, masks)
        colors = default_colors(len(names))
    else:
        found = layout.explore(input_dir, files, images, masks)
        names, colors = _find_classes(input_dir, class_file, found.splits)
    if values and not (len(set(values)) == len(values) == len(names)):
        raise ConversionError(
            f"mask_values {list(values)}: give one value for each of the {len(names)} classes."
        )
    splits, notes = _set_aside(found.splits, val_fraction, seed)
    options = {"mask_values": values} if values else {}
    return Conversion(
        name=os.path.basename(os.path.abspath(input_dir)),
        class_names=names,
        colors=colors,
        source="a folder of images and masks",
        splits=splits,
        convert=functools.partial(convert, names=names, colors=colors, **options),
        unlabelled=found.unlabelled,
        faults=found.faults,
        notes=(*found.notes, *notes, *_other_class_files(input_dir, class_file, others)),
        input_dir=input_dir,
        propose=functools.partial(propose_classes, input_dir, splits, names, colors),
    )


def convert(
    item: Item,
    *,
    names: Sequence[str],
    colors: Sequence[Color],
    mask_values: Sequence[int] = (),
) -> Example:
    """Stores the image as it is, and the mask as class ids."""
    if item.label is None:
        return Example(*read_image(item.image), None)
    if not isinstance(item.label, str):
        return coco_json.convert(item)
    if item.label.endswith(".json"):
        return Example(*read_image(item.image), labelme.draw(item.label, names))
    label = read_mask(item.label, colors)
    if mask_values:
        ids = {IGNORE_LABEL: IGNORE_LABEL, **{value: i for i, value in enumerate(mask_values)}}
        label = map_ids(label, ids, item.label)
    return Example(*read_image(item.image), label)


def _read_annotations(
    root: str,
    files: Sequence[folders.File],
    annotations: Dict[str, folders.File],
    images: str,
    masks: str,
) -> Tuple[Sequence[str], layout.Layout]:
    """Class names, and the images that files of annotations name.

    Raises:
      ConversionError: a file is damaged, or there are masks as well and nobody chose.
    """
    drawn = [f for f in files if f.place.role == naming.MASK and f.suffix in IMAGE_SUFFIXES]
    first = next(iter(annotations.values()))
    if drawn and not masks:
        raise ConversionError(
            f"{root}: masks such as {drawn[0].path}, and annotations in {first.path}; choose with "
            f"--masks='{posixpath.dirname(drawn[0].path)}/*' or --masks='*{first.suffix}'."
        )
    index = ImageIndex(root, folders.select(files, images, IMAGE_SUFFIXES))
    names, splits = coco_json.read(
        {split: os.path.join(root, file.path) for split, file in annotations.items()},
        lambda name, split: index.find(name, annotations[split], split),
    )
    places = {os.path.join(root, f.path): f.place.split for f in files}
    if all(places.get(item.image) for item in splits.get("", ())):
        for item in splits.pop("", ()):  # The folders of the images tell what the file does not.
            splits.setdefault(places[item.image], []).append(item)
    named = {item.image for items in splits.values() for item in items}
    lone = [f for f in files if f.suffix in IMAGE_SUFFIXES]
    lone = [f for f in lone if os.path.join(root, f.path) not in named]
    notes = [f"{len(named)} images of {', '.join(f.path for f in annotations.values())}."]
    notes += folders.count("left out, images that no file of annotations names", lone)
    return names, layout.Layout(splits, (), tuple(notes), ())


def _set_aside(
    splits: Dict[str, List[Item]], fraction: float, seed: int
) -> Tuple[Dict[str, List[Item]], List[str]]:
    """The splits with random ones of train as val, if there is none, and notes about it."""
    splits = dict(splits)
    train = [*splits.pop("", ()), *splits.pop("train", ())]
    if not train or "val" in splits:
        return {**({"train": train} if train else {}), **splits}, []
    count = min(max(1, round(len(train) * fraction)), len(train)) if fraction else 0
    if not count or len(train) == 1:
        note = f"no val: all {len(train)} images are train, and nothing will be scored."
        return {"train": train, **splits}, [note]
    val = set(random.Random(seed).sample(range(len(train)), count))
    parts = {
        "train": [item for i, item in enumerate(train) if i not in val],
        "val": [item for i, item in enumerate(train) if i in val],
    }
    return {**parts, **splits}, [f"set aside as val: {count} of {len(train)} images of train."]


def _find_classes(root: str, file: Optional[str], splits) -> Tuple[Sequence[str], Sequence]:
    if file:
        return _read_classes(os.path.join(root, file))
    masks = [item.label for items in splits.values() for item in items if item.label]
    polygons = [path for path in masks if path.endswith(".json")]
    if polygons:
        names = labelme.class_names(polygons)
        return names, default_colors(len(names))
    path = os.path.join(root, folders.CLASS_FILES[0])
    raise ConversionError(
        f"{path}: missing; write one class name per line. {propose_classes(root, splits)}".strip()
    )


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


def _other_class_files(root: str, file: Optional[str], others: Sequence[str]) -> List[str]:
    """A note about class files that say something else than the one that is read."""
    unlike = [
        other
        for other in others
        if not filecmp.cmp(os.path.join(root, file), os.path.join(root, other), shallow=False)
    ]
    return [f"classes are those of {file}, not of {', '.join(unlike)}."] if unlike else []


def _whole_numbers(values: Sequence[Union[int, str]]) -> Tuple[int, ...]:
    try:
        return tuple(map(int, values))
    except ValueError:
        raise ConversionError(
            f"--mask_values={','.join(map(str, values))}: give whole numbers such as 0,255."
        ) from None


def define_flags() -> Tuple[str, ...]:
    """Defines the flags that `plan` takes; returns their names."""
    flags.DEFINE_float("val_fraction", 0.2, "Share of val if there is none; 0: nothing.", 0, 1)
    flags.DEFINE_integer("seed", 0, "Random seed of the choice of val.")
    flags.DEFINE_list("mask_values", [], "Pixel value of each class in the masks [0,1,2,...].")
    flags.DEFINE_string("images", "", "Pattern of the images' paths, such as '*/photos/*'.")
    flags.DEFINE_string("masks", "", "Pattern of the masks' paths, where several could be meant.")
    return "val_fraction", "seed", "mask_values", "images", "masks"


if __name__ == "__main__":
    program.main(plan, options=define_flags())
