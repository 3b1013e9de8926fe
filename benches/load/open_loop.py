"""HTTP requests at a fixed rate from a process of their own: what each answer took, counted from when it was due.

A request that is due is sent whether or not others have been answered, so whoever answers slowly is not asked less
(no coordinated omission). The bytes are made beforehand: between two requests the process sleeps in `select`, whose
timeouts are finer than the milliseconds of `epoll`.
"""

import contextlib
import gc
import multiprocessing
import select
import socket
import time
from collections import deque

CONNECTIONS = 48
"""Kept alive and used in turn; a request that finds none of them free waits, and the wait counts."""
FIRST_S = 0.05
STALLED_S = 10
PROCESSES = multiprocessing.get_context("fork")
CANNED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n" + b"x" * 400


class Outcome:
    """What became of the requests of one run."""

    def __init__(self, took, late, refused, cpu_s, lasted_s):
        """`took`: seconds of each answer. `late`: seconds that each request was sent after it was due. `refused`:
        answers that were no 200, by status. `cpu_s`: of the generator."""
        self.took = sorted(took)
        self.late = sorted(late)
        self.refused = refused
        self.cpu_s = cpu_s
        self.lasted_s = lasted_s

    def row(self):
        """p50, p90, p99, p99.9 and maximum, errors, and the p99 of what was sent late; milliseconds, as cells."""
        cells = [f"{1e3 * quantile(self.took, share):.2f}" for share in (0.5, 0.9, 0.99, 0.999, 1)]
        return " | ".join([*cells, str(self.refused or 0), f"{1e3 * quantile(self.late, 0.99):.2f}"])


def quantile(ordered, share):
    """The value that this share of an ascending list does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def drive(address, requests, rate):
    """Sends the requests, so many a second, and returns the `Outcome`."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_generator, args=(there, address, requests, rate))
    process.start()
    there.close()
    try:
        return Outcome(*here.recv())
    except EOFError:
        raise RuntimeError("the generator ended without a result") from None
    finally:
        process.kill()
        process.join()


def in_turn(address, requests):
    """Sends a request once the one before is answered, and returns seconds, status and body of each answer."""
    with _connection(address) as connection:
        return [_asked(connection, request) for request in requests]


def _asked(connection, request):
    began = time.perf_counter()
    connection.sendall(request)
    answer = bytearray()
    while not _is_whole(answer):
        more = connection.recv(262_144)
        if not more:
            raise RuntimeError(f"the connection was closed within an answer: {bytes(answer)}")
        answer += more
    took = time.perf_counter() - began
    return took, answer[9:12].decode(), bytes(answer.partition(b"\r\n\r\n")[2])


@contextlib.contextmanager
def responder():
    """A process that answers every request with the same bytes: the address of the least there is to measure."""
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listener:
        process = PROCESSES.Process(target=_answer_all, args=(listener,))
        process.start()
        try:
            yield listener.getsockname()
        finally:
            process.kill()
            process.join()


def _generator(results, address, requests, rate):
    # What was there before the fork is nothing that the collector need look at.
    gc.freeze()
    gc.disable()
    cpu = time.process_time()
    began = time.perf_counter()
    took, late, refused = _send_all(address, requests, rate)
    results.send((took, late, refused, time.process_time() - cpu, time.perf_counter() - began))


def _send_all(address, requests, rate):
    took, late, refused = [], [], {}
    idle = deque(_connection(address) for _ in range(CONNECTIONS))
    busy = {}
    now = time.perf_counter
    start = now() + FIRST_S
    following = 0
    while following < len(requests) or busy:
        due = start + following / rate
        while following < len(requests) and idle and due <= now():
            connection = idle.popleft()
            connection.sendall(requests[following])
            busy[connection] = (due, bytearray())
            late.append(now() - due)
            following += 1
            due = start + following / rate
        waits = following < len(requests) and idle
        readable, _, _ = select.select(busy, (), (), max(0, due - now()) if waits else STALLED_S)
        if not readable and not waits:
            raise RuntimeError(f"{len(busy)} requests were not answered within {STALLED_S} s")
        for connection in readable:
            due_then, answer = busy[connection]
            more = connection.recv(262_144)
            answer += more
            if more and not _is_whole(answer):
                continue
            took.append(now() - due_then)
            del busy[connection]
            status = answer[9:12].decode() if more else "closed"
            if status != "200":
                refused[status] = refused.get(status, 0) + 1
            if not more:
                connection.close()
            idle.append(connection if more else _connection(address))
    return took, late, refused


def _connection(address):
    made = socket.create_connection(address, timeout=STALLED_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _is_whole(answer):
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    fields = answer[:head].lower()
    _, is_there, length = fields.partition(b"content-length: ")
    if not is_there:
        raise RuntimeError(f"an answer without Content-Length: {bytes(fields)}")
    return len(answer) >= head + 4 + int(length.partition(b"\r\n")[0])


def _answer_all(listener):
    waiting = select.epoll()
    waiting.register(listener, select.EPOLLIN)
    connections = {}
    while True:
        for descriptor, _ in waiting.poll():
            if descriptor == listener.fileno():
                made, _ = listener.accept()
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[made.fileno()] = made
                waiting.register(made, select.EPOLLIN)
            elif connections[descriptor].recv(65_536):
                connections[descriptor].sendall(CANNED)
            else:
                connections.pop(descriptor).close()
