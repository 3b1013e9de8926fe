"""Calls over a carrier's proxy: Kamailio with Record-Route between a Trunkline node and SIPp, over every transport.

Between the proxy and the carrier's SIPp it is UDP: what is tried is the way between gateway and proxy, where ACK,
BYE and re-INVITE have to follow the route set (twice two fields, where the transport changes).

    .venv/current/bin/python tests/interop/kamailio.py
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from calls import accounted, expect
from certificates import Authority
from matrix import Table
from node import CARRIER, GATEWAY, PBX, Connector, Node, listens
from sipp import Sipp

CALLS = 50
RATE = 25
HOLD_MS = 1_000
CALLER = "+14015550101"
CALLED = "+12075550199"
TRANSPORTS = ("udp", "tcp", "tls")
READY_S = 20


class Kamailio:
    """A proxy of a test's own. Use it as a context manager."""

    def __init__(self, node, transport, agents, authority):
        """`agents`: ports of the carrier's SIPp, one or two."""
        ports = node.ports
        self.port, self.tls_port = ports.take(), ports.take()
        self.directory = Path(node.directory) / f"kamailio-{self.port}"
        self.directory.mkdir()
        certificate, key = authority.sign(f"proxy-{self.port}", CARRIER)
        tls = self.directory / "tls.cfg"
        tls.write_text(
            f"[server:default]\nmethod = TLSv1.2+\nprivate_key = {key}\ncertificate = {certificate}\n"
            f"[client:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n"
            f"ca_list = {authority.certificate}\n"
        )
        port = node.tls_port if transport == "tls" else node.sip_port
        first, second = agents[0], agents[-1]
        defines = {
            "PROXY": CARRIER, "PORT": self.port, "TLS_PORT": self.tls_port, "GATEWAY": GATEWAY, "TLS_CONFIG": tls,
            "TO_GATEWAY": f"sip:{GATEWAY}:{port};transport={transport}",
            "TO_AGENT": f"sip:{CARRIER}:{first}", "TO_SECOND": f"sip:{CARRIER}:{second}",
        }
        text = (Path(__file__).parent / "kamailio.cfg").read_text()
        # The longest names first: one is the begin of another.
        for name in sorted(defines, key=len, reverse=True):
            text = text.replace(name, str(defines[name]))
        self._config = self.directory / "kamailio.cfg"
        self._config.write_text(text)
        self._log = self.directory / "log"
        self._fork = ["-A", "FORK"] if len(agents) > 1 else []
        self.process = None

    def __enter__(self):
        command = ["kamailio", "-f", self._config, "-w", self.directory, "-Y", self.directory, "-DD", "-E", "-m", "64"]
        command += self._fork
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while not listens(CARRIER, self.tls_port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.show()
                raise RuntimeError("Kamailio did not start")
            time.sleep(0.05)
        return self

    def __exit__(self, kind, error, trace):
        # The main process ends its children.
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if kind is not None:
            self.show()
        shutil.rmtree(self.directory, ignore_errors=True)

    def show(self):
        """Prints the end of its log."""
        print("\n".join(self._log.read_text(errors="replace").splitlines()[-20:]))


class Trunk:
    """A node whose carrier is a proxy."""

    def __init__(self, shards, transport, agents=1):
        self.transport = transport
        self.node = Node(shards=shards, t1_ms=50, tls=True)
        self.authority = self.node.authority
        self.agents = [self.node.ports.take() for _ in range(agents)]
        self.pbx = self.node.ports.take()
        self.proxy = Kamailio(self.node, transport, self.agents, self.authority)
        port = self.proxy.tls_port if transport == "tls" else self.proxy.port
        self.node.carrier_routes = [(CARRIER, port, transport, "")]

    def __enter__(self):
        self.proxy.__enter__()
        try:
            self.node.__enter__()
            number = "+12065550100"
            self.connector = Connector(self.node, "kamailio", number).terminate([f"{PBX}/32"])
            self.connector.originate((PBX, self.pbx, "UDP", 1))
        except BaseException:
            self.proxy.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error):
        self.proxy.__exit__(*error)
        self.node.__exit__(*error)

    def sipp(self, scenario, address, port=None, target=None, **options):
        """A SIPp over UDP."""
        return Sipp(scenario, address, self.node.ports, self.node.directory, port=port, target=target, **options)

    def pbx_calls(self, scenario, **options):
        """The PBX calls out."""
        extra = ["-key", "host", self.connector.host, "-key", "caller", self.connector.number, "-s", CALLED]
        target = (GATEWAY, self.node.sip_port)
        return self.sipp(scenario, PBX, target=target, extra=extra, **options)

    def carrier_calls(self, scenario, **options):
        """The carrier's agent calls in, over the proxy."""
        host = f"{GATEWAY}:{self.node.sip_port}"
        extra = ["-key", "host", host, "-key", "caller", CALLER, "-s", self.connector.number]
        return self.sipp(scenario, CARRIER, target=(CARRIER, self.proxy.port), extra=extra, **options)


def termination(trunk, called, caller, **options):
    """Gateway to proxy."""
    side = trunk.sipp(called, CARRIER, port=trunk.agents[0], count=CALLS, echo=True)
    play(trunk, side, trunk.pbx_calls(caller, count=CALLS, rate=RATE, **options))


def origination(trunk, called, caller, **options):
    """Proxy to gateway."""
    side = trunk.sipp(called, PBX, port=trunk.pbx, count=CALLS, echo=True)
    play(trunk, side, trunk.carrier_calls(caller, count=CALLS, rate=RATE, **options))


def forked(trunk):
    """The proxy rings two agents; one answers, the other one is cancelled. It has a second early dialog."""
    slow = trunk.sipp("uas_cancelled", CARRIER, port=trunk.agents[1], count=CALLS)
    with slow:
        side = trunk.sipp("uas", CARRIER, port=trunk.agents[0], count=CALLS, echo=True)
        play(trunk, side, trunk.pbx_calls("uac", count=CALLS, rate=RATE, hold_ms=HOLD_MS))
        slow.wait()


def play(trunk, called, caller):
    """Both sides go as their scenarios say, and the gateway's account of them is right."""
    offset = trunk.node.log_size()
    with called, caller:
        caller.wait()
        called.wait()
    accounted(trunk.node, offset, CALLS, audio=True)
    if trunk.transport == "tls":
        handshakes = sum(shard["tls_handshakes"] for shard in trunk.node.status()["shards"])
        expect(handshakes > 0, "no TLS handshake")


def main():
    table = Table("Kamailio")
    for transport in TRANSPORTS:
        shards = 1 if transport == "udp" else 2
        with Trunk(shards, transport) as trunk:
            for direction, run in (("termination", termination), ("origination", origination)):
                def check(what, called, caller, run=run, direction=direction, **options):
                    table.check(
                        what, transport, direction, shards, lambda: run(trunk, called, caller, **options),
                    )

                check(f"{CALLS} calls, Record-Route", "uas", "uac", hold_ms=HOLD_MS)
                check(f"{CALLS} calls held and resumed", "uas_hold", "uac_hold")
            table.check("nothing is left", transport, "both", shards, trunk.node.wait_idle)
            if table.failed:
                trunk.node.show_log()
    with Trunk(2, "udp", agents=2) as trunk:
        table.check(f"{CALLS} calls forked", "udp", "termination", 2, lambda: forked(trunk))
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
