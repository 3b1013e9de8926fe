"""Resources that a file declares: calls go through them, a reload drops none, an export declares the same.

    .venv/current/bin/python tests/interop/declared.py
"""

import signal
import subprocess
import sys
import time

import botocore.exceptions

from calls import expect
from matrix import Table
from node import ACCOUNT, CARRIER, GATEWAY, PBX, Node, NodeFailed
from sipp import Sipp

CONNECTOR = "declared00000000000000"
NUMBER = "+12065550100"
CALLS = 20
RATE = 20
HOLD_MS = 3_000
RELOAD_S = 20


def declaration(pbx_port, name="declared", network=f"{PBX}/32"):
    """A connector with a number, on both ways."""
    return f"""
Account = "{ACCOUNT}"

[[VoiceConnector]]
VoiceConnectorId = "{CONNECTOR}"
Name = "{name}"

[VoiceConnector.Termination]
CidrAllowedList = ["{network}"]
CallingRegions = ["US"]
CpsLimit = 1000

[VoiceConnector.Origination]
Routes = [{{ Host = "{PBX}", Port = {pbx_port}, Protocol = "UDP" }}]

[[PhoneNumber]]
E164PhoneNumber = "{NUMBER}"
VoiceConnectorId = "{CONNECTOR}"
"""


class Trunk:
    """A node whose connector is declared."""

    def __init__(self):
        node = self.node = Node(shards=2)
        self.pbx, self.carrier = node.ports.take(), node.ports.take()
        node.carrier_routes = [(CARRIER, self.carrier, "udp", "")]
        node.declare(declaration(self.pbx))

    def termination(self, during=lambda: None):
        """Calls to the PSTN, while something else happens."""
        host = f"{CONNECTOR}.voiceconnector.localhost"
        self._calls(CARRIER, self.carrier, PBX, host, NUMBER, "+12025550123", during)

    def origination(self):
        """Calls from the PSTN."""
        host = f"{GATEWAY}:{self.node.sip_port}"
        self._calls(PBX, self.pbx, CARRIER, host, "+14015550101", NUMBER)

    def _calls(self, called_at, called_port, caller_at, host, caller, number, during=lambda: None):
        node = self.node
        limits = {"count": CALLS, "timeout_s": 60}
        called = Sipp("uas", called_at, node.ports, node.directory, port=called_port, echo=True, **limits)
        calling = Sipp(
            "uac", caller_at, node.ports, node.directory, target=(GATEWAY, node.sip_port), rate=RATE,
            hold_ms=HOLD_MS, extra=["-key", "host", host, "-key", "caller", caller, "-s", number], **limits,
        )
        with called, calling:
            during()
            calling.wait()
            called.wait()

    def reload(self, text):
        """Writes the file and tells the node to read it again."""
        self.node.declare(text)
        self.node.process.send_signal(signal.SIGHUP)


def wait(what, is_so):
    """Returns when something is so."""
    deadline = time.monotonic() + RELOAD_S
    while not is_so():
        if time.monotonic() > deadline:
            raise NodeFailed(f"{what} within {RELOAD_S} s")
        time.sleep(0.05)


def reloaded(trunk):
    """A change reaches the API while calls are up, and no call ends of it."""
    api = trunk.node.api()

    def name():
        return api.get_voice_connector(VoiceConnectorId=CONNECTOR)["VoiceConnector"]["Name"]

    def rename():
        wait("no call was up", lambda: trunk.node.held()["calls"] > 0)
        trunk.reload(declaration(trunk.pbx, name="renamed"))
        wait("the name did not change", lambda: name() == "renamed")
        expect(trunk.node.held()["calls"] > 0, "the calls were over before the reload was")

    trunk.termination(rename)


def broken(trunk):
    """A file with a fault changes nothing, and the log says where it is."""
    trunk.reload(declaration(trunk.pbx, name="broken", network="10"))
    said = f"{trunk.node.declared_path}:9: VoiceConnector[0].Termination.CidrAllowedList[0]: expected an IP address"
    wait("the fault was not told", lambda: said in trunk.node.log_path.read_text())
    answer = trunk.node.api().get_voice_connector(VoiceConnectorId=CONNECTOR)
    expect(answer["VoiceConnector"]["Name"] == "renamed", f"{answer}")
    trunk.node.declare(declaration(trunk.pbx, name="renamed"))


def refused(trunk):
    """The API does not change it, and says where it is declared."""
    try:
        trunk.node.api().delete_voice_connector(VoiceConnectorId=CONNECTOR)
    except botocore.exceptions.ClientError as error:
        expect(error.response["Error"]["Code"] == "ConflictException", f"{error}")
        expect(str(trunk.node.declared_path) in str(error), f"{error}")
    else:
        raise AssertionError("a declared connector was deleted")


def exported(trunk):
    """What is exported makes the same on another node, whose export is the same text."""
    text = export(trunk.node)
    with Node(shards=1) as other:
        other.stop()
        other.declare(text)
        other.start()
        expect(export(other) == text, "another node with the exported file exports something else")


def export(node):
    """The file that declares what a node has, written while it serves."""
    command = [node.binary, "export", "--config", node.directory / "trunkline.toml", ACCOUNT]
    return subprocess.run(command, cwd=node.directory, check=True, capture_output=True, text=True).stdout


def main():
    table = Table("SIPp")
    trunk = Trunk()
    with trunk.node:
        def check(what, direction, run, *arguments):
            table.check(what, "udp", direction, 2, lambda: run(*arguments))

        check(f"{CALLS} calls of a declared trunk", "termination", trunk.termination)
        check(f"{CALLS} calls of a declared trunk", "origination", trunk.origination)
        check(f"{CALLS} calls while files are reloaded", "termination", reloaded, trunk)
        check("a broken file changes nothing", "both", broken, trunk)
        check("the API refuses to write it", "both", refused, trunk)
        check("an export declares the same", "both", exported, trunk)
        if table.failed:
            trunk.node.show_log()
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
