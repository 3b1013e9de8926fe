use super::*;

pub(super) async fn order(api: &Api, numbers: &[&str]) -> Value {
    let body = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": numbers});
    let output = api.post(StatusCode::CREATED, "/phone-number-orders", body);
    output.await.unwrap()["PhoneNumberOrder"].take()
}

pub(super) async fn associate(api: &Api, connector: &str, body: Value) -> Value {
    let path = format!("{connector}?operation=associate-phone-numbers");
    let output = api.post(StatusCode::OK, &path, body).await.unwrap();
    output["PhoneNumberErrors"].clone()
}

#[tokio::test]
async fn a_search_finds_what_nobody_has_in_pages() {
    let api = Api::open().await;
    order(&api, &["+12065550100", "+12065550103"]).await;
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let path =
            format!("/search?type=phone-numbers&area-code=206&max-results=3&next-token={token}");
        let page = api.get(&path).await.unwrap();
        let numbers = page["E164PhoneNumbers"].as_array().unwrap();
        assert!((1..=3).contains(&numbers.len()));
        found.extend(numbers.iter().map(|n| n.as_str().unwrap().to_owned()));
        match page["NextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let expected: Vec<String> = [101, 102, 104, 105, 106, 107, 108, 109]
        .map(|n| format!("+12065550{n}"))
        .into();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_search_is_narrowed_by_each_of_its_members() {
    let api = Api::open().await;
    for (query, count) in [
        ("", 15),
        ("&city=Seattle", 10),
        ("&city=Tacoma", 0),
        ("&state=WA", 10),
        ("&country=US", 15),
        ("&country=GB", 0),
        ("&toll-free-prefix=800", 5),
        ("&toll-free-prefix=888", 0),
        ("&phone-number-type=Local", 10),
        ("&phone-number-type=TollFree", 5),
        ("&area-code=425", 0),
        ("&max-results=500", 15),
    ] {
        let path = format!("/search?type=phone-numbers{query}");
        let page = api.get(&path).await.unwrap();
        assert_eq!(
            page["E164PhoneNumbers"].as_array().unwrap().len(),
            count,
            "{query}"
        );
        assert_eq!(page.get("NextToken"), Some(&Value::Null), "{query}");
    }
    for (query, message) in [
        (
            "area-code=20",
            "AreaCode: expected an integer from 200 to 999",
        ),
        (
            "country=usa",
            "Country: expected an ISO 3166-1 alpha-2 country, two capital letters",
        ),
        (
            "toll-free-prefix=801",
            "TollFreePrefix: expected one of 800, 833, 844, 855, 866, 877, 888",
        ),
        (
            "phone-number-type=local",
            "PhoneNumberType: expected one of Local, TollFree",
        ),
        (
            "max-results=501",
            "MaxResults: expected an integer from 1 to 500",
        ),
        (
            "next-token=x",
            "NextToken: expected the NextToken of an earlier answer",
        ),
    ] {
        let result = api
            .get(&format!("/search?type=phone-numbers&{query}"))
            .await;
        assert_eq!(refused(result), bad_request(message));
    }
}

#[tokio::test]
async fn an_order_says_of_each_number_whether_it_was_acquired() {
    let api = Api::open().await;
    let first = order(&api, &["+12065550100", "12065550101"]).await;
    assert_eq!(first["Status"], "Successful");
    assert_eq!(first["OrderType"], "New");
    assert_eq!(first["ProductType"], "VoiceConnector");
    assert_eq!(first.get("FocDate"), Some(&Value::Null));
    let partial = order(&api, &["+12065550101", "+12065550102"]).await;
    assert_eq!(partial["Status"], "Partial");
    assert_eq!(
        partial["OrderedPhoneNumbers"],
        json!([
            {"E164PhoneNumber": "+12065550101", "Status": "Failed"},
            {"E164PhoneNumber": "+12065550102", "Status": "Acquired"},
        ])
    );
    assert_eq!(order(&api, &["+12065550100"]).await["Status"], "Failed");
    let id = partial["PhoneNumberOrderId"].as_str().unwrap();
    let read = api
        .get(&format!("/phone-number-orders/{id}"))
        .await
        .unwrap();
    assert_eq!(read, json!({"PhoneNumberOrder": partial}));
    let result = api
        .get("/phone-number-orders/00000000-0000-0000-0000-000000000000")
        .await;
    assert_eq!(refused(result).0, "NotFoundException");
}

#[tokio::test]
async fn what_cannot_be_ordered_is_refused_by_name() {
    let api = Api::open().await;
    let many: Vec<&str> = vec!["+12065550100"; 51];
    for (body, message) in [
        (
            json!({"E164PhoneNumbers": ["+12065550100"]}),
            "ProductType is required",
        ),
        (
            json!({"ProductType": "BusinessCalling", "E164PhoneNumbers": ["+18005550100"]}),
            "ProductType: expected another product type than BusinessCalling, which toll-free numbers and \
             numbers outside the US cannot have",
        ),
        (
            json!({"ProductType": "VoiceConnector"}),
            "E164PhoneNumbers is required",
        ),
        (
            json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": []}),
            "E164PhoneNumbers: expected a list of 1 to 50 elements",
        ),
        (
            json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": many}),
            "E164PhoneNumbers: expected a list of 1 to 50 elements",
        ),
        (
            json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550100", "+0"]}),
            "E164PhoneNumbers[1]: expected an E.164 number: an optional + and 2 to 15 digits, the \
             first not 0",
        ),
        (
            json!({"ProductType": "VoiceConnector",
                   "E164PhoneNumbers": ["+12065550100", "12065550100"]}),
            "E164PhoneNumbers[1]: expected each number once",
        ),
        (
            json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550199"]}),
            "E164PhoneNumbers[0]: +12065550199 is in no number pool of this node; pools are \
             declared as [[number_pool]] in the config",
        ),
        (
            json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550100"],
                   "Name": "a/b"}),
            "Name: expected at most 256 letters, digits, spaces and characters of ,._-",
        ),
    ] {
        let result = api
            .post(StatusCode::CREATED, "/phone-number-orders", body)
            .await;
        assert_eq!(refused(result), bad_request(message));
    }
    let listed = api.get("/phone-numbers").await.unwrap();
    assert_eq!(listed, json!({"PhoneNumbers": [], "NextToken": null}));
}

#[tokio::test]
async fn a_number_shows_what_it_is_and_where_it_belongs() {
    let api = Api::open().await;
    let ordered = order(&api, &["+18005550100"]).await;
    let connector = api.connector().await;
    let unassigned = api.get("/phone-numbers/+18005550100").await.unwrap();
    let number = &unassigned["PhoneNumber"];
    assert_eq!(number["PhoneNumberId"], "%2B18005550100");
    assert_eq!(number["E164PhoneNumber"], "+18005550100");
    assert_eq!(number["Country"], "US");
    assert_eq!(number["Type"], "TollFree");
    assert_eq!(number["ProductType"], "VoiceConnector");
    assert_eq!(number["Status"], "Unassigned");
    assert_eq!(number["Associations"], json!([]));
    assert_eq!(number["OrderId"], ordered["PhoneNumberOrderId"]);
    assert_eq!(number["Capabilities"]["InboundCall"], true);
    assert_eq!(number["Capabilities"]["OutboundSMS"], false);

    let errors = associate(
        &api,
        &connector,
        json!({"E164PhoneNumbers": ["+18005550100"]}),
    )
    .await;
    assert_eq!(errors, json!([]));
    for id in ["18005550100", "%2B18005550100"] {
        let assigned = api.get(&format!("/phone-numbers/{id}")).await.unwrap();
        let number = &assigned["PhoneNumber"];
        assert_eq!(number["Status"], "Assigned");
        let association = &number["Associations"][0];
        assert_eq!(association["Name"], "VoiceConnectorId");
        assert!(connector.ends_with(association["Value"].as_str().unwrap()));
        assert!(association["AssociatedTimestamp"].is_string());
    }
    for id in ["+18005550101", "abc"] {
        let result = api.get(&format!("/phone-numbers/{id}")).await;
        let message = format!("Could not find PhoneNumber with Id '{id}'");
        assert_eq!(refused(result), not_found(&message));
    }
}

#[tokio::test]
async fn numbers_are_listed_by_status_product_and_connector() {
    let api = Api::open().await;
    order(&api, &["+12065550100", "+12065550101", "+12065550102"]).await;
    let connector = api.connector().await;
    let id = connector.rsplit('/').next().unwrap();
    associate(
        &api,
        &connector,
        json!({"E164PhoneNumbers": ["+12065550101"]}),
    )
    .await;
    for (query, expected) in [
        ("", &[100, 101, 102][..]),
        ("status=Assigned", &[101]),
        ("status=Unassigned", &[100, 102]),
        ("status=ReleaseFailed", &[]),
        ("product-type=VoiceConnector", &[100, 101, 102]),
        ("product-type=BusinessCalling", &[]),
        (
            &format!("filter-name=VoiceConnectorId&filter-value={id}"),
            &[101],
        ),
        ("filter-name=SipRuleId&filter-value=x", &[]),
        ("max-results=2", &[100, 101]),
    ] {
        let page = api.get(&format!("/phone-numbers?{query}")).await.unwrap();
        let numbers = page["PhoneNumbers"].as_array().unwrap().iter();
        let listed: Vec<Value> = numbers.map(|n| n["E164PhoneNumber"].clone()).collect();
        let expected: Vec<Value> = expected
            .iter()
            .map(|n| json!(format!("+12065550{n}")))
            .collect();
        assert_eq!(listed, expected, "{query}");
        assert_eq!(
            page["NextToken"].is_string(),
            query == "max-results=2",
            "{query}"
        );
    }
    for (query, message) in [
        ("filter-name=VoiceConnectorId", "FilterValue is required"),
        ("filter-value=x", "FilterName is required"),
        (
            "product-type=Fax",
            "ProductType: expected one of VoiceConnector, SipMediaApplicationDialIn, BusinessCalling",
        ),
    ] {
        let result = api.get(&format!("/phone-numbers?{query}")).await;
        assert_eq!(refused(result), bad_request(message));
    }
    let nobody = format!("/phone-numbers?filter-name=VoiceConnectorId&filter-value={NOBODY}");
    assert_eq!(refused(api.get(&nobody).await).0, "NotFoundException");
}

#[tokio::test]
async fn associations_report_each_number_that_cannot_be_had() {
    let api = Api::open().await;
    order(&api, &["+12065550100", "+12065550101"]).await;
    let (first, second) = (api.connector().await, api.connector().await);
    let both = json!({"E164PhoneNumbers": ["+12065550100", "+12065550105"]});
    let errors = associate(&api, &first, both).await;
    assert_eq!(errors.as_array().unwrap().len(), 1);
    assert_eq!(errors[0]["PhoneNumberId"], "%2B12065550105");
    assert_eq!(errors[0]["ErrorCode"], "NotFound");

    let one = json!({"E164PhoneNumbers": ["+12065550100"]});
    let errors = associate(&api, &second, one.clone()).await;
    assert_eq!(errors[0]["ErrorCode"], "PhoneNumberAssociationsExist");
    let forced = json!({"E164PhoneNumbers": ["+12065550100"], "ForceAssociate": true});
    assert_eq!(associate(&api, &second, forced).await, json!([]));

    let path = format!("{first}?operation=disassociate-phone-numbers");
    let output = api.post(StatusCode::OK, &path, one.clone()).await.unwrap();
    assert_eq!(output["PhoneNumberErrors"][0]["ErrorCode"], "BadRequest");
    let path = format!("{second}?operation=disassociate-phone-numbers");
    let output = api.post(StatusCode::OK, &path, one).await.unwrap();
    assert_eq!(output, json!({"PhoneNumberErrors": []}));

    let wrong = json!({"E164PhoneNumbers": ["+12065550100"], "ForceAssociate": "yes"});
    let path = format!("{first}?operation=associate-phone-numbers");
    assert_eq!(
        refused(api.post(StatusCode::OK, &path, wrong).await),
        bad_request("ForceAssociate: expected true or false")
    );
}

#[tokio::test]
async fn a_connector_with_numbers_is_not_deleted() {
    let api = Api::open().await;
    order(&api, &["+12065550100", "+12065550101"]).await;
    let connector = api.connector().await;
    let numbers = json!({"E164PhoneNumbers": ["+12065550100", "+12065550101"]});
    associate(&api, &connector, numbers.clone()).await;
    let (exception, message) = refused(api.delete(&connector).await);
    assert_eq!(exception, "ConflictException");
    assert!(message.contains("2 associated phone numbers"), "{message}");
    let path = format!("{connector}?operation=disassociate-phone-numbers");
    api.post(StatusCode::OK, &path, numbers).await.unwrap();
    api.delete(&connector).await.unwrap();
}
