"""The description of a conversion: a data set, its splits and how its examples are made."""

import dataclasses
import functools
from typing import Callable, List, Mapping, Sequence, Tuple, Union

from data_prep.errors import BadExample, ConversionError
from data_prep.examples import EncodedExample, Example, Item, try_encode

Splits = Mapping[str, Sequence[Item]]


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A conversion to run, see `run.run_conversion`.

    Attributes:
      name: name of the data set.
      class_names: one per class.
      colors: (red, green, blue) per class.
      source: where the images come from.
      splits: the items of each split, in the order of the records.
      convert: makes an example of an item or raises BadExample; picklable, its options are the
        keywords of a functools.partial.
      unlabelled: the splits without label maps.
      faults: what the listing found wrong already, such as an unreadable list of examples.
      official_ids: ids of the classes in the data set's own files; empty where these are the same.
      notes: what of the input is used and as what, what is left out and why, a line each.
      input_dir: what the listing read; empty where nothing is read.
      propose: writes a file with the classes that the masks have and the data set has not, and
        says so in one sentence; "" where none are missing.
      short_side: in pixels; images whose short side is longer are shrunk to it; 0: none is.
    """

    name: str
    class_names: Sequence[str]
    colors: Sequence[Tuple[int, int, int]]
    source: str
    splits: Splits
    convert: Callable[[Item], Example]
    unlabelled: Tuple[str, ...] = ()
    faults: Tuple[BadExample, ...] = ()
    official_ids: Tuple[int, ...] = ()
    notes: Tuple[str, ...] = ()
    input_dir: str = ""
    propose: Callable[[], str] = str
    short_side: int = 0

    @property
    def encode(self) -> Callable[[Item], Union[EncodedExample, BadExample]]:
        """Converts one item; made of the little that worker processes need to know."""
        return functools.partial(try_encode, self.convert, len(self.class_names), self.short_side)

    @property
    def options(self) -> Mapping[str, object]:
        """The options of `convert`, and the short side if it is limited."""
        own = self.convert.keywords if isinstance(self.convert, functools.partial) else {}
        return {**own, **({"short_side": self.short_side} if self.short_side else {})}


def drop_duplicates(splits: Splits) -> Tuple[Splits, List[BadExample]]:
    """Keeps the first of several items of one name in a split.

    Returns:
      the splits with unique names, and one BadExample per item left out.

    Raises:
      ConversionError: a split has no items.
    """
    kept, duplicates = {}, []
    for split, items in splits.items():
        if not items:
            raise ConversionError(f"split {split!r} has no examples.")
        first = {}
        for item in items:
            if item.name not in first:
                first[item.name] = item
                continue
            duplicates.append(
                BadExample(
                    item.image if isinstance(item.image, str) else item.name,
                    f"the name {item.name!r} appears twice in split {split!r}",
                    "rename one or remove it",
                )
            )
        kept[split] = list(first.values())
    return kept, duplicates
