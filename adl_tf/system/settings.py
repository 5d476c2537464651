"""Settings: their types, with the range of their values, and where both are checked.

A signature states the types of what gin binds. Where gin hands the values over they are compared
with it, once: a text for a number, or a share above 1, ends in one line with its name.
"""

import contextlib
import functools
import inspect
import os
import socket
from typing import Annotated, Any, Callable, Dict, Sequence, Tuple, get_type_hints

import gin
import numpy as np
import pydantic
from pydantic import Field
from pydantic.types import Strict

# How many of something; at least one.
Count = Annotated[int, Field(ge=1)]
# A number of things that may be missing altogether, or a seed.
Number = Annotated[int, Field(ge=0)]
# A rate, a weight or a size that must not be 0; and one that may. float32 holds them.
Positive = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
# A part of something: from 0 to 1, above 0, and below 1.
Share = Annotated[float, Field(ge=0, le=1)]
SomeShare = Annotated[float, Field(gt=0, le=1)]
PartialShare = Annotated[float, Field(ge=0, lt=1)]
# A name or a path.
Name = Annotated[str, Field(min_length=1)]
# (height, width) in pixels, or other pairs; a list will do.
Sides = Annotated[Tuple[Count, Count], Strict(False)]

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_CONFIG = pydantic.ConfigDict(strict=True)


def configurable(target=None, *, unbound: Sequence[str] = ()):
    """gin.configurable, with arguments that are compared with their annotations at each call.

    Args:
      target: a function, or a class, whose constructor is meant; None for a decorator.
      unbound: arguments that gin cannot bind, since the programs' data allow one value only.
    """
    if target is None:
        return functools.partial(configurable, unbound=unbound)
    if inspect.isclass(target):
        target.__init__ = checked(target.__init__, target.__name__)
    else:
        target = checked(target)
    return gin.configurable(denylist=list(unbound) or None)(target)


def external_configurable(target):
    """`configurable` of what lies below this module: a function, or a dataclass."""
    make = functools.wraps(target)(lambda *args, **kwargs: target(*args, **kwargs))
    return gin.external_configurable(
        checked(make, target.__name__), name=target.__name__, module=target.__module__
    )


def checked(function: Callable, name: str = "") -> Callable:
    """A function that compares its arguments with its annotations before it runs.

    Args:
      function: some of its arguments have annotations.
      name: for the messages; the function's by default.

    Raises:
      ValueError: by the function that is returned, an argument of another type or out of range.
    """
    name = name or function.__name__
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args, **kwargs):
        for argument, value in signature.bind_partial(*args, **kwargs).arguments.items():
            parameter = signature.parameters[argument]
            if parameter.kind in _VARIADIC or value is gin.REQUIRED or value is parameter.default:
                continue
            if argument in types(function):
                check(f"{name}.{argument}", value, types(function)[argument])
        return function(*args, **kwargs)

    run.__signature__ = signature  # Where gin looks for names and defaults.
    return run


@functools.cache
def types(function: Callable) -> Dict[str, pydantic.TypeAdapter]:
    """Validators of a function's arguments, by their annotations."""
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    adapters = {}
    for name, hint in hints.items():
        # Networks, optimizers and other objects, which no gin file can write, are left alone.
        with contextlib.suppress(pydantic.errors.PydanticUserError):
            adapters[name] = pydantic.TypeAdapter(hint, config=_CONFIG)
    return adapters


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, and paths, as Python's own."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check(name: str, value: Any, adapter: pydantic.TypeAdapter) -> None:
    """Compares one value with its type.

    Raises:
      ValueError: another type, or out of range.
    """
    try:
        adapter.validate_python(_plain(value))
    except pydantic.ValidationError as error:
        reasons = dict.fromkeys(part["msg"] for part in error.errors())
        text = "; or ".join(reason[0].lower() + reason[1:] for reason in reasons)
        raise ValueError(f"{name} = {value!r}: {text}.") from error


def check_server(name: str, address: str, server: str) -> None:
    """Checks that something listens at an address.

    Args:
      name: name of the setting.
      address: "host:port", a protocol and "://" before it perhaps.
      server: what should be there.

    Raises:
      ValueError: nothing listens there.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} = {address!r}: no {server} answers there ({error}); start one, or leave it "
            "out."
        ) from error
