"""A node with many connectors and numbers: start-up, memory, its API while calls go on, writes. See README.md."""

import json
import math
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests/interop")]

import open_loop  # noqa: E402
import transit  # noqa: E402
from filled_store import CALLED_EVERY, FIRST_NUMBER, fill  # noqa: E402
from node import ACCOUNT, CARRIER, GATEWAY, Node  # noqa: E402
from open_loop import quantile  # noqa: E402
from ports import PortBlock  # noqa: E402
from run import cpu_us, resident  # noqa: E402
from signed import Signer  # noqa: E402
from streams import Streams  # noqa: E402

CONNECTORS = int(os.environ.get("TRUNKLINE_SCALE_CONNECTORS", "10000"))
NUMBERS = int(os.environ.get("TRUNKLINE_SCALE_NUMBERS", "1000000"))
RATE = int(os.environ.get("TRUNKLINE_SCALE_RATE", "1000"))
SECONDS = int(os.environ.get("TRUNKLINE_SCALE_SECONDS", "30"))
CALLS_PER_SECOND = int(os.environ.get("TRUNKLINE_SCALE_CALLS_PER_SECOND", "20"))
WRITES = int(os.environ.get("TRUNKLINE_SCALE_WRITES", "500"))
DECLARED = int(os.environ.get("TRUNKLINE_SCALE_DECLARED", "500"))
SEED = int(os.environ.get("TRUNKLINE_SCALE_SEED", random.randrange(1 << 32)))
SHARDS = 2
TRANSITS = 1_000
LIST_RATE = 50
OF_CONNECTOR_RATE = 2
WARM_UP_S = 5
READY_S = 600


class Subject:
    """A node on a store that has been filled."""

    def __init__(self, stack, directory, connectors, numbers):
        """Makes the store, and starts the node on it twice; it runs until the stack is closed."""
        self.path = directory / f"{connectors}.db"
        self.name = f"{connectors} connectors, {numbers} numbers"
        self.ports = PortBlock()
        stack.callback(self.ports.close)
        self.pbx_port, self.carrier_port = self.ports.take(), self.ports.take()
        # A node makes the tables.
        with self._node():
            pass
        began = time.perf_counter()
        self.filling = fill(self.path, self.pbx_port, connectors, numbers, SEED)
        self.fill_s = time.perf_counter() - began
        self.starts_s = []
        for _ in range(2):
            self.node = self._node()
            began = time.perf_counter()
            self.node.__enter__()
            self.starts_s.append(time.perf_counter() - began)
            if len(self.starts_s) == 1:
                self.node.__exit__(None, None, None)
        stack.push(self.node)
        self.begins_with = resident(self.node.pid)
        self.made = []

    def _node(self):
        return Node(
            shards=SHARDS, t1_ms=500, store=f"sqlite://{self.path}", ports=self.ports, api={"requests_per_second": 0},
            carrier_routes=[(CARRIER, self.carrier_port, "udp", "1")], ready_s=READY_S,
        )

    def writable(self):
        """Connectors that calls do not go through."""
        return self.made + [one for place, one in enumerate(self.filling.connectors) if place % CALLED_EVERY]


def show_starts(subjects):
    """The first table."""
    print("\n| store | filled in, s | size, MiB | first start, s | second | resident, MiB | peak |")
    print("|---|---|---|---|---|---|---|")
    for subject in subjects:
        cells = [subject.fill_s, subject.path.stat().st_size / 2**20, *subject.starts_s, *subject.begins_with]
        print(f"| {subject.name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)


def reads(subject, choice):
    """What is asked of the API: a name, requests a second, seconds, and what makes a request."""
    signer, filling = Signer(subject.node.api_port), subject.filling
    queries = list_queries(subject)
    a_connector = lambda: choice.choice(filling.connectors)  # noqa: E731
    number = lambda: filling.some_number(choice).replace("+", "%2B")  # noqa: E731
    of_connector = "filter-name=VoiceConnectorId&filter-value={}&max-results=100"
    short = math.ceil(SECONDS / 3)
    return [
        ("GetVoiceConnector", RATE, SECONDS, lambda: signer.request("GET", f"/voice-connectors/{a_connector()}")),
        ("GetPhoneNumber", RATE, short, lambda: signer.request("GET", f"/phone-numbers/{number()}")),
        (
            "ListVoiceConnectors, 100", LIST_RATE, short,
            lambda: signer.request("GET", "/voice-connectors", choice.choice(queries)),
        ),
        (
            "ListPhoneNumbers of a connector", OF_CONNECTOR_RATE, short,
            lambda: signer.request("GET", "/phone-numbers", of_connector.format(a_connector())),
        ),
    ]


def list_queries(subject):
    """The queries of all pages of ListVoiceConnectors."""
    api, queries, token = subject.node.api(), ["max-results=100"], {}
    while "NextToken" in (page := api.list_voice_connectors(MaxResults=100, **token)):
        token = {"NextToken": page["NextToken"]}
        queries.append(f"max-results=100&next-token={page['NextToken']}")
    return queries


def show_reads(subject, directory, choice):
    """The second table: the API, and calls meanwhile."""
    pid = [subject.node.pid]
    # Signed before anything is measured.
    asked = [
        (name, rate, [make() for _ in range(rate * seconds)]) for name, rate, seconds, make in reads(subject, choice)
    ]
    with Streams(subject, directory, choice, CALLS_PER_SECOND) as calls, open_loop.responder() as address:
        calls_cost = cpu_share(pid, WARM_UP_S, math.ceil(SECONDS / 3))
        print(f"\n{CALLS_PER_SECOND} calls a second cost {calls_cost / 1e4:.1f} % of a core. Meanwhile, milliseconds:\n")
        print("| asked | a second | p50 | p90 | p99 | p99.9 | max | errors | sent late, p99 | CPU, µs | without calls |")
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        short = RATE * math.ceil(SECONDS / 3)
        floor = open_loop.drive(address, [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] * short, RATE)
        print(f"| another program, bytes that are there | {RATE} | {floor.row()} | - | - |", flush=True)
        for name, rate, requests in asked:
            before = cpu_us(pid)
            outcome = open_loop.drive((GATEWAY, subject.node.api_port), requests, rate)
            spent = cpu_us(pid) - before
            costs = [cost / len(requests) for cost in (spent, spent - calls_cost * outcome.lasted_s)]
            print(f"| {name} | {rate} | {outcome.row()} | {' | '.join(f'{cost:.0f}' for cost in costs)} |", flush=True)
        counted = calls.end()
    share = floor.cpu_s / floor.lasted_s
    print(f"\nThe generator takes {share:.1%} of a core. Calls:", *counted, sep="\n- ", flush=True)


def cpu_share(pid, after_s, seconds):
    """Microseconds of CPU a second that the processes take, once so much time has passed."""
    time.sleep(after_s)
    before, began = cpu_us(pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_us(pid) - before) / (time.perf_counter() - began)


def compared(title, unit, subjects, measures):
    """A table: every measure of every subject, in turn, in four parts, so that what the machine does meets all alike.
    `measures`: a name and a function of subject and count, which returns seconds for each."""
    print(f"\n{title}\n\n| what | store | p50 | p99 | max | node's CPU each, µs |\n|---|---|---|---|---|---|")
    for name, count, measure in measures:
        times = {subject: [] for subject in subjects}
        spent = dict.fromkeys(subjects, 0)
        for _ in range(4):
            for subject in subjects:
                before = cpu_us([subject.node.pid])
                times[subject] += measure(subject, math.ceil(count / 4))
                spent[subject] += cpu_us([subject.node.pid]) - before
        for subject in subjects:
            ordered = sorted(times[subject])
            cells = [f"{unit * quantile(ordered, share):.2f}" for share in (0.5, 0.99, 1)]
            cells.append(f"{spent[subject] / len(ordered):.0f}")
            print(f"| {name} | {subject.name} | {' | '.join(cells)} |", flush=True)


def show_calls(subjects, choice):
    """The third table: what calls see of the store's size."""
    def inward(subject, count):
        places = (subject.filling.some_called(choice) for _ in range(count))
        numbers = [subject.filling.some_number(choice, place) for place in places]
        return transit.origination(subject.node, subject.pbx_port, numbers)

    def outward(subject, count):
        places = [subject.filling.some_called(choice) for _ in range(count)]
        callers = [(subject.filling.host(place), subject.filling.some_number(choice, place)) for place in places]
        return transit.termination(subject.node, subject.carrier_port, callers)

    title = "An INVITE from the caller's socket to the called one, milliseconds:"
    compared(title, 1e3, subjects, [("origination", TRANSITS, inward), ("termination", TRANSITS, outward)])


def show_writes(subjects, choice):
    """The fourth table: writes, one after another."""
    def of_connector(operation, body):
        body = json.dumps(body).encode()

        def write(subject, count):
            targets = [choice.choice(subject.writable()) for _ in range(count)]
            paths = [f"/voice-connectors/{target}/{operation}" for target in targets]
            return [took for took, _ in written(subject, "PUT", paths, body)]

        return write

    def create(subject, count):
        body = json.dumps({"Name": "Made", "RequireEncryption": False}).encode()
        answers = written(subject, "POST", ["/voice-connectors"] * count, body)
        subject.made += [json.loads(answer)["VoiceConnector"]["VoiceConnectorId"] for _, answer in answers]
        return [took for took, _ in answers]

    networks = ["192.0.2.0/24", "198.51.100.7/32", "203.0.113.128/25"]
    route = {"Host": "192.0.2.1", "Port": 5060, "Protocol": "UDP", "Priority": 1, "Weight": 1}
    compared("Writes of the API, milliseconds:", 1e3, subjects, [
        ("CreateVoiceConnector", WRITES, create),
        ("PutVoiceConnectorTermination", WRITES, of_connector("termination", {"Termination": {
            "CpsLimit": 10, "CallingRegions": ["US"], "CidrAllowedList": networks, "Disabled": False,
        }})),
        ("PutVoiceConnectorOrigination", WRITES, of_connector("origination", {"Origination": {
            "Routes": [route, {**route, "Host": "192.0.2.2", "Priority": 2}], "Disabled": False,
        }})),
    ])


def written(subject, method, paths, body):
    """Seconds and answer of each request, one after another on one connection."""
    signer = Signer(subject.node.api_port)
    requests = [signer.request(method, path, body=body) for path in paths]
    answers = open_loop.in_turn((GATEWAY, subject.node.api_port), requests)
    refused = [answer for _, status, answer in answers if status not in ("200", "201")]
    if refused:
        raise RuntimeError(f"{method} {paths[0]}: {len(refused)} of {len(paths)} refused, as {refused[0]}")
    return [(took, answer) for took, _, answer in answers]


def show_declared():
    """The fifth table: a node's start with a file of declared resources, which are new to it and then are not."""
    print("\n| declared | MiB | first start, s | second | resident, MiB | peak |\n|---|---|---|---|---|---|")
    for count in (DECLARED, 2 * DECLARED, 4 * DECLARED):
        node, text, starts = Node(shards=SHARDS, ready_s=READY_S), declared(count), []
        node.declare(text)
        with ExitStack() as stack:
            stack.push(node)
            for _ in range(2):
                node.stop()
                began = time.perf_counter()
                node.start()
                starts.append(time.perf_counter() - began)
            cells = [len(text) / 2**20, *starts, *resident(node.pid)]
        print(f"| {count} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)


def declared(count):
    """A file of so many resources: one in a hundred a connector, the others numbers of it."""
    sections = [f'Account = "{ACCOUNT}"']
    for place in range(math.ceil(count / 100)):
        connector = f"{place:022}"
        sections.append(
            f'[[VoiceConnector]]\nVoiceConnectorId = "{connector}"\nName = "Connector {place}"\n'
            'RequireEncryption = false\nCredentials = [{ Username = "pbx", Password = "the-password" }]\n'
            '[VoiceConnector.Termination]\nCidrAllowedList = ["192.0.2.0/24"]\nCallingRegions = ["US"]\n'
            '[VoiceConnector.Origination]\n'
            'Routes = [{ Host = "192.0.2.1", Port = 5060, Protocol = "UDP", Priority = 1, Weight = 1 }]'
        )
        numbers = range(FIRST_NUMBER + 99 * place, FIRST_NUMBER + min(99 * place + 99, count - place - 1))
        sections += [
            f'[[PhoneNumber]]\nE164PhoneNumber = "+{number}"\nVoiceConnectorId = "{connector}"' for number in numbers
        ]
    return "\n".join(sections) + "\n"


def load():
    """What else the machine does: the load averages of 1, 5 and 15 minutes."""
    return "load {:.2f}, {:.2f}, {:.2f}".format(*os.getloadavg())


def main():
    choice = random.Random(SEED)
    print(f"Seed {SEED}, {os.cpu_count()} cores, {load()} before")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-scale-")))
        subjects = [Subject(stack, directory, *size) for size in ((1, 1), (CONNECTORS, NUMBERS))]
        show_starts(subjects)
        show_calls(subjects, choice)
        show_writes(subjects, choice)
        show_reads(subjects[1], directory, choice)
        for subject in subjects:
            now, peak = resident(subject.node.pid)
            print(f"At the end {subject.name}: {now:.0f} MiB resident, {peak:.0f} MiB at its peak")
    show_declared()
    print(f"\n{load()} after")


if __name__ == "__main__":
    main()
