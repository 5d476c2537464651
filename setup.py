"""Installation of adl_tf, its converters and its gin files."""

import pathlib
import re

from setuptools import find_packages, setup

# Without importing the package, which needs its dependencies.
VERSION = re.search(r'__version__ = "(.*)"', pathlib.Path("adl_tf/__init__.py").read_text()).group(
    1
)
PROGRAMS = (
    "auto",
    "search",
    "study",
    "train",
    "decode",
    "sample",
    "profile",
    "evaluate",
    "export",
    "predict",
)

# The two stacks of one source: with tensorflow-addons, and without.
CLASSIC, CURRENT = 'python_version < "3.12"', 'python_version >= "3.12"'
SERVING = (
    f"tensorflow-serving-api==2.15.*; {CLASSIC}",
    f"tensorflow-serving-api==2.21.*; {CURRENT}",
)
# onnx 1.18 wants a newer ml_dtypes than TensorFlow has.
ONNX = ("tf2onnx>=1.17,<2", "onnx>=1.16,<1.18")

setup(
    name="adl-tf",
    version=VERSION,
    description="Hierarchical neural architecture search for semantic segmentation (Auto-DeepLab)",
    long_description=pathlib.Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9,<3.14",
    packages=find_packages(include=["adl_tf", "adl_tf.*", "data_prep", "data_prep.*"])
    + ["gin_configs"],
    package_data={
        "gin_configs": ["*.gin", "*/*.gin"],
        "adl_tf.serving": ["models.config"],
        "adl_tf": ["presets/*/*"],
    },
    entry_points={
        "console_scripts": [
            "adl = adl_tf.console:main",
            *(f"adl-{program} = adl_tf.console:run_program" for program in PROGRAMS),
            "adl-convert = adl_tf.console:run_converter",
        ],
    },
    install_requires=[
        # The newest TensorFlow on which tensorflow-addons and keras-cv import together; it has no
        # wheels for Python 3.12 and later.
        f"tensorflow>=2.15.1,<2.16; {CLASSIC}",
        f"tensorflow-addons>=0.23,<0.24; {CLASSIC}",
        f"tensorflow>=2.21,<2.22; {CURRENT}",
        f"tf_keras>=2.21,<2.22; {CURRENT}",
        # This TensorFlow no longer brings it, and tf.summary fails without.
        f"tensorboard>=2.20,<3; {CURRENT}",
        "keras-cv>=0.9,<0.10",
        # keras-cv brings tensorflow-datasets; from 1.16 on its metadata wants protobuf 5.
        f"tensorflow-metadata>=1.15,<1.16; {CLASSIC}",
        "absl-py>=1.4,<3",
        "gin-config>=0.5,<0.6",
        f"numpy>=1.23,<2; {CLASSIC}",
        f"numpy>=2,<3; {CURRENT}",
        "matplotlib>=3.7,<4",
        "pillow>=9.5",
        # Decodes the compressed runs of COCO's files; 2.0.8 checks their lengths.
        "pycocotools>=2.0.8,<3",
        "pydantic>=2.5,<3",
        "scipy>=1.9,<2",
        # Completion of the command adl: a script, made once, so that a tab starts no Python.
        "shtab>=1.13,<2",
        "tqdm>=4.64,<5",
    ],
    extras_require={
        # cityscapesscripts: the official evaluator, which ours is checked against.
        "test": [
            "pytest>=7.4,<10",
            "pytest-xdist>=3.8,<4",
            "hypothesis>=6.90,<7",
            "ruff>=0.6,<1",
            "import-linter>=2,<3",
            "cityscapesscripts>=2.2.4,<3",
            *SERVING,
        ],
        # The pages, and what runs the notebook.
        "docs": [
            "mkdocs>=1.6,<2",
            "mkdocs-material>=9.7,<10",
            # From 1 on it wants Python 3.10.
            "mkdocstrings[python]>=0.30,<2",
            "nbclient>=0.10,<1",
            "ipykernel>=6.29,<8",
        ],
        # CUDA from wheels, of the version that each TensorFlow was built for.
        "gpu": [
            f"tensorflow[and-cuda]>=2.15.1,<2.16; {CLASSIC}",
            f"tensorflow[and-cuda]>=2.21,<2.22; {CURRENT}",
        ],
        # For warm-up requests in exports, and the gRPC client.
        "serving": [*SERVING],
        # Files for other runtimes.
        "onnx": [*ONNX, "onnxruntime>=1.17,<2"],
        "openvino": [
            "openvino>=2026.0,<2027",
            "nncf>=3,<4",
            *ONNX,
        ],
        # From 2.78 on it wants protobuf 6.
        "beam": ["apache-beam>=2.60,<2.78"],
        # It imports the pyarrow that tensorflow-datasets brings; 26 fails beside numpy 1, and does
        # not say so to pip.
        "ray": ["ray>=2.51,<3", f"pyarrow<26; {CLASSIC}"],
    },
)
