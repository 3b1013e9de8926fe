"""Origination."""

from .site import UNKNOWN

ROUTES = [
    {"Host": "pbx.example.com", "Port": 5070, "Protocol": "TCP", "Priority": 1, "Weight": 5},
    {"Host": "192.0.2.1", "Port": 5060, "Protocol": "UDP", "Priority": 2, "Weight": 1},
]


def check(api, site):
    connector = {"VoiceConnectorId": site.connector("origination")}
    api.depends("GetVoiceConnectorOrigination", "NotFoundException", "origination", **connector)
    wanted = {"Routes": ROUTES, "Disabled": False}
    api.answers("PutVoiceConnectorOrigination", {"Origination": wanted}, **connector, Origination=wanted)
    api.answers("GetVoiceConnectorOrigination", {"Origination": wanted}, **connector)
    # What is not given has its default.
    full = [{"Host": "pbx.example.com", "Port": 5060, "Protocol": "UDP", "Priority": 1, "Weight": 1}]
    api.answers("PutVoiceConnectorOrigination", {"Origination": {"Routes": full, "Disabled": False}},
                **connector, Origination={"Routes": [{"Host": "pbx.example.com"}]})
    api.answers("PutVoiceConnectorOrigination", {"Origination": wanted}, **connector, Origination=wanted)
    refusals(api, connector)
    api.answers("GetVoiceConnectorOrigination", {"Origination": wanted}, **connector)

    api.answers("DeleteVoiceConnectorOrigination", **connector)
    api.depends("GetVoiceConnectorOrigination", "NotFoundException", "origination", **connector)
    api.unknown(
        "VoiceConnectorId", UNKNOWN, "NotFoundException",
        "PutVoiceConnectorOrigination", "GetVoiceConnectorOrigination", "DeleteVoiceConnectorOrigination",
    )
    api.answers("DeleteVoiceConnector", **connector)


def refusals(api, connector):
    for name, value in (
        ("Host", "a b"), ("Host", "192.0.2.256"), ("Port", 65_536), ("Protocol", "TLS"), ("Priority", 101), ("Weight", 0),
    ):
        api.refuses("PutVoiceConnectorOrigination", f"Origination.Routes[1].{name}",
                    **connector, Origination={"Routes": [ROUTES[0], ROUTES[1] | {name: value}]})
    api.refuses("PutVoiceConnectorOrigination", "Origination.Routes", **connector, Origination={"Routes": ROUTES * 11})
    api.refuses("PutVoiceConnectorOrigination", "Origination.Routes", **connector, Origination={})
