"""kill -9 while the API is written to: what was answered is there after the restart, and calls work.

    tests/postgres .venv/current/bin/python tests/interop/durability.py [SEED]

With SQLite, and with a database of its own on the PostgreSQL that TRUNKLINE_POSTGRES names. The moments of the kills
are random; the seed is printed.
"""

import os
import random
import sys
import threading
import time

import botocore.exceptions

from calls import Trunk, plain_origination, plain_termination
from database import own_database
from node import PBX

ROUNDS = 10
WRITERS = 3
KILL_AFTER_S = (0.1, 1.2)
WRITES_MIN = 3


class Writer(threading.Thread):
    """Writes through the API until the node is gone, and notes what was answered.

    A write that was cut off may have happened or not: what it would have changed is not expected, in
    either version.
    """

    def __init__(self, node, name, rng):
        super().__init__(name=name)
        self._api = node.api()
        self._rng = rng
        self._count = 0
        self.answered = {}
        self.deleted = set()
        self.uncertain = set()
        self.writes = 0
        self.failure = None

    def run(self):
        try:
            while True:
                self._write()
                self.writes += 1
        except botocore.exceptions.ReadTimeoutError as error:
            self.failure = error
        except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError):
            pass
        except Exception as error:
            self.failure = error

    def _write(self):
        self._count += 1
        action = self._rng.random()
        if action < 0.4 or not self.answered:
            name = f"{self.name}-{self._count}"
            made = self._api.create_voice_connector(Name=name, RequireEncryption=False)["VoiceConnector"]
            self.answered[made["VoiceConnectorId"]] = {"name": name}
            return
        connector = self._rng.choice(sorted(self.answered))
        expected = self.answered.pop(connector)
        self.uncertain.add(connector)
        if action < 0.6:
            expected["name"] = f"{self.name}-{self._count}"
            self._api.update_voice_connector(
                VoiceConnectorId=connector, Name=expected["name"], RequireEncryption=False,
            )
        elif action < 0.8:
            expected["cps"] = self._count
            self._api.put_voice_connector_termination(
                VoiceConnectorId=connector,
                Termination={
                    "CpsLimit": self._count, "CallingRegions": ["US"], "CidrAllowedList": [f"{PBX}/32"],
                },
            )
        elif action < 0.95:
            expected["port"] = 1_024 + self._count
            route = {"Host": PBX, "Port": expected["port"], "Protocol": "UDP", "Priority": 1, "Weight": 1}
            self._api.put_voice_connector_origination(
                VoiceConnectorId=connector, Origination={"Routes": [route], "Disabled": False},
            )
        else:
            self._api.delete_voice_connector(VoiceConnectorId=connector)
            self.deleted.add(connector)
            self.uncertain.discard(connector)
            return
        self.answered[connector] = expected
        self.uncertain.discard(connector)


def check(node, writers):
    """What the writers were answered is what the node serves."""
    api = node.api()
    served = listed(api)
    for writer in writers:
        for connector in writer.deleted:
            expect(connector not in served, f"{connector}, deleted, is served again")
        for connector, expected in writer.answered.items():
            expect(connector in served, f"{connector} is lost")
            expect(served[connector] == expected["name"], f"{connector} is {served[connector]}, not {expected}")
            if "cps" in expected:
                termination = api.get_voice_connector_termination(VoiceConnectorId=connector)["Termination"]
                expect(termination["CpsLimit"] == expected["cps"], f"{connector}: {termination}, not {expected}")
            if "port" in expected:
                origination = api.get_voice_connector_origination(VoiceConnectorId=connector)["Origination"]
                port = origination["Routes"][0]["Port"]
                expect(port == expected["port"], f"{connector}: {origination}, not {expected}")


def listed(api):
    """The name of every connector, by its id."""
    names, page = {}, {}
    while not names or "NextToken" in page:
        more = {"NextToken": page["NextToken"]} if page else {}
        page = api.list_voice_connectors(MaxResults=50, **more)
        names |= {connector["VoiceConnectorId"]: connector["Name"] for connector in page["VoiceConnectors"]}
    return names


def expect(condition, message):
    """Fails a round."""
    if not condition:
        raise AssertionError(message)


def kill_during_writes(node, number, rng):
    """One round: writers, the kill, the restart, the comparison. Returns how many writes were answered."""
    writers = [
        Writer(node, f"round{number}writer{index}", random.Random(rng.random())) for index in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    # The moment of the kill is the input of this test, not something that is waited for.
    time.sleep(rng.uniform(*KILL_AFTER_S))
    while sum(writer.writes for writer in writers) < WRITES_MIN and all(map(threading.Thread.is_alive, writers)):
        time.sleep(0.01)
    alive = node.process.poll() is None and all(map(threading.Thread.is_alive, writers))
    node.kill()
    for writer in writers:
        writer.join()
    node.start()
    for writer in writers:
        expect(writer.failure is None, f"{writer.name}: {writer.failure}")
    expect(alive, "the node was gone before it was killed")
    check(node, writers)
    return sum(writer.writes for writer in writers)


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    passed = failed = 0

    def attempt(what, run):
        nonlocal passed, failed
        try:
            result = run()
            passed += 1
            print(f"{what}: ok{'' if result is None else f', {result} writes were answered'}", flush=True)
        except Exception as error:
            failed += 1
            print(f"{what}: FAILED  {type(error).__name__}: {error}", flush=True)

    def on(kind, store=None):
        with Trunk(shards=2, store=store) as trunk:
            for number in range(1, ROUNDS + 1):
                attempt(f"{kind}: kill -9 no. {number}", lambda: kill_during_writes(trunk.node, number, rng))
            attempt(f"{kind}: calls to the PSTN", lambda: plain_termination(trunk, "udp"))
            attempt(f"{kind}: calls from the PSTN", lambda: plain_origination(trunk, "udp"))
            attempt(f"{kind}: nothing is left", lambda: trunk.node.wait_idle())
            if failed:
                trunk.node.show_log()

    on("SQLite")
    server = os.environ.get("TRUNKLINE_POSTGRES")
    if server:
        with own_database(server, "durability") as store:
            on("PostgreSQL", store)
    else:
        print("PostgreSQL: left out, TRUNKLINE_POSTGRES is not set")
        failed += os.environ.get("CI") == "true"
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
