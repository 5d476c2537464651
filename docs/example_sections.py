"""Lets the reference show `Example:` in docstrings as code, as it shows the plural of it."""

import re

import griffe


class ExampleSections(griffe.Extension):
    """Called by mkdocstrings for every module, class and function that it reads."""

    def on_instance(self, *, obj, **kwargs):
        """Renames the heading."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
