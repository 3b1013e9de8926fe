"""An account that has as many of everything as there may be."""

import concurrent.futures
import http.client

from .signed import address, send
from .site import FUNCTION

MOST = 1_000
WRITERS = 4


def fill(endpoint, key):
    """Makes the account of the key have all the groups and SIP media applications that it may have."""
    application = {"Name": "x", "AwsRegion": "us-east-1", "Endpoints": [{"LambdaArn": FUNCTION}]}
    kinds = (("/voice-connector-groups", {"Name": "x"}), ("/sip-media-applications", application))
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(create, endpoint, key, *kind) for kind in kinds for _ in range(WRITERS)]:
            done.result()


def create(endpoint, key, path, body):
    """A writer's share of them, over one connection."""
    connection = http.client.HTTPConnection(address(endpoint))
    for _ in range(MOST // WRITERS):
        status, _, told = send(connection, key, "POST", path, body)
        if status != 201:
            raise AssertionError(f"POST {path}: {status} {told}")
