"""The API through its clients: every operation with boto3, a lifecycle with the AWS CLI, the reference's sample requests.

    tests/postgres .venv/current/bin/python tests/interop/api_clients.py

With SQLite, and with a database of its own on the PostgreSQL that TRUNKLINE_POSTGRES names. TRUNKLINE_PYTHON_CURRENT names a
Python with the newest boto3, TRUNKLINE_PYTHON_LEGACY one with boto3 1.34, whose `chime` client still has the voice operations,
TRUNKLINE_PYTHON_CLI one with an AWS CLI whose `chime` has; `tests/run` makes them, in `.venv/`. Of each operation the coverage
table at the end says what was asserted in which namespace; a hole fails the run.
"""

import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from api import cli, coverage, replay
from api.limits import fill
from api.shapes import load
from database import own_database
from node import ACCESS_KEY, GATEWAY, ROOT, SECRET_KEY, Node

HERE = Path(__file__).resolve().parent
CLIENTS = (("CURRENT", "chime-sdk-voice"), ("LEGACY", "chime-sdk-voice"), ("LEGACY", "chime"))
NUMBERS = 100
"""Local numbers of each client."""
FIRST_LOCAL, FIRST_TOLL_FREE = 12_065_551_000, 18_335_550_100
POOLS = [
    {
        "country": "US", "state": "WA", "city": "Seattle", "first": f"+{FIRST_LOCAL}",
        "last": f"+{FIRST_LOCAL + NUMBERS * len(CLIENTS) - 1}",
    },
    {"country": "US", "type": "TollFree", "first": f"+{FIRST_TOLL_FREE}", "last": f"+{FIRST_TOLL_FREE + 99}"},
    {"country": "GB", "first": "+442012345677", "last": "+442012345679"},
]
CLI_NUMBERS = {
    "chime": ["+12065550200", "+12065550201"], "chime-sdk-voice": ["+12065550210", "+12065550211"],
}
"""Of the pool that every node has."""
ADDRESSES = "12\tN Main St\tSeattle\tWA\t98101\tUS\n14\tN Main St\tSeattle\tWA\t98101\tUS\n"
USERS = ["team-1/ada", "team-1/bob", replay.USER]


def python(name):
    """The Python of a client's environment."""
    return os.environ.get(f"TRUNKLINE_PYTHON_{name}", str(ROOT / f".venv/{name.lower()}/bin/python"))


def model(name, service, version):
    """The file of a service model in a client's environment."""
    found = [*Path(python(name)).parents[1].glob(f"lib/python3*/site-packages/botocore/data/{service}/{version}/service-2.json*")]
    if not found:
        raise FileNotFoundError(f"{python(name)} has no boto3 with {service}: tests/run makes one that has")
    return found[0]


class Keys:
    """Access keys: of each client four accounts' and roles'."""

    def __init__(self):
        self.declared = []
        self.clients = [
            {
                "account": self._account(index, "own"), "key": self._key(index, "own"),
                "reading_key": self._key(index, "own", role="read-only"), "other_key": self._key(index, "other"),
            }
            for index in range(len(CLIENTS))
        ]
        self.full = self._key(9, "own")

    def _account(self, index, whose):
        return f"{index}{'1' if whose == 'own' else '2'}0000000000"

    def _key(self, index, whose, role="full"):
        key = (f"AKID{len(self.declared):02}INTEROPTESTS00", f"secret-number-{len(self.declared)}-of-the-interop-tests")
        self.declared.append({"id": key[0], "secret": key[1], "account": self._account(index, whose), "role": role})
        return key


def start(stack, keys, store=None, **api):
    """A node that knows the keys."""
    node = Node(store=store, api=api, access_keys=keys.declared, number_pools=POOLS)
    if "e911_addresses" in api:
        (node.directory / api["e911_addresses"]).write_text(ADDRESSES, encoding="utf-8")
    return stack.enter_context(node)


def endpoint(node):
    return f"http://{GATEWAY}:{node.api_port}"


def environment():
    """Of a client: nothing that another AWS account has set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": GATEWAY, "PYTHONPATH": str(HERE)}


def boto3_client(index, node, keys, store, models, throttled):
    """Runs every family through one client: what it has printed, and what it says of it."""
    name, service = CLIENTS[index]
    told = keys.clients[index] | {
        "store": store, "service": service, "endpoint": endpoint(node), "sip_port": node.sip_port,
        "throttled_endpoint": endpoint(throttled), "full_key": keys.full,
        "models": [str(one) for one in models.values()],
        "local_numbers": [f"+{FIRST_LOCAL + NUMBERS * index + one}" for one in range(NUMBERS)],
        "toll_free_numbers": [f"+{FIRST_TOLL_FREE + 20 * index + one}" for one in range(20)],
        "records": str(node.directory / f"records-{index}.json"),
    }
    what = node.directory / f"client-{index}.json"
    what.write_text(json.dumps(told), encoding="utf-8")
    command = [python(name), "-m", "api.suite", what]
    printed = subprocess.run(command, env=environment(), check=True, stdout=subprocess.PIPE, text=True).stdout
    return printed, json.loads(Path(told["records"]).read_text(encoding="utf-8"))


def on(store, url, models, throttled, keys):
    """Everything on one store: passed, failed, and for the table (namespace, operations of the client, records)."""
    runs = []
    with contextlib.ExitStack() as stack:
        node = start(stack, keys, url, users=USERS, e911_addresses="addresses.tsv", requests_per_second=0)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            full = pool.submit(fill, endpoint(node), keys.full)
            key = (ACCESS_KEY, SECRET_KEY)
            loaded = [load(one) for one in models.values()]
            results = [replay.run(store, node, endpoint(node), key, loaded)]
            results += [
                cli.run(store, service, endpoint(node), key, python("CLI"), environment(), numbers)
                for service, numbers in CLI_NUMBERS.items()
            ]
            full.result()
            # Each client has accounts of its own, so all can call at once.
            indices = range(len(CLIENTS))
            clients = pool.map(lambda index: boto3_client(index, node, keys, store, models, throttled), indices)
            for (name, service), (printed, result) in zip(CLIENTS, clients):
                print(printed, end="", flush=True)
                results.append((result["passed"], result["failed"]))
                has = load(model(name, service, models[service].parent.name)).operation_names
                runs.append((service, set(has), result["records"]))
        passed, failed = (sum(result[place] for result in results) for place in (0, 1))
        if failed:
            node.show_log()
    return passed, failed, runs


def main():
    models = {
        "chime-sdk-voice": model("CURRENT", "chime-sdk-voice", "2022-08-03"), "chime": model("LEGACY", "chime", "2018-05-01"),
    }
    keys = Keys()
    results = []
    with contextlib.ExitStack() as stack:
        throttled = start(stack, keys, requests_per_second=1)
        results.append(on("SQLite", None, models, throttled, keys))
        if server := os.environ.get("TRUNKLINE_POSTGRES"):
            with own_database(server, "api_clients") as url:
                results.append(on("PostgreSQL", url, models, throttled, keys))
        else:
            print("PostgreSQL: left out, TRUNKLINE_POSTGRES is not set")
    holes = coverage.table(
        {name: load(path) for name, path in models.items()}, [run for result in results for run in result[2]],
    )
    passed = sum(result[0] for result in results)
    failed = sum(result[1] for result in results) + holes
    failed += "TRUNKLINE_POSTGRES" not in os.environ and os.environ.get("CI") == "true"
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
