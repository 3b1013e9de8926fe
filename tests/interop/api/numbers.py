"""Phone numbers from the search to a voice connector: orders, the inventory, associations."""

import re

from .site import UNKNOWN, UNKNOWN_NUMBER, unknown_id

ORDER_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check(api, site):
    search(api)
    numbers = orders(api, site)
    inventory(api, site, numbers)
    associations(api, site, numbers)


def search(api):
    found = api.answers("SearchAvailablePhoneNumbers", Country="US", PhoneNumberType="Local", AreaCode="206", MaxResults=3)
    numbers = found["E164PhoneNumbers"]
    assert len(numbers) == 3 and all(number.startswith("+1206") for number in numbers), found
    toll_free = api.answers("SearchAvailablePhoneNumbers", PhoneNumberType="TollFree", TollFreePrefix="833", MaxResults=1)
    assert toll_free["E164PhoneNumbers"][0].startswith("+1833"), toll_free
    api.answers("SearchAvailablePhoneNumbers", {"E164PhoneNumbers": []}, Country="FR")
    where = {"Country": "US", "State": "WA", "City": "Seattle"}
    first = api.answers("SearchAvailablePhoneNumbers", **where, MaxResults=3)
    again = api.answers("SearchAvailablePhoneNumbers", **where, MaxResults=1, NextToken=first["NextToken"])
    assert again["E164PhoneNumbers"][0] > first["E164PhoneNumbers"][-1], again
    for member, value in (
        ("AreaCode", "20"), ("Country", "USA"), ("TollFreePrefix", "899"), ("PhoneNumberType", "Mobile"),
        ("MaxResults", 501), ("NextToken", "x"),
    ):
        api.refuses("SearchAvailablePhoneNumbers", member, **{member: value})


def orders(api, site):
    wanted = site.free_numbers(4)
    numbers = wanted[:3]
    here = {"State": "WA", "AreaCode": "206", "MaxResults": 500}

    def are_free(answer):
        return set(wanted) <= set(answer["E164PhoneNumbers"])

    api.answers("SearchAvailablePhoneNumbers", are_free, **here)
    order = api.answers(
        "CreatePhoneNumberOrder", {"PhoneNumberOrder": {
            "Status": "Successful", "ProductType": "VoiceConnector",
            "OrderedPhoneNumbers": [{"E164PhoneNumber": number, "Status": "Acquired"} for number in numbers],
        }}, ProductType="VoiceConnector", E164PhoneNumbers=numbers,
        **api.those_known("CreatePhoneNumberOrder", Name="Front desk"),
    )["PhoneNumberOrder"]
    assert order.get("OrderType", "New") == "New", order
    assert ORDER_ID.fullmatch(order["PhoneNumberOrderId"]), order
    one = {"PhoneNumberOrderId": order["PhoneNumberOrderId"]}
    api.answers("GetPhoneNumberOrder", {"PhoneNumberOrder": order}, **one)
    api.reports("SearchAvailablePhoneNumbers", lambda answer: not set(numbers) & set(answer["E164PhoneNumbers"]), **here)

    # A number is one account's.
    taken = {"Status": "Partial", "OrderedPhoneNumbers": [
        {"E164PhoneNumber": numbers[0], "Status": "Failed"}, {"E164PhoneNumber": wanted[3], "Status": "Acquired"},
    ]}
    again = {"ProductType": "VoiceConnector", "E164PhoneNumbers": [numbers[0], wanted[3]]}
    api.reports("CreatePhoneNumberOrder", {"PhoneNumberOrder": taken}, **again)
    site.other.reports("CreatePhoneNumberOrder", {"PhoneNumberOrder": {"Status": "Failed"}}, **again)
    site.other.depends("GetPhoneNumberOrder", "NotFoundException", **one)
    api.depends("GetPhoneNumberOrder", "NotFoundException", PhoneNumberOrderId=unknown_id())

    api.refuses("CreatePhoneNumberOrder", "E164PhoneNumbers[0]",
                ProductType="VoiceConnector", E164PhoneNumbers=["+4930123456"])
    api.refuses("CreatePhoneNumberOrder", "E164PhoneNumbers[1]",
                ProductType="VoiceConnector", E164PhoneNumbers=[numbers[0], numbers[0]])
    api.refuses("CreatePhoneNumberOrder", "ProductType",
                ProductType="BusinessCalling", E164PhoneNumbers=[site.free_toll_free_number()])
    api.pages("ListPhoneNumberOrders", lambda: site.order(1))
    assert order in api.lists("ListPhoneNumberOrders")
    return numbers


def inventory(api, site, numbers):
    number = api.answers("GetPhoneNumber", {"PhoneNumber": {
        "E164PhoneNumber": numbers[0], "PhoneNumberId": numbers[0].replace("+", "%2B"), "Status": "Unassigned",
        "Type": "Local", "ProductType": "VoiceConnector", "Country": "US", "Associations": [],
        "CallingNameStatus": "Unassigned",
    }}, PhoneNumberId=numbers[0])["PhoneNumber"]
    assert number["CreatedTimestamp"] <= number["UpdatedTimestamp"], number
    api.answers("GetPhoneNumber", {"PhoneNumber": number}, PhoneNumberId=number["PhoneNumberId"])
    api.depends("GetPhoneNumber", "NotFoundException", UNKNOWN_NUMBER, PhoneNumberId=UNKNOWN_NUMBER)
    site.other.depends("GetPhoneNumber", "NotFoundException", PhoneNumberId=numbers[0])
    # One that could be ordered, and was not.
    free = site.free_numbers(1)[0]
    api.depends("GetPhoneNumber", "NotFoundException", free, PhoneNumberId=free)

    api.pages("ListPhoneNumbers", lambda: site.order(1))
    assert {row["E164PhoneNumber"] for row in api.lists("ListPhoneNumbers")} >= set(numbers)
    unassigned = api.lists("ListPhoneNumbers", Status="Unassigned", ProductType="VoiceConnector")
    assert {row["E164PhoneNumber"] for row in unassigned} >= set(numbers), unassigned
    api.answers("ListPhoneNumbers", {"PhoneNumbers": []}, Status="PortinInProgress")
    api.refuses("ListPhoneNumbers", "FilterName", FilterName="Colour", FilterValue="red")
    api.refuses("ListPhoneNumbers", "FilterValue", FilterName="VoiceConnectorId")
    api.depends("ListPhoneNumbers", "NotFoundException", UNKNOWN, FilterName="VoiceConnectorId", FilterValue=UNKNOWN)


def associations(api, site, numbers):
    connectors = [{"VoiceConnectorId": site.connector(name)} for name in ("one", "two")]
    associate, disassociate = (
        "AssociatePhoneNumbersWithVoiceConnector", "DisassociatePhoneNumbersFromVoiceConnector",
    )
    done = {"PhoneNumberErrors": []}
    api.answers(associate, done, **connectors[0], E164PhoneNumbers=numbers, ForceAssociate=False)
    of_connector = {"FilterName": "VoiceConnectorId", "FilterValue": connectors[0]["VoiceConnectorId"]}
    mine = api.lists("ListPhoneNumbers", **of_connector)
    assert [row["E164PhoneNumber"] for row in mine] == numbers, mine
    association = mine[0]["Associations"][0]
    assert (association["Name"], association["Value"]) == tuple(of_connector.values()), association
    assert mine[0]["Status"] == "Assigned" and association["AssociatedTimestamp"].tzinfo, mine

    # Without ForceAssociate a number stays where it is.
    api.reports(associate, errors((numbers[0], "PhoneNumberAssociationsExist")),
                **connectors[1], E164PhoneNumbers=numbers[:1])
    api.answers("GetPhoneNumber", {"PhoneNumber": {"Associations": [association]}}, PhoneNumberId=numbers[0])
    api.answers(associate, done, **connectors[1], E164PhoneNumbers=numbers[:1], ForceAssociate=True)
    moved = api.answers("GetPhoneNumber", PhoneNumberId=numbers[0])["PhoneNumber"]["Associations"]
    assert [one["Value"] for one in moved] == [connectors[1]["VoiceConnectorId"]], moved

    api.reports(associate, errors((UNKNOWN_NUMBER, "NotFound")), **connectors[0], E164PhoneNumbers=[UNKNOWN_NUMBER])
    api.reports(disassociate, errors((numbers[0], "BadRequest"), (UNKNOWN_NUMBER, "NotFound")),
                **connectors[0], E164PhoneNumbers=[*numbers, UNKNOWN_NUMBER])
    api.answers(disassociate, done, **connectors[1], E164PhoneNumbers=numbers[:1])
    api.refuses(associate, "E164PhoneNumbers[0]", **connectors[0], E164PhoneNumbers=["12065550100x"])
    api.refuses(disassociate, "E164PhoneNumbers[0]", **connectors[0], E164PhoneNumbers=["+0"])
    api.unknown("VoiceConnectorId", UNKNOWN, "NotFoundException", associate, disassociate)
    for connector in connectors:
        api.answers("DeleteVoiceConnector", **connector)


def errors(*expected):
    """Whether an answer has these numbers and codes in its PhoneNumberErrors, each with a message."""
    wanted = [(number.replace("+", "%2B"), code) for number, code in expected]

    def are(answer):
        told = answer["PhoneNumberErrors"]
        return [(one["PhoneNumberId"], one["ErrorCode"]) for one in told] == wanted and all(
            one["ErrorMessage"] for one in told
        )

    return are
