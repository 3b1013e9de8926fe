"""Streaming, logging, emergency calling, external systems and proxy: the configurations of a connector."""

from .site import UNKNOWN

STREAMING = {
    "DataRetentionInHours": 24, "Disabled": False,
    "StreamingNotificationTargets": [{"NotificationTarget": "EventBridge"}, {"NotificationTarget": "SQS"}],
}
EMERGENCY = {
    "DNIS": [{"EmergencyPhoneNumber": "+12065550911", "TestPhoneNumber": "+12065550922", "CallingCountry": "US"}],
}
LOGGING = {"EnableSIPLogs": True, "EnableMediaMetricLogs": False}
EXTERNAL = {
    "SessionBorderControllerTypes": ["RIBBON_SBC"], "ContactCenterSystemTypes": ["GENESYS_ENGAGE_ON_PREMISES"],
}
PROXY = {
    "DefaultSessionExpiryMinutes": 60, "PhoneNumberPoolCountries": ["US"], "FallBackPhoneNumber": "+12065550100",
    "Disabled": False,
}


def check(api, site):
    connector = {"VoiceConnectorId": site.connector("configurations")}
    number = site.order(1)
    api.refuses("PutVoiceConnectorProxy", "PhoneNumberPoolCountries", **connector, **PROXY)
    api.answers("AssociatePhoneNumbersWithVoiceConnector", {"PhoneNumberErrors": []},
                **connector, E164PhoneNumbers=number)
    enabled(api, connector)
    for name, wanted, other in (
        ("Streaming", STREAMING, {"DataRetentionInHours": 0, "Disabled": True}),
        ("Logging", LOGGING, {"EnableSIPLogs": False}),
        ("EmergencyCalling", EMERGENCY, {"DNIS": []}),
    ):
        member = f"{name}Configuration"
        kept(api, connector, f"VoiceConnector{member}", member, {member: wanted}, wanted, {member: other}, other)
    proxy = {**PROXY, "PhoneNumberCountries": ["US"]}
    del proxy["PhoneNumberPoolCountries"]
    other = {"DefaultSessionExpiryMinutes": 0, "PhoneNumberPoolCountries": ["US", "GB"]}
    kept(api, connector, "VoiceConnectorProxy", "Proxy", PROXY, proxy,
         other, {"DefaultSessionExpiryMinutes": 0, "PhoneNumberCountries": ["US", "GB"], "Disabled": False})
    if api.has("PutVoiceConnectorExternalSystemsConfiguration"):
        member = "ExternalSystemsConfiguration"
        kept(api, connector, f"VoiceConnector{member}", member, EXTERNAL, EXTERNAL, {}, {})
    refusals(api, connector)
    api.answers("DisassociatePhoneNumbersFromVoiceConnector", {"PhoneNumberErrors": []},
                **connector, E164PhoneNumbers=number)
    api.answers("DeleteVoiceConnector", **connector)


def enabled(api, connector):
    """Emergency calling needs termination and origination."""
    def refused():
        api.refuses("PutVoiceConnectorEmergencyCallingConfiguration", "EmergencyCallingConfiguration",
                    **connector, EmergencyCallingConfiguration=EMERGENCY)

    refused()
    api.answers("PutVoiceConnectorTermination", **connector,
                Termination={"CallingRegions": ["US"], "CidrAllowedList": ["203.0.113.0/28"]})
    refused()
    api.answers("PutVoiceConnectorOrigination", **connector, Origination={"Routes": [{"Host": "pbx.example.com"}]})


def kept(api, connector, name, member, request, answer, other_request, other_answer):
    """Not there, put, put anew, deleted; `member` has it in answers."""
    put, get, delete = f"Put{name}", f"Get{name}", f"Delete{name}"
    api.depends(get, "NotFoundException", "configuration", **connector)
    api.answers(put, {member: other_answer}, **connector, **other_request)
    api.answers(get, {member: lambda read: read == other_answer}, **connector)
    api.answers(put, {member: answer}, **connector, **request)
    api.answers(get, {member: lambda read: read == answer}, **connector)
    if api.has(delete):
        api.answers(delete, **connector)
        api.depends(get, "NotFoundException", "configuration", **connector)
        # What was never put is no error.
        api.answers(delete, **connector)
        api.unknown("VoiceConnectorId", UNKNOWN, "NotFoundException", delete)
    api.unknown("VoiceConnectorId", UNKNOWN, "NotFoundException", put, get)


def refusals(api, connector):
    def streaming(member, **wrong):
        api.refuses("PutVoiceConnectorStreamingConfiguration", f"StreamingConfiguration.{member}",
                    **connector, StreamingConfiguration=STREAMING | wrong)

    streaming("DataRetentionInHours", DataRetentionInHours=-1)
    streaming("StreamingNotificationTargets[0].NotificationTarget",
              StreamingNotificationTargets=[{"NotificationTarget": "Fax"}])
    streaming("StreamingNotificationTargets", StreamingNotificationTargets=[{"NotificationTarget": "SQS"}] * 4)
    dnis = EMERGENCY["DNIS"][0]
    for name, wrong in (("EmergencyPhoneNumber", "911"), ("CallingCountry", "USA"), ("TestPhoneNumber", "+0")):
        if name == "EmergencyPhoneNumber":
            # 911 has the form of an E.164 number.
            wrong = "emergency"
        api.refuses("PutVoiceConnectorEmergencyCallingConfiguration", f"EmergencyCallingConfiguration.DNIS[0].{name}",
                    **connector, EmergencyCallingConfiguration={"DNIS": [dnis | {name: wrong}]})
    api.refuses("PutVoiceConnectorProxy", "PhoneNumberPoolCountries[0]",
                **connector, **PROXY | {"PhoneNumberPoolCountries": ["usa"]})
    api.refuses("PutVoiceConnectorProxy", "FallBackPhoneNumber", **connector, **PROXY | {"FallBackPhoneNumber": "x"})
