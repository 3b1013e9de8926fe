"""A Trunkline node of a test's own: its config, its process, its API through boto3.

A node lives in a temporary directory and on free ports. Carrier and PBX are told apart by their source
address: 127.0.0.2 is the carrier, 127.0.0.3 the PBX; with IPv6 both are on ::1, and what a call is shows
in its Request-URI.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import botocore.config

from certificates import Authority
from ports import PortBlock, has_ipv6

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = "127.0.0.1"
CARRIER = "127.0.0.2"
PBX = "127.0.0.3"
ACCESS_KEY = "AKIDINTEROPTESTS0000"
SECRET_KEY = "a-secret-that-only-the-interop-tests-use"
ACCOUNT = "111122223333"
READY_S = 20
STOP_S = 20
EVENT_S = 20


class NodeFailed(Exception):
    """The node did not start, ended by itself, or did not come to rest."""


class Node:
    """One `trunkline serve`. Use it as a context manager: no process and no file is left behind."""

    def __init__(self, shards=1, carrier_routes=(), t1_ms=100, ports=None, media_timeout_s=60, tls=False,
                 name_servers=(), store=None, limits=None, api=None, access_keys=(), number_pools=(), ready_s=READY_S,
                 health=None, log_level="info", media=None, carriers=()):
        """`carrier_routes`: (host, port, transport, prefix) of each way to the PSTN; `None` for what the DNS says.
        `name_servers`: (address:port), instead of the system's. `limits`: keys of `[limits]`. `tls`: a listener for it, with a
        certificate of an authority that peers on loopback have theirs from too. `store`: its URL, instead of
        a file's in the node's directory. `api`: keys of `[api]`. `access_keys`, `number_pools`: keys of each of them,
        besides the one that there always is. `ready_s`: how long its start may take. `health`: keys of `[health]`; without any
        nobody is pinged, for most peers here play one scenario and know nothing else. `log_level`: of the log. `media`: more keys
        of `[media]`. `carriers`: keys of each carrier besides the one that there always is, `routes` among them."""
        self.binary = Path(os.environ.get("TRUNKLINE_BINARY", ROOT / "target/release/trunkline")).resolve()
        self.shards = shards
        self.carrier_routes = list(carrier_routes)
        self.name_servers = list(name_servers)
        self.limits = dict(limits or {})
        self.api_keys = dict(api or {})
        self.access_keys = list(access_keys)
        self.number_pools = list(number_pools)
        self.store = store
        self.health = dict(health or {"interval_s": 0})
        self.log_level = log_level
        self.media_keys = dict(media or {})
        self.carriers = list(carriers)
        self.t1_ms = t1_ms
        self.ready_s = ready_s
        self.media_timeout_s = media_timeout_s
        self.ports = ports or PortBlock()
        self._owns_ports = ports is None
        self.ipv6 = has_ipv6()
        self.sip_port = self.ports.take()
        self.api_port = self.ports.take()
        self.directory = Path(tempfile.mkdtemp(prefix="trunkline-interop-"))
        self.tls_port = self.ports.take() if tls else None
        self.authority = Authority(self.directory) if tls else None
        self.declared_path = self.directory / "declared.toml"
        self.log_path = self.directory / "trunkline.log"
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self.show_log()
        try:
            self.stop()
        finally:
            self._remove()

    @property
    def pid(self):
        """The process' id."""
        return self.process.pid

    def start(self):
        """Starts the process and returns when it serves."""
        config = self.directory / "trunkline.toml"
        config.write_text(self.config())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--config", config],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        deadline = time.monotonic() + self.ready_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.show_log()
                raise NodeFailed(f"the node ended with {self.process.returncode} instead of serving")
            try:
                self.status()
                return
            except (OSError, ValueError):
                time.sleep(0.02)
        self.show_log()
        self.kill()
        raise NodeFailed(f"the node did not serve within {self.ready_s} s")

    def stop(self):
        """Ends the process as an operator would, and tells when it did not end well."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NodeFailed(f"the node did not end within {STOP_S} s after SIGTERM") from None
        if code not in (0, -signal.SIGTERM):
            raise NodeFailed(f"the node ended with {code} after SIGTERM")

    def declare(self, text):
        """Writes the file of declared resources; a node that runs has to have started with one."""
        self.declared_path.write_text(text)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def config(self):
        """The config file's text."""
        listeners = [f"{GATEWAY}:{self.sip_port}"]
        media = [GATEWAY]
        sources = [f"{CARRIER}/32"]
        if self.ipv6:
            listeners.append(f"[::1]:{self.sip_port}")
            media.append("::1")
            sources.append("::1/128")
        first, last = self.ports.media()
        lines = [
            "[node]", f"data_dir = {quoted(self.directory / 'data')}", f"shards = {self.shards}",
            "[sip]", 'domain = "voiceconnector.localhost"', 'refer = "transfer"',
        ]
        for bind in listeners:
            for transport in ("udp", "tcp"):
                lines += ["[[sip.listener]]", f'transport = "{transport}"', f'bind = "{bind}"']
        if self.authority:
            certificate, key = self.authority.sign("gateway", GATEWAY)
            lines += [
                "[[sip.listener]]", 'transport = "tls"', f'bind = "{GATEWAY}:{self.tls_port}"',
                "[sip.tls]", f"ca = {quoted(self.authority.certificate)}",
                "[[sip.tls.certificate]]", f"certificate = {quoted(certificate)}", f"key = {quoted(key)}",
            ]
        lines += [
            "[sip.timers]", f"t1_ms = {self.t1_ms}", f"t4_ms = {10 * self.t1_ms}",
            "[media]", f"bind = {json.dumps(media)}", f'ports = "{first}-{last}"',
            f"timeout_s = {self.media_timeout_s}", *pairs(self.media_keys),
            "[[carrier]]", 'name = "interop"', f"sources = {json.dumps(sources)}",
        ]
        if self.authority:
            lines += ["[carrier.tls]", f"ca = {quoted(self.authority.certificate)}"]
        for host, port, transport, prefix in self.carrier_routes:
            lines += ["[[carrier.route]]", f'host = "{host}"', f'prefix = "{prefix}"']
            lines += [f"port = {port}"] if port else []
            lines += [f'transport = "{transport}"'] if transport else []
        for carrier in self.carriers:
            lines += tables("carrier", [{key: value for key, value in carrier.items() if key != "routes"}])
            lines += tables("carrier.route", carrier.get("routes", []))
            lines += ["[carrier.tls]", f"ca = {quoted(self.authority.certificate)}"] if self.authority else []
        lines += [
            "[[number_pool]]", 'country = "US"', 'first = "+12065550100"', 'last = "+12065550999"',
            *tables("number_pool", self.number_pools),
            "[api]", f'bind = "{GATEWAY}:{self.api_port}"', *pairs(self.api_keys),
            "[[api.access_key]]", f'id = "{ACCESS_KEY}"', f'secret = "{SECRET_KEY}"', f'account = "{ACCOUNT}"',
            *tables("api.access_key", self.access_keys),
            "[limits]", *(f"{key} = {value}" for key, value in self.limits.items()),
            "[declared]", f"files = {json.dumps([str(self.declared_path)] if self.declared_path.exists() else [])}",
            "[dns]", f"servers = {json.dumps(self.name_servers)}",
            "[store]", f"url = {quoted(self.store or 'sqlite://' + str(self.directory / 'data/trunkline.db'))}",
            "[health]", *pairs(self.health),
            "[log]", 'format = "json"', f'level = "{self.log_level}"',
        ]
        return "\n".join(lines) + "\n"

    def api(self):
        """A boto3 client of this node; made anew for each thread that wants one."""
        return boto3.session.Session().client(
            "chime-sdk-voice", region_name="us-east-1",
            endpoint_url=f"http://{GATEWAY}:{self.api_port}",
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10,
            ),
        )

    def status(self):
        """What the node says it holds."""
        with urllib.request.urlopen(f"http://{GATEWAY}:{self.api_port}/status", timeout=5) as answer:
            return json.load(answer)

    def held(self):
        """Calls, dialogs, transactions and media ports that the shards hold, summed."""
        shards = self.status()["shards"]
        if len(shards) != self.shards:
            raise NodeFailed(f"{self.shards} shards were asked for, {len(shards)} run")
        names = ("calls", "dialogs", "transactions", "media_ports")
        return {name: sum(shard[name] for shard in shards) for name in names}

    def wait_idle(self, deadline_s=None):
        """Returns when nothing of any call is left; the default waits as long as transactions may live."""
        deadline_s = deadline_s or 10 + 2 * 64 * self.t1_ms / 1_000
        deadline = time.monotonic() + deadline_s
        while any((held := self.held()).values()):
            if time.monotonic() > deadline:
                raise NodeFailed(f"{deadline_s:.0f} s after the last call the node still holds {held}")
            time.sleep(0.1)

    def ended_calls(self, offset=0):
        """The fields of every "call ended" line in the log from byte `offset` on."""
        return self.events("call ended", offset)

    def events(self, message, offset=0):
        """The fields of every line of this message in the log from byte `offset` on."""
        with open(self.log_path, "rb") as log:
            log.seek(offset)
            # The last line may not be whole yet.
            lines = log.read().split(b"\n")[:-1]
        events = (json.loads(line) for line in lines if message.encode() in line)
        return [event for event in events if event["message"] == message]

    def wait_event(self, message, since, deadline_s=EVENT_S, **fields):
        """The first line of this message with these fields from byte `since` of the log on, once it is there."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            for event in self.events(message, since):
                if all(event.get(name) == value for name, value in fields.items()):
                    return event
            time.sleep(0.02)
        raise NodeFailed(f"{deadline_s} s after it should have been, nothing was logged of {message}, {fields}")

    def log_size(self):
        """Bytes of log so far, an offset for `ended_calls`, `events` and `wait_event`."""
        return self.log_path.stat().st_size

    def show_log(self, lines=30):
        """Prints the end of the log."""
        if self.log_path.exists():
            print(f"--- the last lines of {self.log_path}")
            print("\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:]))

    def _remove(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self._owns_ports:
            self.ports.close()
        keep = os.environ.get("TRUNKLINE_INTEROP_KEEP")
        if keep:
            print(f"kept: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


class Connector:
    """A voice connector on a node, set up through the API as its owner would."""

    def __init__(self, node, name, number, encrypted=False):
        """Creates it and orders and associates `number`."""
        self.api = node.api()
        self.number = number
        made = self.api.create_voice_connector(Name=name, RequireEncryption=encrypted)["VoiceConnector"]
        self.id = made["VoiceConnectorId"]
        self.host = made["OutboundHostName"]
        order = self.api.create_phone_number_order(
            ProductType="VoiceConnector", E164PhoneNumbers=[number],
        )["PhoneNumberOrder"]
        deadline = time.monotonic() + 10
        while order["Status"] != "Successful":
            if order["Status"] == "Failed" or time.monotonic() > deadline:
                raise NodeFailed(f"the order of {number} is {order['Status']}")
            order = self.api.get_phone_number_order(
                PhoneNumberOrderId=order["PhoneNumberOrderId"],
            )["PhoneNumberOrder"]
        errors = self.api.associate_phone_numbers_with_voice_connector(
            VoiceConnectorId=self.id, E164PhoneNumbers=[number], ForceAssociate=False,
        )["PhoneNumberErrors"]
        if errors:
            raise NodeFailed(f"{number} was not associated: {errors}")

    def terminate(self, sources, cps_limit=1_000):
        """Lets hosts in `sources` (CIDRs) call the PSTN."""
        self.api.put_voice_connector_termination(
            VoiceConnectorId=self.id,
            Termination={
                "CpsLimit": cps_limit, "CallingRegions": ["US"], "CidrAllowedList": list(sources),
                "Disabled": False,
            },
        )
        return self

    def require(self, username, password):
        """Makes termination ask for digest credentials."""
        self.api.put_voice_connector_termination_credentials(
            VoiceConnectorId=self.id, Credentials=[{"Username": username, "Password": password}],
        )
        return self

    def originate(self, *routes):
        """Sends calls for the number to `routes`: (host, port, protocol, priority)."""
        self.api.put_voice_connector_origination(
            VoiceConnectorId=self.id,
            Origination={
                "Disabled": False,
                "Routes": [
                    {"Host": host, "Port": port, "Protocol": protocol, "Priority": priority, "Weight": 1}
                    for host, port, protocol, priority in routes
                ],
            },
        )
        return self


def tables(name, rows):
    """Lines of TOML: a table for each row."""
    return [line for row in rows for line in (f"[[{name}]]", *pairs(row))]


def pairs(keys):
    """Lines of TOML: keys and their values, which are written as in JSON."""
    return [f"{key} = {json.dumps(value)}" for key, value in keys.items()]


def quoted(value):
    """A TOML basic string."""
    return json.dumps(str(value))


def listens(address, port):
    """Whether something accepts TCP connections there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
