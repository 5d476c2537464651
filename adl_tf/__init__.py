"""Hierarchical neural architecture search for semantic segmentation (Auto-DeepLab).

The names below are loaded on first use: importing the package alone loads neither TensorFlow nor
keras-cv.

Example:
  >>> import adl_tf
  >>> genotype = adl_tf.load_genotype("auto_deeplab")
  >>> genotype.path
  (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
"""

import importlib.util
import os
import sys

__version__ = "0.2.0"

# TensorFlow enables oneDNN by default on some processors only; without it, CPUs have no gradients
# of grouped and of atrous convolutions. TensorFlow reads the variable when it is imported, so this
# package must be imported first.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The start-up log of TensorFlow would bury what a program says.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# From 2.16 on TensorFlow has Keras 3, without legacy optimizers; Keras 2 is tf_keras.
if "tensorflow" in sys.modules and "TF_USE_LEGACY_KERAS" not in os.environ:
    version = sys.modules["tensorflow"].__version__.split(".")
    if (int(version[0]), int(version[1])) > (2, 15):
        raise ImportError(
            "adl_tf needs tf_keras: import adl_tf before tensorflow, or set TF_USE_LEGACY_KERAS=1."
        )
    del version
if importlib.util.find_spec("tf_keras"):
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

# `python -m adl_tf.search` imports this package first, and then TensorFlow for seconds, in which
# Ctrl-C would print a traceback. Until Python has found the module to run, sys.argv[0] is "-m". A
# program that merely imports the package keeps its signals.
if sys.argv[:1] == ["-m"]:
    from adl_tf.system.interrupts import end_quietly, is_program

    if is_program():
        end_quietly()

_HOMES = {
    "SearchSpace": "space.search_space",
    "Genotype": "space.genotype",
    "load_genotype": "space.genotype",
    "save_genotype": "space.genotype",
    "sample_genotype": "space.sampling",
    "Supernet": "models.supernet",
    "DecodedNetwork": "models.auto_deeplab",
    "DecodedBackbone": "models.auto_deeplab",
    "NetworkDescription": "models.registry",
    "build_network": "models.registry",
    "load_network": "models.weights",
    "AlternatingModel": "training.alternating_model",
    "TrainingModel": "training.training_model",
    "RecordReader": "data.reader",
    "train_stream": "data.streams",
    "evaluation_stream": "data.streams",
    "RunData": "runs.data",
    "RunNetwork": "runs.network",
    "run_gradient_search": "searches.gradient_search",
    "run_random_search": "searches.random_search",
    "run_training": "runs.training_run",
    "decode_search": "searches.result",
    "profile_network": "models.profiling",
    "evaluate_network": "evaluation.network_evaluation",
    "normalize": "data.normalization",
    "Predictor": "evaluation.inference",
    "export_network": "serving.export",
    "predict_images": "serving.prediction",
    "run_auto": "planning.auto",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
