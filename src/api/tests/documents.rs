//! Configurations that are documents: all of one behaviour.

use super::numbers::order;
use super::*;

/// Path below a connector, what is put, what is answered, and a wrong body with its refusal.
fn configurations() -> Vec<(&'static str, Value, Value, Value, &'static str)> {
    let streaming = json!({"StreamingConfiguration": {
        "DataRetentionInHours": 24,
        "Disabled": false,
        "StreamingNotificationTargets": [{"NotificationTarget": "SQS"}],
    }});
    let logging = json!({"LoggingConfiguration": {"EnableSIPLogs": true}});
    let emergency = json!({"EmergencyCallingConfiguration": {
        "DNIS": [{"EmergencyPhoneNumber": "+19165550100", "CallingCountry": "US"}],
    }});
    let external = json!({
        "SessionBorderControllerTypes": ["RIBBON_SBC"],
        "ContactCenterSystemTypes": ["GENESYS_ENGAGE_ON_PREMISES"],
    });
    let proxy = json!({
        "DefaultSessionExpiryMinutes": 60,
        "PhoneNumberPoolCountries": ["US", "CA"],
        "FallBackPhoneNumber": "+12065550100",
    });
    let answered_proxy = json!({"Proxy": {
        "DefaultSessionExpiryMinutes": 60,
        "PhoneNumberCountries": ["US", "CA"],
        "FallBackPhoneNumber": "+12065550100",
        "Disabled": false,
    }});
    vec![
        (
            "streaming-configuration",
            streaming.clone(),
            streaming,
            json!({"StreamingConfiguration": {"DataRetentionInHours": -1}}),
            "StreamingConfiguration.DataRetentionInHours: expected an integer, at least 0",
        ),
        (
            "logging-configuration",
            logging.clone(),
            logging,
            json!({"LoggingConfiguration": {"EnableSIPLogs": 1}}),
            "LoggingConfiguration.EnableSIPLogs: expected true or false",
        ),
        (
            "emergency-calling-configuration",
            emergency.clone(),
            emergency,
            json!({"EmergencyCallingConfiguration": {"DNIS": [{"CallingCountry": "US"}]}}),
            "EmergencyCallingConfiguration.DNIS[0].EmergencyPhoneNumber is required",
        ),
        (
            "external-systems-configuration",
            external.clone(),
            json!({"ExternalSystemsConfiguration": external}),
            json!({"ContactCenterSystemTypes": ["PAPER"]}),
            "ContactCenterSystemTypes[0]: expected one of GENESYS_ENGAGE_ON_PREMISES, \
             AVAYA_AURA_CALL_CENTER_ELITE, AVAYA_AURA_CONTACT_CENTER, \
             CISCO_UNIFIED_CONTACT_CENTER_ENTERPRISE",
        ),
        (
            "programmable-numbers/proxy",
            proxy,
            answered_proxy,
            json!({"DefaultSessionExpiryMinutes": 60, "PhoneNumberPoolCountries": []}),
            "PhoneNumberPoolCountries: expected a list of 1 to 100 elements",
        ),
    ]
}

const OWN: &str = "+12065550101";

/// A node, and the path of a connector that may have every configuration.
async fn open() -> (Api, String) {
    let api = Api::open().await;
    order(&api, &[OWN]).await;
    let connector = api.connector_with(&[OWN]).await;
    (api, connector)
}

#[tokio::test]
async fn a_configuration_is_put_read_and_deleted() {
    let (api, connector) = open().await;
    for (below, put, answered, _, _) in configurations() {
        let path = format!("{connector}/{below}");
        let missing = refused(api.get(&path).await);
        assert_eq!(missing.0, "NotFoundException", "{below}");
        assert_eq!(api.put(&path, put.clone()).await.unwrap(), answered);
        assert_eq!(api.get(&path).await.unwrap(), answered);
        let another = api.call_as("999999999999", Method::GET, &path, b"").await;
        assert_eq!(another.unwrap_err().exception(), "NotFoundException");
        if below != "logging-configuration" {
            api.delete(&path).await.unwrap();
            assert_eq!(refused(api.get(&path).await), missing);
            api.delete(&path).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_refused_by_name_and_changes_nothing() {
    let (api, connector) = open().await;
    for (below, put, answered, wrong, message) in configurations() {
        let path = format!("{connector}/{below}");
        api.put(&path, put).await.unwrap();
        let result = api.put(&path, wrong).await;
        assert_eq!(refused(result), bad_request(message));
        assert_eq!(api.get(&path).await.unwrap(), answered);
        let nowhere = format!("/voice-connectors/{NOBODY}/{below}");
        assert_eq!(refused(api.get(&nowhere).await).0, "NotFoundException");
    }
}

#[tokio::test]
async fn what_no_declaration_names_is_not_kept() {
    let api = Api::open().await;
    let path = format!("{}/logging-configuration", api.connector().await);
    let body = json!({"LoggingConfiguration": {"EnableSIPLogs": true, "Colour": "red", "EnableMediaMetricLogs": null}});
    let kept = json!({"LoggingConfiguration": {"EnableSIPLogs": true}});
    assert_eq!(api.put(&path, body).await.unwrap(), kept);
}

#[tokio::test]
async fn a_connector_goes_with_its_configurations_and_not_with_an_emergency_one() {
    let (api, connector) = open().await;
    for (below, put, ..) in configurations() {
        api.put(&format!("{connector}/{below}"), put).await.unwrap();
    }
    let (exception, message) = refused(api.delete(&connector).await);
    assert_eq!(exception, "ConflictException");
    assert!(
        message.contains("DeleteVoiceConnectorEmergencyCallingConfiguration"),
        "{message}"
    );
    let emergency = format!("{connector}/emergency-calling-configuration");
    api.delete(&emergency).await.unwrap();
    let disassociate = format!("{connector}?operation=disassociate-phone-numbers");
    let number = json!({"E164PhoneNumbers": [OWN]});
    api.post(StatusCode::OK, &disassociate, number)
        .await
        .unwrap();
    api.delete(&connector).await.unwrap();
    for (below, ..) in configurations() {
        let result = api.get(&format!("{connector}/{below}")).await;
        assert_eq!(refused(result).0, "NotFoundException", "{below}");
    }
}

#[tokio::test]
async fn an_address_is_validated_as_far_as_it_is_known() {
    let address = |number: &str, street: &str| {
        json!({
            "AwsAccountId": ACCOUNT,
            "StreetNumber": number,
            "StreetInfo": street,
            "City": "Seattle",
            "State": "WA",
            "Country": "US",
            "PostalCode": "98101",
        })
    };
    let mut api = Api::open().await;
    let validate = async |api: &Api, body| {
        let path = "/emergency-calling/address";
        api.post(StatusCode::ACCEPTED, path, body).await.unwrap()
    };
    // Without a table an address only gets its one way to be written.
    let corrected = validate(&api, address("12", "North Main Street")).await;
    assert_eq!(corrected["ValidationResult"], 1);
    assert_eq!(corrected["Address"]["streetName"], "MAIN");
    let perfect = validate(&api, address("12", "N Main St")).await;
    assert_eq!(perfect["ValidationResult"], 0);
    assert_eq!(perfect["AddressExternalId"], corrected["AddressExternalId"]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("addresses.tsv");
    std::fs::write(&file, "14\tN Main St\tSeattle\tWA\t98101-2000\tUS\n").unwrap();
    api.state.e911_addresses = AddressTable::read(&file).unwrap();
    let found = validate(&api, address("14", "N Main St")).await;
    assert_eq!(found["Address"]["postalCodePlus4"], "2000");
    let unknown = validate(&api, address("12", "N Main St")).await;
    assert_eq!(unknown["ValidationResult"], 2);
    assert_eq!(unknown["CandidateAddressList"][0]["streetNumber"], "14");
    assert_eq!(unknown.get("Address"), None);

    std::fs::write(&file, "14 N Main St\n").unwrap();
    let error = AddressTable::read(&file).unwrap_err();
    assert!(error.ends_with("line 1: expected street number, street, city, state, postal code and country, with tabs between them"), "{error}");
    let mut blank = address("14", "N Main St");
    blank["City"] = json!(" ");
    let result = api
        .post(StatusCode::ACCEPTED, "/emergency-calling/address", blank)
        .await;
    assert_eq!(
        refused(result),
        bad_request("City: expected a string that is not blank")
    );
}
