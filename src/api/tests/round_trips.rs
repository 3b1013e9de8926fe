//! Random valid requests that create or put something: they succeed, and it is read back as it was given.
//!
//! Requests come from the declarations; what an operation asks for beyond them is narrowed here.

use std::ops::AsyncFn;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestRunner;
use serde_json::Map;

use super::*;
use crate::api::model::arbitrary::{Extent, members, valid};
use crate::api::model::{Place, model};

type Given = Map<String, Value>;
type Outcome = Result<(), TestCaseError>;

/// The first is that of the numbers.
const COUNTRIES: [&str; 6] = ["US", "CA", "GB", "DE", "JP", "PR"];

const NUMBERS: std::ops::Range<u64> = 12_065_550_100..12_065_550_110;

/// Runs a property on one node; a failure is told with its seed, which is kept.
fn holds<S: Strategy>(given: S, property: impl AsyncFn(&Api, S::Value) -> Outcome) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let api = runtime.block_on(Api::open());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 48,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&given, |given| runtime.block_on(property(&api, given)));
    if let Err(failure) = outcome {
        panic!("{failure}\n{runner}");
    }
}

/// Bodies of an operation's requests.
fn bodies(operation: &str) -> BoxedStrategy<Given> {
    let model = model().unwrap();
    let operation = model
        .operations
        .iter()
        .find(|one| one.name == operation)
        .unwrap();
    let body = operation
        .input
        .iter()
        .filter(|(_, place)| *place == Place::Body);
    let body: Vec<_> = body.map(|(member, _)| *member).collect();
    members(model, &body, Extent::Any)
}

/// Values of a shape.
fn values(shape: &str) -> BoxedStrategy<Value> {
    valid(model().unwrap(), shape, Extent::Any)
}

/// Objects in which the member, where it is there, is one of others.
fn with(
    object: BoxedStrategy<Value>,
    member: &'static str,
    values: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Value> {
    let replaced = (object, values).prop_map(move |(mut object, value)| {
        if let Some(there) = object.get_mut(member) {
            *there = value;
        }
        object
    });
    replaced.boxed()
}

/// What has to succeed.
fn done(
    result: Result<(StatusCode, Value), ApiError>,
    status: StatusCode,
) -> Result<Value, TestCaseError> {
    match result {
        Ok((answered, output)) if answered == status => Ok(output),
        other => Err(TestCaseError::fail(format!("{other:?}, expected {status}"))),
    }
}

impl Api {
    async fn done(
        &self,
        status: StatusCode,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, TestCaseError> {
        let body = body.to_string();
        done(
            self.call_as(ACCOUNT, method, path, body.as_bytes()).await,
            status,
        )
    }

    /// Puts a configuration of a new connector that has all Local numbers, and reads it back.
    async fn put_and_get(
        &self,
        name: &str,
        put: Value,
        member: &str,
    ) -> Result<Value, TestCaseError> {
        self.own_numbers().await?;
        let numbers: Vec<String> = NUMBERS.map(|number| format!("+{number}")).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let path = format!("{}/{name}", self.connector_with(&numbers).await);
        let answered = self.done(StatusCode::OK, Method::PUT, &path, &put).await?;
        let read = self
            .done(StatusCode::OK, Method::GET, &path, &Value::Null)
            .await?;
        prop_assert_eq!(&answered, &read);
        Ok(read[member].clone())
    }

    async fn tags(&self, arn: &Value) -> Result<Value, TestCaseError> {
        let path = format!("/tags?arn={}", arn.as_str().unwrap());
        Ok(self
            .done(StatusCode::OK, Method::GET, &path, &Value::Null)
            .await?["Tags"]
            .clone())
    }

    /// Orders all Local numbers, where they are not ordered yet.
    async fn own_numbers(&self) -> Outcome {
        if self
            .get(&format!("/phone-numbers/+{}", NUMBERS.start))
            .await
            .is_err()
        {
            let numbers: Vec<String> = NUMBERS.map(|number| format!("+{number}")).collect();
            let order = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": numbers});
            self.done(
                StatusCode::CREATED,
                Method::POST,
                "/phone-number-orders",
                &order,
            )
            .await?;
        }
        Ok(())
    }
}

fn number() -> impl Strategy<Value = Value> {
    NUMBERS.prop_map(|number| format!("+{number}").into())
}

/// Every member that was given is there with its value, and one that was not has its default.
fn check_given(read: &Value, given: &Given, defaults: &Value) -> Outcome {
    let mut expected = defaults.as_object().cloned().unwrap_or_default();
    expected.extend(given.clone());
    for (name, value) in &expected {
        prop_assert_eq!(&read[name], value, "{}", name);
    }
    Ok(())
}

/// Tags as they are kept: one for each key, with the last value.
fn kept(lists: &[&Value]) -> Value {
    let mut kept: Vec<Value> = Vec::new();
    for tag in lists.iter().filter_map(|list| list.as_array()).flatten() {
        match kept.iter_mut().find(|one| one["Key"] == tag["Key"]) {
            Some(one) => *one = tag.clone(),
            None => kept.push(tag.clone()),
        }
    }
    kept.into()
}

#[test]
fn voice_connectors() {
    let requests = (
        bodies("CreateVoiceConnector"),
        bodies("UpdateVoiceConnector"),
    );
    holds(requests, async |api, (mut given, update)| {
        let created = api
            .done(
                StatusCode::CREATED,
                Method::POST,
                "/voice-connectors",
                &given.clone().into(),
            )
            .await?;
        let created = &created["VoiceConnector"];
        let path = format!(
            "/voice-connectors/{}",
            created["VoiceConnectorId"].as_str().unwrap()
        );
        let read = api
            .done(StatusCode::OK, Method::GET, &path, &Value::Null)
            .await?;
        prop_assert_eq!(&read["VoiceConnector"], created);
        let tags = given.remove("Tags").unwrap_or_default();
        prop_assert_eq!(
            api.tags(&created["VoiceConnectorArn"]).await?,
            kept(&[&tags])
        );
        let defaults =
            json!({"AwsRegion": "us-east-1", "NetworkType": "IPV4_ONLY", "IntegrationType": null});
        check_given(created, &given, &defaults)?;

        api.done(StatusCode::OK, Method::PUT, &path, &update.clone().into())
            .await?;
        let read = api
            .done(StatusCode::OK, Method::GET, &path, &Value::Null)
            .await?;
        given.extend(update);
        check_given(&read["VoiceConnector"], &given, &defaults)
    });
}

#[test]
fn groups() {
    let items = prop::option::of(prop::collection::vec(
        values("VoiceConnectorItemPriority"),
        0..=3,
    ));
    let requests = (bodies("CreateVoiceConnectorGroup"), items);
    holds(requests, async |api, (mut given, priorities)| {
        let mut items = Vec::new();
        for priority in priorities.iter().flatten() {
            let connector = api.connector().await;
            let id = connector.trim_start_matches("/voice-connectors/");
            items.push(json!({"VoiceConnectorId": id, "Priority": priority}));
        }
        given.insert("VoiceConnectorItems".into(), items.into());
        let created = api
            .done(
                StatusCode::CREATED,
                Method::POST,
                "/voice-connector-groups",
                &given.clone().into(),
            )
            .await?;
        let created = &created["VoiceConnectorGroup"];
        let path = format!(
            "/voice-connector-groups/{}",
            created["VoiceConnectorGroupId"].as_str().unwrap()
        );
        let read = api
            .done(StatusCode::OK, Method::GET, &path, &Value::Null)
            .await?;
        prop_assert_eq!(&read["VoiceConnectorGroup"], created);
        // The order of a group's connectors means nothing.
        let sort = |items: &Value| {
            let mut items: Vec<String> = items
                .as_array()
                .unwrap()
                .iter()
                .map(Value::to_string)
                .collect();
            items.sort_unstable();
            items
        };
        let expected = given.remove("VoiceConnectorItems").unwrap();
        prop_assert_eq!(sort(&created["VoiceConnectorItems"]), sort(&expected));
        check_given(created, &given, &json!({"CallDistributionType": null}))?;
        // An account has few groups.
        let emptied = json!({"Name": "empty", "VoiceConnectorItems": []});
        api.done(StatusCode::ACCEPTED, Method::PUT, &path, &emptied)
            .await?;
        api.done(StatusCode::NO_CONTENT, Method::DELETE, &path, &Value::Null)
            .await?;
        Ok(())
    });
}

#[test]
fn originations() {
    let host = prop_oneof![
        "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z]{2,10}){1,3}",
        any::<std::net::IpAddr>().prop_map(|address| address.to_string()),
    ];
    let route = (values("OriginationRoute"), host).prop_map(|(mut route, host)| {
        route["Host"] = host.into();
        route
    });
    let routes = prop::collection::vec(route, 0..=20);
    let disabled = prop::option::of(any::<bool>());
    holds((routes, disabled), async |api, (routes, disabled)| {
        let mut origination = json!({"Routes": routes});
        if let Some(disabled) = disabled {
            origination["Disabled"] = disabled.into();
        }
        let put = json!({"Origination": origination});
        let read = api.put_and_get("origination", put, "Origination").await?;
        prop_assert_eq!(&read["Disabled"], disabled.unwrap_or(false));
        prop_assert_eq!(read["Routes"].as_array().unwrap().len(), routes.len());
        for (index, mut route) in routes.into_iter().enumerate() {
            if route["Port"] == 0 {
                route["Port"] = 5060.into();
            }
            let defaults = json!({"Port": 5060, "Protocol": "UDP", "Priority": 1, "Weight": 1});
            check_given(
                &read["Routes"][index],
                route.as_object().unwrap(),
                &defaults,
            )?;
        }
        Ok(())
    });
}

#[test]
fn terminations() {
    let network = prop_oneof![
        (any::<std::net::Ipv4Addr>(), 0..=32_u8)
            .prop_map(|(address, length)| json!(format!("{address}/{length}"))),
        (any::<std::net::Ipv6Addr>(), 0..=128_u8)
            .prop_map(|(address, length)| json!(format!("{address}/{length}"))),
    ];
    let networks = prop::collection::vec(network, 0..=8).prop_map(Value::from);
    let regions = prop::collection::vec(select(COUNTRIES.to_vec()), 0..=8);
    let regions = regions.prop_map(|regions| json!(regions));
    let limit = (1..=i64::from(i32::MAX)).prop_map(Value::from);
    let termination = with(values("Termination"), "CidrAllowedList", networks);
    let termination = with(termination, "CallingRegions", regions);
    let termination = with(
        with(termination, "CpsLimit", limit),
        "DefaultPhoneNumber",
        number(),
    );
    holds(termination, async |api, termination| {
        let put = json!({"Termination": termination});
        let read = api.put_and_get("termination", put, "Termination").await?;
        let defaults = json!({
            "CpsLimit": 1, "DefaultPhoneNumber": null, "CallingRegions": [], "CidrAllowedList": [], "Disabled": false,
        });
        check_given(&read, termination.as_object().unwrap(), &defaults)
    });
}

/// A number that anybody may call.
const REACHABLE: &str = "+442071838750";

/// Makes settings such that they can work together.
fn work(body: &mut Given) {
    if let Some(Value::Array(dnis)) = body
        .get_mut("EmergencyCallingConfiguration")
        .and_then(|emergency| emergency.get_mut("DNIS"))
    {
        dnis.truncate(COUNTRIES.len());
        for (dnis, country) in dnis.iter_mut().zip(COUNTRIES) {
            dnis["CallingCountry"] = country.into();
            dnis["EmergencyPhoneNumber"] = REACHABLE.into();
            if dnis.get("TestPhoneNumber").is_some() {
                dnis["TestPhoneNumber"] = REACHABLE.into();
            }
        }
    }
    if body.contains_key("FallBackPhoneNumber") {
        body.insert("FallBackPhoneNumber".into(), REACHABLE.into());
    }
    if let Some(Value::Array(countries)) = body.get_mut("PhoneNumberPoolCountries") {
        countries.truncate(COUNTRIES.len());
        for (place, country) in countries.iter_mut().zip(COUNTRIES) {
            *place = country.into();
        }
    }
    if let Some(minutes) = body.get_mut("DefaultSessionExpiryMinutes") {
        *minutes = minutes.as_i64().unwrap().saturating_abs().into();
    }
}

/// Configurations that are kept as they are put: the path's end, the operation, the answer's member.
#[test]
fn configurations() {
    let put = |name: &'static str, operation: &str, member: &'static str| {
        bodies(operation).prop_map(move |body| (name, body, member))
    };
    let requests = prop_oneof![
        put(
            "streaming-configuration",
            "PutVoiceConnectorStreamingConfiguration",
            "StreamingConfiguration"
        ),
        put(
            "logging-configuration",
            "PutVoiceConnectorLoggingConfiguration",
            "LoggingConfiguration"
        ),
        put(
            "emergency-calling-configuration",
            "PutVoiceConnectorEmergencyCallingConfiguration",
            "EmergencyCallingConfiguration"
        ),
        put(
            "external-systems-configuration",
            "PutVoiceConnectorExternalSystemsConfiguration",
            "ExternalSystemsConfiguration"
        ),
        put(
            "programmable-numbers/proxy",
            "PutVoiceConnectorProxy",
            "Proxy"
        ),
    ];
    holds(requests, async |api, (name, mut body, member)| {
        work(&mut body);
        let read = api.put_and_get(name, body.clone().into(), member).await?;
        if let Some(countries) = body.remove("PhoneNumberPoolCountries") {
            body.insert("PhoneNumberCountries".into(), countries);
            body.entry("Disabled").or_insert(false.into());
        }
        let expected = body.get(member).cloned().unwrap_or_else(|| body.into());
        prop_assert_eq!(read, expected);
        Ok(())
    });
}

/// A region and a body that creates an application there.
fn applications() -> impl Strategy<Value = Given> {
    let region = select(vec!["us-east-1", "eu-west-2", "us-gov-west-1"]);
    (bodies("CreateSipMediaApplication"), region).prop_map(|(mut body, region)| {
        body.insert("AwsRegion".into(), region.into());
        for endpoint in body["Endpoints"].as_array_mut().unwrap() {
            if let Some(arn) = endpoint.get_mut("LambdaArn") {
                let mut parts: Vec<String> = arn
                    .as_str()
                    .unwrap()
                    .split(':')
                    .map(str::to_owned)
                    .collect();
                parts[3] = region.to_owned();
                *arn = parts.join(":").into();
            }
        }
        body
    })
}

#[test]
fn sip_media_applications() {
    let requests = (
        applications(),
        bodies("PutSipMediaApplicationLoggingConfiguration"),
    );
    holds(requests, async |api, (mut given, logging)| {
        let created = api
            .done(
                StatusCode::CREATED,
                Method::POST,
                "/sip-media-applications",
                &given.clone().into(),
            )
            .await?;
        let created = &created["SipMediaApplication"];
        let path = format!(
            "/sip-media-applications/{}",
            created["SipMediaApplicationId"].as_str().unwrap()
        );
        let read = api
            .done(StatusCode::OK, Method::GET, &path, &Value::Null)
            .await?;
        prop_assert_eq!(&read["SipMediaApplication"], created);
        let tags = given.remove("Tags").unwrap_or_default();
        prop_assert_eq!(
            api.tags(&created["SipMediaApplicationArn"]).await?,
            kept(&[&tags])
        );
        check_given(created, &given, &json!({}))?;

        let path = format!("{path}/logging-configuration");
        api.done(StatusCode::OK, Method::PUT, &path, &logging.clone().into())
            .await?;
        let read = api
            .done(StatusCode::OK, Method::GET, &path, &Value::Null)
            .await?;
        let member = "SipMediaApplicationLoggingConfiguration";
        let expected = logging.get(member).cloned().unwrap_or_else(|| json!({}));
        prop_assert_eq!(&read[member], &expected);
        Ok(())
    });
}

#[test]
fn sip_rules() {
    let priorities = subsequence((1..=9).collect::<Vec<i64>>(), 1..=2);
    let application = || {
        applications().prop_map(|mut body| {
            body.remove("Tags");
            body
        })
    };
    let requests = (
        bodies("CreateSipRule"),
        priorities,
        [application(), application()],
        number(),
    );
    holds(
        requests,
        async |api, (mut given, priorities, applications, number)| {
            api.own_numbers().await?;
            let mut targets: Vec<Value> = Vec::new();
            for (priority, application) in priorities.into_iter().zip(applications) {
                let created = api
                    .done(
                        StatusCode::CREATED,
                        Method::POST,
                        "/sip-media-applications",
                        &application.into(),
                    )
                    .await?;
                let created = &created["SipMediaApplication"];
                let target = json!({
                    "SipMediaApplicationId": created["SipMediaApplicationId"],
                    "Priority": priority,
                    "AwsRegion": created["AwsRegion"],
                });
                if targets
                    .iter()
                    .all(|other| other["AwsRegion"] != target["AwsRegion"])
                {
                    targets.push(target);
                }
            }
            given.insert("TargetApplications".into(), targets.into());
            let trigger = match given["TriggerType"].as_str().unwrap() {
                "ToPhoneNumber" => number,
                _ => {
                    let connector = api.connector().await;
                    api.get(&connector).await.unwrap()["VoiceConnector"]["OutboundHostName"].clone()
                }
            };
            given.insert("TriggerValue".into(), trigger);
            let created = api
                .done(
                    StatusCode::CREATED,
                    Method::POST,
                    "/sip-rules",
                    &given.clone().into(),
                )
                .await?;
            let created = &created["SipRule"];
            let path = format!("/sip-rules/{}", created["SipRuleId"].as_str().unwrap());
            let read = api
                .done(StatusCode::OK, Method::GET, &path, &Value::Null)
                .await?;
            prop_assert_eq!(&read["SipRule"], created);
            check_given(created, &given, &json!({"Disabled": false}))?;
            // A trigger has one rule.
            let disable = json!({"Name": "off", "Disabled": true});
            api.done(StatusCode::ACCEPTED, Method::PUT, &path, &disable)
                .await?;
            api.done(StatusCode::NO_CONTENT, Method::DELETE, &path, &Value::Null)
                .await?;
            Ok(())
        },
    );
}

#[test]
fn proxy_sessions() {
    holds(bodies("CreateProxySession"), async |api, mut given| {
        prop_assume!(given["ParticipantPhoneNumbers"][0] != given["ParticipantPhoneNumbers"][1]);
        api.own_numbers().await?;
        let connector = api.connector().await;
        let associate = format!("{connector}?operation=associate-phone-numbers");
        let numbers: Vec<String> = NUMBERS.map(|number| format!("+{number}")).collect();
        let numbers = json!({"E164PhoneNumbers": numbers, "ForceAssociate": true});
        api.done(StatusCode::OK, Method::POST, &associate, &numbers)
            .await?;
        let proxy = json!({"DefaultSessionExpiryMinutes": 60, "PhoneNumberPoolCountries": ["US"]});
        let path = format!("{connector}/programmable-numbers/proxy");
        api.done(StatusCode::OK, Method::PUT, &path, &proxy).await?;

        let path = format!("{connector}/proxy-sessions");
        let created = api
            .done(
                StatusCode::CREATED,
                Method::POST,
                &path,
                &given.clone().into(),
            )
            .await?;
        let created = &created["ProxySession"];
        let path = format!("{path}/{}", created["ProxySessionId"].as_str().unwrap());
        let read = api
            .done(StatusCode::OK, Method::GET, &path, &Value::Null)
            .await?;
        prop_assert_eq!(&read["ProxySession"], created);
        let participants = given.remove("ParticipantPhoneNumbers").unwrap();
        for (index, participant) in participants.as_array().unwrap().iter().enumerate() {
            // The + of a number may be left out.
            let digits =
                |number: &Value| number.as_str().unwrap().trim_start_matches('+').to_owned();
            prop_assert_eq!(
                digits(&created["Participants"][index]["PhoneNumber"]),
                digits(participant)
            );
        }
        let defaults = json!({
            "ExpiryMinutes": 60, "Name": null, "Status": "Open", "NumberSelectionBehavior": null,
            "GeoMatchLevel": null, "GeoMatchParams": null,
        });
        check_given(created, &given, &defaults)
    });
}

#[test]
fn tags() {
    let requests = (values("TagList"), values("TagList"));
    holds(requests, async |api, (first, second)| {
        let connector = api.get(&api.connector().await).await.unwrap();
        let arn = &connector["VoiceConnector"]["VoiceConnectorArn"];
        for tags in [&first, &second] {
            let tag = json!({"ResourceARN": arn, "Tags": tags});
            api.done(
                StatusCode::NO_CONTENT,
                Method::POST,
                "/tags?operation=tag-resource",
                &tag,
            )
            .await?;
        }
        let all = kept(&[&first, &second]);
        prop_assert_eq!(&api.tags(arn).await?, &all);
        let keys: Vec<&Value> = all
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| &tag["Key"])
            .collect();
        let untag = json!({"ResourceARN": arn, "TagKeys": keys});
        api.done(
            StatusCode::NO_CONTENT,
            Method::POST,
            "/tags?operation=untag-resource",
            &untag,
        )
        .await?;
        prop_assert_eq!(api.tags(arn).await?, json!([]));
        Ok(())
    });
}

#[test]
fn number_updates() {
    let property = prop_oneof![
        values("PhoneNumberName").prop_map(|name| ("Name", name)),
        values("CallingName").prop_map(|name| ("CallingName", name)),
        select(vec!["VoiceConnector", "SipMediaApplicationDialIn"])
            .prop_map(|kind| ("ProductType", kind.into())),
    ];
    holds(
        (number(), property),
        async |api, (number, (member, value))| {
            api.own_numbers().await?;
            let path = format!("/phone-numbers/{}", number.as_str().unwrap());
            let before = api
                .done(StatusCode::OK, Method::GET, &path, &Value::Null)
                .await?;
            let update = json!({member: value});
            let answered = api
                .done(StatusCode::OK, Method::POST, &path, &update)
                .await?;
            let read = api
                .done(StatusCode::OK, Method::GET, &path, &Value::Null)
                .await?;
            prop_assert_eq!(&answered, &read);
            // An empty name is none.
            let expected = if value == "" { Value::Null } else { value };
            prop_assert_eq!(&read["PhoneNumber"][member], &expected);
            for other in ["Name", "CallingName", "ProductType"]
                .into_iter()
                .filter(|other| *other != member)
            {
                prop_assert_eq!(&read["PhoneNumber"][other], &before["PhoneNumber"][other]);
            }
            Ok(())
        },
    );
}
