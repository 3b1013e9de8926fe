"""Properties of phone numbers, the deletion queue, and what holds for all numbers of an account."""

from .numbers import errors
from .site import UNKNOWN_NUMBER


def check(api, site):
    numbers = site.order(3)
    properties(api, site, numbers)
    several(api, numbers)
    deletion(api, site, numbers)
    account(api, site)


def properties(api, site, numbers):
    one = {"PhoneNumberId": numbers[0]}
    named = {"CallingName": "Front desk", "CallingNameStatus": "UpdateSucceeded"}
    api.answers("UpdatePhoneNumber", {"PhoneNumber": named}, **one, CallingName="Front desk")
    api.answers("GetPhoneNumber", {"PhoneNumber": named}, **one)
    dial_in = {"ProductType": "SipMediaApplicationDialIn"}
    api.answers("UpdatePhoneNumber", {"PhoneNumber": dial_in | named}, **one, **dial_in)
    connector = {"VoiceConnectorId": site.connector("properties")}
    associate = "AssociatePhoneNumbersWithVoiceConnector"
    api.reports(associate, errors((numbers[0], "PreconditionFailed")), **connector, E164PhoneNumbers=numbers[:1])
    api.answers("UpdatePhoneNumber", **one, ProductType="VoiceConnector")
    api.answers(associate, {"PhoneNumberErrors": []}, **connector, E164PhoneNumbers=numbers[:1])
    api.depends("UpdatePhoneNumber", "ConflictException", connector["VoiceConnectorId"], **one, **dial_in)
    api.depends("DeletePhoneNumber", "BadRequestException", connector["VoiceConnectorId"], **one)
    api.reports("BatchDeletePhoneNumber", errors((numbers[0], "PhoneNumberAssociationsExist")), PhoneNumberIds=numbers[:1])
    api.answers("DisassociatePhoneNumbersFromVoiceConnector", **connector, E164PhoneNumbers=numbers[:1])
    api.answers("DeleteVoiceConnector", **connector)
    for member, wrong in (("CallingName", "a"), ("CallingName", "too long for a name"), ("ProductType", "Fax")):
        api.refuses("UpdatePhoneNumber", member, **one, **{member: wrong})
    api.refuses("UpdatePhoneNumber", "ProductType",
                PhoneNumberId=toll_free(api, site), ProductType="BusinessCalling")
    api.depends("UpdatePhoneNumber", "NotFoundException", UNKNOWN_NUMBER, PhoneNumberId=UNKNOWN_NUMBER, CallingName="ab")


def toll_free(api, site):
    number = site.free_toll_free_number()
    api.answers("CreatePhoneNumberOrder", ProductType="VoiceConnector", E164PhoneNumbers=[number])
    return number


def several(api, numbers):
    items = [
        {"PhoneNumberId": numbers[0].replace("+", "%2B"), "CallingName": "One"},
        {"PhoneNumberId": numbers[1], "ProductType": "BusinessCalling"},
    ]
    update = "BatchUpdatePhoneNumber"
    api.answers(update, {"PhoneNumberErrors": []}, UpdatePhoneNumberRequestItems=items)
    api.answers("GetPhoneNumber", {"PhoneNumber": {"CallingName": "One"}}, PhoneNumberId=numbers[0])
    api.answers("GetPhoneNumber", {"PhoneNumber": {"ProductType": "BusinessCalling"}}, PhoneNumberId=numbers[1])
    unknown = {"PhoneNumberId": UNKNOWN_NUMBER, "CallingName": "Two"}
    api.reports(update, errors((UNKNOWN_NUMBER, "NotFound")), UpdatePhoneNumberRequestItems=[items[0], unknown])
    api.refuses(update, "UpdatePhoneNumberRequestItems[1].CallingName",
                UpdatePhoneNumberRequestItems=[items[0], items[1] | {"CallingName": "!"}])
    api.refuses(update, "UpdatePhoneNumberRequestItems", UpdatePhoneNumberRequestItems=[])
    api.answers("UpdatePhoneNumber", PhoneNumberId=numbers[1], ProductType="VoiceConnector")


def deletion(api, site, numbers):
    one = {"PhoneNumberId": numbers[0]}
    api.answers("DeletePhoneNumber", **one)
    gone = api.answers("GetPhoneNumber", {"PhoneNumber": {"Status": "DeleteInProgress"}}, **one)["PhoneNumber"]
    assert gone["DeletionTimestamp"] >= gone["CreatedTimestamp"], gone
    queued = api.lists("ListPhoneNumbers", Status="DeleteInProgress")
    assert numbers[0] in [row["E164PhoneNumber"] for row in queued], queued
    api.depends("UpdatePhoneNumber", "ConflictException", "RestorePhoneNumber", **one, CallingName="Two")
    connector = {"VoiceConnectorId": site.connector("deletion")}
    api.reports("AssociatePhoneNumbersWithVoiceConnector", errors((numbers[0], "PreconditionFailed")),
                **connector, E164PhoneNumbers=numbers[:1])
    api.answers("DeleteVoiceConnector", **connector)

    restored = api.answers("RestorePhoneNumber", {"PhoneNumber": {"Status": "Unassigned"}}, **one)["PhoneNumber"]
    assert not restored.get("DeletionTimestamp"), restored
    api.answers("GetPhoneNumber", {"PhoneNumber": restored}, **one)
    api.depends("RestorePhoneNumber", "BadRequestException", "not in the deletion queue", **one)

    api.answers("BatchDeletePhoneNumber", {"PhoneNumberErrors": []}, PhoneNumberIds=numbers[1:])
    for number in numbers[1:]:
        api.answers("GetPhoneNumber", {"PhoneNumber": {"Status": "DeleteInProgress"}}, PhoneNumberId=number)
    api.reports("BatchDeletePhoneNumber", errors((UNKNOWN_NUMBER, "NotFound")), PhoneNumberIds=[UNKNOWN_NUMBER])
    api.refuses("BatchDeletePhoneNumber", "PhoneNumberIds", PhoneNumberIds=[])
    api.answers("RestorePhoneNumber", PhoneNumberId=numbers[1])
    api.unknown("PhoneNumberId", UNKNOWN_NUMBER, "NotFoundException", "DeletePhoneNumber", "RestorePhoneNumber")
    site.other.depends("DeletePhoneNumber", "NotFoundException", **one)


def account(api, site):
    """The default calling name, and the countries of the node's pools."""
    api.answers("GetPhoneNumberSettings", lambda answer: not answer.get("CallingName"))
    api.answers("UpdatePhoneNumberSettings", CallingName="Main desk")
    settings = api.answers("GetPhoneNumberSettings", {"CallingName": "Main desk"})
    assert settings["CallingNameUpdatedTimestamp"].tzinfo, settings
    api.depends("UpdatePhoneNumberSettings", "BadRequestException", "once in seven days", CallingName="Other")
    api.answers("UpdatePhoneNumberSettings", CallingName="Main desk")
    api.refuses("UpdatePhoneNumberSettings", "CallingName", CallingName="x" * 16)
    api.answers("GetPhoneNumberSettings", settings)
    site.other.answers("GetPhoneNumberSettings", lambda answer: not answer.get("CallingName"))

    def countries(answer):
        return {one["CountryCode"]: one["SupportedPhoneNumberTypes"] for one in answer["PhoneNumberCountries"]}

    supported = "ListSupportedPhoneNumberCountries"
    api.answers(supported, lambda answer: countries(answer) == {"US": ["Local"]}, ProductType="BusinessCalling")
    api.answers(supported, lambda answer: countries(answer) == {"GB": ["Local"], "US": ["Local", "TollFree"]},
                ProductType="VoiceConnector")
    api.refuses(supported, "ProductType", ProductType="Fax")
