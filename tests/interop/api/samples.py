"""The sample requests of the Amazon Chime API Reference (API version 2018-05-01), and what their sample answers look like.

An answer is told by the names and the JSON types of its members. The page's ids stand as {names}: a replay puts in those of what
it has made. Where the page cuts a line short, the members that are missing are those of its Response Syntax; of the page's
misprints the service model has the right name ("Voice Connector" as a key or a value is VoiceConnector, "FallbackPhoneNumber"
is FallBackPhoneNumber).
"""

from typing import NamedTuple

NULL = object()
"""The page has `null` here: what the model has for the member is right too, and so is no member."""


class Sample(NamedTuple):
    """One request and its answer."""

    action: str
    method: str
    path: str
    body: object
    status: int
    answer: object = None
    """`None` where there is no body."""
    exception: str = None
    """Where a node refuses what the page shows, or what it describes without a sample."""


VOICE_CONNECTOR = {"VoiceConnector": {
    "AwsRegion": str, "CreatedTimestamp": str, "Name": str, "OutboundHostName": str, "RequireEncryption": bool,
    "UpdatedTimestamp": str, "VoiceConnectorId": str,
}}
GROUP = {"VoiceConnectorGroup": {
    "CreatedTimestamp": str, "Name": str, "UpdatedTimestamp": str, "VoiceConnectorGroupId": str, "VoiceConnectorItems": [],
}}
ORDER = {"PhoneNumberOrder": {
    "CreatedTimestamp": str, "OrderedPhoneNumbers": [{"E164PhoneNumber": str, "Status": str}],
    "PhoneNumberOrderId": str, "ProductType": str, "Status": str, "UpdatedTimestamp": str,
}}
CAPABILITIES = dict.fromkeys(
    ("InboundCall", "InboundMMS", "InboundSMS", "OutboundCall", "OutboundMMS", "OutboundSMS"), bool,
)
PHONE_NUMBER = {"PhoneNumber": {
    "Associations": [], "CallingName": NULL, "CallingNameStatus": str, "Capabilities": CAPABILITIES,
    "CreatedTimestamp": str, "DeletionTimestamp": NULL, "E164PhoneNumber": str, "PhoneNumberId": str, "ProductType": str,
    "Status": str, "Type": str, "UpdatedTimestamp": str,
}}
ASSOCIATED = {"PhoneNumber": PHONE_NUMBER["PhoneNumber"] | {
    "Associations": [{"AssociatedTimestamp": str, "Name": str, "Value": str}],
}}
NAMED = {"PhoneNumber": PHONE_NUMBER["PhoneNumber"] | {"CallingName": str}}
PROXY_SESSION = {"ProxySession": {
    "Capabilities": [str], "CreatedTimestamp": str, "EndedTimestamp": NULL, "ExpiryMinutes": int,
    "Participants": [{"PhoneNumber": str, "ProxyPhoneNumber": str}], "ProxySessionId": str, "Status": str,
    "UpdatedTimestamp": str, "VoiceConnectorId": str,
}}
PROXY = {"Proxy": {
    "DefaultSessionExpiryMinutes": int, "Disabled": bool, "FallBackPhoneNumber": NULL, "PhoneNumberCountries": [str],
}}
LOGGING = {"LoggingConfiguration": {"EnableSIPLogs": bool}}
ROUTE = {"Host": "10.24.34.0", "Port": 1234, "Protocol": "TCP", "Priority": 1, "Weight": 5}
ORIGINATION = {"Origination": {
    "Disabled": bool, "Routes": [{"Host": str, "Port": int, "Priority": int, "Protocol": str, "Weight": int}],
}}
STREAMING = {"StreamingConfiguration": {"DataRetentionInHours": int, "Disabled": bool}}
TERMINATION = {"Termination": {
    "CallingRegions": [str], "CidrAllowedList": [str], "CpsLimit": int, "DefaultPhoneNumber": NULL, "Disabled": bool,
}}
TERMINATION_OF_NUMBER = {"Termination": TERMINATION["Termination"] | {"DefaultPhoneNumber": str}}
NO_ERRORS = {"PhoneNumberErrors": []}
TWO = ["+12065550100", "+12065550101"]
IDS = ["%2B12065550100", "%2B12065550101"]
NUMBER = "/phone-numbers/%2B12065550100"
CONNECTOR = "/voice-connectors/{connector}"
CREDENTIALS = CONNECTOR + "/termination/credentials"
GROUP_PATH = "/voice-connector-groups/{group}"
PROXY_PATH = CONNECTOR + "/programmable-numbers/proxy"
SESSION_PATH = CONNECTOR + "/proxy-sessions/{session}"
USER_PATH = "/accounts/12a3456b-7c89-012d-3456-78901e23fg45/users/1ab2345c-67de-8901-f23g-45h678901j2k"

SHOWN = (
    Sample("AssociatePhoneNumbersWithVoiceConnector", "POST", CONNECTOR + "?operation=associate-phone-numbers",
           {"E164PhoneNumbers": TWO, "ForceAssociate": True}, 200, NO_ERRORS),
    Sample("AssociatePhoneNumbersWithVoiceConnectorGroup", "POST", GROUP_PATH + "?operation=associate-phone-numbers",
           {"E164PhoneNumbers": TWO, "ForceAssociate": True}, 200, NO_ERRORS),
    Sample("AssociatePhoneNumberWithUser", "POST", USER_PATH + "?operation=associate-phone-number",
           {"E164PhoneNumber": TWO[0]}, 200, {}),
    Sample("BatchDeletePhoneNumber", "POST", "/phone-numbers?operation=batch-delete", {"PhoneNumberIds": IDS}, 200, NO_ERRORS),
    Sample("BatchUpdatePhoneNumber", "POST", "/phone-numbers?operation=batch-update", {"UpdatePhoneNumberRequestItems": [
        {"PhoneNumberId": IDS[0], "ProductType": "BusinessCalling"},
        {"PhoneNumberId": IDS[1], "ProductType": "VoiceConnector"},
    ]}, 200, NO_ERRORS),
    Sample("BatchUpdatePhoneNumber", "POST", "/phone-numbers?operation=batch-update", {"UpdatePhoneNumberRequestItems": [
        {"PhoneNumberId": IDS[0], "CallingName": "phonenumber1"},
        {"PhoneNumberId": IDS[1], "CallingName": "phonenumber2"},
    ]}, 200, NO_ERRORS),
    Sample("CreatePhoneNumberOrder", "POST", "/phone-number-orders",
           {"ProductType": "BusinessCalling", "E164PhoneNumbers": TWO}, 201, ORDER),
    Sample("CreateProxySession", "POST", CONNECTOR + "/proxy-sessions",
           {"ParticipantPhoneNumbers": ["+14015550101", TWO[0]], "Capabilities": ["Voice", "SMS"]}, 201, PROXY_SESSION),
    Sample("CreateVoiceConnector", "POST", "/voice-connectors",
           {"Name": "newVoiceConnector", "AwsRegion": "us-west-2", "RequireEncryption": True}, 201, VOICE_CONNECTOR),
    Sample("CreateVoiceConnectorGroup", "POST", "/voice-connector-groups",
           {"Name": "myGroup", "VoiceConnectorItems": [{"VoiceConnectorId": "{connector}", "Priority": 2}]}, 201, GROUP),
    Sample("DeletePhoneNumber", "DELETE", NUMBER, None, 204),
    Sample("DeleteProxySession", "DELETE", SESSION_PATH, None, 204),
    Sample("DeleteVoiceConnector", "DELETE", CONNECTOR, None, 204),
    Sample("DeleteVoiceConnectorGroup", "DELETE", GROUP_PATH, None, 204),
    Sample("DeleteVoiceConnectorOrigination", "DELETE", CONNECTOR + "/origination", None, 204),
    Sample("DeleteVoiceConnectorProxy", "DELETE", PROXY_PATH, None, 204),
    Sample("DeleteVoiceConnectorStreamingConfiguration", "DELETE", CONNECTOR + "/streaming-configuration", None, 204),
    Sample("DeleteVoiceConnectorTermination", "DELETE", CONNECTOR + "/termination", None, 204),
    Sample("DeleteVoiceConnectorTerminationCredentials", "POST", CREDENTIALS + "?operation=delete",
           {"Usernames": ["jdoe"]}, 204),
    Sample("DisassociatePhoneNumberFromUser", "POST", USER_PATH + "?operation=disassociate-phone-number", None, 200, {}),
    Sample("DisassociatePhoneNumbersFromVoiceConnector", "POST", CONNECTOR + "?operation=disassociate-phone-numbers",
           {"E164PhoneNumbers": TWO[:1]}, 200, NO_ERRORS),
    Sample("DisassociatePhoneNumbersFromVoiceConnectorGroup", "POST", GROUP_PATH + "?operation=disassociate-phone-numbers",
           {"E164PhoneNumbers": TWO}, 200, NO_ERRORS),
    Sample("GetGlobalSettings", "GET", "/settings", None, 200,
           {"BusinessCalling": {"CdrBucket": str}, "VoiceConnector": {"CdrBucket": str}}),
    Sample("GetPhoneNumber", "GET", NUMBER, None, 200, ASSOCIATED),
    Sample("GetPhoneNumberOrder", "GET", "/phone-number-orders/{order}", None, 200, ORDER),
    Sample("GetPhoneNumberSettings", "GET", "/settings/phone-number", None, 200,
           {"CallingName": str, "CallingNameUpdatedTimestamp": str}),
    Sample("GetProxySession", "GET", SESSION_PATH, None, 200, PROXY_SESSION),
    Sample("GetVoiceConnector", "GET", CONNECTOR, None, 200, VOICE_CONNECTOR),
    Sample("GetVoiceConnectorGroup", "GET", GROUP_PATH, None, 200, GROUP),
    Sample("GetVoiceConnectorLoggingConfiguration", "GET", CONNECTOR + "/logging-configuration", None, 200, LOGGING),
    Sample("GetVoiceConnectorOrigination", "GET", CONNECTOR + "/origination", None, 200, ORIGINATION),
    Sample("GetVoiceConnectorProxy", "GET", PROXY_PATH, None, 200, PROXY),
    Sample("GetVoiceConnectorStreamingConfiguration", "GET", CONNECTOR + "/streaming-configuration", None, 200, STREAMING),
    Sample("GetVoiceConnectorTermination", "GET", CONNECTOR + "/termination", None, 200, TERMINATION_OF_NUMBER),
    # The page writes this one time as `date` does; the model has ISO 8601.
    Sample("GetVoiceConnectorTerminationHealth", "GET", CONNECTOR + "/termination/health", None, 200,
           {"TerminationHealth": {"Source": str, "Timestamp": str}}),
    Sample("ListPhoneNumberOrders", "GET", "/phone-number-orders", None, 200,
           {"NextToken": NULL, "PhoneNumberOrders": [ORDER["PhoneNumberOrder"]]}),
    Sample("ListPhoneNumbers", "GET", "/phone-numbers", None, 200,
           {"NextToken": NULL, "PhoneNumbers": [PHONE_NUMBER["PhoneNumber"]]}),
    Sample("ListProxySessions", "GET", CONNECTOR + "/proxy-sessions", None, 200,
           {"NextToken": NULL, "ProxySessions": [PROXY_SESSION["ProxySession"]]}),
    Sample("ListVoiceConnectorGroups", "GET", "/voice-connector-groups", None, 200,
           {"NextToken": NULL, "VoiceConnectorGroups": [GROUP["VoiceConnectorGroup"]]}),
    Sample("ListVoiceConnectors", "GET", "/voice-connectors", None, 200,
           {"NextToken": NULL, "VoiceConnectors": [VOICE_CONNECTOR["VoiceConnector"]]}),
    Sample("ListVoiceConnectorTerminationCredentials", "GET", CREDENTIALS, None, 200, {"Usernames": [str]}),
    Sample("PutVoiceConnectorLoggingConfiguration", "PUT", CONNECTOR + "/logging-configuration",
           {"LoggingConfiguration": {"EnableSIPLogs": True}}, 200, LOGGING),
    Sample("PutVoiceConnectorOrigination", "PUT", CONNECTOR + "/origination",
           {"Origination": {"Routes": [ROUTE], "Disabled": False}}, 200, ORIGINATION),
    # A line of the answer is garbled: PhoneNumberCountries is what the page's GetVoiceConnectorProxy has there.
    Sample("PutVoiceConnectorProxy", "PUT", PROXY_PATH,
           {"DefaultSessionExpiryMinutes": 60, "PhoneNumberPoolCountries": ["US"]}, 200, PROXY),
    Sample("PutVoiceConnectorStreamingConfiguration", "PUT", CONNECTOR + "/streaming-configuration",
           {"StreamingConfiguration": {"DataRetentionInHours": 24, "Disabled": False}}, 200, STREAMING),
    Sample("PutVoiceConnectorTermination", "PUT", CONNECTOR + "/termination", {"Termination": {
        "CallingRegions": ["US"], "CidrAllowedList": ["10.24.34.0/23"], "Disabled": False,
    }}, 200, TERMINATION),
    Sample("PutVoiceConnectorTerminationCredentials", "POST", CREDENTIALS + "?operation=put",
           {"Credentials": [{"Username": "jdoe", "Password": "XXXXXXXX"}]}, 204),
    Sample("RestorePhoneNumber", "POST", NUMBER + "?operation=restore", None, 200, NAMED),
    Sample("SearchAvailablePhoneNumbers", "GET", "/search?type=phone-numbers&area-code=206", None, 200,
           {"E164PhoneNumbers": [str], "NextToken": NULL}),
    Sample("SearchAvailablePhoneNumbers", "GET", "/search?type=phone-numbers&country=GB&phone-number-type=Local", None, 200,
           {"E164PhoneNumbers": [str], "NextToken": NULL}),
    Sample("UpdateGlobalSettings", "PUT", "/settings",
           {"BusinessCalling": {"CdrBucket": "s3bucket"}, "VoiceConnector": {"CdrBucket": "s3bucket"}}, 204),
    Sample("UpdatePhoneNumber", "POST", NUMBER, {"ProductType": "BusinessCalling"}, 200, PHONE_NUMBER),
    Sample("UpdatePhoneNumber", "POST", NUMBER, {"CallingName": "phonenumber2"}, 200, NAMED),
    Sample("UpdatePhoneNumberSettings", "PUT", "/settings/phone-number", {"CallingName": "myName"}, 204),
    Sample("UpdateProxySession", "POST", SESSION_PATH, {"Capabilities": ["Voice"]}, 201, PROXY_SESSION),
    Sample("UpdateVoiceConnector", "PUT", CONNECTOR, {"Name": "newName", "RequireEncryption": True}, 200, VOICE_CONNECTOR),
    # "Voice Connector": null within an item is a member that neither the page's data type nor the model has.
    Sample("UpdateVoiceConnectorGroup", "PUT", GROUP_PATH, {
        "Name": "newGroupName", "VoiceConnectorItems": [{"VoiceConnectorId": "{connector}", "Priority": 1}],
    }, 202, {"VoiceConnectorGroup": GROUP["VoiceConnectorGroup"] | {
        "VoiceConnectorItems": [{"Priority": int, "VoiceConnectorId": str}],
    }}),
)

APPLICATION = {"SipMediaApplication": {
    "AwsRegion": str, "CreatedTimestamp": str, "Endpoints": [{"LambdaArn": str}], "Name": str,
    "SipMediaApplicationId": str, "UpdatedTimestamp": str,
}}
APPLICATION_PATH = "/sip-media-applications/{application}"
APPLICATION_LOGGING = {"SipMediaApplicationLoggingConfiguration": {"EnableSipMediaApplicationMessageLogs": bool}}
FUNCTION = {"LambdaArn": "arn:aws:lambda:us-east-1:111122223333:function:ivr"}
RULE = {"SipRule": {
    "CreatedTimestamp": str, "Disabled": bool, "Name": str, "SipRuleId": str, "TriggerType": str, "TriggerValue": str,
    "TargetApplications": [{"AwsRegion": str, "Priority": int, "SipMediaApplicationId": str}], "UpdatedTimestamp": str,
}}
TARGETS = [{"AwsRegion": "us-east-1", "Priority": 1, "SipMediaApplicationId": "{application}"}]
EMERGENCY_PATH = CONNECTOR + "/emergency-calling-configuration"
EMERGENCY = {"EmergencyCallingConfiguration": {
    "DNIS": [{"CallingCountry": str, "EmergencyPhoneNumber": str, "TestPhoneNumber": str}],
}}

DESCRIBED = (
    # These the page describes without a sample: requests are made by its Request Syntax, answers are its Response Syntax.
    # No meeting is held on a node: the error that the action declares for a wrong request is the answer.
    Sample("CreateMeetingDialOut", "POST", "/meetings/12345678-1234-1234-1234-123456789012/dial-outs",
           {"FromPhoneNumber": TWO[0], "JoinToken": "abcd", "ToPhoneNumber": "+12065550177"}, 400,
           exception="BadRequestException"),
    Sample("CreateSipMediaApplication", "POST", "/sip-media-applications",
           {"AwsRegion": "us-east-1", "Endpoints": [FUNCTION], "Name": "ivr"}, 201, APPLICATION),
    # A node invokes no functions, so it places no call for one, and has none to update.
    Sample("CreateSipMediaApplicationCall", "POST", APPLICATION_PATH + "/calls",
           {"FromPhoneNumber": TWO[0], "SipHeaders": {"X-Team": "voice"}, "ToPhoneNumber": "+12065550177"}, 400,
           exception="BadRequestException"),
    Sample("UpdateSipMediaApplicationCall", "POST", APPLICATION_PATH + "/calls/12345678-1234-1234-1234-123456789012",
           {"Arguments": {"team": "voice"}}, 404, exception="NotFoundException"),
    Sample("CreateSipRule", "POST", "/sip-rules", {
        "Disabled": False, "Name": "reception", "TargetApplications": TARGETS, "TriggerType": "ToPhoneNumber",
        "TriggerValue": TWO[0],
    }, 201, RULE),
    Sample("DeleteSipMediaApplication", "DELETE", APPLICATION_PATH, None, 204),
    Sample("DeleteSipRule", "DELETE", "/sip-rules/{rule}", None, 204),
    Sample("DeleteVoiceConnectorEmergencyCallingConfiguration", "DELETE", EMERGENCY_PATH, None, 204),
    Sample("GetSipMediaApplication", "GET", APPLICATION_PATH, None, 200, APPLICATION),
    Sample("GetSipMediaApplicationLoggingConfiguration", "GET", APPLICATION_PATH + "/logging-configuration", None, 200,
           APPLICATION_LOGGING),
    Sample("GetSipRule", "GET", "/sip-rules/{rule}", None, 200, RULE),
    Sample("GetVoiceConnectorEmergencyCallingConfiguration", "GET", EMERGENCY_PATH, None, 200, EMERGENCY),
    Sample("ListSipMediaApplications", "GET", "/sip-media-applications?max-results=10", None, 200,
           {"NextToken": NULL, "SipMediaApplications": [APPLICATION["SipMediaApplication"]]}),
    Sample("ListSipRules", "GET", "/sip-rules?max-results=10&sip-media-application={application}", None, 200,
           {"NextToken": NULL, "SipRules": [RULE["SipRule"]]}),
    Sample("ListSupportedPhoneNumberCountries", "GET", "/phone-number-countries?product-type=VoiceConnector", None, 200,
           {"PhoneNumberCountries": [{"CountryCode": str, "SupportedPhoneNumberTypes": [str]}]}),
    Sample("ListTagsForResource", "GET", "/tags?arn={arn}", None, 200, {"Tags": [{"Key": str, "Value": str}]}),
    Sample("PutSipMediaApplicationLoggingConfiguration", "PUT", APPLICATION_PATH + "/logging-configuration",
           {"SipMediaApplicationLoggingConfiguration": {"EnableSipMediaApplicationMessageLogs": True}}, 200,
           APPLICATION_LOGGING),
    Sample("PutVoiceConnectorEmergencyCallingConfiguration", "PUT", EMERGENCY_PATH, {"EmergencyCallingConfiguration": {
        "DNIS": [{"CallingCountry": "US", "EmergencyPhoneNumber": "+12065550911", "TestPhoneNumber": "+12065550922"}],
    }}, 200, EMERGENCY),
    Sample("TagResource", "POST", "/tags?operation=tag-resource",
           {"ResourceARN": "{arn}", "Tags": [{"Key": "team", "Value": "voice"}]}, 204),
    Sample("UntagResource", "POST", "/tags?operation=untag-resource", {"ResourceARN": "{arn}", "TagKeys": ["team"]}, 204),
    Sample("UpdateSipMediaApplication", "PUT", APPLICATION_PATH, {"Endpoints": [FUNCTION], "Name": "desk"}, 200, APPLICATION),
    Sample("UpdateSipRule", "PUT", "/sip-rules/{rule}",
           {"Disabled": True, "Name": "night", "TargetApplications": TARGETS}, 202, RULE),
    Sample("ValidateE911Address", "POST", "/emergency-calling/address", {
        "AwsAccountId": "111122223333", "City": "Seattle", "Country": "US", "PostalCode": "98101", "State": "WA",
        "StreetInfo": "North Main Street", "StreetNumber": "12",
    }, 202, {
        "Address": {
            "city": str, "country": str, "postalCode": str, "postalCodePlus4": NULL, "postDirectional": NULL,
            "preDirectional": NULL, "state": str, "streetName": str, "streetNumber": str, "streetSuffix": NULL,
        },
        "AddressExternalId": str, "CandidateAddressList": [], "ValidationResult": int,
    }),
)
