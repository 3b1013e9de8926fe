"""JSON values against the shapes of the service models.

The models of the two namespaces, and those of older and newer SDKs, differ in places: a value is right where one of them
says so. So a shape is a list of shapes here, the one of the client under test first.
"""

import gzip
import json
import re

from botocore.model import ServiceModel

ISO8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def load(path):
    """A service model of an installed botocore, by its file."""
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as file:
        return ServiceModel(json.load(file))


def inputs(models, operation):
    """The shapes of a request, one for each model that has the operation."""
    return [of.input_shape for of in of_models(models, operation) if of.input_shape]


def outputs(models, operation):
    """The shapes of an answer."""
    return [of.output_shape for of in of_models(models, operation) if of.output_shape]


def of_models(models, operation):
    """The operation in each model that has it."""
    return [model.operation_model(operation) for model in models if operation in model.operation_names]


def members(shapes, name):
    """The shapes of a structure's member."""
    return [shape.members[name] for shape in shapes if name in shape.members]


def conform(value, shapes, path):
    """Fails where an answer's JSON is not of its shape: a member that no model has, a required one that is not there, a
    wrong type, a string of another form."""
    kind = shapes[0].type_name
    if kind == "structure":
        expect(isinstance(value, dict), path, "an object", value)
        for name in shapes[0].required_members:
            expect(value.get(name) is not None, f"{path}.{name}", "a value: it is required", value)
        for name, member in value.items():
            known = members(shapes, name)
            expect(known, f"{path}.{name}", "no such member", value)
            if member is not None:
                conform(member, known, f"{path}.{name}")
    elif kind == "list":
        expect(isinstance(value, list), path, "a list", value)
        for index, element in enumerate(value):
            conform(element, [shape.member for shape in shapes], f"{path}[{index}]")
    else:
        expect(any(is_scalar(value, shape) for shape in shapes), path, f"a {kind} as the models have it", value)


def is_scalar(value, shape):
    """Whether a value is what the shape of a string, a number or a boolean allows."""
    if shape.type_name == "timestamp":
        return isinstance(value, str) and ISO8601.fullmatch(value) is not None
    if shape.type_name == "boolean":
        return isinstance(value, bool)
    limits = shape.metadata
    if shape.type_name in ("integer", "long"):
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and limits.get("min", value) <= value <= limits.get("max", value)
    if shape.type_name != "string" or not isinstance(value, str):
        return False
    if shape.enum:
        return value in shape.enum
    length = len(value)
    if not limits.get("min", length) <= length <= limits.get("max", length):
        return False
    return "pattern" not in limits or re.fullmatch(limits["pattern"], value, re.DOTALL) is not None


def expect(condition, path, expected, value):
    """Fails a check of an answer's form."""
    if not condition:
        raise AssertionError(f"{path}: expected {expected}; the answer has {value!r}")
