"""What files suffer: cut, emptied, changed, deleted, and for JSON other types and missing values.

Each is a function of a file's bytes; None deletes the file.
"""

import functools
import json


def spoil(path, content):
    """Writes the bytes to a file; None deletes it."""
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


def cut(content):
    return content[: len(content) // 2]


def emptied(content):
    return b""


def changed(content):
    """The middle of it inverted."""
    start, end = len(content) // 3, 2 * len(content) // 3 + 1
    return content[:start] + bytes(255 - byte for byte in content[start:end]) + content[end:]


def deleted(content):
    return None


def wrong_types(content):
    """JSON whose values all have other types."""
    return encoded([other_type(line) for line in decoded(content)])


def other_kind(content):
    return b"[]"


def wrong_value(content, place):
    """JSON of which one value has another type."""
    *parents, last = place
    lines = decoded(content)
    holder = functools.reduce(lambda value, key: value[key], parents, lines)
    holder[last] = other_type(holder[last])
    return encoded(lines)


def missing_value(content, place):
    """JSON that lacks one value."""
    *parents, last = place
    lines = decoded(content)
    del functools.reduce(lambda value, key: value[key], parents, lines)[last]
    return encoded(lines)


def decoded(content):
    """The values of a JSON file, or of one of lines of JSON."""
    try:
        return [json.loads(line) for line in content.splitlines()]
    except ValueError:
        return [json.loads(content)]


def encoded(lines):
    return "\n".join(map(json.dumps, lines)).encode()


def other_type(value):
    """Numbers for texts, texts for numbers, in lists and dicts as well."""
    if isinstance(value, dict):
        return {key: other_type(item) for key, item in value.items()}
    if isinstance(value, list):
        return {"0": other_type(value[0])} if value else 7
    return 7 if isinstance(value, str) else "seven"


def places(value, place=()):
    """The keys that lead to each value below a value, of lists to the first one alone."""
    inside = value.items() if isinstance(value, dict) else []
    if isinstance(value, list):
        inside = enumerate(value[:1])
    for key, item in inside:
        yield (*place, key)
        yield from places(item, (*place, key))


def damages(file, content):
    """(name, function of the content) of what a file suffers."""
    for damage in (cut, emptied, changed, deleted):
        yield damage.__name__, damage
    if ".json" in file:
        for damage in (wrong_types, other_kind):
            yield damage.__name__, damage
        for place in places(decoded(content)[:1]):
            for damage in (wrong_value, missing_value):
                if len(place) > 1:
                    name = f"{damage.__name__} {'.'.join(map(str, place[1:]))}"
                    yield name, functools.partial(damage, place=place)
