"""Addresses for emergency calls. The node's table has 12 and 14 N Main St, Seattle."""

MAIN_STREET = {
    "StreetNumber": "12", "StreetInfo": "N MAIN ST", "City": "SEATTLE", "State": "WA", "PostalCode": "98101",
    "Country": "US",
}


def check(api, site):
    validate = "ValidateE911Address"
    right = {"AwsAccountId": site.account, **MAIN_STREET}
    as_sent = api.answers(validate, {"ValidationResult": 0, "Address": {
        "streetNumber": "12", "streetName": "MAIN", "streetSuffix": "ST", "preDirectional": "N", "city": "SEATTLE",
        "state": "WA", "postalCode": "98101", "country": "US",
    }}, **right)
    written = right | {"StreetInfo": "North Main Street", "City": "Seattle"}
    api.answers(validate, {"ValidationResult": 1, "AddressExternalId": as_sent["AddressExternalId"]}, **written)
    # What an operator's table does not have is answered with what is near it.
    unknown = api.reports(validate, {"ValidationResult": 2}, **right | {"StreetNumber": "13"})
    near = [one["streetNumber"] for one in unknown["CandidateAddressList"]]
    assert sorted(near) == ["12", "14"], unknown
    for name in MAIN_STREET:
        api.refuses(validate, name, **right | {name: " "})
