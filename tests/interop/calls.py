"""Calls between SIPp as PBX, a Trunkline node, and SIPp as carrier, with audio both ways.

For one shard and for two: every transport in both directions; refused, cancelled, held and rerouted
calls; then many calls in both directions at once. In the end a node holds nothing of any call.

    TRUNKLINE_INTEROP_CALLS=10000 .venv/current/bin/python tests/interop/calls.py

TRUNKLINE_INTEROP_CALLS is the number of calls in the last part for each number of shards, 2,000 without
it. TRUNKLINE_BINARY is the program, target/release/trunkline without it. What a failed run leaves is
shown; with TRUNKLINE_INTEROP_KEEP=1 the files are kept.
"""

import datetime
import os
import sys
import time
from contextlib import ExitStack

from matrix import Table
from node import CARRIER, GATEWAY, PBX, Connector, Node
from sipp import Sipp

CALLS = 100
RATE = 50
HOLD_MS = 1_000
# tone.ulaw twice: what one call's stream has.
STREAM_PACKETS = 100
ECHO_CALLS = 20
VOLUME_CALLS = int(os.environ.get("TRUNKLINE_INTEROP_CALLS", "2000"))
VOLUME_RATE = 60
VOLUME_HOLD_MS = 400
USERNAME, PASSWORD = "pbx", "the-password-of-the-pbx"
LOG_S = 10
CALLER = "+14015550101"


class Trunk:
    """A node with connectors and carrier routes for every transport."""

    def __init__(self, shards, store=None):
        self.node = Node(shards=shards, store=store)
        ports = self.node.ports
        # The called sides take the next ports of these, in the order of `transports`.
        self.transports = ["udp", "tcp"] + (["udp6"] if self.node.ipv6 else [])
        self.carrier = {name: ports.take() for name in self.transports}
        self.pbx = {name: ports.take() for name in self.transports}
        self.dead = [ports.take(), ports.take()]
        self.prefix = {"udp": "1206", "tcp": "1207", "udp6": "1208"}
        self.node.carrier_routes = [
            (address(name, CARRIER), self.carrier[name], wire(name), self.prefix[name])
            for name in self.transports
        ]

    def __enter__(self):
        self.node.__enter__()
        try:
            self._provision()
        except BaseException:
            self.node.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error):
        self.node.__exit__(*error)

    def _provision(self):
        sources = [f"{PBX}/32"] + (["::1/128"] if self.node.ipv6 else [])
        numbers = (f"+1206555{number:04}" for number in range(100, 999))
        self.plain, self.rerouted = {}, {}
        for name in self.transports:
            to_pbx = (address(name, PBX), self.pbx[name], wire(name).upper(), 1)
            self.plain[name] = Connector(self.node, f"plain-{name}", next(numbers))
            self.plain[name].terminate(sources).originate(to_pbx)
        self.digest = Connector(self.node, "digest", next(numbers)).terminate(sources)
        self.digest.require(USERNAME, PASSWORD)
        self.failover = Connector(self.node, "failover", next(numbers)).originate(
            (PBX, self.dead[0], "UDP", 1), (PBX, self.dead[1], "TCP", 2), (PBX, self.pbx["udp"], "UDP", 3),
        )

    def termination(self, transport, connector=None, towards=None, scenario="uac", **options):
        """A PBX's SIPp that calls the PSTN; `towards`: the carrier's transport where it is another."""
        connector = connector or self.plain[transport]
        number = f"+{self.prefix[towards or transport]}5550199"
        extra = ["-key", "host", connector.host, "-key", "caller", connector.number, "-s", number]
        extra += ["-au", USERNAME, "-ap", PASSWORD, "-auth_uri", f"{number}@{connector.host}"]
        return self._caller(scenario, transport, PBX, extra, **options)

    def origination(self, transport, connector=None, scenario="uac", **options):
        """A carrier's SIPp that calls a number of a connector."""
        connector = connector or self.plain[transport]
        host = "[::1]" if transport == "udp6" else GATEWAY
        extra = ["-key", "host", f"{host}:{self.node.sip_port}", "-key", "caller", CALLER, "-s", connector.number]
        return self._caller(scenario, transport, CARRIER, extra, **options)

    def called_carrier(self, transport, scenario="uas", **options):
        """The carrier's SIPp that calls to the PSTN reach."""
        return self._called(scenario, transport, CARRIER, self.carrier[transport], **options)

    def called_pbx(self, transport, scenario="uas", **options):
        """The PBX's SIPp that calls from the PSTN reach."""
        return self._called(scenario, transport, PBX, self.pbx[transport], **options)

    def _caller(self, scenario, transport, source, extra, **options):
        target = (address(transport, GATEWAY), self.node.sip_port)
        return Sipp(
            scenario, address(transport, source), self.node.ports, self.node.directory, target=target,
            transport=wire(transport), extra=extra, **options,
        )

    def _called(self, scenario, transport, at, port, **options):
        return Sipp(
            scenario, address(transport, at), self.node.ports, self.node.directory, port=port,
            transport=wire(transport), **options,
        )


def address(transport, ipv4):
    """Where a peer is."""
    return "::1" if transport == "udp6" else ipv4


def wire(transport):
    """udp or tcp."""
    return transport.removesuffix("6")


def play(trunk, called, caller, calls, audio=True):
    """Both sides of `calls` calls go as their scenarios say, and so does the gateway's account of them."""
    offset = trunk.node.log_size()
    with called, caller:
        caller.wait()
        called.wait()
    accounted(trunk.node, offset, calls, audio)


def accounted(node, offset, calls, audio):
    """The log has every call's end, and audio both ways in each."""
    deadline = time.monotonic() + LOG_S
    while len(ended := node.ended_calls(offset)) < calls and time.monotonic() < deadline:
        time.sleep(0.1)
    expect(len(ended) == calls, f"{len(ended)} calls ended in the log, not {calls}")
    if audio:
        for side in ("rtp_packets_from_a", "rtp_packets_from_b"):
            silent = [call["call_id"] for call in ended if call[side] == 0]
            expect(not silent, f"{len(silent)} of {calls} calls have no {side}, as {silent[:1]}")


def expect(condition, message):
    """Fails a check."""
    if not condition:
        raise AssertionError(message)


def plain_termination(trunk, transport, towards=None):
    """PBX to carrier, nothing asked for."""
    called = trunk.called_carrier(towards or transport, count=CALLS, echo=True)
    caller = trunk.termination(transport, towards=towards, count=CALLS, rate=RATE, hold_ms=HOLD_MS)
    play(trunk, called, caller, CALLS)


def digest_termination(trunk, transport):
    """PBX to carrier, with a challenge that the PBX answers."""
    called = trunk.called_carrier(transport, count=CALLS, echo=True)
    caller = trunk.termination(
        transport, trunk.digest, scenario="uac_digest", count=CALLS, rate=RATE, hold_ms=HOLD_MS,
    )
    play(trunk, called, caller, CALLS)


def plain_origination(trunk, transport):
    """Carrier to PBX."""
    called = trunk.called_pbx(transport, count=CALLS, echo=True)
    caller = trunk.origination(transport, count=CALLS, rate=RATE, hold_ms=HOLD_MS)
    play(trunk, called, caller, CALLS)


def echo_from_called(trunk, direction):
    """The called side counts what the caller sends."""
    called, caller = pair(trunk, direction, {"echo": True, "screen": True}, {"count": ECHO_CALLS})
    with called, caller:
        caller.wait()
        called.end_counting()
    all_heard(called)


def echo_from_caller(trunk, direction):
    """The caller counts what the called side sends, while it holds the calls."""
    called, caller = pair(
        trunk, direction, {"count": ECHO_CALLS, "scenario": "uas_tone"},
        {"count": ECHO_CALLS, "echo": True, "screen": True, "hold_ms": 5_000},
    )
    with called, caller:
        caller.wait_counting()
        called.wait()
    all_heard(caller)


def pair(trunk, direction, called, caller):
    """Called side and caller over UDP."""
    caller = {"rate": ECHO_CALLS, "hold_ms": 2_300, **caller}
    if direction == "termination":
        return trunk.called_carrier("udp", **called), trunk.termination("udp", **caller)
    return trunk.called_pbx("udp", **called), trunk.origination("udp", **caller)


def all_heard(side):
    """All streams arrived whole."""
    wanted = ECHO_CALLS * STREAM_PACKETS
    expect(side.echoed() == wanted, f"{side.echoed()} of {wanted} RTP packets arrived")


def busy(trunk, direction):
    """A 486 goes back to the caller; no other route is tried."""
    refused(trunk, direction, "uas_busy", "uac_busy")


def cancelled(trunk, direction):
    """A CANCEL goes through while the other side rings."""
    refused(trunk, direction, "uas_cancelled", "uac_cancel")


def refused(trunk, direction, called, caller):
    """Calls that are never answered."""
    called, caller = pair(
        trunk, direction, {"count": CALLS, "scenario": called}, {"count": CALLS, "rate": RATE, "scenario": caller},
    )
    play(trunk, called, caller, CALLS, audio=False)


def held(trunk, direction):
    """Hold and resume by re-INVITE."""
    called, caller = pair(
        trunk, direction, {"count": CALLS, "scenario": "uas_hold", "echo": True},
        {"count": CALLS, "rate": RATE, "scenario": "uac_hold"},
    )
    play(trunk, called, caller, CALLS)


def rerouted(trunk, direction):
    """Nobody is at the first route (UDP), the second refuses connections (TCP), the third answers."""
    expect(direction == "origination", "routes are origination's")
    called = trunk.called_pbx("udp", count=CALLS, echo=True)
    caller = trunk.origination("udp", trunk.failover, count=CALLS, rate=RATE, hold_ms=HOLD_MS)
    play(trunk, called, caller, CALLS)


def options(trunk, transport):
    """OPTIONS to the connector's host is answered and recorded as its termination health."""
    connector = trunk.plain[transport]
    started = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    with trunk.termination(transport, scenario="options", count=1) as pbx:
        pbx.wait()
    deadline = time.monotonic() + LOG_S
    while time.monotonic() < deadline:
        answer = connector.api.get_voice_connector_termination_health(VoiceConnectorId=connector.id)
        health = answer.get("TerminationHealth", {})
        if health.get("Timestamp", started) > started:
            break
        time.sleep(0.1)
    expect(health.get("Timestamp", started) > started, f"no OPTIONS recorded: {health}")
    expect(address(transport, PBX) in health["Source"], f"recorded from {health['Source']}")


def volume(trunk):
    """Many calls in both directions at once."""
    half = VOLUME_CALLS // 2
    offset = trunk.node.log_size()
    limit = {"count": half, "timeout_s": 60 + 2 * half // VOLUME_RATE}
    call = {**limit, "rate": VOLUME_RATE, "hold_ms": VOLUME_HOLD_MS}
    with ExitStack() as stack:
        sides = [
            trunk.called_carrier("udp", echo=True, **limit), trunk.called_pbx("udp", echo=True, **limit),
            trunk.termination("udp", **call), trunk.origination("udp", **call),
        ]
        for side in sides:
            stack.enter_context(side)
        for side in reversed(sides):
            side.wait()
    accounted(trunk.node, offset, 2 * half, audio=True)


def main():
    table = Table("SIPp")
    for shards in (1, 2):
        with Trunk(shards) as trunk:
            def check(peers, transport, direction, run, *arguments):
                table.check(peers, transport, direction, shards, lambda: run(trunk, *arguments))

            for name in trunk.transports:
                check(f"{CALLS} calls", name, "termination", plain_termination, name)
                check(f"{CALLS} calls", name, "origination", plain_origination, name)
                check(f"{CALLS} calls with digest", name, "termination", digest_termination, name)
                check("OPTIONS", name, "termination", options, name)
            for name in trunk.transports[1:]:
                check(f"{CALLS} calls", f"{name}-udp", "termination", plain_termination, name, "udp")
            for direction in ("termination", "origination"):
                check(f"{ECHO_CALLS} calls, called side counts", "udp", direction, echo_from_called, direction)
                check(f"{ECHO_CALLS} calls, caller counts", "udp", direction, echo_from_caller, direction)
                check(f"{CALLS} calls to a busy side", "udp", direction, busy, direction)
                check(f"{CALLS} cancelled calls", "udp", direction, cancelled, direction)
                check(f"{CALLS} calls held and resumed", "udp", direction, held, direction)
            check(f"{CALLS} calls, two dead routes", "udp", "origination", rerouted, "origination")
            check(f"{VOLUME_CALLS} calls", "udp", "both at once", volume)
            check("nothing is left", "all", "both", lambda trunk: trunk.node.wait_idle())
            if table.failed:
                trunk.node.show_log()
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
