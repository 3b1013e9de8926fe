"""Every family of checks through one boto3 client: `python -m api.suite WHAT`.

WHAT is a JSON file of the runner's that says where the node is and whose keys there are. What held goes to the file that
it names `records`, a line on standard output to each family.
"""

import json
import sys
import time
import traceback

import boto3

from . import (
    access, configurations, connectors, e911, groups, number_lifecycle, numbers, origination, proxy_sessions, settings,
    sip_applications, tags, termination, user_numbers, users,
)
from .checks import Api
from .shapes import load
from .site import Site

FAMILIES = (
    connectors, termination, origination, numbers, number_lifecycle, groups, configurations, sip_applications,
    proxy_sessions, tags, settings, e911, users, user_numbers,
    # Asks once more for everything that the others have asked for.
    access,
)
ERROR_MAX = 500
"""Characters of an error that are shown."""
LINE = "{:10} {:15} boto3 {:8}  {:17} {}"


def main(path):
    with open(path, encoding="utf-8") as file:
        told = json.load(file)
    models = [load(model) for model in told["models"]]
    api = Api(told["service"], told["endpoint"], told["key"], models)
    site = Site(api, told)
    families = [family for family in FAMILIES if not hasattr(family, "NEEDS") or api.has(family.NEEDS)]
    failed = sum(not run(family, api, site, told) for family in families)
    with open(told["records"], "w", encoding="utf-8") as file:
        json.dump({"failed": failed, "passed": len(families) - failed, "records": [*api.records]}, file)


def run(family, api, site, told):
    """One family, then every constraint of the operations that it has asked for first."""
    started, held, asked = time.monotonic(), api.held, set(api.arguments)
    try:
        family.check(api, site)
        for operation in sorted(api.arguments.keys() - asked):
            api.breaks_every_constraint(operation)
        result = f"ok  {api.held - held:4} held  {time.monotonic() - started:5.1f} s"
    except Exception as error:
        where = next(frame for frame in reversed(traceback.extract_tb(error.__traceback__)) if is_of(family, frame))
        result = f"FAILED  line {where.lineno}: {type(error).__name__}: {str(error)[:ERROR_MAX]}"
    name = family.__name__.rpartition(".")[2]
    print(LINE.format(told["store"], told["service"], boto3.__version__, name, result), flush=True)
    return result.startswith("ok")


def is_of(family, frame):
    return frame.filename in (family.__file__, __file__)


if __name__ == "__main__":
    main(sys.argv[1])
