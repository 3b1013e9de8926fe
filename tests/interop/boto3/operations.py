"""Every operation of the API through boto3: `operations.py chime-sdk-voice|chime`.

The endpoint and the credentials come from the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION). The node's pool has to hold +12065550100 to +12065550109.
"""

import contextlib
import os
import sys
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

UNKNOWN = "abcdefghij0123456789ab"


def main(service):
    client = connect(service)
    connector = voice_connectors(client)
    origination(client, connector)
    termination(client, connector)
    credentials(client, connector)
    health(client, connector)
    numbers(client, connector)
    tags_and_settings(client, connector)
    sip_media_applications(client)
    proxy_sessions(client, connector)
    end(client, connector)
    refusals(service)
    print(f"{service}: boto3 {boto3.__version__}: all operations")


def connect(service, **credentials):
    return boto3.client(
        service,
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        config=Config(retries={"max_attempts": 1}),
        **credentials,
    )


@contextlib.contextmanager
def refused(client, exception, says=""):
    """The block raises this exception of the client; a name that the model lacks is a ClientError."""
    try:
        yield
    except ClientError as error:
        if hasattr(client.exceptions, exception):
            assert isinstance(error, getattr(client.exceptions, exception)), repr(error)
        assert error.response["Error"]["Code"] == exception, error.response
        assert says in error.response["Error"]["Message"], error.response
        assert error.response["ResponseMetadata"]["RequestId"], error.response
    else:
        raise AssertionError(f"nothing was refused; expected {exception}")


def voice_connectors(client):
    created = client.create_voice_connector(
        Name="Main office", AwsRegion="us-west-2", RequireEncryption=False
    )
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    connector = created["VoiceConnector"]
    key = connector["VoiceConnectorId"]
    assert connector["OutboundHostName"].startswith(f"{key}."), connector
    assert connector["AwsRegion"] == "us-west-2", connector
    assert connector["CreatedTimestamp"].tzinfo is not None, connector
    assert client.get_voice_connector(VoiceConnectorId=key)["VoiceConnector"] == connector

    updated = client.update_voice_connector(
        VoiceConnectorId=key, Name="Branch", RequireEncryption=True
    )["VoiceConnector"]
    assert (updated["Name"], updated["RequireEncryption"]) == ("Branch", True), updated

    keys = {key} | {
        client.create_voice_connector(Name=f"More {index}", RequireEncryption=False)[
            "VoiceConnector"
        ]["VoiceConnectorId"]
        for index in range(4)
    }
    assert {one["VoiceConnectorId"] for one in pages(client.list_voice_connectors)} >= keys
    for other in keys - {key}:
        client.delete_voice_connector(VoiceConnectorId=other)
    with refused(client, "NotFoundException", UNKNOWN):
        client.get_voice_connector(VoiceConnectorId=UNKNOWN)
    with refused(client, "BadRequestException", "AwsRegion"):
        client.create_voice_connector(Name="mars", RequireEncryption=False, AwsRegion="mars-1")
    return key


def pages(operation, **arguments):
    """The rows of all pages of two."""
    token = {}
    while True:
        page = operation(MaxResults=2, **arguments, **token)
        rows = next(value for value in page.values() if isinstance(value, list))
        assert len(rows) <= 2, page
        yield from rows
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def origination(client, key):
    with refused(client, "NotFoundException"):
        client.get_voice_connector_origination(VoiceConnectorId=key)
    wanted = {
        "Routes": [
            {
                "Host": "pbx.example.com",
                "Port": 5070,
                "Protocol": "TCP",
                "Priority": 1,
                "Weight": 5,
            },
            {"Host": "192.0.2.1", "Port": 5060, "Protocol": "UDP", "Priority": 2, "Weight": 1},
        ],
        "Disabled": False,
    }
    put = client.put_voice_connector_origination(VoiceConnectorId=key, Origination=wanted)
    assert put["Origination"] == wanted, put
    read = client.get_voice_connector_origination(VoiceConnectorId=key)
    assert read["Origination"] == wanted, read
    with refused(client, "BadRequestException", "Origination.Routes[0].Host"):
        route = {"Host": "a b", "Port": 5060, "Protocol": "UDP", "Priority": 1, "Weight": 1}
        client.put_voice_connector_origination(
            VoiceConnectorId=key, Origination={"Routes": [route]}
        )
    client.delete_voice_connector_origination(VoiceConnectorId=key)
    with refused(client, "NotFoundException"):
        client.get_voice_connector_origination(VoiceConnectorId=key)


def termination(client, key):
    with refused(client, "NotFoundException"):
        client.get_voice_connector_termination(VoiceConnectorId=key)
    wanted = {
        "CpsLimit": 1,
        "CallingRegions": ["US", "CA"],
        "CidrAllowedList": ["203.0.113.0/28"],
        "Disabled": False,
    }
    with refused(client, "BadRequestException", "Termination.DefaultPhoneNumber"):
        client.put_voice_connector_termination(
            VoiceConnectorId=key, Termination=wanted | {"DefaultPhoneNumber": "+442071838750"}
        )
    put = client.put_voice_connector_termination(VoiceConnectorId=key, Termination=wanted)
    assert {**put["Termination"], **wanted} == put["Termination"], put
    read = client.get_voice_connector_termination(VoiceConnectorId=key)
    assert {**read["Termination"], **wanted} == read["Termination"], read
    with refused(client, "BadRequestException", "Termination.CidrAllowedList[0]"):
        client.put_voice_connector_termination(
            VoiceConnectorId=key,
            Termination={"CallingRegions": ["US"], "CidrAllowedList": ["203.0.113.0/33"]},
        )


def credentials(client, key):
    client.put_voice_connector_termination_credentials(
        VoiceConnectorId=key,
        Credentials=[
            {"Username": "pbx-1", "Password": "first"},
            {"Username": "pbx-2", "Password": "second"},
        ],
    )
    assert usernames(client, key) == ["pbx-1", "pbx-2"]
    client.delete_voice_connector_termination_credentials(
        VoiceConnectorId=key, Usernames=["pbx-1"]
    )
    assert usernames(client, key) == ["pbx-2"]


def usernames(client, key):
    read = client.list_voice_connector_termination_credentials(VoiceConnectorId=key)
    return sorted(read["Usernames"])


def health(client, key):
    read = client.get_voice_connector_termination_health(VoiceConnectorId=key)
    assert not read["TerminationHealth"].get("Source"), read
    with refused(client, "NotFoundException"):
        client.get_voice_connector_termination_health(VoiceConnectorId=UNKNOWN)


def numbers(client, key):
    found = client.search_available_phone_numbers(
        Country="US", PhoneNumberType="Local", AreaCode="206", MaxResults=3
    )["E164PhoneNumbers"]
    assert len(found) == 3 and all(number.startswith("+1206") for number in found), found

    placed = client.create_phone_number_order(ProductType="VoiceConnector", E164PhoneNumbers=found)
    assert placed["ResponseMetadata"]["HTTPStatusCode"] == 201
    order = placed["PhoneNumberOrder"]
    assert order["Status"] == "Successful", order
    read = client.get_phone_number_order(PhoneNumberOrderId=order["PhoneNumberOrderId"])
    assert read["PhoneNumberOrder"] == order, read
    with refused(client, "NotFoundException"):
        client.get_phone_number_order(PhoneNumberOrderId=str(uuid.uuid4()))
    with refused(client, "BadRequestException", "E164PhoneNumbers[0]"):
        client.create_phone_number_order(
            ProductType="VoiceConnector", E164PhoneNumbers=["+4930123456"]
        )

    listed = {row["E164PhoneNumber"] for row in pages(client.list_phone_numbers)}
    assert listed >= set(found), listed
    number = client.get_phone_number(PhoneNumberId=found[0])["PhoneNumber"]
    assert number["E164PhoneNumber"] == found[0], number
    assert number["Status"] == "Unassigned", number
    by_id = client.get_phone_number(PhoneNumberId=number["PhoneNumberId"])["PhoneNumber"]
    assert by_id == number, by_id
    with refused(client, "NotFoundException"):
        client.get_phone_number(PhoneNumberId="+12065550109")

    associated = client.associate_phone_numbers_with_voice_connector(
        VoiceConnectorId=key, E164PhoneNumbers=found, ForceAssociate=False
    )
    assert not associated["PhoneNumberErrors"], associated
    mine = client.list_phone_numbers(FilterName="VoiceConnectorId", FilterValue=key)
    assert len(mine["PhoneNumbers"]) == 3, mine
    association = mine["PhoneNumbers"][0]["Associations"][0]
    assert (association["Name"], association["Value"]) == ("VoiceConnectorId", key), association
    with refused(client, "ConflictException"):
        client.delete_voice_connector(VoiceConnectorId=key)

    missing = client.disassociate_phone_numbers_from_voice_connector(
        VoiceConnectorId=key, E164PhoneNumbers=[*found, "+12065550109"]
    )
    errors = missing["PhoneNumberErrors"]
    assert [error["PhoneNumberId"] for error in errors] == ["%2B12065550109"], missing
    assert errors[0]["ErrorMessage"], missing


def tags_and_settings(client, key):
    arn = client.get_voice_connector(VoiceConnectorId=key)["VoiceConnector"]["VoiceConnectorArn"]
    tag = {"Key": "team", "Value": "voice"}
    client.tag_resource(ResourceARN=arn, Tags=[tag])
    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == [tag]
    client.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == []
    with refused(client, "NotFoundException", UNKNOWN):
        client.list_tags_for_resource(ResourceARN=arn.replace(key, UNKNOWN))

    client.update_global_settings(VoiceConnector={"CdrBucket": "cdrs"})
    settings = client.get_global_settings()
    assert settings["VoiceConnector"] == {"CdrBucket": "cdrs"}, settings
    if hasattr(client, "list_available_voice_connector_regions"):
        regions = client.list_available_voice_connector_regions()["VoiceConnectorRegions"]
        assert "us-east-1" in regions, regions


def sip_media_applications(client):
    function = "arn:aws:lambda:us-east-1:111122223333:function:ivr"
    created = client.create_sip_media_application(
        AwsRegion="us-east-1", Name="ivr", Endpoints=[{"LambdaArn": function}]
    )
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    application = created["SipMediaApplication"]
    key = {"SipMediaApplicationId": application["SipMediaApplicationId"]}
    assert client.get_sip_media_application(**key)["SipMediaApplication"] == application
    assert application in pages(client.list_sip_media_applications)
    renamed = client.update_sip_media_application(**key, Name="desk")["SipMediaApplication"]
    assert (renamed["Name"], renamed["Endpoints"]) == ("desk", application["Endpoints"]), renamed

    member = "SipMediaApplicationLoggingConfiguration"
    logging = {member: {"EnableSipMediaApplicationMessageLogs": True}}
    with refused(client, "NotFoundException"):
        client.get_sip_media_application_logging_configuration(**key)
    client.put_sip_media_application_logging_configuration(**key, **logging)
    read = client.get_sip_media_application_logging_configuration(**key)
    assert read[member] == logging[member], read

    number = client.list_phone_numbers()["PhoneNumbers"][0]["E164PhoneNumber"]
    with refused(client, "BadRequestException", "place no calls on this node"):
        client.create_sip_media_application_call(
            **key, FromPhoneNumber=number, ToPhoneNumber="+12065550177"
        )
    with refused(client, "NotFoundException", "SipMediaApplicationCall"):
        client.update_sip_media_application_call(
            **key, TransactionId=str(uuid.uuid4()), Arguments={"a": "b"}
        )

    created = client.create_sip_rule(
        Name="reception",
        TriggerType="ToPhoneNumber",
        TriggerValue=number,
        TargetApplications=[{**key, "Priority": 1, "AwsRegion": "us-east-1"}],
    )
    rule = created["SipRule"]
    rule_key = {"SipRuleId": rule["SipRuleId"]}
    assert client.get_sip_rule(**rule_key)["SipRule"] == rule
    assert list(pages(client.list_sip_rules, **key)) == [rule]
    with refused(client, "ConflictException", rule["SipRuleId"]):
        client.delete_sip_media_application(**key)
    with refused(client, "ConflictException", "UpdateSipRule"):
        client.delete_sip_rule(**rule_key)
    disabled = client.update_sip_rule(**rule_key, Name="reception", Disabled=True)
    assert disabled["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert disabled["SipRule"]["Disabled"], disabled
    client.delete_sip_rule(**rule_key)
    client.delete_sip_media_application(**key)
    with refused(client, "NotFoundException"):
        client.get_sip_media_application(**key)


def proxy_sessions(client, key):
    connector = {"VoiceConnectorId": key}
    wanted = {
        "ParticipantPhoneNumbers": ["+14255550123", "+13605550145"],
        "Capabilities": ["Voice"],
    }
    with refused(client, "NotFoundException", "proxy"):
        client.create_proxy_session(**connector, **wanted)
    client.put_voice_connector_proxy(
        **connector, DefaultSessionExpiryMinutes=60, PhoneNumberPoolCountries=["US"]
    )
    with refused(client, "BadRequestException", "ParticipantPhoneNumbers[0]"):
        client.create_proxy_session(**connector, **wanted)
    mine = [client.list_phone_numbers()["PhoneNumbers"][0]["E164PhoneNumber"]]
    client.associate_phone_numbers_with_voice_connector(**connector, E164PhoneNumbers=mine)
    created = client.create_proxy_session(**connector, **wanted)
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    session = created["ProxySession"]
    assert (session["Status"], session["ExpiryMinutes"]) == ("Open", 60), session
    proxies = {one["ProxyPhoneNumber"] for one in session["Participants"]}
    assert proxies == set(mine), session
    one = {**connector, "ProxySessionId": session["ProxySessionId"]}
    assert client.get_proxy_session(**one)["ProxySession"] == session
    assert list(pages(client.list_proxy_sessions, **connector, Status="Open")) == [session]
    updated = client.update_proxy_session(**one, Capabilities=["Voice", "SMS"], ExpiryMinutes=5)
    assert updated["ProxySession"]["ExpiryMinutes"] == 5, updated
    client.delete_proxy_session(**one)
    ended = client.get_proxy_session(**one)["ProxySession"]
    assert ended["Status"] == "Closed" and ended["EndedTimestamp"], ended
    client.disassociate_phone_numbers_from_voice_connector(**connector, E164PhoneNumbers=mine)


def end(client, key):
    client.delete_voice_connector_termination(VoiceConnectorId=key)
    client.delete_voice_connector(VoiceConnectorId=key)
    with refused(client, "NotFoundException", key):
        client.delete_voice_connector(VoiceConnectorId=key)


def refusals(service):
    """What a client with the wrong keys is told."""
    stranger = connect(service, aws_access_key_id="AKIANOBODY", aws_secret_access_key="x")
    with refused(stranger, "InvalidClientTokenIdException", "api.access_key"):
        stranger.list_voice_connectors()
    forger = connect(
        service,
        aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key="guessed",
    )
    with refused(forger, "SignatureDoesNotMatchException", "secret"):
        forger.list_voice_connectors()


if __name__ == "__main__":
    main(sys.argv[1])
