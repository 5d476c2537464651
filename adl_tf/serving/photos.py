"""The image files that a program is given, found without TensorFlow."""

import os
from typing import Dict, List, Sequence

# As a scale: that of the training's images.
TRAINING = "training"


def find_images(paths: Sequence[str]) -> List[str]:
    """Files as they are, folders as the images in them, by name.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: no images, or two that would have label maps of one name.
    """
    paths = [os.path.expanduser(path) for path in paths]
    for path in paths:
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such image or folder.")

    from data_prep.images import IMAGE_SUFFIXES  # Here, since numpy takes as long as all the rest.

    images: List[str] = []
    for path in paths:
        if os.path.isdir(path):
            names = sorted(n for n in os.listdir(path) if n.lower().endswith(IMAGE_SUFFIXES))
            images += [os.path.join(path, name) for name in names]
        else:
            images.append(path)
    if not images:
        raise ValueError(
            f"no images in {', '.join(paths) or 'the command'}: name files, or folders with "
            f"{', '.join(IMAGE_SUFFIXES)} files."
        )
    seen: Dict[str, str] = {}
    for image in images:
        name = os.path.splitext(os.path.basename(image))[0]
        if name in seen:
            raise ValueError(
                f"{image}: its label map would have the same name as that of {seen[name]}; segment "
                "them in two runs with an --output_dir each."
            )
        seen[name] = image
    return images
