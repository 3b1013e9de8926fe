"""SIPp processes: a caller or a called side that plays one of the scenarios of this directory."""

import itertools
import re
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = Path(__file__).resolve().parent
BOUND_S = 10
SCREEN_PERIOD_S = 0.3
# TCP_LISTEN, as the kernel's tables write it.
LISTENS = "0A"

# What SIPp notes of its own and no peer has to do with.
HARMLESS = ("SIPp", "The following events occurred", "Dead call", "from dead call")

_serial = itertools.count(1)


class SippFailed(Exception):
    """A SIPp process did not end as its scenario says."""


class Sipp:
    """One SIPp. Use it as a context manager: the process is ended whatever happens."""

    def __init__(self, scenario, address, ports, directory, port=None, target=None, count=None,
                 transport="udp", rate=50, hold_ms=None, timeout_s=60, echo=False, screen=False, trace=False, extra=(),
                 folder=SCENARIOS):
        """`port`: where it is for SIP, by default a free one. `target`: (address, port) to call, `None` to be
        called. `count`: calls; `None` until ended. `rate`: calls a second. `hold_ms`: how long a pause without a length of its own takes.
        `trace`: keeps what it receives. `folder`: where the scenario is."""
        self.scenario = scenario
        self.address = address
        self.port = port or ports.take()
        self.timeout_s = timeout_s
        self._is_called = target is None
        name = f"{scenario}-{next(_serial)}"
        self._errors = Path(directory) / f"{name}.errors"
        self._screen = Path(directory) / f"{name}.screen"
        self._output = Path(directory) / f"{name}.out"
        self._messages = Path(directory) / f"{name}.messages"
        command = ["sipp"]
        if target:
            command.append(f"{bracketed(target[0])}:{target[1]}")
        command += [
            "-sf", Path(folder) / f"{scenario}.xml", "-i", address, "-p", self.port, "-mi", address,
            "-mp", ports.take(6), "-cp", ports.take(), "-nostdin", "-t", {"udp": "u1", "tcp": "t1"}[transport],
            "-trace_err", "-error_file", self._errors, "-timeout", timeout_s, "-timeout_error",
            # It would take a busy machine for a fault of its own.
            "-watchdog_interval", 0,
        ]
        if target:
            command += ["-r", rate, "-l", 4_000]
        if count is not None:
            command += ["-m", count]
        if hold_ms is not None:
            command += ["-d", hold_ms]
        if echo:
            command.append("-rtp_echo")
        if screen:
            command += ["-trace_screen", "-screen_file", self._screen]
        if trace:
            command += ["-trace_msg", "-message_file", self._messages]
        self._command = [str(part) for part in [*command, *extra]]
        self._transport = transport
        self.process = None

    def __enter__(self):
        # The tone's path in the scenarios is relative to the repository's root.
        with open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )
        self._wait_bound()
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind is not None:
            self.show()

    def wait(self):
        """Returns when all calls went as the scenario says, within the time it was given."""
        try:
            code = self.process.wait(self.timeout_s + 10)
        except subprocess.TimeoutExpired:
            raise SippFailed(f"{self.scenario}: still running") from None
        self._judge(code)

    def end(self):
        """Ends a process that was started without a count, once its calls are over."""
        self.process.send_signal(signal.SIGUSR1)
        self.wait()

    def wait_counting(self):
        """As `wait`, and keeps the counts that `echoed` reads. SIPp writes them when it is told to, and not
        at its end, when they are complete: so again and again."""
        deadline = time.monotonic() + self.timeout_s + 10
        while time.monotonic() < deadline:
            try:
                return self._judge(self.process.wait(SCREEN_PERIOD_S))
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGUSR2)
        raise SippFailed(f"{self.scenario}: still running")

    def end_counting(self):
        """As `end`, and keeps the counts that `echoed` reads."""
        self.process.send_signal(signal.SIGUSR2)
        time.sleep(SCREEN_PERIOD_S)
        self.end()

    def echoed(self):
        """RTP packets that it has sent back, once it has ended; `echo` and `screen` must have been set."""
        screens = self._screen.read_text(errors="replace")
        return max(map(int, re.findall(r"(\d+) Total echo RTP pckts 1st stream", screens)), default=0)

    def received(self):
        """The messages that it has received, in their order; `trace` must have been set."""
        text = self._messages.read_text(errors="replace")
        return re.findall(r"message received \[\d+\] bytes :\s+(.*?)(?=\n-{40}|\Z)", text, re.DOTALL)

    def show(self):
        """Prints what the process noted."""
        for path in (self._errors, self._output):
            if path.exists() and path.stat().st_size:
                print(f"--- the last lines of {path.name}")
                print("\n".join(path.read_text(errors="replace").splitlines()[-40:]))

    def _judge(self, code):
        # 99: ended by a signal without a failed call.
        if code not in (0, 99):
            raise SippFailed(f"{self.scenario}: exit code {code}, {self._noted()}")
        if self._strange():
            raise SippFailed(f"{self.scenario}: {self._noted()}")

    def _noted(self):
        """How many strange lines there are, and the first and the last of them."""
        lines = self._strange() or ["nothing"]
        return f"{len(lines)} lines of errors: {' … '.join(dict.fromkeys([lines[0], lines[-1]]))}"

    def _strange(self):
        """What it noted that a peer has to do with."""
        if not self._errors.exists():
            return []
        lines = self._errors.read_text(errors="replace").splitlines()
        return [line for line in lines if line.strip() and not any(part in line for part in HARMLESS)]

    def _is_its_own(self, socket):
        """Whether a line of the kernel's table is of its socket. A connection of an earlier process at the same port may
        still be closing: a called side is there when it listens."""
        _, address, _, state, *_ = socket
        listens = self._transport == "udp" or not self._is_called or state == LISTENS
        return listens and address.endswith(f":{self.port:04X}")

    def _wait_bound(self):
        tables = [f"/proc/net/{self._transport}{version}" for version in ("", "6")]
        deadline = time.monotonic() + BOUND_S
        while time.monotonic() < deadline and self.process.poll() is None:
            for table in tables:
                with open(table, encoding="ascii") as file:
                    if any(self._is_its_own(line.split()) for line in file.readlines()[1:]):
                        return
            time.sleep(0.01)
        if self.process.poll() not in (None, 0):
            self.show()
            raise SippFailed(f"{self.scenario}: ended with {self.process.returncode} at its start")


def bracketed(address):
    """An address as it stands in front of a port."""
    return f"[{address}]" if ":" in address else address
