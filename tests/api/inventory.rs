//! Numbers: searched, ordered, listed, associated.

use serde_json::{Value, json};
use trunkline::numbering::E164;
use trunkline::shard::snapshot::NumberHolder;

use crate::client::Client;
use crate::{assert_refused, bad, create_connector, node, order, text};

const SEARCH: &str = "/search?type=phone-numbers";

fn search(client: &Client, query: &str) -> Value {
    client
        .call("GET", &format!("{SEARCH}{query}"), None)
        .ok(200)
}

fn associate(client: &Client, id: &str, operation: &str, body: Value) -> Value {
    let target = format!("/voice-connectors/{id}?operation={operation}-phone-numbers");
    client.call("POST", &target, Some(body)).ok(200)["PhoneNumberErrors"].clone()
}

#[test]
fn a_search_finds_what_nobody_has() {
    let (_directory, node, client) = node();
    let local = search(&client, "&country=US&phone-number-type=Local&state=WA");
    assert_eq!(local["E164PhoneNumbers"].as_array().unwrap().len(), 10);
    let toll_free = search(&client, "&toll-free-prefix=833");
    assert_eq!(toll_free["E164PhoneNumbers"].as_array().unwrap().len(), 5);
    let none = search(&client, "&area-code=212");
    assert_eq!(none["E164PhoneNumbers"], json!([]));

    order(&client, &["+12065550100"]);
    let second = Client::second_account(node.address);
    let left = search(&second, "&area-code=206&max-results=3");
    let next = ["+12065550101", "+12065550102", "+12065550103"];
    assert_eq!(left["E164PhoneNumbers"], json!(next));
    let token = text(&left["NextToken"]);
    let more = search(
        &second,
        &format!("&area-code=206&max-results=100&next-token={token}"),
    );
    assert_eq!(more["E164PhoneNumbers"].as_array().unwrap().len(), 6);
    assert_eq!(more["E164PhoneNumbers"][0], "+12065550104");
    assert_eq!(more["NextToken"], Value::Null);
}

#[test]
fn an_order_puts_numbers_into_the_inventory() {
    let (_directory, node, client) = node();
    let numbers = ["+12065550100", "+12065550101"];
    let placed = order(&client, &numbers);
    assert_eq!(placed["ProductType"], "VoiceConnector");
    for (index, number) in numbers.iter().enumerate() {
        let ordered = &placed["OrderedPhoneNumbers"][index];
        assert_eq!(ordered["E164PhoneNumber"], *number);
        assert_eq!(ordered["Status"], "Acquired");
    }
    let id = text(&placed["PhoneNumberOrderId"]);
    let path = format!("/phone-number-orders/{id}");
    let read = client.call("GET", &path, None).ok(200);
    assert_eq!(read["PhoneNumberOrder"], placed);

    let second = Client::second_account(node.address);
    second.call("GET", &path, None).refused(404, "NotFound");
    let body = json!({
        "ProductType": "VoiceConnector",
        "E164PhoneNumbers": ["+12065550100", "+12065550105"],
    });
    let answer = second
        .call("POST", "/phone-number-orders", Some(body))
        .ok(201);
    let partial = &answer["PhoneNumberOrder"];
    assert_eq!(partial["Status"], "Partial");
    assert_eq!(partial["OrderedPhoneNumbers"][0]["Status"], "Failed");
    assert_eq!(partial["OrderedPhoneNumbers"][1]["Status"], "Acquired");
}

#[test]
fn a_number_is_read_by_its_id() {
    let (_directory, _node, client) = node();
    let placed = order(&client, &["+12065550100"]);
    let list = client.call("GET", "/phone-numbers", None).ok(200);
    let listed = &list["PhoneNumbers"][0];
    assert_eq!(listed["E164PhoneNumber"], "+12065550100");
    assert_eq!(listed["Type"], "Local");
    assert_eq!(listed["Country"], "US");
    assert_eq!(listed["ProductType"], "VoiceConnector");
    assert_eq!(listed["Status"], "Unassigned");
    assert_eq!(listed["OrderId"], placed["PhoneNumberOrderId"]);
    // The id is an escaped number, which a client escapes once more.
    let id = text(&listed["PhoneNumberId"]).replace('%', "%25");
    for id in [id.as_str(), "%2B12065550100", "+12065550100"] {
        let read = client.call("GET", &format!("/phone-numbers/{id}"), None);
        assert_eq!(read.ok(200)["PhoneNumber"], *listed);
    }
    for id in ["%2B12065550109", "nonsense"] {
        client
            .call("GET", &format!("/phone-numbers/{id}"), None)
            .refused(404, "NotFound");
    }
}

#[test]
fn numbers_are_associated_and_disassociated() {
    let (_directory, node, client) = node();
    let numbers = ["+12065550100", "+12065550101"];
    order(&client, &numbers);
    let first = create_connector(&client, "first");
    let other = create_connector(&client, "other");
    let both = json!({"E164PhoneNumbers": numbers});
    assert_eq!(
        associate(&client, &first, "associate", both.clone()),
        json!([])
    );
    let number: E164 = numbers[0].parse().unwrap();
    let owner = |node: &crate::node::Node| {
        let snapshot = node.state.control.snapshot();
        match snapshot.numbers.get(&number) {
            Some(NumberHolder::Connector(id)) => Some(id.to_string()),
            Some(NumberHolder::Group(_)) | None => None,
        }
    };
    assert_eq!(owner(&node), Some(first.clone()));
    let list = |query: &str| {
        let target = format!("/phone-numbers?{query}");
        let answer = client.call("GET", &target, None).ok(200);
        answer["PhoneNumbers"].as_array().unwrap().clone()
    };
    let by_connector = |id: &str| list(&format!("filter-name=VoiceConnectorId&filter-value={id}"));
    let associated = by_connector(&first);
    assert_eq!(associated.len(), 2);
    assert_eq!(associated[0]["Status"], "Assigned");
    assert_eq!(associated[0]["Associations"][0]["Name"], "VoiceConnectorId");
    assert_eq!(associated[0]["Associations"][0]["Value"], first);
    assert_eq!(by_connector(&other).len(), 0);
    assert_eq!(list("status=Unassigned").len(), 0);
    assert_eq!(list("status=Assigned").len(), 2);

    let one = json!({"E164PhoneNumbers": [numbers[0], "+12065550109"]});
    let errors = associate(&client, &other, "associate", one);
    assert_eq!(errors.as_array().unwrap().len(), 2, "{errors}");
    assert_eq!(owner(&node), Some(first.clone()));
    let forced = json!({"E164PhoneNumbers": [numbers[0]], "ForceAssociate": true});
    assert_eq!(associate(&client, &other, "associate", forced), json!([]));
    assert_eq!(owner(&node), Some(other.clone()));

    let errors = associate(&client, &first, "disassociate", both);
    assert_eq!(errors.as_array().unwrap().len(), 1, "{errors}");
    assert_eq!(errors[0]["PhoneNumberId"], "%2B12065550100");
    let one = json!({"E164PhoneNumbers": [numbers[0]]});
    assert_eq!(associate(&client, &other, "disassociate", one), json!([]));
    assert_eq!(owner(&node), None);
    assert_eq!(list("status=Unassigned").len(), 2);
}

#[test]
fn pages_hold_every_number_once() {
    let (_directory, _node, client) = node();
    let numbers: Vec<String> = (100..105).map(|n| format!("+12065550{n}")).collect();
    order(
        &client,
        &numbers.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let mut listed = Vec::new();
    let mut query = "max-results=2".to_owned();
    loop {
        let target = format!("/phone-numbers?{query}");
        let page = client.call("GET", &target, None).ok(200);
        let rows = page["PhoneNumbers"].as_array().unwrap();
        assert!((1..=2).contains(&rows.len()));
        listed.extend(
            rows.iter()
                .map(|row| text(&row["E164PhoneNumber"]).to_owned()),
        );
        match page["NextToken"].as_str() {
            Some(token) => query = format!("max-results=2&next-token={token}"),
            None => break,
        }
    }
    assert_eq!(listed, numbers);
}

#[test]
fn what_cannot_be_searched_ordered_or_associated_is_refused_by_member() {
    let (_directory, _node, client) = node();
    let id = create_connector(&client, "valid");
    let find = |query: &str, member| bad("GET", format!("{SEARCH}&{query}"), None, member);
    let list = |query: &str, member| bad("GET", format!("/phone-numbers?{query}"), None, member);
    let place = |body, member| bad("POST", "/phone-number-orders", body, member);
    let numbers =
        |numbers: Value| json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": numbers});
    let associate = |operation: &str, body, member| {
        let target = format!("/voice-connectors/{id}?operation={operation}-phone-numbers");
        bad("POST", target, body, member)
    };
    assert_refused(
        &client,
        [
            find("max-results=0", "MaxResults"),
            find("max-results=501", "MaxResults"),
            find("country=USA", "Country"),
            find("phone-number-type=Mobile", "PhoneNumberType"),
            find("toll-free-prefix=900", "TollFreePrefix"),
            find("area-code=abc", "AreaCode"),
            find("next-token=nonsense", "NextToken"),
            list("product-type=Nonsense", "ProductType"),
            list("filter-name=Nonsense&filter-value=x", "FilterName"),
            list("status=Nonsense", "Status"),
            list("max-results=0", "MaxResults"),
            list("next-token=nonsense", "NextToken"),
            place(json!({"E164PhoneNumbers": ["+12065550100"]}), "ProductType"),
            place(
                json!({"ProductType": "Nonsense", "E164PhoneNumbers": ["+12065550100"]}),
                "ProductType",
            ),
            place(json!({"ProductType": "VoiceConnector"}), "E164PhoneNumbers"),
            place(numbers(json!([])), "E164PhoneNumbers"),
            place(numbers(json!("+12065550100")), "E164PhoneNumbers"),
            place(
                numbers(json!(["+12065550100", "12-34"])),
                "E164PhoneNumbers[1]",
            ),
            place(numbers(json!(["+12065550199"])), "E164PhoneNumbers[0]"),
            associate("associate", json!({}), "E164PhoneNumbers"),
            associate(
                "associate",
                json!({"E164PhoneNumbers": ["x"]}),
                "E164PhoneNumbers[0]",
            ),
            associate(
                "associate",
                json!({"E164PhoneNumbers": ["+12065550100"], "ForceAssociate": "yes"}),
                "ForceAssociate",
            ),
            associate("disassociate", json!({}), "E164PhoneNumbers"),
        ],
    );
    let all = client.call("GET", "/phone-numbers", None).ok(200);
    assert_eq!(all["PhoneNumbers"], json!([]));
}

#[test]
fn orders_and_connectors_that_are_not_there_are_not_found() {
    let (_directory, _node, client) = node();
    let id = "7a3bd0f6-5d6e-4c6a-9a70-0242ac120002";
    client
        .call("GET", &format!("/phone-number-orders/{id}"), None)
        .refused(404, "NotFound");
    client
        .call("GET", "/phone-number-orders/nonsense", None)
        .refused(400, "BadRequest");
    for operation in ["associate", "disassociate"] {
        let target =
            format!("/voice-connectors/abcdefghij0123456789ab?operation={operation}-phone-numbers");
        let body = json!({"E164PhoneNumbers": ["+12065550100"]});
        client
            .call("POST", &target, Some(body))
            .refused(404, "NotFound");
    }
}
