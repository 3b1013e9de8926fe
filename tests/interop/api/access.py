"""Who may call: keys that may only read, keys that call too often, and keys of nobody."""

REQUESTS = 50
"""Of a key that may send one a second."""


def check(api, site):
    for operation, arguments in api.arguments.items():
        if api.method(operation) != "GET":
            site.reader.depends(operation, "ForbiddenException", "read-only", **arguments)
    made = site.connector("read")
    site.reader.answers("GetVoiceConnector", VoiceConnectorId=made)
    site.reader.answers("ListVoiceConnectors")
    api.answers("DeleteVoiceConnector", VoiceConnectorId=made)

    stranger = api.with_key(("AKIANOBODY", "x"))
    stranger.rejects("ListVoiceConnectors", "InvalidClientTokenIdException", "api.access_key")
    forger = api.with_key((site.key[0], "guessed"))
    forger.rejects("ListVoiceConnectors", "SignatureDoesNotMatchException", "secret")
    hasty = api.with_key(site.key, site.throttled_endpoint)
    hasty.depends_on_haste("ListVoiceConnectors", "ThrottledClientException", "Too many", REQUESTS)
