"""Tags of voice connectors and SIP media applications."""

from .site import UNKNOWN


def check(api, site):
    connector = {"VoiceConnectorId": site.connector("tagged")}
    application = {"SipMediaApplicationId": site.application("tagged")}
    arn = api.answers("GetVoiceConnector", **connector)["VoiceConnector"]["VoiceConnectorArn"]
    arns = [arn]
    if told := api.answers("GetSipMediaApplication", **application)["SipMediaApplication"].get("SipMediaApplicationArn"):
        arns.append(told)
    for one in arns:
        resource(api, one)
    refusals(api, site, arn)
    api.unknown(
        "ResourceARN", arn.replace(connector["VoiceConnectorId"], UNKNOWN), "NotFoundException",
        "TagResource", "UntagResource", "ListTagsForResource",
    )
    api.answers("DeleteVoiceConnector", **connector)
    api.answers("DeleteSipMediaApplication", **application)
    api.depends("ListTagsForResource", "NotFoundException", arn, ResourceARN=arn)


def resource(api, arn):
    team, place = {"Key": "team", "Value": "voice"}, {"Key": "place", "Value": "Tacoma"}

    def has(*tags):
        api.answers("ListTagsForResource", {"Tags": list(tags)}, ResourceARN=arn)

    has()
    api.answers("TagResource", ResourceARN=arn, Tags=[team, place])
    has(team, place)
    # The last value of a key stands.
    api.answers("TagResource", ResourceARN=arn, Tags=[{"Key": "place", "Value": "Seattle"}])
    has(team, {"Key": "place", "Value": "Seattle"})
    fifty = [{"Key": f"key-{index}", "Value": "x"} for index in range(49)]
    api.depends("TagResource", "ResourceLimitExceededException", "50", ResourceARN=arn, Tags=fifty)
    has(team, {"Key": "place", "Value": "Seattle"})
    api.answers("UntagResource", ResourceARN=arn, TagKeys=["place", "never there"])
    has(team)
    api.answers("UntagResource", ResourceARN=arn, TagKeys=["team"])
    has()


def refusals(api, site, arn):
    tag = {"Key": "team", "Value": "voice"}
    api.refuses("TagResource", "Tags[1].Key", ResourceARN=arn, Tags=[tag, tag | {"Key": "x" * 129}])
    api.refuses("TagResource", "Tags[0].Value", ResourceARN=arn, Tags=[tag | {"Value": "x" * 257}])
    api.refuses("TagResource", "Tags", ResourceARN=arn, Tags=[])
    api.refuses("TagResource", "ResourceARN", ResourceARN="no ARN", Tags=[tag])
    api.refuses("UntagResource", "TagKeys", ResourceARN=arn, TagKeys=["x"] * 51)
    api.refuses("ListTagsForResource", "ResourceARN", ResourceARN="arn:" + "x" * 1024)
    another = arn.replace(site.account, "999999999999")
    api.depends("ListTagsForResource", "NotFoundException", another, ResourceARN=another)
