"""The only place that imports keras-cv."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):  # On import it prints the name of its backend.
    import keras_cv

__all__ = ["keras_cv"]
