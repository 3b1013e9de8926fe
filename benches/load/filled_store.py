"""A store with many connectors and numbers, as rows in the tables that a node has made, and what is in it.

Every connector has termination for four networks, origination with two routes and its share of the numbers. Calls go
through every tenth of them: its networks hold the PBX, its routes lead there, and it asks for no credential. The others
have one, and networks and routes of their own.
"""

import hashlib
import json
import random
import sqlite3
import time
import uuid
from dataclasses import dataclass

from node import ACCOUNT, PBX

FIRST_NUMBER = 12_020_000_000
CALLED_EVERY = 10
CPS_LIMIT = 1_000
DOMAIN = "voiceconnector.localhost"
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class Filling:
    """What the store is filled with."""

    connectors: list
    """Their ids."""
    numbers_each: int

    def number(self, connector, index):
        """A number of the connector at this place of the list, in `+` form."""
        return f"+{FIRST_NUMBER + connector * self.numbers_each + index}"

    def some_number(self, choice, among=None):
        """One of all numbers, or of the connector's at this place."""
        connector = choice.randrange(len(self.connectors)) if among is None else among
        return self.number(connector, choice.randrange(self.numbers_each))

    def some_called(self, choice):
        """The place of a connector that calls go through."""
        return choice.randrange(0, len(self.connectors), CALLED_EVERY)

    def host(self, connector):
        """`OutboundHostName` of the connector at this place."""
        return f"{self.connectors[connector]}.{DOMAIN}"


def termination(networks):
    """`Termination` as the store has it."""
    return {
        "cps_limit": CPS_LIMIT, "default_phone_number": None, "calling_regions": ["US"],
        "cidr_allowed_list": networks, "disabled": False,
    }


def fill(path, pbx_port, connectors, numbers, seed):
    """Fills a database that has its tables, and is nobody's at the moment."""
    choice = random.Random(seed)
    ids = ["".join(choice.choices(ALPHABET, k=22)) for _ in range(connectors)]
    filling = Filling(ids, max(1, numbers // connectors))
    now = int(time.time() * 1_000)
    with sqlite3.connect(path) as store:
        store.execute("PRAGMA foreign_keys = ON")
        for place in range(connectors):
            _connector(store, filling, place, pbx_port, now - connectors + place)
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return filling


def _connector(store, filling, place, pbx_port, created):
    own = f"{place >> 8 & 255}.{place & 255}"
    is_called = place % CALLED_EVERY == 0
    networks = [f"10.{own}.0/24", f"100.{own}.7/32", f"172.{own}.128/25"]
    networks.append(f"{PBX}/32" if is_called else f"198.{own}.9/32")
    hosts = [(PBX, pbx_port)] * 2 if is_called else [(f"10.{own}.1", 5_060), (f"10.{own}.2", 5_060)]
    routes = [
        {"host": host, "port": port, "protocol": "UDP", "priority": priority, "weight": 1}
        for priority, (host, port) in enumerate(hosts, 1)
    ]
    connector, host = filling.connectors[place], filling.host(place)
    _insert(
        store, "voice_connector", id=connector, account=ACCOUNT, name=f"Connector {place}", aws_region="us-east-1",
        outbound_host_name=host, require_encryption=0, network_type="IPV4_ONLY",
        termination=json.dumps(termination(networks)),
        origination=json.dumps({"routes": routes, "disabled": False}), created=created, updated=created,
    )
    if not is_called:
        secret = f"pbx:{host}:the-password-of-{place}".encode()
        _insert(
            store, "termination_credential", voice_connector=connector, username="pbx",
            ha1_md5=hashlib.md5(secret).hexdigest(), ha1_sha256=hashlib.sha256(secret).hexdigest(),
        )
    order = str(uuid.uuid5(uuid.NAMESPACE_OID, connector))
    numbers = [filling.number(place, index) for index in range(filling.numbers_each)]
    _insert(
        store, "phone_number_order", id=order, account=ACCOUNT, product_type="VoiceConnector", created=created,
        numbers=json.dumps([{"number": number, "acquired": True} for number in numbers]),
    )
    store.executemany(
        "INSERT INTO phone_number (number, account, product_type, voice_connector, associated, number_order, created, "
        "updated) VALUES (?, ?, 'VoiceConnector', ?, ?, ?, ?, ?)",
        ((int(number), ACCOUNT, connector, created, order, created, created) for number in numbers),
    )


def _insert(store, table, **columns):
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    store.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(columns.values()))
