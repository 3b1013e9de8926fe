"""SIP media applications, their logging and their calls, and the SIP rules that target them."""

from .site import FUNCTION, UNKNOWN, unknown_id

LOGGING = "SipMediaApplicationLoggingConfiguration"


def check(api, site):
    endpoints = [{"LambdaArn": FUNCTION}]
    tags = [{"Key": "team", "Value": "ivr"}]
    made = api.answers(
        "CreateSipMediaApplication", {"SipMediaApplication": {
            "Name": "ivr", "AwsRegion": "us-east-1", "Endpoints": endpoints,
        }}, AwsRegion="us-east-1", Name="ivr", Endpoints=endpoints,
        **api.those_known("CreateSipMediaApplication", Tags=tags),
    )["SipMediaApplication"]
    key = made["SipMediaApplicationId"]
    application = {"SipMediaApplicationId": key}
    if arn := made.get("SipMediaApplicationArn"):
        assert arn == f"arn:aws:chime:us-east-1:{site.account}:sma/{key}", made
    api.answers("GetSipMediaApplication", {"SipMediaApplication": made}, **application)
    renamed = api.answers("UpdateSipMediaApplication", {"SipMediaApplication": {"Name": "desk", "Endpoints": endpoints}},
                          **application, Name="desk", Endpoints=endpoints)
    api.answers("GetSipMediaApplication", renamed, **application)
    others = [site.application(f"more {index}") for index in range(3)]
    api.pages("ListSipMediaApplications", lambda: others.append(site.application("late")))
    assert renamed["SipMediaApplication"] in api.lists("ListSipMediaApplications")

    refusals(api, site, application)
    logging(api, application)
    calls(api, site, application)
    rules(api, site, application, others)
    for one in (key, *others):
        api.answers("DeleteSipMediaApplication", SipMediaApplicationId=one)
    api.unknown(
        "SipMediaApplicationId", unknown_id(), "NotFoundException",
        "GetSipMediaApplication", "UpdateSipMediaApplication", "DeleteSipMediaApplication",
        f"Put{LOGGING}", f"Get{LOGGING}",
    )


def refusals(api, site, application):
    right = {"AwsRegion": "us-east-1", "Name": "x", "Endpoints": [{"LambdaArn": FUNCTION}]}

    def create(member, **wrong):
        api.refuses("CreateSipMediaApplication", member, **right | wrong)

    create("AwsRegion", AwsRegion="mars")
    create("Name", Name="x" * 257)
    create("Endpoints[0].LambdaArn", Endpoints=[{"LambdaArn": "arn:aws:s3:::bucket"}])
    create("Endpoints[0].LambdaArn", Endpoints=[{"LambdaArn": FUNCTION.replace("us-east-1", "us-west-2")}])
    create("Endpoints", Endpoints=[])
    api.refuses("UpdateSipMediaApplication", "Name", **application, Name="")
    site.full.depends("CreateSipMediaApplication", "ResourceLimitExceededException", "1000", **right)
    site.other.depends("GetSipMediaApplication", "NotFoundException", **application)


def logging(api, application):
    wanted = {LOGGING: {"EnableSipMediaApplicationMessageLogs": True}}
    api.depends(f"Get{LOGGING}", "NotFoundException", "logging", **application)
    api.answers(f"Put{LOGGING}", wanted, **application, **wanted)
    api.answers(f"Get{LOGGING}", wanted, **application)


def calls(api, site, application):
    """A node invokes no functions: what is wrong with a call is said first, then that."""
    number = site.order(1)[0]
    create, update = "CreateSipMediaApplicationCall", "UpdateSipMediaApplicationCall"
    right = {**application, "FromPhoneNumber": number, "ToPhoneNumber": "+12065550177", "SipHeaders": {"X-A": "b"}}
    api.unserved(create, "BadRequestException", "place no calls on this node", **right)
    api.refuses(create, "FromPhoneNumber", **right | {"FromPhoneNumber": "+12065559999"})
    api.refuses(create, "SipMediaApplicationId", **right | {"SipMediaApplicationId": unknown_id()})
    api.refuses(create, "ToPhoneNumber", **right | {"ToPhoneNumber": "reception"})
    api.refuses(create, "SipHeaders", **right | {"SipHeaders": {f"X-{index}": "" for index in range(21)}})
    call = {**application, "TransactionId": unknown_id(), "Arguments": {"a": "b"}}
    api.unserved(update, "NotFoundException", f"SipMediaApplicationCall with Id '{call['TransactionId']}'", **call)
    api.refuses(update, "Arguments", **call | {"Arguments": {f"key-{index}": "" for index in range(21)}})
    api.depends(update, "NotFoundException", "SipMediaApplication", **call | {"SipMediaApplicationId": unknown_id()})


def rules(api, site, application, others):
    number = site.order(1)[0]
    targets = [{**application, "Priority": 1, "AwsRegion": "us-east-1"}]
    right = {"Name": "reception", "TriggerType": "ToPhoneNumber", "TriggerValue": number, "TargetApplications": targets}
    rule = api.answers("CreateSipRule", {"SipRule": right | {"Disabled": False}}, **right, Disabled=False)["SipRule"]
    one = {"SipRuleId": rule["SipRuleId"]}
    api.answers("GetSipRule", {"SipRule": rule}, **one)
    assert api.lists("ListSipRules", **application) == [rule]
    assert api.lists("ListSipRules", SipMediaApplicationId=others[0]) == []
    host_rules(api, site, targets)

    api.depends("CreateSipRule", "ConflictException", rule["SipRuleId"], **right)
    api.refuses("CreateSipRule", "TriggerValue", **right | {"TriggerValue": "+12065559999"})
    api.refuses("CreateSipRule", "TriggerType", **right | {"TriggerType": "Fax"})
    api.refuses("CreateSipRule", "TargetApplications[0].SipMediaApplicationId",
                **right | {"TargetApplications": [targets[0] | {"SipMediaApplicationId": unknown_id()}]})
    api.refuses("UpdateSipRule", "TargetApplications[1].SipMediaApplicationId", **one, Name="x",
                TargetApplications=[*targets, targets[0] | {"SipMediaApplicationId": others[0], "Priority": 2}])
    api.depends("ListSipRules", "NotFoundException", UNKNOWN, SipMediaApplicationId=UNKNOWN)
    api.depends("DeleteSipMediaApplication", "ConflictException", rule["SipRuleId"], **application)
    api.depends("DeleteSipRule", "ConflictException", "UpdateSipRule", **one)
    disabled = api.answers("UpdateSipRule", {"SipRule": {"Name": "night", "Disabled": True}},
                           **one, Name="night", Disabled=True, TargetApplications=targets)
    api.answers("GetSipRule", disabled, **one)
    api.answers("DeleteSipRule", **one)
    api.depends("GetSipRule", "NotFoundException", rule["SipRuleId"], **one)
    api.unknown("SipRuleId", unknown_id(), "NotFoundException", "GetSipRule", "UpdateSipRule", "DeleteSipRule")


def host_rules(api, site, targets):
    """Rules of host names, enough of them for pages."""
    connectors = [site.connector(f"host {index}") for index in range(4)]

    def of_host(key):
        host = api.answers("GetVoiceConnector", VoiceConnectorId=key)["VoiceConnector"]["OutboundHostName"]
        made = api.answers("CreateSipRule", {"SipRule": {"TriggerValue": host}}, Name="host", Disabled=True,
                           TriggerType="RequestUriHostname", TriggerValue=host, TargetApplications=targets)
        return made["SipRule"]["SipRuleId"]

    made = [of_host(key) for key in connectors[:3]]
    api.pages("ListSipRules", lambda: made.append(of_host(connectors[3])))
    for key in made:
        api.answers("DeleteSipRule", SipRuleId=key)
    for key in connectors:
        api.answers("DeleteVoiceConnector", VoiceConnectorId=key)
