"""Calls of baresip, a softphone as PBX that really sends audio, through a Trunkline node to and from SIPp.

Over every transport, as caller, as called side, and as a caller that transfers its call. That audio arrives is measured: what baresip hears is recorded,
and has to be the tone that was played: its own, sent back by the called side, or the caller's.

    .venv/current/bin/python tests/interop/baresip.py
"""

import json
import math
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import wave
from pathlib import Path

from calls import STREAM_PACKETS, accounted, expect
from matrix import Table
from node import CARRIER, GATEWAY, PBX, Connector, Node
from sipp import Sipp

MODULES = ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules")
TRANSPORTS = ("udp", "tcp", "tls")
OWN_HZ = 700
RATE_HZ = 8_000
# What tone.ulaw has.
SIPP_HZ = 400
TALK_S = 4
CALLER, CALLED, TARGET = "+14015550101", "+12025550123", "+13035550123"
READY_S = 20


class Baresip:
    """One baresip. Use it as a context manager."""

    def __init__(self, node, connector, transport, dial=None, talk_s=TALK_S, encryption=None):
        """`dial`: whom to call, for `talk_s` seconds (`None`: until it is ended); `None` to be called. `encryption`: of media,
        `srtp` (where the other side does) or `srtp-mand`; by default it is required over TLS and not there without."""
        encryption = encryption or ("srtp-mand" if transport == "tls" else None)
        self.port = node.ports.take(2)
        self._control = node.ports.take()
        self.directory = Path(node.directory) / f"baresip-{self.port}"
        self.directory.mkdir()
        tone(self.directory / "tone.wav", OWN_HZ)
        port = node.tls_port if transport == "tls" else node.sip_port
        modules = next(path for path in MODULES if Path(path).is_dir())
        # Its RTP sockets have no address of their own: what they send to the gateway comes from the gateway's address, and that is
        # what its SDP has to say.
        lines = [
            f"sip_listen {PBX}:{self.port}", f"module_path {modules}", "module g711.so", "module aufile.so",
            "module sndfile.so", "module srtp.so", "module_app account.so", "module_app menu.so",
            "module_app ctrl_tcp.so", f"ctrl_tcp_listen {PBX}:{self._control}",
            f"audio_source aufile,{self.directory}/tone.wav", f"net_interface {GATEWAY}", f"snd_path {self.directory}",
        ]
        if node.authority:
            certificate, key = node.authority.sign(f"pbx-{self.port}", PBX)
            both = self.directory / "both.pem"
            both.write_text(certificate.read_text() + key.read_text())
            lines += [f"sip_certificate {both}", f"sip_cafile {node.authority.certificate}"]
        (self.directory / "config").write_text("\n".join(lines) + "\n")
        (self.directory / "contacts").write_text("")
        (self.directory / "accounts").write_text(
            f'<sip:{connector.number}@{connector.host};transport={transport}>;regint=0;answermode=auto;'
            f'{f"mediaenc={encryption};" if encryption else ""}outbound="sip:{GATEWAY}:{port};transport={transport}"\n'
        )
        self._command = ["baresip", "-f", self.directory]
        if dial:
            self._command += ["-e", f"/dial sip:{dial}@{connector.host};transport={transport}"]
        if dial and talk_s:
            self._command += ["-t", talk_s]
        self._log = self.directory / "log"
        self.process = None

    def __enter__(self):
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                list(map(str, self._command)), stdin=subprocess.PIPE, stdout=log, stderr=log,
            )
        deadline = time.monotonic() + READY_S
        while "baresip is ready" not in self.said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.show()
                raise RuntimeError("baresip did not start")
            time.sleep(0.05)
        return self

    def __exit__(self, kind, error, trace):
        self.end()
        if kind is not None:
            self.show()

    def tell(self, command, parameters):
        """Gives it a command."""
        text = json.dumps({"command": command, "params": parameters})
        with socket.create_connection((PBX, self._control), timeout=READY_S) as control:
            control.sendall(f"{len(text)}:{text},".encode())
            control.recv(4_096)

    def wait_for(self, words):
        """Returns when it has said so."""
        deadline = time.monotonic() + READY_S
        while words not in self.said():
            expect(time.monotonic() < deadline, f"baresip does not say: {words}")
            time.sleep(0.05)

    def end(self):
        """Ends it, as far as it has not ended by itself."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()

    def wait(self):
        """Returns when it has ended by itself."""
        self.process.wait(TALK_S + READY_S)

    def said(self):
        """Its output so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def show(self):
        """Prints the end of its output."""
        print("\n".join(self.said()[-3_000:].splitlines()[-25:]))

    def heard(self):
        """The samples that it has decoded."""
        recordings = list(self.directory.glob("dump-*-dec.wav"))
        expect(len(recordings) == 1, f"{len(recordings)} recordings")
        with wave.open(str(recordings[0])) as file:
            frames = file.readframes(file.getnframes())
        # Where a recording was not closed, its header does not know how long it is.
        if not frames:
            frames = recordings[0].read_bytes()[44:]
        return struct.unpack(f"<{len(frames) // 2}h", frames[: len(frames) // 2 * 2])


def tone(path, hz):
    """Writes seconds of a tone."""
    count = RATE_HZ * (TALK_S + 6)
    samples = (int(12_000 * math.sin(2 * math.pi * hz * at / RATE_HZ)) for at in range(count))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


def share(samples, hz):
    """How much of the samples' energy is in a tone of this frequency, 0 to 1 (Goertzel)."""
    coefficient = 2 * math.cos(2 * math.pi * hz / RATE_HZ)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    energy = sum(sample * sample for sample in samples)
    return 2 * power / (len(samples) * energy) if energy else 0.0


def is_tone(samples, hz, seconds):
    """The samples have so many seconds of the tone, in windows of a tenth of one."""
    window = RATE_HZ // 10
    windows = [samples[at : at + window] for at in range(0, len(samples) - window, window)]
    good = sum(share(part, hz) > 0.8 for part in windows) / 10
    expect(good >= seconds, f"{good} s of {hz} Hz in {len(samples) / RATE_HZ:.1f} s heard, not {seconds}")


def calls_out(node, connector, transport, agent):
    """baresip calls; the carrier sends its audio back."""
    called = Sipp("uas", CARRIER, node.ports, node.directory, port=agent, count=1, echo=True)
    offset = node.log_size()
    with called, Baresip(node, connector, transport, dial=CALLED) as phone:
        phone.wait()
        called.wait()
        accounted(node, offset, 1, audio=True)
        is_tone(phone.heard(), OWN_HZ, TALK_S - 2)


def is_called(node, connector, transport):
    """baresip is called; the carrier plays two seconds of a tone."""
    offset = node.log_size()
    with Baresip(node, connector, transport) as phone:
        port = phone.port + 1 if transport == "tls" else phone.port
        connector.originate((PBX, port, "UDP" if transport == "udp" else "TCP", 1))
        extra = ["-key", "host", f"{GATEWAY}:{node.sip_port}", "-key", "caller", CALLER, "-s", connector.number]
        target = (GATEWAY, node.sip_port)
        caller = Sipp("uac", CARRIER, node.ports, node.directory, target=target, count=1, hold_ms=2_300, extra=extra)
        with caller:
            caller.wait()
        accounted(node, offset, 1, audio=True)
        phone.end()
        is_tone(phone.heard(), SIPP_HZ, 1.5)


def transfers(node, connector, transport, remaining, target):
    """baresip calls, and transfers the call: those whom it leaves hear each other."""
    stays = Sipp("uas_transferred", CARRIER, node.ports, node.directory, port=remaining, count=1)
    third = Sipp("uas", CARRIER, node.ports, node.directory, port=target, echo=True, screen=True)
    offset = node.log_size()
    with third, stays, Baresip(node, connector, transport, dial=CALLED, talk_s=None) as phone:
        phone.wait_for("Call established")
        time.sleep(1)
        phone.tell("transfer", f"sip:{TARGET}@{connector.host}")
        phone.wait_for("Call with")
        stays.wait()
        third.end_counting()
        accounted(node, offset, 1, audio=True)
        expect(third.echoed() == STREAM_PACKETS, f"{third.echoed()} of {STREAM_PACKETS} packets reached the target")


def main():
    table = Table("baresip")
    for shards in (1, 2):
        node = Node(shards=shards, t1_ms=50, tls=True)
        agent, other_agent = node.ports.take(), node.ports.take()
        node.carrier_routes = [(CARRIER, agent, "udp", ""), (CARRIER, other_agent, "udp", "1303")]
        with node:
            sources = [f"{PBX}/32", f"{GATEWAY}/32"]
            plain = Connector(node, "plain", "+12065550100").terminate(sources)
            encrypted = Connector(node, "encrypted", "+12065550101", encrypted=True).terminate(sources)
            for transport in TRANSPORTS:
                connector = encrypted if transport == "tls" else plain
                table.check(
                    "calls, and hears itself", transport, "termination", shards,
                    lambda: calls_out(node, connector, transport, agent),
                )
                table.check(
                    "is called, and hears the tone", transport, "origination", shards,
                    lambda: is_called(node, connector, transport),
                )
                table.check(
                    "transfers its call", transport, "termination", shards,
                    lambda: transfers(node, connector, transport, agent, other_agent),
                )
            table.check("nothing is left", "all", "both", shards, node.wait_idle)
            if table.failed:
                node.show_log()
    return table.end()


if __name__ == "__main__":
    if not shutil.which("baresip"):
        sys.exit("baresip is not installed: apt-get install baresip-core")
    sys.exit(main())
