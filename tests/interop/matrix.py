"""The matrix of peers: a row for each check, printed as it is known and kept for the whole run.

Rows go to the file that TRUNKLINE_MATRIX names, too. `matrix.py` itself prints what is there, and fails where a row
failed, or where a peer and transport that belong to the matrix were never checked.

    TRUNKLINE_MATRIX=rows .venv/current/bin/python tests/interop/matrix.py
"""

import json
import os
import sys
import time

EXPECTED = {
    ("SIPp", "udp"), ("SIPp", "tcp"), ("SIPp", "udp6"), ("SIPp", "tcp-udp"), ("SIPp", "udp6-udp"),
    ("Kamailio", "udp"), ("Kamailio", "tcp"), ("Kamailio", "tls"),
    ("baresip", "udp"), ("baresip", "tcp"), ("baresip", "tls"),
    ("libsrtp", "udp"), ("libsrtp", "tls"), ("RTP peer", "udp"), ("RTP peer", "tls"), ("RTP peer", "udp6"),
    ("sipsak", "udp"), ("sipsak", "tcp"),
}
"""Peer and transport of every row that a run must have; IPv6 where the machine has it."""

LINE = "{:9} {:36} {:9} {:12} {:6} {}"


class Table:
    """The results of one script."""

    def __init__(self, peer):
        self.peer = peer
        self.passed = self.failed = 0
        print(LINE.format("peer", "what", "transport", "direction", "shards", "result"), flush=True)

    def check(self, what, transport, direction, shards, run):
        """Runs one check and prints its row."""
        started = time.monotonic()
        try:
            run()
            failure = None
        except Exception as error:
            failure = error
        self._row([what, transport, direction, shards], started, failure)

    async def check_beside(self, what, transport, direction, shards, run):
        """The same for a coroutine, that others may run beside."""
        started = time.monotonic()
        try:
            await run
            failure = None
        except Exception as error:
            failure = error
        self._row([what, transport, direction, shards], started, failure)

    def _row(self, columns, started, failure):
        self.passed += failure is None
        self.failed += failure is not None
        result = "ok" if failure is None else f"FAILED  {type(failure).__name__}: {failure}"
        result += f"  {time.monotonic() - started:5.1f} s"
        row = [self.peer, *columns, result]
        print(LINE.format(*row), flush=True)
        if path := os.environ.get("TRUNKLINE_MATRIX"):
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def end(self):
        """Prints the sum; the exit code."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0


def main():
    from ports import has_ipv6

    with open(os.environ["TRUNKLINE_MATRIX"], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    print(LINE.format("peer", "what", "transport", "direction", "shards", "result"))
    for row in rows:
        print(LINE.format(*row))
    failed = sum(not row[5].startswith("ok") for row in rows)
    seen = {(row[0], row[2]) for row in rows}
    expected = {pair for pair in EXPECTED if has_ipv6() or "6" not in pair[1]}
    missing = sorted(expected - seen)
    for peer, transport in missing:
        print(LINE.format(peer, "MISSING", transport, "", "", "was not checked"))
    print(f"{len(rows) - failed} passed, {failed + len(missing)} failed")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
