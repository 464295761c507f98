"""Images as items: those that look different are different questions."""

import numpy as np
import pytest
from PIL import Image

from ensemble_lab.core.identity import identity
from ensemble_lab.models.asking.live import record


def picture(mode, seed=0):
    numbers = np.random.default_rng(seed).integers(0, 256, (3, 2, 4), np.uint8)
    made = Image.fromarray(numbers[..., :3])
    return made.convert(mode)


def painted(palette, indices=((0, 1), (1, 0)), **info):
    image = Image.fromarray(np.array(indices, np.uint8)).convert("P")
    image.putpalette(palette)
    image.info |= info
    return image


BLACK, WHITE, RED = [0, 0, 0], [255, 255, 255], [255, 0, 0]


def test_images_that_look_different_differ():
    images = [
        painted(BLACK + WHITE),
        painted(WHITE + BLACK),
        painted(BLACK + RED),
        painted(BLACK + WHITE, ((1, 0), (0, 1))),
        painted(BLACK + WHITE, transparency=0),
        painted(BLACK + WHITE, transparency=1),
        painted(BLACK + WHITE, transparency=b"\0\xff"),
        Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)),
        Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("I"),
        Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)),
        Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1"),
        *[picture(mode) for mode in ("L", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "LA")],
        picture("RGB", seed=1),
    ]
    numbers = np.asarray(picture("RGB"))
    images += [Image.frombytes(mode, (2, 3), numbers.tobytes()) for mode in ("YCbCr", "HSV", "LAB")]
    wide = np.asarray(picture("RGBA"))
    images += [Image.frombytes(mode, (2, 3), wide.tobytes()) for mode in ("CMYK", "RGBa", "RGBX")]
    clear = picture("RGB")
    clear.info["transparency"] = (0, 0, 0)
    found = [identity(image) for image in [*images, clear]]
    assert None not in found and len(set(found)) == len(found)
    assert found == [identity(image.copy()) for image in [*images, clear]]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_plain_image_is_its_array(mode):
    assert identity(picture(mode)) == identity(np.asarray(picture(mode)))


def test_an_image_read_from_a_file_is_the_one_that_was_written(tmp_path):
    for mode in ("1", "L", "P", "RGB", "RGBA", "I;16"):
        image = picture("L").convert("I").convert(mode) if mode == "I;16" else picture(mode)
        image.save(tmp_path / "p.png")
        with Image.open(tmp_path / "p.png") as read:
            assert identity(read) == identity(image) is not None, mode


def size(image):
    return image.size[0]


def never(image):
    raise AssertionError("it is asked again")


def test_another_palette_under_an_old_name_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    record({"m": size}, [painted(BLACK + WHITE)], path, progress=False)
    record({"m": never}, [painted(BLACK + WHITE)], path, progress=False)
    with pytest.raises(ValueError, match="another question as item 0"):
        record({"m": never}, [painted(WHITE + BLACK)], path, progress=False)
