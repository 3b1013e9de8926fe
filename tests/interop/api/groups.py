"""Voice connector groups."""

from .numbers import errors
from .site import UNKNOWN, UNKNOWN_NUMBER, unknown_id


def check(api, site):
    connectors = [site.connector(f"member {index}") for index in range(4)]
    items = [{"VoiceConnectorId": key, "Priority": index + 1} for index, key in enumerate(connectors[:3])]
    made = api.answers("CreateVoiceConnectorGroup", {"VoiceConnectorGroup": {"Name": "all", "VoiceConnectorItems": items}},
                       Name="all", VoiceConnectorItems=items)["VoiceConnectorGroup"]
    key = made["VoiceConnectorGroupId"]
    group = {"VoiceConnectorGroupId": key}
    assert made["VoiceConnectorGroupArn"] == f"arn:aws:chime:us-east-1:{site.account}:vc-group/{key}", made
    assert made["CreatedTimestamp"] <= made["UpdatedTimestamp"], made
    api.answers("GetVoiceConnectorGroup", {"VoiceConnectorGroup": made}, **group)
    update(api, group, items)
    refusals(api, group, connectors)

    others = [new_group(api) for _ in range(3)]
    api.pages("ListVoiceConnectorGroups", lambda: others.append(new_group(api)))
    assert key in [row["VoiceConnectorGroupId"] for row in api.lists("ListVoiceConnectorGroups")]
    associations(api, site, group, {"VoiceConnectorId": connectors[3]})
    site.full.depends("CreateVoiceConnectorGroup", "ResourceLimitExceededException", "1000", Name="one too many")

    api.depends("DeleteVoiceConnectorGroup", "ConflictException", "1 VoiceConnector;", **group)
    api.answers("UpdateVoiceConnectorGroup", {"VoiceConnectorGroup": {"VoiceConnectorItems": []}},
                **group, Name="none", VoiceConnectorItems=[])
    site.other.depends("DeleteVoiceConnectorGroup", "NotFoundException", key, **group)
    for one in (key, *others):
        api.answers("DeleteVoiceConnectorGroup", VoiceConnectorGroupId=one)
    api.unknown(
        "VoiceConnectorGroupId", unknown_id(), "NotFoundException",
        "GetVoiceConnectorGroup", "UpdateVoiceConnectorGroup", "DeleteVoiceConnectorGroup",
        "AssociatePhoneNumbersWithVoiceConnectorGroup", "DisassociatePhoneNumbersFromVoiceConnectorGroup",
    )
    api.depends("GetVoiceConnectorGroup", "NotFoundException", key, **group)
    for one in connectors:
        api.answers("DeleteVoiceConnector", VoiceConnectorId=one)


def new_group(api):
    made = api.answers("CreateVoiceConnectorGroup", Name="another")["VoiceConnectorGroup"]
    return made["VoiceConnectorGroupId"]


def update(api, group, items):
    wanted = {"Name": "one", "VoiceConnectorItems": [items[0] | {"Priority": 99}]}
    changed = api.answers("UpdateVoiceConnectorGroup", {"VoiceConnectorGroup": wanted}, **group, **wanted)
    api.answers("GetVoiceConnectorGroup", changed, **group)


def refusals(api, group, connectors):
    def create(member, *items):
        api.refuses("CreateVoiceConnectorGroup", member, Name="x", VoiceConnectorItems=list(items))

    four = [{"VoiceConnectorId": key, "Priority": 1} for key in connectors]
    create("VoiceConnectorItems", *four)
    create("VoiceConnectorItems[1].VoiceConnectorId", four[0], four[0])
    create("VoiceConnectorItems[0].Priority", four[0] | {"Priority": 100})
    api.refuses("CreateVoiceConnectorGroup", "Name", Name="x" * 257)
    api.refuses("UpdateVoiceConnectorGroup", "VoiceConnectorItems", **group, Name="x", VoiceConnectorItems=four)
    unknown = [{"VoiceConnectorId": UNKNOWN, "Priority": 1}]
    api.depends("CreateVoiceConnectorGroup", "NotFoundException", UNKNOWN, Name="x", VoiceConnectorItems=unknown)
    api.depends("UpdateVoiceConnectorGroup", "NotFoundException", UNKNOWN, **group, Name="x", VoiceConnectorItems=unknown)
    api.refuses("ListVoiceConnectorGroups", "MaxResults", MaxResults=101)


def associations(api, site, group, connector):
    numbers = site.order(2)
    associate, disassociate = (
        "AssociatePhoneNumbersWithVoiceConnectorGroup", "DisassociatePhoneNumbersFromVoiceConnectorGroup",
    )
    api.answers(associate, {"PhoneNumberErrors": []}, **group, E164PhoneNumbers=numbers, ForceAssociate=False)
    of_group = {"FilterName": "VoiceConnectorGroupId", "FilterValue": group["VoiceConnectorGroupId"]}
    mine = api.lists("ListPhoneNumbers", **of_group)
    assert [row["E164PhoneNumber"] for row in mine] == numbers, mine
    association = mine[0]["Associations"][0]
    assert (association["Name"], association["Value"]) == tuple(of_group.values()), association

    taken = errors((numbers[0], "PhoneNumberAssociationsExist"))
    api.reports("AssociatePhoneNumbersWithVoiceConnector", taken, **connector, E164PhoneNumbers=numbers[:1])
    api.answers("AssociatePhoneNumbersWithVoiceConnector", {"PhoneNumberErrors": []},
                **connector, E164PhoneNumbers=numbers[:1], ForceAssociate=True)
    api.reports(associate, taken, **group, E164PhoneNumbers=numbers[:1])
    api.answers("DisassociatePhoneNumbersFromVoiceConnector", **connector, E164PhoneNumbers=numbers[:1])
    api.depends("DeleteVoiceConnectorGroup", "ConflictException", "1 associated phone number;", **group)
    api.reports(disassociate, errors((numbers[0], "BadRequest"), (UNKNOWN_NUMBER, "NotFound")),
                **group, E164PhoneNumbers=[*numbers, UNKNOWN_NUMBER])
    api.answers(associate, {"PhoneNumberErrors": []}, **group, E164PhoneNumbers=numbers)
    api.answers(disassociate, {"PhoneNumberErrors": []}, **group, E164PhoneNumbers=numbers)
