"""Kamailio and rtpengine, with the configs of a folder that the operator names, as processes of a run's own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

RTPENGINE = ("127.0.0.1", 2223)
KAMAILIO = ("127.0.0.1", 5060)
KAMAILIO_CALLS = ("127.0.0.1", 5080)
"""Where the folder's config sends calls to."""
READY_S = 20


class PeerFailed(Exception):
    """A peer did not start."""


def folder():
    """The folder with the peers' configs, `None` where there is none."""
    named = os.environ.get("TRUNKLINE_PEERS")
    return Path(named).resolve() if named else None


def missing():
    """What of the peers cannot be measured here, as sentences."""
    reasons = [] if folder() else ["TRUNKLINE_PEERS does not name a folder with their configs"]
    return reasons + [f"{name} is not installed" for name in ("kamailio", "rtpengine") if not shutil.which(name)]


class Peer:
    """A process and those it made, in a process group of their own."""

    def __init__(self, directory, command, ready):
        self._ready = ready
        self._command = [str(part) for part in command]
        self._log = Path(directory) / f"{command[0]}.log"
        self.process = None

    def __enter__(self):
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise PeerFailed(f"{self._command[0]}: {self._log.read_text(errors='replace')[-2_000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_error):
        # The group is this process' own: nobody else's processes are in it.
        for number, wait_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(wait_s)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()

    def pids(self):
        """The group's processes."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._has(pid)]

    def _has(self, pid):
        try:
            return os.getpgid(pid) == self.process.pid
        except ProcessLookupError:
            return False


def kamailio(directory, with_rtp):
    """Kamailio with the folder's config; its working directory is the folder, which it only reads."""
    command = [
        "kamailio", "-DD", "-f", folder() / "kamailio.cfg", "-w", folder(), "-m", 512, "-M", 16,
        "-x", "tlsf", "-X", "tlsf", "-Y", directory, "-P", Path(directory) / "kamailio.pid",
    ]
    return Peer(directory, command + (["-A", "WITH_RTP"] if with_rtp else []), lambda: _answers(KAMAILIO, OPTIONS))


def rtpengine(directory):
    """rtpengine in user space."""
    command = [
        "rtpengine", "--interface=127.0.0.1", "--listen-ng={}:{}".format(*RTPENGINE), "--table=-1",
        "--num-threads=2", "--port-min=20000", "--port-max=30000", "--delete-delay=0", "--foreground",
        "--log-stderr", "--log-level=3", f"--pidfile={directory}/rtpengine.pid",
    ]
    return Peer(directory, command, lambda: _answers(RTPENGINE, b"ready d7:command4:pinge"))


OPTIONS = (
    b"OPTIONS sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKready\r\n"
    b"From: <sip:ready@127.0.0.1>;tag=r\r\nTo: <sip:127.0.0.1:5060>\r\nCall-ID: ready@127.0.0.1\r\n"
    b"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


def _answers(address, question):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.connect(address)
        try:
            probe.send(question % probe.getsockname()[1] if b"%d" in question else question)
            return bool(probe.recv(4_096))
        except OSError:
            return False
