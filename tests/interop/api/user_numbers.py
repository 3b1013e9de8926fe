"""What else may be done with a number that a user has: it must be disassociated before it can be deleted
(DeletePhoneNumber, BatchDeletePhoneNumber), and goes to a connector by ForceAssociate alone."""

from .numbers import errors
from .site import ACCOUNT_ID, USER_ID

NEEDS = "AssociatePhoneNumberWithUser"


def check(api, site):
    ada = {"AccountId": ACCOUNT_ID, "UserId": USER_ID}
    number = site.order(1)[0]
    taken = errors((number, "PhoneNumberAssociationsExist"))
    api.answers("AssociatePhoneNumberWithUser", **ada, E164PhoneNumber=number)
    connector = {"VoiceConnectorId": site.connector("users")}
    api.reports("AssociatePhoneNumbersWithVoiceConnector", taken, **connector, E164PhoneNumbers=[number])
    api.reports("BatchDeletePhoneNumber", taken, PhoneNumberIds=[number])
    api.depends("DeletePhoneNumber", "BadRequestException", number, PhoneNumberId=number)
    api.answers("DisassociatePhoneNumberFromUser", **ada)
    api.answers("DeletePhoneNumber", PhoneNumberId=number)
    api.answers("DeleteVoiceConnector", **connector)
