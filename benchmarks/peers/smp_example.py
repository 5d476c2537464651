"""segmentation-models-pytorch by the recipe of its CamVid example.

Dice loss, Adam at 2e-4 with a cosine to 1e-5, batch 32, crops of 320 (its example), shuffled
epochs; here the epochs that the minutes allow by a trial of four steps. Pixels that are ignored
are left out of the loss. Whole images are padded to multiples of 32.
"""

import json
import math
import os
import random
import statistics
import sys
import time

import albumentations as A
import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image

CROP, BATCH, IGNORED = 320, 32, 255
TRIED = 4  # Steps.


def main():
    folder, output, variant, minutes, seed = sys.argv[1:]
    architecture, encoder = variant.split(",")
    random.seed(int(seed))
    np.random.seed(int(seed))
    torch.manual_seed(int(seed))
    with open(os.path.join(folder, "classes.txt")) as file:
        classes = len(file.read().splitlines())

    def new_model():
        return Normalized(architecture, encoder, classes)

    loader = torch.utils.data.DataLoader(
        Examples(folder, classes), batch_size=BATCH, shuffle=True, drop_last=False
    )
    times = []
    train(new_model(), loader, TRIED, times)
    examples = len(loader.dataset)
    # The last batch of an epoch is smaller than those that were tried.
    step = statistics.median(np.diff(times)) * examples / len(loader) / min(BATCH, examples)
    started = time.time()
    model = new_model()
    steps = max(1, int(60 * float(minutes) / step))
    train(model, loader, steps, [])
    trained = time.time()
    model.eval()
    val, labels = os.path.join(folder, "images", "val"), os.path.join(output, "labels")
    os.makedirs(labels)
    first = None
    for name in sorted(os.listdir(val)):
        image = np.asarray(Image.open(os.path.join(val, name)).convert("RGB"))
        Image.fromarray(label(model, image)).save(os.path.join(labels, name))
        first = first or time.time()
    exported = os.path.join(output, "model.pt")
    height, width = (32 * math.ceil(side / 32) for side in image.shape[:2])
    with torch.no_grad():
        traced = torch.jit.freeze(torch.jit.trace(model, torch.zeros(1, 3, height, width)))
    traced.save(exported)
    seconds = []
    for _ in range(21):
        begin = time.perf_counter()
        label(traced, image)
        seconds.append(time.perf_counter() - begin)
    result = {
        "minutes": (trained - started) / 60,
        "steps": steps,
        "to_first_prediction": (first - started) / 60,
        "latency_ms": 1000 * statistics.median(seconds[1:]),
        "megabytes": os.path.getsize(exported) / 1e6,
        "parameters": sum(p.numel() for p in model.parameters()) / 1e6,
    }
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


class Normalized(torch.nn.Module):
    """A network on images of 0 to 255."""

    def __init__(self, architecture, encoder, classes):
        super().__init__()
        self.model = smp.create_model(
            architecture, encoder, encoder_weights=None, in_channels=3, classes=classes
        )
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, images):
        return self.model((images - self.mean) / self.std)


class Examples(torch.utils.data.Dataset):
    """Augmented crops of the images of train."""

    def __init__(self, folder, classes):
        self._folder, self._classes = folder, classes
        self._names = sorted(os.listdir(os.path.join(folder, "images", "train")))
        sharpness = [A.Sharpen(p=1), A.Blur(blur_limit=3, p=1), A.MotionBlur(blur_limit=3, p=1)]
        light = [A.CLAHE(p=1), A.RandomBrightnessContrast(p=1), A.RandomGamma(p=1)]
        color = [A.RandomBrightnessContrast(p=1), A.HueSaturationValue(p=1)]
        self._augment = A.Compose(
            [
                A.HorizontalFlip(p=0.5),
                A.ShiftScaleRotate(
                    scale_limit=0.5,
                    rotate_limit=0,
                    shift_limit=0.1,
                    p=1,
                    border_mode=0,
                    fill_mask=IGNORED,
                ),
                A.PadIfNeeded(CROP, CROP, fill_mask=IGNORED, border_mode=0),
                A.RandomCrop(CROP, CROP),
                A.GaussNoise(p=0.2),
                A.Perspective(p=0.5, fill_mask=IGNORED),
                A.OneOf(light, p=0.9),
                A.OneOf(sharpness, p=0.9),
                A.OneOf(color, p=0.9),
            ]
        )

    def __len__(self):
        return len(self._names)

    def __getitem__(self, index):
        image, mask = (
            np.asarray(Image.open(os.path.join(self._folder, kind, "train", self._names[index])))
            for kind in ("images", "masks")
        )
        augmented = self._augment(image=image, mask=mask)
        mask = np.where(augmented["mask"] < self._classes, augmented["mask"], IGNORED)
        return augmented["image"].transpose(2, 0, 1).astype("float32"), mask.astype("int64")


def train(model, loader, steps, times):
    """Trains a model for a number of steps; notes the times of their ends."""
    model.train()
    loss = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=IGNORED)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-5)
    done = 0
    while True:
        for images, masks in loader:
            optimizer.zero_grad()
            loss(model(images), masks).backward()
            optimizer.step()
            schedule.step()
            times.append(time.time())
            done += 1
            if done == steps:
                return


def label(model, image):
    """Class ids of an image, uint8 [H, W]."""
    height, width = image.shape[:2]
    padding = [(0, -height % 32), (0, -width % 32), (0, 0)]
    padded = np.pad(image, padding).transpose(2, 0, 1).astype("float32")
    with torch.no_grad():
        logits = model(torch.from_numpy(padded)[None])
    return logits.argmax(1)[0, :height, :width].numpy().astype("uint8")


if __name__ == "__main__":
    main()
