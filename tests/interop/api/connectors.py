"""Voice connectors, and the regions that they may be in."""

import datetime
import re

from .site import UNKNOWN

ID = re.compile("[0-9a-z]{22}")


def check(api, site):
    started = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    tags = [{"Key": "team", "Value": "voice"}]
    made = api.answers(
        "CreateVoiceConnector", {"VoiceConnector": {"Name": "Main office", "RequireEncryption": False}},
        Name="Main office", AwsRegion="us-west-2", RequireEncryption=False,
        **api.those_known("CreateVoiceConnector", Tags=tags, NetworkType="DUAL_STACK"),
    )["VoiceConnector"]
    if "NetworkType" in api.members("CreateVoiceConnector"):
        assert made["NetworkType"] == "DUAL_STACK", made
    key = made["VoiceConnectorId"]
    is_made(made, key, site.account, started)
    api.answers("GetVoiceConnector", {"VoiceConnector": made}, VoiceConnectorId=key)
    if "Tags" in api.members("CreateVoiceConnector"):
        api.answers("ListTagsForResource", {"Tags": tags}, ResourceARN=made["VoiceConnectorArn"])
    changed = api.answers(
        "UpdateVoiceConnector", {"VoiceConnector": {"Name": "Branch", "RequireEncryption": True}},
        VoiceConnectorId=key, Name="Branch", RequireEncryption=True,
    )["VoiceConnector"]
    assert changed["UpdatedTimestamp"] >= made["UpdatedTimestamp"], changed
    assert changed["CreatedTimestamp"] == made["CreatedTimestamp"], changed
    api.answers("GetVoiceConnector", {"VoiceConnector": changed}, VoiceConnectorId=key)

    others = [site.connector(f"More {index}") for index in range(4)]
    api.pages("ListVoiceConnectors", lambda: others.append(site.connector("Late")))
    listed = {one["VoiceConnectorId"] for one in api.lists("ListVoiceConnectors")}
    assert listed >= {key, *others}, listed
    if api.has("ListAvailableVoiceConnectorRegions"):
        regions = api.answers("ListAvailableVoiceConnectorRegions")["VoiceConnectorRegions"]
        assert {"us-east-1", "us-west-2"} <= set(regions), regions

    refusals(api)
    states(api, site, key, others)


def is_made(made, key, account, started):
    """Ids, names and times in the service's form."""
    assert ID.fullmatch(key), key
    assert made["OutboundHostName"] == f"{key}.voiceconnector.localhost", made
    assert made["AwsRegion"] == "us-west-2", made
    assert made["VoiceConnectorArn"] == f"arn:aws:chime:us-west-2:{account}:vc/{key}", made
    assert started <= made["CreatedTimestamp"] <= made["UpdatedTimestamp"], made


def refusals(api):
    right = {"Name": "x", "RequireEncryption": False}
    api.refuses("CreateVoiceConnector", "AwsRegion", **right, AwsRegion="mars-1")
    api.refuses("CreateVoiceConnector", "Name", **right | {"Name": "x" * 257})
    if "Tags" in api.members("CreateVoiceConnector"):
        api.refuses("CreateVoiceConnector", "Tags[0].Value", **right, Tags=[{"Key": "a", "Value": "x" * 257}])
    api.refuses("ListVoiceConnectors", "MaxResults", MaxResults=101)
    api.refuses("ListVoiceConnectors", "NextToken", NextToken="what no answer gave")


def states(api, site, key, others):
    """What stands in the way of an operation."""
    api.unknown("VoiceConnectorId", UNKNOWN, "NotFoundException", "GetVoiceConnector", "UpdateVoiceConnector")
    site.other.depends("GetVoiceConnector", "NotFoundException", key, VoiceConnectorId=key)
    site.other.depends("DeleteVoiceConnector", "NotFoundException", key, VoiceConnectorId=key)

    numbers = site.order(1)
    api.answers("AssociatePhoneNumbersWithVoiceConnector", {"PhoneNumberErrors": []},
                VoiceConnectorId=key, E164PhoneNumbers=numbers)
    api.depends("DeleteVoiceConnector", "ConflictException", "1 associated phone number;", VoiceConnectorId=key)
    api.answers("DisassociatePhoneNumbersFromVoiceConnector", VoiceConnectorId=key, E164PhoneNumbers=numbers)

    items = [{"VoiceConnectorId": key, "Priority": 1}]
    group = api.answers("CreateVoiceConnectorGroup", Name="all", VoiceConnectorItems=items)["VoiceConnectorGroup"]
    api.depends("DeleteVoiceConnector", "ConflictException", group["VoiceConnectorGroupId"], VoiceConnectorId=key)
    one = {"VoiceConnectorGroupId": group["VoiceConnectorGroupId"]}
    api.answers("UpdateVoiceConnectorGroup", **one, Name="all", VoiceConnectorItems=[])
    api.answers("DeleteVoiceConnectorGroup", **one)

    api.answers("PutVoiceConnectorTermination", VoiceConnectorId=key,
                Termination={"CallingRegions": ["US"], "CidrAllowedList": ["203.0.113.0/28"]})
    api.answers("PutVoiceConnectorOrigination", VoiceConnectorId=key,
                Origination={"Routes": [{"Host": "192.0.2.1", "Protocol": "TCP"}]})
    emergency = {"DNIS": [{"EmergencyPhoneNumber": "+12065550911", "CallingCountry": "US"}]}
    api.answers("PutVoiceConnectorEmergencyCallingConfiguration",
                VoiceConnectorId=key, EmergencyCallingConfiguration=emergency)
    api.depends("DeleteVoiceConnector", "ConflictException", "emergency", VoiceConnectorId=key)
    api.answers("DeleteVoiceConnectorEmergencyCallingConfiguration", VoiceConnectorId=key)

    for one in (key, *others):
        api.answers("DeleteVoiceConnector", VoiceConnectorId=one)
    api.depends("DeleteVoiceConnector", "NotFoundException", key, VoiceConnectorId=key)
    api.depends("GetVoiceConnector", "NotFoundException", key, VoiceConnectorId=key)
