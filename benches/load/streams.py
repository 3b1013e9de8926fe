"""Calls with audio in both directions that go on until they are ended, through many connectors of a filled store."""

import csv
import time
from contextlib import ExitStack

from node import CARRIER, GATEWAY, PBX
from sipp import SCENARIOS, Sipp, SippFailed
from transit import CARRIERS_CALLER, PSTN

LONGEST_S = 3_600
HOLD_MS = 2_200
LOG_S = 10
CHOICES = 5_000
"""Lines that a caller takes one of for each call."""


class Streams:
    """Half of the calls from the PBX to the carrier, half the other way. Use it as a context manager."""

    def __init__(self, subject, directory, choice, rate):
        """`rate`: calls a second, both directions together. `choice`: where chance comes from."""
        self._node = subject.node
        self._directory = directory
        self._stack = ExitStack()
        self._log_from = subject.node.log_size()
        self._statistics = {}
        scenario = (SCENARIOS / "uac.xml").read_text()
        for field, key in enumerate(("[service]", "[host]", "[caller]")):
            scenario = scenario.replace(key, f"[field{field}]")
        (directory / "uac_fields.xml").write_text(scenario)
        filling, gateway = subject.filling, f"{GATEWAY}:{subject.node.sip_port}"
        called = [filling.some_called(choice) for _ in range(CHOICES)]
        outward = [(PSTN, filling.host(place), filling.some_number(choice, place)) for place in called]
        inward = [(filling.some_number(choice, place), gateway, CARRIERS_CALLER) for place in called]
        self._called = [self._answering(CARRIER, subject.carrier_port), self._answering(PBX, subject.pbx_port)]
        self._callers = [
            self._calling(PBX, "termination", outward, rate / 2),
            self._calling(CARRIER, "origination", inward, rate / 2),
        ]

    def __enter__(self):
        for side in (*self._called, *self._callers):
            self._stack.enter_context(side)
        return self

    def __exit__(self, *error):
        self._stack.__exit__(*error)

    def end(self):
        """Lets the calls end. A line for each direction, and one of the calls without audio both ways."""
        for side in (*self._callers, *self._called):
            try:
                side.end()
            except SippFailed as failure:
                print(f"note: {failure}")
        counts = {direction: self._counted(direction) for direction in self._statistics}
        lines = [f"{direction}: {done} calls, {failed} failed" for direction, (done, failed) in counts.items()]
        deadline = time.monotonic() + LOG_S
        while len(ended := self._node.ended_calls(self._log_from)) < sum(done for done, _ in counts.values()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        silent = [call for call in ended if not (call["rtp_packets_from_a"] and call["rtp_packets_from_b"])]
        return [*lines, f"{len(ended)} calls ended in the node's log, {len(silent)} without audio both ways"]

    def _calling(self, source, direction, lines, rate):
        fields = self._directory / f"{direction}.fields"
        fields.write_text("RANDOM\n" + "".join(";".join(line) + "\n" for line in lines))
        self._statistics[direction] = self._directory / f"{direction}.statistics"
        extra = ["-inf", fields, "-trace_stat", "-stf", self._statistics[direction], "-fd", 1]
        return Sipp(
            "uac_fields", source, self._node.ports, self._directory, folder=self._directory, rate=rate,
            target=(GATEWAY, self._node.sip_port), hold_ms=HOLD_MS, timeout_s=LONGEST_S, extra=extra,
        )

    def _answering(self, address, port):
        return Sipp("uas", address, self._node.ports, self._directory, port=port, timeout_s=LONGEST_S, echo=True)

    def _counted(self, direction):
        with open(self._statistics[direction], newline="", encoding="ascii") as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])
