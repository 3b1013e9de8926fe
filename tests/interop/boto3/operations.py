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
