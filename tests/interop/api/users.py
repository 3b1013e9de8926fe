"""Phone numbers of users, and calls out of meetings: `chime` alone has them."""

from .site import ACCOUNT_ID, USER_ID, unknown_id

NEEDS = "AssociatePhoneNumberWithUser"


def check(api, site):
    ada = {"AccountId": ACCOUNT_ID, "UserId": USER_ID}
    bob = ada | {"UserId": "bob"}
    numbers = site.order(3)
    associate, disassociate = "AssociatePhoneNumberWithUser", "DisassociatePhoneNumberFromUser"
    api.answers(associate, **ada, E164PhoneNumber=numbers[0])
    api.depends(associate, "BadRequestException", numbers[0], **bob, E164PhoneNumber=numbers[0])
    api.depends(associate, "BadRequestException", "CreatePhoneNumberOrder", **ada, E164PhoneNumber="+12065559999")
    connector = {"VoiceConnectorId": site.connector("users")}
    api.answers("AssociatePhoneNumbersWithVoiceConnector", **connector, E164PhoneNumbers=numbers[1:2])
    api.depends(associate, "BadRequestException", numbers[1], **ada, E164PhoneNumber=numbers[1])
    api.answers("DisassociatePhoneNumbersFromVoiceConnector", **connector, E164PhoneNumbers=numbers[1:2])
    api.answers("DeleteVoiceConnector", **connector)
    api.answers(disassociate, **ada)
    # The number is free for another user now.
    api.answers(associate, **bob, E164PhoneNumber=numbers[0])
    api.answers(disassociate, **bob)
    api.refuses(associate, "E164PhoneNumber", **ada, E164PhoneNumber="reception")
    api.unknown("UserId", "nobody", "NotFoundException", associate, disassociate)

    dial_out = "CreateMeetingDialOut"
    call = {
        "MeetingId": unknown_id(), "FromPhoneNumber": numbers[0], "ToPhoneNumber": "+12065550177", "JoinToken": "abcd",
    }
    api.unserved(dial_out, "BadRequestException", "no meeting", **call)
    api.depends(dial_out, "BadRequestException", "CreatePhoneNumberOrder", **call | {"FromPhoneNumber": "+12065559999"})
    api.refuses(dial_out, "MeetingId", **call | {"MeetingId": "standup"})
    api.refuses(dial_out, "JoinToken", **call | {"JoinToken": "!"})
