"""What can be wrong with a request, by the service models: for each constraint a request that breaks it alone."""

from typing import NamedTuple

from .shapes import inputs, is_scalar, members

MISSING = object()
"""The value of a member that is left out."""
STRINGS = ("", " ", "!", "nonsense nonsense", "é" * 8)
"""Of these, one breaks every pattern and every enum of the models."""
WRONG_NUMBERS = (-1, 0, 10**12)
URI_MAX = 60_000
"""Characters: no request has a longer URI."""


class Break(NamedTuple):
    """A request with one fault."""

    location: str
    """body, querystring or uri"""
    path: tuple
    """To the member, by names and indices."""
    value: object

    @property
    def member(self):
        """As an error names it: `Origination.Routes[0].Port`."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if isinstance(step, int) else f".{step}"
        return text.lstrip(".")


def breaks(models, operation, arguments):
    """Every constraint of an operation's request, broken. What is nested in a member of `arguments`, which are right, is
    broken too. Of the models that have a member, what one allows counts as right."""
    shapes = inputs(models, operation)
    if not shapes:
        return
    required = set.intersection(*(set(shape.required_members) for shape in shapes))
    for name in shapes[0].members:
        known = members(shapes, name)
        location = known[0].serialization.get("location", "body")
        if location == "body" and name in required:
            yield Break(location, (name,), MISSING)
        for path, value in wrong(known, (name,), arguments.get(name), location):
            yield Break(location, path, value)


def wrong(shapes, path, right, location):
    """(path, value) of everything that is wrong at a member or below it."""
    kind = shapes[0].type_name
    if kind == "structure":
        yield path, "nonsense"
        if isinstance(right, dict):
            yield from wrong_members(shapes, path, right)
    elif kind == "list":
        yield path, "nonsense"
        yield from wrong_lengths(shapes, path, right, lambda count: [first(right)] * count)
        if isinstance(right, list) and right:
            yield from wrong([shape.member for shape in shapes], (*path, 0), right[0], location)
    elif kind == "map":
        yield path, "nonsense"
        yield from wrong_lengths(shapes, path, right, lambda count: {f"key-{index}": "" for index in range(count)})
    elif kind == "string":
        yield from wrong_string(shapes, path, location)
    elif kind in ("integer", "long"):
        yield path, "nonsense"
        yield from ((path, number) for number in WRONG_NUMBERS if not allowed(number, shapes))
    elif kind == "boolean":
        yield path, "nonsense"


def wrong_members(shapes, path, right):
    for name in shapes[0].members:
        if all(name in shape.required_members for shape in shapes):
            yield (*path, name), MISSING
        yield from wrong(members(shapes, name), (*path, name), right.get(name), "body")


def wrong_lengths(shapes, path, right, of_length):
    """Too few elements, and one too many."""
    if not right:
        return
    least = min(shape.metadata.get("min", 0) for shape in shapes)
    if least > 0:
        yield path, of_length(least - 1)
    if all("max" in shape.metadata for shape in shapes):
        yield path, of_length(max(shape.metadata["max"] for shape in shapes) + 1)


def wrong_string(shapes, path, location):
    # In a path and a query everything is a string, and an empty one is none.
    if location == "body":
        yield path, 5
    texts = [text for text in STRINGS if text or location == "body"]
    if not all(allowed(text, shapes) for text in texts):
        yield path, next(text for text in texts if not allowed(text, shapes))
    if all(shape.metadata.get("max", URI_MAX) < URI_MAX for shape in shapes):
        yield path, "1" * (max(shape.metadata["max"] for shape in shapes) + 1)


def allowed(value, shapes):
    return any(is_scalar(value, shape) for shape in shapes)


def first(right):
    return right[0]
