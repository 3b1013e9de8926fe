"""Termination, its SIP credentials, and its health."""

import datetime
import time

from .site import UNKNOWN

HEALTH_S = 10


def check(api, site):
    connector = {"VoiceConnectorId": site.connector("termination")}
    number = settings(api, site, connector)
    credentials(api, connector)
    health(api, site, connector)
    api.answers("DeleteVoiceConnectorTermination", **connector)
    api.depends("GetVoiceConnectorTermination", "NotFoundException", "termination", **connector)
    api.unknown(
        "VoiceConnectorId", UNKNOWN, "NotFoundException",
        "PutVoiceConnectorTermination", "GetVoiceConnectorTermination", "DeleteVoiceConnectorTermination",
        "PutVoiceConnectorTerminationCredentials", "ListVoiceConnectorTerminationCredentials",
        "DeleteVoiceConnectorTerminationCredentials", "GetVoiceConnectorTerminationHealth",
    )
    api.answers("DisassociatePhoneNumbersFromVoiceConnector", {"PhoneNumberErrors": []},
                **connector, E164PhoneNumbers=[number])
    api.answers("DeleteVoiceConnector", **connector)


def settings(api, site, connector):
    api.depends("GetVoiceConnectorTermination", "NotFoundException", "termination", **connector)
    # An OPTIONS counts as a sign of health where it comes from the customer's networks.
    wanted = {
        "CpsLimit": 1, "CallingRegions": ["US", "CA"], "CidrAllowedList": ["203.0.113.0/28", "127.0.0.1/32"],
        "Disabled": False,
    }
    api.refuses("PutVoiceConnectorTermination", "Termination.DefaultPhoneNumber",
                **connector, Termination=wanted | {"DefaultPhoneNumber": "+442071838750"})
    number = site.order(1)[0]
    api.refuses("PutVoiceConnectorTermination", "Termination.DefaultPhoneNumber",
                **connector, Termination=wanted | {"DefaultPhoneNumber": number})
    api.answers("AssociatePhoneNumbersWithVoiceConnector", {"PhoneNumberErrors": []},
                **connector, E164PhoneNumbers=[number])
    wanted["DefaultPhoneNumber"] = number
    api.answers("PutVoiceConnectorTermination", {"Termination": wanted}, **connector, Termination=wanted)
    api.answers("GetVoiceConnectorTermination", {"Termination": wanted}, **connector)
    for member, wrong in (
        ("CidrAllowedList[0]", {"CidrAllowedList": ["203.0.113.0/33"]}),
        ("CallingRegions[1]", {"CallingRegions": ["US", "usa"]}),
        ("CallingRegions[1]", {"CallingRegions": ["US", "XX"]}),
        ("CpsLimit", {"CpsLimit": 0}),
    ):
        api.refuses("PutVoiceConnectorTermination", f"Termination.{member}", **connector, Termination=wanted | wrong)
    api.answers("GetVoiceConnectorTermination", {"Termination": wanted}, **connector)
    # What is not given has its default.
    api.answers(
        "PutVoiceConnectorTermination",
        {"Termination": {"CpsLimit": 1, "CallingRegions": [], "CidrAllowedList": [], "Disabled": True}},
        **connector, Termination={"Disabled": True},
    )
    api.answers("PutVoiceConnectorTermination", {"Termination": wanted}, **connector, Termination=wanted)
    return number


def credentials(api, connector):
    def usernames(*expected):
        read = api.answers("ListVoiceConnectorTerminationCredentials", **connector)
        assert sorted(read["Usernames"]) == sorted(expected), read

    usernames()
    pair = [{"Username": "pbx-1", "Password": "first"}, {"Username": "pbx-2", "Password": "second"}]
    api.answers("PutVoiceConnectorTerminationCredentials", **connector, Credentials=pair)
    usernames("pbx-1", "pbx-2")
    api.refuses("PutVoiceConnectorTerminationCredentials", "Credentials[0].Username",
                **connector, Credentials=[{"Username": "a:b", "Password": "x"}])
    api.refuses("PutVoiceConnectorTerminationCredentials", "Credentials[1].Password",
                **connector, Credentials=[pair[0], {"Username": "pbx", "Password": "x" * 257}])
    more = [{"Username": f"more-{index}", "Password": "x"} for index in range(9)]
    api.depends("PutVoiceConnectorTerminationCredentials", "BadRequestException", "at most 10",
                **connector, Credentials=more)
    usernames("pbx-1", "pbx-2")
    api.answers("DeleteVoiceConnectorTerminationCredentials", **connector, Usernames=["pbx-1"])
    usernames("pbx-2")


def health(api, site, connector):
    nothing = {"TerminationHealth": lambda health: not health.get("Source") and not health.get("Timestamp")}
    api.reports("GetVoiceConnectorTerminationHealth", nothing, **connector)
    made = api.answers("GetVoiceConnector", **connector)["VoiceConnector"]
    started = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    site.send_options(made["OutboundHostName"])
    deadline = time.monotonic() + HEALTH_S
    while not (read := api.answers("GetVoiceConnectorTerminationHealth", **connector))["TerminationHealth"].get("Source"):
        assert time.monotonic() < deadline, f"no OPTIONS recorded: {read}"
        time.sleep(0.02)
    read = read["TerminationHealth"]
    assert "127.0.0.1" in read["Source"] and read["Timestamp"] >= started, read
