"""A folder of images and their masks, in the layouts that are common.

Images and masks are told by the names of folders (images/, JPEGImages/, ..., masks/, labels/,
annotations/, SegmentationClass/, 1st_manual/, ...), or by themselves: the masks that lie beside the
images, or the only other folder. Which mask belongs to which image is the one way in which their
names map one to one, whatever is before or after what they share; where two fit alike, --images and
--masks choose. Splits are folders at any depth (images/train, train/images, train_images, valid/),
or the lists of ImageSets/Segmentation; without val a seeded fraction of the images is set aside.
classes.txt (also class_names.txt, ...) names the classes: line i is class i, optionally with a
color: `road 128 64 128`.

A mask is
- an image of class ids, of any depth, 255 for pixels to ignore; with --mask_values=0,255 the pixels
  of the first class are 0 and those of the second 255;
- an image of the classes' colors, those of classes.txt or else PASCAL VOC's color map; of a palette
  its colors count if classes.txt has colors, else its indices;
- a JSON file of shapes, as labelme writes it; class 0 is what none of them covers;
- or all masks are in one file of annotations, COCO's JSON, Label Studio's or CVAT's XML, or in one
  for each split, told by its name or folder.
"""

import functools
import os
import posixpath
import random
from typing import Dict, List, Optional, Sequence, Tuple, Union

from absl import flags

from data_prep import annotation_files, coco_json, folders, labelme, layout, naming, program
from data_prep.annotation_files import ImageIndex
from data_prep.class_file import ClassFile, read_class_file
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import IMAGE_SUFFIXES, read_image
from data_prep.mask_reading import Reading, choose_reading, read_mask
from data_prep.survey import propose_classes


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
      seed: seed of that choice.
      mask_values: pixel value of each class, in their order, as numbers or their texts; empty
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
        classes, labels, lines = ClassFile(names, {}), [], []
    else:
        found = layout.explore(input_dir, files, images, masks)
        labels = [i.label for items in found.splits.values() for i in items if i.label]
        classes, lines = _find_classes(input_dir, class_file, labels, found.splits)
    count = len(classes.names)
    if values and not (len(set(values)) == len(values) == count):
        raise ConversionError(
            f"mask_values {list(values)}: give one value for each of the {count} classes."
        )
    pictures = [path for path in labels if not path.endswith(folders.POLYGONS)]
    reading, choices = choose_reading(pictures, count, classes.colors, values)
    splits, notes = _set_aside(found.splits, val_fraction, seed)
    colors = classes.all_colors
    return Conversion(
        name=os.path.basename(os.path.abspath(input_dir)),
        class_names=classes.names,
        colors=colors,
        source="a folder of images and masks",
        splits=splits,
        convert=functools.partial(convert, names=classes.names, reading=reading),
        unlabelled=found.unlabelled,
        faults=found.faults,
        notes=(*found.notes, *lines, *choices, *notes),
        input_dir=input_dir,
        propose=functools.partial(propose_classes, input_dir, splits, classes.names, colors),
    )


def convert(item: Item, *, names: Sequence[str], reading: Reading) -> Example:
    """Stores the image as it is, and the mask as class ids."""
    if item.label is None:
        return Example(*read_image(item.image), None)
    if not isinstance(item.label, str):
        return coco_json.convert(item)
    if item.label.endswith(folders.POLYGONS):
        return Example(*read_image(item.image), labelme.draw(item.label, names, item.image))
    return Example(*read_image(item.image), read_mask(item.label, reading))


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
    listing = coco_json.read(
        {split: os.path.join(root, file.path) for split, file in annotations.items()},
        lambda name, split: index.find(name, annotations[split], split),
    )
    splits = listing.splits
    places = {os.path.join(root, f.path): f.place.split for f in files}
    if all(places.get(item.image) for item in splits.get("", ())):
        for item in splits.pop("", ()):  # The folders of the images tell what the file does not.
            splits.setdefault(places[item.image], []).append(item)
    named = {item.image for items in splits.values() for item in items}
    lone = [f for f in files if f.suffix in IMAGE_SUFFIXES]
    lone = [f for f in lone if os.path.join(root, f.path) not in named]
    notes = [f"{len(named)} images of {', '.join(f.path for f in annotations.values())}."]
    notes += folders.count("left out, images that no file of annotations names", lone)
    notes += listing.notes
    return listing.names, layout.Layout(splits, (), tuple(notes), tuple(listing.faults))


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


def _find_classes(
    root: str, file: Optional[str], labels: Sequence[str], splits
) -> Tuple[ClassFile, List[str]]:
    """The classes, and lines for the user about the shapes of JSON files."""
    polygons = [path for path in labels if path.endswith(folders.POLYGONS)]
    found, notes = labelme.survey(polygons)
    if file:
        path = os.path.join(root, file)
        classes = read_class_file(path)
        if not polygons:
            return classes, notes
        return _with_background(classes, found, len(polygons) == len(labels), path), notes
    if polygons:
        return ClassFile(labelme.class_names(found), {}), notes
    path = os.path.join(root, folders.CLASS_FILES[0])
    raise ConversionError(
        f"{path}: missing; write one class name per line. {propose_classes(root, splits)}".strip()
    )


def _with_background(
    classes: ClassFile, labels: Sequence[str], may_insert: bool, path: str
) -> ClassFile:
    """The classes of shapes: class 0 is what none of them covers, so that none may be called so."""
    later = [name for name in classes.names[1:] if name in labelme.BACKGROUNDS]
    if not later and (classes.names[0] in labelme.BACKGROUNDS or classes.names[0] not in labels):
        return classes
    if later or not may_insert:
        name = later[0] if later else labelme.BACKGROUND
        raise ConversionError(
            f"{path}: class 0 is what no shape covers; write {name} into the first line."
        )
    colors = {label + 1: color for label, color in classes.colors.items()}
    return ClassFile((labelme.BACKGROUND, *classes.names), colors)


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
