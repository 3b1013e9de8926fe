"""CPU time per call and per relayed RTP packet, Trunkline and its peers side by side. See README.md."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests/interop")]

import peers  # noqa: E402
from held_calls import hold  # noqa: E402
from node import CARRIER, GATEWAY, PBX, Connector, Node  # noqa: E402
from ports import PortBlock  # noqa: E402
from sipp import Sipp, SippFailed

CALLS = int(os.environ.get("TRUNKLINE_LOAD_CALLS", "2000"))
RATES = [int(rate) for rate in os.environ.get("TRUNKLINE_LOAD_RATES", "100,200").split(",")]
REPEATS = int(os.environ.get("TRUNKLINE_LOAD_REPEATS", "3"))
SESSIONS = int(os.environ.get("TRUNKLINE_LOAD_SESSIONS", "200"))
HELD_CALLS = int(os.environ.get("TRUNKLINE_LOAD_HELD_CALLS", "1200"))
SECONDS = int(os.environ.get("TRUNKLINE_LOAD_SECONDS", "10"))
WARM_UP_CALLS = 200
SETTLE_S = 2
WARM_UP_S = 6
"""Of RTP: what is found out of a stream is known after five seconds."""
FLOORS = {1: "epoll, recvfrom, sendto, 1 thread", 2: "epoll, recvfrom, sendto, 2 threads"}
NUMBER = "+12065550100"
TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


def cpu_us(pids):
    """User and system time of the processes' threads so far, by the kernel's account."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * TICK_US


def resident(pid):
    """Resident memory now and its peak, in MiB, by the kernel's account."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return [int(fields[name].split()[0]) / 1_024 for name in ("VmRSS", "VmHWM")]


@contextmanager
def trunkline(shards, held=SESSIONS):
    """A node whose calls from the carrier go to a PBX: processes, where to call, who calls, who is called."""
    with closing(port_block(held)) as ports, Node(shards=shards, t1_ms=500, ports=ports) as node:
        pbx_port = node.ports.take()
        connector = Connector(node, "load", NUMBER).originate((PBX, pbx_port, "UDP", 1))
        yield Subject(lambda: [node.pid], (GATEWAY, node.sip_port), CARRIER, (PBX, pbx_port), node, connector)


@contextmanager
def kamailio(with_rtp):
    """Kamailio, and rtpengine where its calls' audio is anchored."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-load-"))
        started = [stack.enter_context(peers.rtpengine(directory))] if with_rtp else []
        started.append(stack.enter_context(peers.kamailio(directory, with_rtp)))
        pids = lambda: [pid for peer in started for pid in peer.pids()]  # noqa: E731
        yield Subject(pids, peers.KAMAILIO, "127.0.0.1", peers.KAMAILIO_CALLS)


def port_block(held=SESSIONS):
    """Room for the held calls: four ports of each at its peers where RTP flows, four at the node, and some for calls that rest."""
    return PortBlock(others=400 + 4 * SESSIONS, media=max(2_000, 4 * held + 1_000))


class Subject:
    """What is measured, and how calls go through it."""

    def __init__(self, pids, target, caller, called, node=None, connector=None):
        self.pids = pids
        self.target = target
        self.caller = caller
        self.called = called
        self.node = node
        self.connector = connector


def cpu_per_call(subject, rate):
    """Microseconds of CPU time a call of one second without audio costs at this rate."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-load-"))
        ports = subject.node.ports if subject.node else port_block()
        if not subject.node:
            stack.callback(ports.close)
        _calls(subject, ports, directory, rate, WARM_UP_CALLS)
        before = cpu_us(subject.pids())
        _calls(subject, ports, directory, rate, CALLS)
        time.sleep(SETTLE_S)
        return (cpu_us(subject.pids()) - before) / CALLS


def _calls(subject, ports, directory, rate, calls):
    limit = {"count": calls, "timeout_s": 60 + 2 * calls // rate, "folder": HERE}
    target = "{}:{}".format(*subject.target)
    extra = ["-key", "host", target, "-key", "caller", "+14015550101", "-s", NUMBER]
    called = Sipp("uas", subject.called[0], ports, directory, port=subject.called[1], **limit)
    caller = Sipp("uac", subject.caller, ports, directory, target=subject.target, rate=rate, extra=extra, **limit)
    with called, caller:
        try:
            caller.wait()
            called.wait()
        except SippFailed as failure:
            # A proxy with several workers passes a 180 on after its 200 now and then, which fails the
            # call at SIPp. Its cost is known all the same; of Trunkline no call may fail.
            if subject.node:
                raise
            print(f"  note: {failure}, a few calls failed", file=sys.stderr)


def relayed_by_trunkline(shards):
    """Trunkline with held calls."""
    with trunkline(shards) as subject:
        lines = hold(subject.node, subject.connector, subject.called[1], SESSIONS)
        result = cpu_per_packet(subject.pids, lines)
        # Nobody is there to answer its BYEs.
        subject.node.kill()
        return result


def memory_of_calls(shards):
    """Resident memory that a held call takes, in KiB; the sockets' buffers are the kernel's."""
    with trunkline(shards, HELD_CALLS) as subject:
        before, _ = resident(subject.node.pid)
        hold(subject.node, subject.connector, subject.called[1], HELD_CALLS, have_own_ports=False)
        after, _ = resident(subject.node.pid)
        subject.node.kill()
        return (after - before) * 1_024 / HELD_CALLS


def relayed_by_rtpengine():
    """rtpengine with the sessions of the peers' folder."""
    with tempfile.TemporaryDirectory(prefix="trunkline-load-") as directory, peers.rtpengine(directory) as peer:
        opened = subprocess.run(
            [sys.executable, peers.folder() / "rtpengine_sessions.py", str(SESSIONS)],
            check=True, capture_output=True, text=True,
        )
        return cpu_per_packet(peer.pids, opened.stdout.splitlines())


def relayed_by_floor(threads):
    """epoll, recvfrom, sendto, by so many threads."""
    with ExitStack() as stack:
        ports = stack.enter_context(closing(port_block()))
        command = [tool("floor"), str(SESSIONS), str(ports.take(4 * SESSIONS)), str(threads)]
        floor = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(floor.kill)
        lines = []
        while (line := floor.stdout.readline().strip()) != "ready":
            if not line:
                raise RuntimeError(f"{command} ended")
            lines.append(line)
        return cpu_per_packet(lambda: [floor.pid], lines)


def cpu_per_packet(pids, lines):
    """Microseconds of CPU time a relayed packet costs, the share of packets that were lost, and the delay."""
    command = [tool("rtp"), str(WARM_UP_S), str(SECONDS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as generator:
        generator.stdin.write("\n".join(lines))
        generator.stdin.close()
        if generator.stdout.readline() != "warm\n":
            raise RuntimeError(f"{command} ended")
        before = cpu_us(pids())
        words = generator.stdout.read().split()
    spent = cpu_us(pids()) - before
    figures = dict(zip(words[::2], map(int, words[1::2])))
    received = figures["received"]
    return Relayed(spent / max(received, 1), 1 - received / figures["sent"], figures["p50"], figures["p99"])


Relayed = namedtuple("Relayed", "cpu_us lost p50_us p99_us")


def tool(name):
    """A program of this directory, as `cargo build --release --examples` leaves it."""
    return ROOT / "target/release/examples" / name


def measure(title, subjects):
    """Every subject REPEATS times, in turn, so that what the machine does meanwhile meets all alike."""
    values = {name: [] for name in subjects}
    for _ in range(REPEATS):
        for name, run in subjects.items():
            values[name].append(run())
            print(f"  {name}: {values[name][-1]}", file=sys.stderr, flush=True)
    print(f"\n{title}\n", flush=True)
    return values


def per_call(rate):
    """The first table."""
    def once(made):
        with made as subject:
            return cpu_per_call(subject, rate)

    subjects = {
        "Trunkline, 1 shard, media anchored": lambda: once(trunkline(1)),
        "Trunkline, 2 shards, media anchored": lambda: once(trunkline(2)),
    }
    if not peers.missing():
        subjects["Kamailio, no media"] = lambda: once(kamailio(False))
        subjects["Kamailio + rtpengine"] = lambda: once(kamailio(True))
    values = measure(f"CPU per call, µs: {CALLS} calls of 1 s at {rate} a second, no RTP", subjects)
    medians = {name: statistics.median(numbers) for name, numbers in values.items()}
    anchored = medians.get("Kamailio + rtpengine")
    print("| system | median | each run | Kamailio + rtpengine = 1 |\n|---|---|---|---|")
    for name, numbers in values.items():
        ratio = f"{medians[name] / anchored:.3f}" if anchored else "-"
        print(f"| {name} | {medians[name]:.0f} | {', '.join(f'{n:.0f}' for n in numbers)} | {ratio} |", flush=True)


def per_packet():
    """The second table."""
    subjects = {
        "Trunkline, 1 shard": lambda: relayed_by_trunkline(1),
        "Trunkline, 2 shards": lambda: relayed_by_trunkline(2),
        FLOORS[1]: lambda: relayed_by_floor(1),
        FLOORS[2]: lambda: relayed_by_floor(2),
    }
    if not peers.missing():
        subjects["rtpengine, user space, 2 threads"] = relayed_by_rtpengine
    title = f"CPU per relayed packet, µs: {SESSIONS} calls, both ways, 50 packets of 172 bytes a second, {SECONDS} s"
    values = measure(title, subjects)
    medians = {name: statistics.median(run.cpu_us for run in runs) for name, runs in values.items()}
    peer = medians.get("rtpengine, user space, 2 threads")
    print("| system | median | each run | lost | delay p50, p99 | floor of as many threads = 1 | rtpengine = 1 |\n|---|---|---|---|---|---|---|")
    for name, runs in values.items():
        costs = ", ".join(f"{run.cpu_us:.2f}" for run in runs)
        lost = max(run.lost for run in runs)
        delays = [statistics.median(delay) for delay in ((run.p50_us for run in runs), (run.p99_us for run in runs))]
        floor = medians[FLOORS[1 if ", 1 " in name else 2]]
        ratio = f"{medians[name] / peer:.2f}" if peer else "-"
        print(
            f"| {name} | {medians[name]:.2f} | {costs} | {lost:.2%} | {delays[0] / 1000:.2f} ms, {delays[1] / 1000:.2f} ms "
            f"| {medians[name] / floor:.2f} | {ratio} |"
        )


def per_held_call():
    """The third table."""
    print(f"\nMemory per held call: {HELD_CALLS} calls\n\n| system | KiB |\n|---|---|")
    for shards in (1, 2):
        print(f"| Trunkline, {shards} shards | {memory_of_calls(shards):.1f} |", flush=True)


def main():
    for reason in peers.missing():
        print(f"Without Kamailio and rtpengine: {reason}.")
    for rate in RATES:
        per_call(rate)
    per_packet()
    per_held_call()


if __name__ == "__main__":
    main()
