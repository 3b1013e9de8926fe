"""Proxy sessions."""

from .site import UNKNOWN, unknown_id

PAIR = ["+14255550123", "+13605550145"]


def check(api, site):
    connector = {"VoiceConnectorId": site.connector("proxy")}
    wanted = {"ParticipantPhoneNumbers": PAIR, "Capabilities": ["Voice"]}
    proxy = {"DefaultSessionExpiryMinutes": 60, "PhoneNumberPoolCountries": ["US"]}
    create = "CreateProxySession"
    api.depends(create, "NotFoundException", "proxy", **connector, **wanted)
    api.refuses("PutVoiceConnectorProxy", "PhoneNumberPoolCountries", **connector, **proxy)
    numbers = site.order(2)
    both = {**connector, "E164PhoneNumbers": numbers}
    api.answers("AssociatePhoneNumbersWithVoiceConnector", {"PhoneNumberErrors": []}, **both)
    api.answers("PutVoiceConnectorProxy", **connector, **proxy)
    api.answers("DisassociatePhoneNumbersFromVoiceConnector", {"PhoneNumberErrors": []}, **both)
    api.refuses(create, "ParticipantPhoneNumbers[0]", **connector, **wanted)
    api.answers("AssociatePhoneNumbersWithVoiceConnector", {"PhoneNumberErrors": []}, **both)
    api.answers("PutVoiceConnectorProxy", **connector, **proxy, Disabled=True)
    api.depends(create, "BadRequestException", "disabled", **connector, **wanted)
    api.answers("PutVoiceConnectorProxy", **connector, **proxy)

    session = made(api, connector, wanted, numbers)
    one = {**connector, "ProxySessionId": session["ProxySessionId"]}
    refusals(api, one, connector, wanted)
    states(api, site, one)

    others = [more(api, connector, index) for index in range(3)]
    api.pages("ListProxySessions", lambda: others.append(more(api, connector, 9)), **connector, Status="Open")
    ending(api, one, connector, wanted, others)
    api.answers("DisassociatePhoneNumbersFromVoiceConnector", **connector, E164PhoneNumbers=numbers)
    api.answers("DeleteVoiceConnector", **connector)


def made(api, connector, wanted, numbers):
    full = wanted | {
        "Name": "Ride 12", "ExpiryMinutes": 30, "NumberSelectionBehavior": "AvoidSticky", "GeoMatchLevel": "AreaCode",
        "GeoMatchParams": {"Country": "US", "AreaCode": "206"},
    }
    expected = {name: full[name] for name in full if name != "ParticipantPhoneNumbers"}
    session = api.answers("CreateProxySession", {"ProxySession": expected | connector | {"Status": "Open"}},
                          **connector, **full)["ProxySession"]
    assert [one["PhoneNumber"] for one in session["Participants"]] == PAIR, session
    assert {one["ProxyPhoneNumber"] for one in session["Participants"]} <= set(numbers), session
    one = {**connector, "ProxySessionId": session["ProxySessionId"]}
    api.answers("GetProxySession", {"ProxySession": session}, **one)
    assert api.lists("ListProxySessions", **connector, Status="Open") == [session]
    by_default = api.answers("CreateProxySession", {"ProxySession": {"ExpiryMinutes": 60}}, **connector, **wanted)
    api.answers("DeleteProxySession", **connector, ProxySessionId=by_default["ProxySession"]["ProxySessionId"])
    return session


def more(api, connector, index):
    pair = [f"+1425555{index:04}", f"+1360555{index:04}"]
    session = api.answers("CreateProxySession", **connector, ParticipantPhoneNumbers=pair, Capabilities=["Voice"])
    return session["ProxySession"]["ProxySessionId"]


def refusals(api, one, connector, wanted):
    for member, wrong in (
        ("ParticipantPhoneNumbers", PAIR[:1]), ("ParticipantPhoneNumbers", [PAIR[0], PAIR[0]]), ("ExpiryMinutes", 0),
        ("Name", "!"), ("Name", "x" * 31), ("NumberSelectionBehavior", "Random"), ("GeoMatchLevel", "Planet"),
    ):
        api.refuses("CreateProxySession", member, **connector, **wanted | {member: wrong})
    api.refuses("CreateProxySession", "Capabilities[0]", **connector, **wanted | {"Capabilities": ["Video"]})
    api.refuses("CreateProxySession", "GeoMatchParams.AreaCode",
                **connector, **wanted, GeoMatchParams={"Country": "US", "AreaCode": "2066"})
    api.refuses("UpdateProxySession", "Capabilities[0]", **one, Capabilities=["Video"])
    api.refuses("ListProxySessions", "Status", **connector, Status="Shut")
    api.refuses("GetProxySession", "ProxySessionId", **one | {"ProxySessionId": "x" * 129})


def states(api, site, one):
    changed = api.answers(
        "UpdateProxySession", {"ProxySession": {"Capabilities": ["Voice", "SMS"], "ExpiryMinutes": 45}},
        **one, Capabilities=["Voice", "SMS"], ExpiryMinutes=45,
    )
    api.answers("GetProxySession", changed, **one)
    api.unknown("ProxySessionId", unknown_id(), "NotFoundException", "GetProxySession", "UpdateProxySession")
    api.unknown(
        "VoiceConnectorId", UNKNOWN, "NotFoundException",
        "CreateProxySession", "GetProxySession", "UpdateProxySession", "ListProxySessions", "DeleteProxySession",
    )
    another = {"VoiceConnectorId": site.connector("another")}
    api.depends("GetProxySession", "NotFoundException", one["ProxySessionId"], **one | another)
    api.answers("DeleteVoiceConnector", **another)


def ending(api, one, connector, wanted, others):
    api.answers("DeleteProxySession", **one)
    ended = api.answers("GetProxySession", {"ProxySession": {"Status": "Closed"}}, **one)["ProxySession"]
    assert ended["EndedTimestamp"] >= ended["CreatedTimestamp"], ended
    assert ended in api.lists("ListProxySessions", **connector, Status="Closed")
    api.depends("UpdateProxySession", "BadRequestException", "Closed", **one, Capabilities=["Voice"])
    api.answers("DeleteProxySession", **one)
    api.answers("GetProxySession", {"ProxySession": ended}, **one)
    api.unknown("ProxySessionId", unknown_id(), "NotFoundException", "DeleteProxySession")
    # Each number stands for a participant once.
    again = connector | wanted | {"ParticipantPhoneNumbers": PAIR}
    for _ in range(2):
        api.answers("CreateProxySession", **again)
    api.depends("CreateProxySession", "BadRequestException", "ParticipantPhoneNumbers[0]", **again)
    for session in others:
        api.answers("DeleteProxySession", **connector, ProxySessionId=session)
