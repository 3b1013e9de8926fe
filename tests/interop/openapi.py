"""Requests that the API's OpenAPI description gives rise to, valid ones and not, made by schemathesis.

    .venv/schemathesis/bin/python tests/interop/openapi.py

Fails on a 5xx, on a connection that is dropped, on a status, content, header or answer that the description does not
have, and on a refusal without an exception and its body. TRUNKLINE_OPENAPI_SEED chooses other requests,
TRUNKLINE_OPENAPI_SECONDS goes on with more of them for so long. With TRUNKLINE_POSTGRES the node is on a database of
its own on that server.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import requests
from openapi_spec_validator import validate

from database import own_database
from node import ACCESS_KEY, ACCOUNT, GATEWAY, SECRET_KEY, Node

SEED = 20_260_301
EXAMPLES = 15
RESOURCES = 12
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "refusal_conformance",
)


def resources(api):
    """Makes some of everything, and returns what requests may name, by the members' names."""
    known = {
        "AccountId": [ACCOUNT], "UserId": ["somebody"], "AwsRegion": ["us-east-1"], "Host": ["pbx.example.com", "192.0.2.1"],
        "CidrAllowedList": ["203.0.113.0/28"], "CallingRegions": ["US", "CA"], "PhoneNumberPoolCountries": ["US"],
        "Country": ["US"], "Username": ["pbx"], "Password": ["secret"], "Usernames": ["pbx"],
        "LambdaArn": [f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:ivr"],
    }
    numbers = [f"+120655501{index:02}" for index in range(2 * RESOURCES)]
    order = api.create_phone_number_order(ProductType="VoiceConnector", E164PhoneNumbers=numbers)["PhoneNumberOrder"]
    known["PhoneNumberOrderId"] = [order["PhoneNumberOrderId"]]
    for name in ("PhoneNumberId", "PhoneNumberIds"):
        known[name] = numbers
    # The others are associated with nothing, so that they may be deleted.
    for name in ("E164PhoneNumber", "E164PhoneNumbers", "FromPhoneNumber", "DefaultPhoneNumber", "TriggerValue"):
        known[name] = numbers[:RESOURCES]

    def keep(resource, *members):
        for member in members:
            known.setdefault(member, []).append(resource[member])
        return resource[members[0]]

    for number in numbers[:RESOURCES]:
        made = api.create_voice_connector(Name="known", RequireEncryption=False)["VoiceConnector"]
        connector = keep(made, "VoiceConnectorId")
        known.setdefault("ResourceARN", []).append(made["VoiceConnectorArn"])
        configure(api, connector, number)
        session = api.create_proxy_session(
            VoiceConnectorId=connector, ParticipantPhoneNumbers=["+12025550123", "+12025550124"], Capabilities=["Voice"],
        )["ProxySession"]
        keep(session, "ProxySessionId")
        group = api.create_voice_connector_group(
            Name="known", VoiceConnectorItems=[{"VoiceConnectorId": connector, "Priority": 1}],
        )["VoiceConnectorGroup"]
        keep(group, "VoiceConnectorGroupId")
        application = api.create_sip_media_application(
            AwsRegion="us-east-1", Name="known", Endpoints=[{"LambdaArn": known["LambdaArn"][0]}],
        )["SipMediaApplication"]
        rule = api.create_sip_rule(
            Name="known", TriggerType="RequestUriHostname", TriggerValue=made["OutboundHostName"], TargetApplications=[
                {"SipMediaApplicationId": keep(application, "SipMediaApplicationId"), "Priority": 1},
            ],
        )["SipRule"]
        keep(rule, "SipRuleId")
    # What nothing else needs may be deleted.
    for _ in range(RESOURCES):
        keep(api.create_voice_connector(Name="bare", RequireEncryption=False)["VoiceConnector"], "VoiceConnectorId")
        application = api.create_sip_media_application(
            AwsRegion="us-east-1", Name="bare", Endpoints=[{"LambdaArn": known["LambdaArn"][0]}],
        )["SipMediaApplication"]
        keep(application, "SipMediaApplicationId")
    return known


def configure(api, connector, number):
    """Gives a connector every configuration, and the number."""
    of_connector = {"VoiceConnectorId": connector}
    api.associate_phone_numbers_with_voice_connector(**of_connector, E164PhoneNumbers=[number], ForceAssociate=False)
    api.put_voice_connector_origination(**of_connector, Origination={"Disabled": False})
    api.put_voice_connector_termination(
        **of_connector, Termination={"CallingRegions": ["US"], "CidrAllowedList": ["203.0.113.0/28"]},
    )
    api.put_voice_connector_termination_credentials(
        **of_connector, Credentials=[{"Username": "pbx", "Password": "secret"}],
    )
    api.put_voice_connector_streaming_configuration(
        **of_connector, StreamingConfiguration={"DataRetentionInHours": 1, "Disabled": False},
    )
    api.put_voice_connector_logging_configuration(**of_connector, LoggingConfiguration={"EnableSIPLogs": True})
    api.put_voice_connector_external_systems_configuration(
        **of_connector, SessionBorderControllerTypes=["RIBBON_SBC"],
    )
    api.put_voice_connector_proxy(
        **of_connector, DefaultSessionExpiryMinutes=60, PhoneNumberPoolCountries=["US"],
    )


def requests_of(node, url, seed, seconds):
    """Runs schemathesis; its exit code."""
    command = [
        Path(sys.executable).with_name("schemathesis"), "run", url, "--seed", str(seed), "--mode", "all",
        "--phases", "examples,coverage,fuzzing,stateful", "--checks", ",".join(CHECKS), "--continue-on-failure",
        "--max-examples", str(EXAMPLES), "--request-timeout", "10", "--generation-database", "none",
        "--generation-with-security-parameters", "false", "--output-sanitize", "false", "--no-color", "--warnings", "off", *(("--max-time", seconds) if seconds else ()),
    ]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("openapi_checks.py")),
        "TRUNKLINE_OPENAPI_KNOWN": json.dumps(resources(node.api())),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "NO_PROXY": GATEWAY,
    }
    return subprocess.run(command, cwd=node.directory, env=environment).returncode


def main():
    seed = int(os.environ.get("TRUNKLINE_OPENAPI_SEED", SEED))
    seconds = os.environ.get("TRUNKLINE_OPENAPI_SECONDS")
    server = os.environ.get("TRUNKLINE_POSTGRES")
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(own_database(server, "openapi")) if server else None
        node = stack.enter_context(Node(store=store, api={"users": [f"{ACCOUNT}/somebody"]}))
        url = f"http://{GATEWAY}:{node.api_port}/openapi.json"
        answer = requests.get(url, timeout=10)
        answer.raise_for_status()
        validate(answer.json())
        print(f"seed {seed}, {'PostgreSQL' if server else 'SQLite'}", flush=True)
        failed = requests_of(node, url, seed, seconds)
        if failed:
            node.show_log()
        return failed


if __name__ == "__main__":
    sys.exit(main())
