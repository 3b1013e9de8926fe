//! What holds for all numbers of an account.

use super::*;

const SETTINGS: &str = "/settings/phone-number";

async fn update(api: &Api, name: &str) -> Result<Value, ApiError> {
    let body = json!({"CallingName": name});
    api.expect(StatusCode::NO_CONTENT, Method::PUT, SETTINGS, body)
        .await
}

#[tokio::test]
async fn the_default_calling_name_is_updated_once_in_seven_days() {
    let api = Api::open().await;
    let unset = json!({"CallingName": null, "CallingNameUpdatedTimestamp": null});
    assert_eq!(api.get(SETTINGS).await.unwrap(), unset);
    update(&api, "Example").await.unwrap();
    let set = api.get(SETTINGS).await.unwrap();
    assert_eq!(set["CallingName"], "Example");
    assert!(set["CallingNameUpdatedTimestamp"].is_string());

    pass(7 * 24 - 1);
    let (exception, message) = refused(update(&api, "Other").await);
    assert_eq!(exception, "BadRequestException");
    assert!(
        message.starts_with("CallingName: the default calling name is updated once in seven days"),
        "{message}"
    );
    // The name that is there is no update.
    update(&api, "Example").await.unwrap();
    assert_eq!(api.get(SETTINGS).await.unwrap(), set);
    pass(1);
    update(&api, "").await.unwrap();
    assert_eq!(api.get(SETTINGS).await.unwrap()["CallingName"], "");

    let another = api
        .call_as("999999999999", Method::GET, SETTINGS, b"")
        .await;
    assert_eq!(another.unwrap().1, unset);
}

#[tokio::test]
async fn a_default_calling_name_that_is_wrong_is_refused_by_name() {
    let api = Api::open().await;
    let form = "CallingName: expected 2 to 15 letters, digits and spaces, or nothing";
    for name in ["a", "sixteen letters!", "sixteen1letters2"] {
        assert_eq!(
            refused(update(&api, name).await),
            bad_request(form),
            "{name}"
        );
    }
    let missing = api.put(SETTINGS, json!({})).await;
    assert_eq!(refused(missing), bad_request("CallingName is required"));
}

#[tokio::test]
async fn countries_are_those_of_the_pools() {
    let mut api = Api::open().await;
    api.state.number_pools.push(NumberPool {
        numbers: 442_071_838_700..=442_071_838_799,
        country: "GB".into(),
        state: String::new(),
        city: String::new(),
        toll_free: false,
    });
    let gb = json!({"CountryCode": "GB", "SupportedPhoneNumberTypes": ["Local"]});
    let us = json!({"CountryCode": "US", "SupportedPhoneNumberTypes": ["Local", "TollFree"]});
    let us_local = json!({"CountryCode": "US", "SupportedPhoneNumberTypes": ["Local"]});
    for (product_type, countries) in [
        ("VoiceConnector", json!([gb, us])),
        ("SipMediaApplicationDialIn", json!([gb, us])),
        ("BusinessCalling", json!([us_local])),
    ] {
        let path = format!("/phone-number-countries?product-type={product_type}");
        let output = api.get(&path).await.unwrap();
        assert_eq!(output, json!({"PhoneNumberCountries": countries}));
    }
    for (query, message) in [
        ("", "ProductType is required"),
        (
            "?product-type=Fax",
            "ProductType: expected one of VoiceConnector, SipMediaApplicationDialIn, BusinessCalling",
        ),
    ] {
        let result = api.get(&format!("/phone-number-countries{query}")).await;
        assert_eq!(refused(result), bad_request(message));
    }
}
