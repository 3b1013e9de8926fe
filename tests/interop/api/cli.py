"""A trunk's life with the AWS CLI: made, used, taken down; every answer is the command's JSON."""

import json
import subprocess
import time

FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:ivr"


def run(store, service, endpoint, key, python, environment, numbers):
    """The whole of it through `aws SERVICE`, with two numbers that nobody else orders; how many passed and failed."""
    started = time.monotonic()
    with Aws(service, endpoint, key, python, environment) as aws:
        try:
            trunk = set_up(aws, numbers)
            made = routing(aws, trunk, numbers)
            tags(aws, trunk)
            take_down(aws, trunk, made, numbers)
            result = f"ok  {aws.count:4} commands  {time.monotonic() - started:5.1f} s"
        except Exception as error:
            result = f"FAILED  after {aws.count} commands: {type(error).__name__}: {str(error)[:500]}"
    print(f"{store:10} {service:15} {aws.version:14}  lifecycle         {result}", flush=True)
    return (1, 0) if result.startswith("ok") else (0, 1)


class Aws:
    """The `aws` command of a Python environment."""

    def __init__(self, service, endpoint, key, python, environment):
        self._options = ["--endpoint-url", endpoint, "--output", "json", service]
        environment = environment | {
            "AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1], "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
        self._commands = subprocess.Popen(
            [python, "-m", "api.cli_commands"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        ask = "import awscli; print('aws', awscli.__version__)"
        self.version = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._commands.stdin.close()
        self._commands.wait()

    def __call__(self, command, **options):
        """The command's answer, `None` where it has none. `voice_connector_id` is --voice-connector-id; a boolean is a
        switch, what is neither text nor number is JSON."""
        code, output, errors = self._run(command, options)
        if code != 0:
            raise AssertionError(f"{command}: exit code {code}: {errors.strip()}")
        return json.loads(output) if output.strip() else None

    def fails(self, command, exception, **options):
        """The command says that the service has answered with the exception."""
        code, _, errors = self._run(command, options)
        if code == 0 or f"An error occurred ({exception}) when calling the " not in errors:
            raise AssertionError(f"{command}: exit code {code}, no {exception}: {errors.strip()}")

    def _run(self, command, options):
        self.count += 1
        arguments = [command]
        for name, value in options.items():
            name = name.replace("_", "-")
            if isinstance(value, bool):
                arguments.append(f"--{name}" if value else f"--no-{name}")
            else:
                arguments += [f"--{name}", str(value) if isinstance(value, (str, int)) else json.dumps(value)]
        self._commands.stdin.write(json.dumps([*self._options, *arguments]) + "\n")
        self._commands.stdin.flush()
        return json.loads(self._commands.stdout.readline())


def set_up(aws, numbers):
    """A connector with numbers, which calls pass both ways."""
    made = aws("create-voice-connector", name="Main office", aws_region="us-west-2", require_encryption=False)
    trunk = {"voice_connector_id": made["VoiceConnector"]["VoiceConnectorId"]}
    equal(aws("get-voice-connector", **trunk), made)
    termination = {"CpsLimit": 2, "CallingRegions": ["US", "CA"], "CidrAllowedList": ["203.0.113.0/28"], "Disabled": False}
    written = "CpsLimit=2,CallingRegions=US,CA,CidrAllowedList=203.0.113.0/28,Disabled=false"
    holds(aws("put-voice-connector-termination", **trunk, termination=written)["Termination"], termination)
    holds(aws("get-voice-connector-termination", **trunk)["Termination"], termination)
    aws("put-voice-connector-termination-credentials", **trunk, credentials="Username=pbx,Password=secret")
    equal(aws("list-voice-connector-termination-credentials", **trunk), {"Usernames": ["pbx"]})
    routes = [{"Host": "192.0.2.1", "Port": 5060, "Protocol": "UDP", "Priority": 1, "Weight": 1}]
    origination = {"Routes": routes, "Disabled": False}
    equal(aws("put-voice-connector-origination", **trunk, origination=origination), {"Origination": origination})
    equal(aws("get-voice-connector-origination", **trunk), {"Origination": origination})

    found = aws("search-available-phone-numbers", area_code="206", phone_number_type="Local")["E164PhoneNumbers"]
    holds({number: number in found for number in numbers}, dict.fromkeys(numbers, True))
    order = aws("create-phone-number-order", product_type="VoiceConnector", e164_phone_numbers=numbers)["PhoneNumberOrder"]
    holds(order, {"Status": "Successful", "ProductType": "VoiceConnector"})
    read = aws("get-phone-number-order", phone_number_order_id=order["PhoneNumberOrderId"])
    equal(read, {"PhoneNumberOrder": order})
    return trunk


def routing(aws, trunk, numbers):
    """The numbers at the connector, the connector in a group, a rule on a number; the group's and the rule's ids."""
    done = aws("associate-phone-numbers-with-voice-connector", **trunk, e164_phone_numbers=numbers, force_associate=True)
    equal(done, {"PhoneNumberErrors": []})
    connector = trunk["voice_connector_id"]
    mine = aws("list-phone-numbers", filter_name="VoiceConnectorId", filter_value=connector)["PhoneNumbers"]
    equal([row["E164PhoneNumber"] for row in mine], numbers)
    holds(aws("get-phone-number", phone_number_id=numbers[0])["PhoneNumber"], {"Status": "Assigned", "Type": "Local"})
    aws.fails("delete-voice-connector", "ConflictException", **trunk)

    items = [{"VoiceConnectorId": connector, "Priority": 1}]
    group = aws("create-voice-connector-group", name="all", voice_connector_items=items)["VoiceConnectorGroup"]
    group_key = {"voice_connector_group_id": group["VoiceConnectorGroupId"]}
    equal(aws("get-voice-connector-group", **group_key), {"VoiceConnectorGroup": group})
    made = aws("create-sip-media-application", aws_region="us-east-1", name="ivr", endpoints=f"LambdaArn={FUNCTION}")
    application = made["SipMediaApplication"]["SipMediaApplicationId"]
    rule = aws(
        "create-sip-rule", name="reception", trigger_type="ToPhoneNumber", trigger_value=numbers[0],
        target_applications=f"SipMediaApplicationId={application},Priority=1,AwsRegion=us-east-1",
    )["SipRule"]
    equal(aws("list-sip-rules", sip_media_application_id=application)["SipRules"], [rule])
    return group_key, {"sip_media_application_id": application}, {"sip_rule_id": rule["SipRuleId"]}


def tags(aws, trunk):
    connector = aws("get-voice-connector", **trunk)["VoiceConnector"]
    arn = {"resource_arn": connector["VoiceConnectorArn"]}
    aws("tag-resource", **arn, tags="Key=team,Value=voice")
    equal(aws("list-tags-for-resource", **arn), {"Tags": [{"Key": "team", "Value": "voice"}]})
    aws("untag-resource", **arn, tag_keys="team")
    equal(aws("list-tags-for-resource", **arn), {"Tags": []})


def take_down(aws, trunk, routing, numbers):
    """Everything in the order that the service wants; then nothing is there."""
    group, application, rule = routing
    aws.fails("delete-sip-rule", "ConflictException", **rule)
    holds(aws("update-sip-rule", **rule, name="reception", disabled=True)["SipRule"], {"Disabled": True})
    aws("delete-sip-rule", **rule)
    aws("delete-sip-media-application", **application)
    done = aws("disassociate-phone-numbers-from-voice-connector", **trunk, e164_phone_numbers=numbers)
    equal(done, {"PhoneNumberErrors": []})
    aws("update-voice-connector-group", **group, name="none", voice_connector_items=[])
    aws("delete-voice-connector-group", **group)
    equal(aws("batch-delete-phone-number", phone_number_ids=numbers), {"PhoneNumberErrors": []})
    aws("delete-voice-connector-termination-credentials", **trunk, usernames="pbx")
    aws("delete-voice-connector-termination", **trunk)
    aws("delete-voice-connector-origination", **trunk)
    aws("delete-voice-connector", **trunk)
    aws.fails("get-voice-connector", "NotFoundException", **trunk)


def holds(value, expected):
    """An object has these members."""
    equal({name: value.get(name) for name in expected}, expected)


def equal(value, expected):
    """Fails the lifecycle."""
    if value != expected:
        raise AssertionError(f"{value}, not {expected}")
