"""A name server for tests: a zone in a dictionary, served on loopback over UDP until it is closed."""

import socket
import struct
import threading

TYPES = {1: "A", 28: "AAAA", 33: "SRV", 35: "NAPTR"}
SOA = 6
LOOK_S = 0.1


class Zone:
    """Answers from `records`: (name, type) to a list of what stands behind it. Use it as a context manager.

    A: an address. SRV: (priority, weight, port, target). NAPTR: (order, preference, service, replacement).
    """

    def __init__(self, address, port, records, ttl_s):
        self.records = records
        self.ttl_s = ttl_s
        self._is_open = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._socket.settimeout(LOOK_S)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """From now on nobody answers; a second time changes nothing."""
        self._is_open = False
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while self._is_open:
            try:
                query, source = self._socket.recvfrom(1_500)
            except TimeoutError:
                continue
            self._socket.sendto(self._answer(query), source)

    def _answer(self, query):
        """RFC 1035 §4.1; EDNS of the query is not answered."""
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1:at + 1 + length].decode().lower())
            at += 1 + length
        kind = struct.unpack_from("!H", query, at + 1)[0]
        question = query[12:at + 5]
        found = self.records.get((".".join(labels), TYPES.get(kind)), [])
        answers = [self._record(b"\xc0\x0c", kind, rdata(TYPES[kind], values)) for values in found]
        absence = []
        if not answers:
            soa = encoded(".") * 2 + struct.pack("!5I", 1, 1, 1, 1, self.ttl_s)
            absence = [self._record(encoded("."), SOA, soa)]
        # QR, AA, RD, RA.
        head = query[:2] + struct.pack("!5H", 0x8580, 1, len(answers), len(absence), 0)
        return head + question + b"".join(answers + absence)

    def _record(self, owner, kind, data):
        return owner + struct.pack("!HHIH", kind, 1, self.ttl_s, len(data)) + data


def encoded(name):
    """A name as labels."""
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def rdata(kind, values):
    """What stands behind a record's head."""
    match kind:
        case "A":
            return socket.inet_aton(values)
        case "AAAA":
            return socket.inet_pton(socket.AF_INET6, values)
        case "SRV":
            priority, weight, port, target = values
            return struct.pack("!3H", priority, weight, port) + encoded(target)
        case "NAPTR":
            order, preference, service, replacement = values
            texts = b"".join(bytes([len(text)]) + text.encode() for text in ("s", service, ""))
            return struct.pack("!2H", order, preference) + texts + encoded(replacement)
