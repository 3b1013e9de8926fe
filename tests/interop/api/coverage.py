"""The coverage table: of each operation, in each namespace, what the runs have asserted. What nothing has asserted is a
hole, unless the service models say that there is nothing to assert.
"""

import re
from pathlib import Path

from . import constraints
from .checks import NEGATIVE, POSITIVE, PRECONDITION, UNSERVED

NAMESPACES = ("chime", "chime-sdk-voice")
KINDS = (POSITIVE, NEGATIVE, PRECONDITION)
SERVED = Path(__file__).resolve().parents[3] / "src/api/model/operations.txt"
UNSERVED_OPERATIONS = {"CreateMeetingDialOut", "CreateSipMediaApplicationCall", "UpdateSipMediaApplicationCall"}
"""What no node does (ARCHITECTURE.md, "Where things are not"): the documented refusal stands for the positive test."""
ABOUT_OTHERS = {"NotFoundException", "ConflictException"}
"""Errors of what is, or is not, there."""
LINE = "{:52} {:^28} {:^28}"


def operations():
    """The operations that are served, and the one namespace of those that are not in both."""
    line = re.compile(r"([A-Z]\w+) (?:GET|PUT|POST|DELETE) \S+ \d+(?: (\S+))?")
    matches = map(line.fullmatch, SERVED.read_text(encoding="utf-8").splitlines())
    return {match[1]: match[2] for match in matches if match}


def table(models, runs):
    """Prints the table; the number of its holes. `models`: of each namespace. `runs`: namespace, the operations that the
    client had, and its records, of each client on each store; a cell is full where all of them have filled it."""
    print(LINE.format("operation", *NAMESPACES).rstrip())
    print(LINE.format("", *(" ".join(KINDS),) * 2).rstrip())
    holes = 0
    for operation, only in sorted(operations().items()):
        row = []
        for namespace in NAMESPACES:
            model = models[namespace]
            if (operation in model.operation_names) != (only in (None, namespace)):
                row.append("NOT AS SERVED")
            elif only not in (None, namespace):
                row.append("-")
            else:
                seen = [kinds(records, operation) for name, has, records in runs if name == namespace and operation in has]
                row.append("{:^8} {:^8} {:^10}".format(*cells(models, model, operation, seen)))
        holes += sum(cell.count("HOLE") + cell.count("NOT AS SERVED") for cell in row)
        print(LINE.format(operation, *row).rstrip())
    print("- in a column: nothing to break, or no state to depend on, by the service models; "
          "refused: no node does it, and the refusal is checked")
    return holes


def kinds(records, operation):
    """What was asserted of the operation: kinds, and of each what it was about."""
    held = {}
    for name, kind, what in records:
        if name == operation:
            held.setdefault(kind, set()).add(what)
    return held


def cells(models, model, operation, seen):
    """A cell for each kind."""
    positive = UNSERVED if operation in UNSERVED_OPERATIONS else POSITIVE
    yield cell(all(positive in held for held in seen) and seen, "refused" if positive == UNSERVED else "yes")
    others = [one for one in models.values() if one is not model]
    if next(constraints.breaks([model, *others], operation, {}), None) is None:
        yield "-"
    else:
        yield cell(all(NEGATIVE in held for held in seen) and seen)
    wanted = states(model.operation_model(operation))
    if wanted is None:
        yield "-"
    else:
        yield cell(all(wanted(held.get(PRECONDITION, set())) for held in seen) and seen)


def cell(is_full, text="yes"):
    return text if is_full else "HOLE"


def states(declared):
    """What a precondition test of an operation has to be about; `None` where what it is answered depends on nothing: it
    only reads, declares no error of what is there, and has no pages."""
    errors = {shape.name for shape in declared.error_shapes}
    if errors & ABOUT_OTHERS:
        # That the caller may not, or not so often, says nothing of what is there.
        return lambda what: bool(what - {"ForbiddenException", "ThrottledClientException"})
    if declared.output_shape and "NextToken" in declared.output_shape.members:
        return bool
    if declared.http["method"] != "GET":
        return bool
    return None
