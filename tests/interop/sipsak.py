"""sipsak against a Trunkline node: OPTIONS as health, a flood of them, and requests with rubbish in them.

    .venv/current/bin/python tests/interop/sipsak.py
"""

import subprocess
import sys
import time

from calls import expect
from matrix import Table
from node import GATEWAY, Connector, Node

FLOOD = 2_000
RUBBISH = 50
HEALTH_S = 10


def sipsak(*arguments, timeout_s=60):
    """Its exit code and output."""
    command = ["sipsak", *map(str, arguments)]
    # What it prints of a response may be rubbish of its own.
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
    )
    return done.returncode, done.stdout + done.stderr


def options(node, connector, transport):
    """Answered, and known as the connector's health."""
    uri = f"sip:{connector.host}:{node.sip_port}"
    code, text = sipsak("-vv", "-E", transport, "-p", f"{GATEWAY}:{node.sip_port}", "-s", uri)
    expect(code == 0 and "200 OK" in text, f"exit code {code}: {text[-300:]}")
    deadline = time.monotonic() + HEALTH_S
    while time.monotonic() < deadline:
        answer = connector.api.get_voice_connector_termination_health(VoiceConnectorId=connector.id)
        if GATEWAY in answer.get("TerminationHealth", {}).get("Source", ""):
            return
        time.sleep(0.1)
    raise AssertionError("no health was recorded")


def flood(node, connector):
    """Many OPTIONS as fast as they go, more than a socket's buffer holds; the node still answers."""
    before = received(node)
    sipsak("-F", "-e", FLOOD, "-p", f"{GATEWAY}:{node.sip_port}", "-s", f"sip:{connector.host}:{node.sip_port}")
    options(node, connector, "udp")
    expect(received(node) - before > FLOOD // 20, "the flood did not arrive")


def rubbish(node, connector):
    """Requests with more and more characters replaced by chance: answered or dropped, and the node lives."""
    address = f"{GATEWAY}:{node.sip_port}"
    sipsak("-R", "-t", RUBBISH, "-p", address, "-s", f"sip:{connector.host}:{node.sip_port}", timeout_s=120)
    panics = sum(shard["panics"] for shard in node.status()["shards"])
    expect(panics == 0, f"{panics} panics")
    options(node, connector, "udp")


def received(node):
    """SIP messages that the node has handled."""
    return sum(shard["messages"] for shard in node.status()["shards"])


def main():
    table = Table("sipsak")
    with Node(shards=2, t1_ms=50) as node:
        connector = Connector(node, "sipsak", "+12065550100").terminate([f"{GATEWAY}/32"])
        for transport in ("udp", "tcp"):
            table.check(
                "OPTIONS is health", transport, "termination", 2, lambda: options(node, connector, transport),
            )
        table.check(f"{FLOOD} OPTIONS at once", "udp", "termination", 2, lambda: flood(node, connector))
        table.check("requests with rubbish in them", "udp", "termination", 2, lambda: rubbish(node, connector))
        if table.failed:
            node.show_log()
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
