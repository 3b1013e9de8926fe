//! Resources that files declare, on a whole node: what the API answers of them, and what it refuses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::api::declared::{self, DeclaredErrors, Owners, export};
use crate::config::{Config, OwnPlaces, SipTls};
use crate::store::tests::place::Place;
use crate::store::{Put, Resource};

const DOMAIN: &str = "vc.example";
pub(super) const SEATTLE: &str = "seattle000000000000000";
const GROUP: &str = "6f1d9c52-3f0e-4b57-9a41-0f6f1c1e5a01";
const MENU: &str = "6f1d9c52-3f0e-4b57-9a41-0f6f1c1e5a02";
const RULE: &str = "6f1d9c52-3f0e-4b57-9a41-0f6f1c1e5a03";

fn documented() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/declared.toml");
    std::fs::read_to_string(path).unwrap()
}

/// Puts what the texts declare, as files 0.toml, 1.toml…
async fn put(
    control: &Control,
    texts: &[&str],
) -> Result<(Owners, BTreeMap<Resource, Put>), DeclaredErrors> {
    let folder = tempfile::tempdir().unwrap();
    let write = |(index, text): (usize, &&str)| {
        let path = folder.path().join(format!("{index}.toml"));
        std::fs::write(&path, text).unwrap();
        path
    };
    let files: Vec<PathBuf> = texts.iter().enumerate().map(write).collect();
    let mut sip = Config::default_for_start().sip;
    sip.domain = DOMAIN.to_owned();
    let read = declared::read(&files, &OwnPlaces::of(&sip))?;
    declared::put(control, read, clock()).await
}

async fn declare(api: &Api, text: &str) -> BTreeMap<Resource, Put> {
    let (owners, done) = put(&api.state.control, &[text]).await.unwrap();
    *api.state.declared.write().await = owners;
    done
}

/// What is wrong with the files, without the folder that they are in.
pub(super) async fn faults(control: &Control, texts: &[&str]) -> Vec<String> {
    let errors = put(control, texts).await.err().unwrap();
    let shown = |error: &declared::DeclaredError| {
        let text = error.to_string();
        let place = error.file.as_ref().map(|file| file.parent().unwrap());
        match place {
            Some(folder) => text.replace(&format!("{}/", folder.display()), ""),
            None => text,
        }
    };
    errors.0.iter().map(shown).collect()
}

pub(super) fn account(rest: &str) -> String {
    format!("Account = \"{ACCOUNT}\"\n{rest}")
}

#[tokio::test]
async fn the_documented_file_is_what_the_api_answers() {
    let api = Api::open().await;
    let done = declare(&api, &documented()).await;
    assert!(done.values().all(|put| *put == Put::Created), "{done:?}");
    assert_eq!(done.len(), 6);

    let path = format!("/voice-connectors/{SEATTLE}");
    let connector = api.get(&path).await.unwrap();
    let connector = &connector["VoiceConnector"];
    assert_eq!(connector["Name"], "Seattle");
    assert_eq!(connector["OutboundHostName"], format!("{SEATTLE}.{DOMAIN}"));
    let termination = api.get(&format!("{path}/termination")).await.unwrap();
    assert_eq!(
        termination["Termination"],
        json!({
            "CpsLimit": 10,
            "DefaultPhoneNumber": "+12065550100",
            "CallingRegions": ["US"],
            "CidrAllowedList": ["127.0.0.1/32"],
            "Disabled": false,
        })
    );
    let origination = api.get(&format!("{path}/origination")).await.unwrap();
    assert_eq!(origination["Origination"]["Routes"][0]["Port"], 5070);
    let users = api.get(&format!("{path}/termination/credentials")).await;
    assert_eq!(users.unwrap()["Usernames"], json!(["pbx"]));
    let logging = api.get(&format!("{path}/logging-configuration")).await;
    assert_eq!(
        logging.unwrap(),
        json!({"LoggingConfiguration": {"EnableSIPLogs": true}})
    );
    let arn = connector["VoiceConnectorArn"].as_str().unwrap();
    let tags = api.get(&format!("/tags?arn={arn}")).await.unwrap();
    assert_eq!(tags["Tags"], json!([{"Key": "site", "Value": "SEA"}]));

    let group = api.get(&format!("/voice-connector-groups/{GROUP}")).await;
    assert_eq!(
        group.unwrap()["VoiceConnectorGroup"]["VoiceConnectorItems"],
        json!([{"VoiceConnectorId": SEATTLE, "Priority": 1}])
    );
    let number = api.get("/phone-numbers/%2B12065550100").await.unwrap();
    assert_eq!(number["PhoneNumber"]["Status"], "Assigned");
    assert_eq!(number["PhoneNumber"]["Name"], "Front desk");
    let rule = api.get(&format!("/sip-rules/{RULE}")).await.unwrap();
    assert_eq!(
        rule["SipRule"]["TargetApplications"],
        json!([{"SipMediaApplicationId": MENU, "Priority": 1, "AwsRegion": "us-east-1"}])
    );

    let snapshot = api.state.control.snapshot();
    let id = SEATTLE.parse().unwrap();
    assert_eq!(
        snapshot
            .numbers
            .get(&"+12065550100".parse::<crate::numbering::E164>().unwrap()),
        Some(&crate::shard::snapshot::NumberHolder::Connector(id))
    );
    let members = &snapshot.groups[&GROUP.parse::<uuid::Uuid>().unwrap()];
    assert_eq!(members[0].connector, id);
    let for_calls = &snapshot.connectors[&id];
    // The same as the API makes of the password.
    let credentials = json!({"Credentials": [{"Username": "pbx", "Password": "change-me"}]});
    let free = api.connector().await;
    let path = format!("{free}/termination/credentials?operation=put");
    api.post(StatusCode::NO_CONTENT, &path, credentials)
        .await
        .unwrap();
    assert_eq!(for_calls.credentials[0].ha1_sha256.len(), 64);
    let hashed = crate::shard::snapshot::Credential::hashed(
        "pbx",
        &format!("{SEATTLE}.{DOMAIN}"),
        "change-me",
    );
    assert!(for_calls.credentials == [hashed]);
}

#[tokio::test]
async fn what_is_as_declared_is_not_written_again() {
    let places = [Some(Place::sqlite()), Place::postgres().await];
    for place in places.into_iter().flatten() {
        let customers = SipTls::default().customers();
        let control = Control::open(
            &place.url("one"),
            DOMAIN,
            Vec::new(),
            customers,
            Default::default(),
        )
        .await;
        let control = control.unwrap();
        let text = documented();
        assert_eq!(put(&control, &[&text]).await.unwrap().1.len(), 6);
        assert_eq!(put(&control, &[&text]).await.unwrap().1, BTreeMap::new());

        // What is exported declares the same.
        let exported = export(control.store(), ACCOUNT).await.unwrap();
        assert!(!exported.contains("change-me"));
        let again = put(&control, &[&exported]).await.unwrap().1;
        assert_eq!(again, BTreeMap::new());

        // And makes the same of an empty store.
        let empty = Place::sqlite();
        let customers = SipTls::default().customers();
        let other = Control::open(
            &empty.url("one"),
            DOMAIN,
            Vec::new(),
            customers,
            Default::default(),
        )
        .await;
        let other = other.unwrap();
        put(&other, &[&exported]).await.unwrap();
        assert_eq!(export(other.store(), ACCOUNT).await.unwrap(), exported);
        other.store().close().await;
        control.store().close().await;
    }
}

#[tokio::test]
async fn a_file_is_the_whole_truth_about_what_it_declares() {
    let api = Api::open().await;
    declare(&api, &documented()).await;
    let bare = account(&format!(
        "[[VoiceConnector]]\nVoiceConnectorId = \"{SEATTLE}\"\nName = \"Tacoma\"\n"
    ));
    let done = declare(&api, &bare).await;
    let id = SEATTLE.parse().unwrap();
    assert_eq!(
        done,
        BTreeMap::from([(Resource::VoiceConnector(id), Put::Updated)])
    );
    let path = format!("/voice-connectors/{SEATTLE}");
    for (part, name) in [
        ("termination", "termination"),
        ("origination", "origination"),
        ("logging-configuration", "logging"),
    ] {
        let missing = not_found(&format!("The VoiceConnector has no {name} configuration"));
        let answer = api.get(&format!("{path}/{part}")).await;
        assert_eq!(refused(answer), missing);
    }
    let users = api.get(&format!("{path}/termination/credentials")).await;
    assert_eq!(users.unwrap()["Usernames"], json!([]));

    // What is not declared any more is there, and the API's.
    let number = api.get("/phone-numbers/%2B12065550100").await.unwrap();
    assert_eq!(number["PhoneNumber"]["Status"], "Assigned");
    let body = json!({"Name": "Desk"});
    let updated = api
        .post(StatusCode::OK, "/phone-numbers/%2B12065550100", body)
        .await;
    assert_eq!(updated.unwrap()["PhoneNumber"]["Name"], "Desk");
}

#[tokio::test]
async fn a_number_that_was_deleted_or_is_elsewhere_is_as_declared() {
    let api = Api::open().await;
    let order = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550103", "+12065550104"]});
    api.post(StatusCode::CREATED, "/phone-number-orders", order)
        .await
        .unwrap();
    api.delete("/phone-numbers/%2B12065550103").await.unwrap();
    let elsewhere = api.connector().await;
    let path = format!("{elsewhere}?operation=associate-phone-numbers");
    let numbers = json!({"E164PhoneNumbers": ["+12065550104"]});
    api.post(StatusCode::OK, &path, numbers).await.unwrap();

    let declared = |number| {
        format!(
            "[[PhoneNumber]]\nE164PhoneNumber = \"{number}\"\nVoiceConnectorId = \"{SEATTLE}\"\n"
        )
    };
    let text = documented() + &declared("+12065550103") + &declared("+12065550104");
    declare(&api, &text).await;
    for number in ["+12065550103", "+12065550104"] {
        let path = format!("/phone-numbers/{}", number.replace('+', "%2B"));
        let answer = api.get(&path).await.unwrap();
        let answer = &answer["PhoneNumber"];
        assert_eq!(answer["Status"], "Assigned");
        assert_eq!(answer["Associations"][0]["Value"], SEATTLE);
    }
}

#[tokio::test]
async fn the_api_does_not_write_what_is_declared() {
    let api = Api::open().await;
    declare(&api, &documented()).await;
    let arn = format!("arn:aws:chime:us-east-1:{ACCOUNT}:vc/{SEATTLE}");
    let connector = format!("/voice-connectors/{SEATTLE}");
    let group = format!("/voice-connector-groups/{GROUP}");
    let application = format!("/sip-media-applications/{MENU}");
    let rule = format!("/sip-rules/{RULE}");
    let number = "/phone-numbers/%2B12065550100";
    let numbers = json!({"E164PhoneNumbers": ["+12065550100"]});
    let name = json!({"Name": "x"});
    let empty = json!({});
    let of_connector = format!("VoiceConnector {SEATTLE}");
    let of_group = format!("VoiceConnectorGroup {GROUP}");
    let of_number = "PhoneNumber +12065550100".to_owned();
    let of_application = format!("SipMediaApplication {MENU}");
    let of_rule = format!("SipRule {RULE}");
    let streaming = json!({"StreamingConfiguration": {"DataRetentionInHours": 1}});
    let requests = [
        (
            Method::PUT,
            connector.clone(),
            json!({"Name": "x", "RequireEncryption": true}),
            &of_connector,
        ),
        (
            Method::DELETE,
            connector.clone(),
            empty.clone(),
            &of_connector,
        ),
        (
            Method::PUT,
            format!("{connector}/termination"),
            json!({"Termination": {}}),
            &of_connector,
        ),
        (
            Method::DELETE,
            format!("{connector}/termination"),
            empty.clone(),
            &of_connector,
        ),
        (
            Method::PUT,
            format!("{connector}/origination"),
            json!({"Origination": {"Routes": []}}),
            &of_connector,
        ),
        (
            Method::DELETE,
            format!("{connector}/origination"),
            empty.clone(),
            &of_connector,
        ),
        (
            Method::POST,
            format!("{connector}/termination/credentials?operation=put"),
            json!({"Credentials": [{"Username": "a", "Password": "b"}]}),
            &of_connector,
        ),
        (
            Method::POST,
            format!("{connector}/termination/credentials?operation=delete"),
            json!({"Usernames": ["pbx"]}),
            &of_connector,
        ),
        (
            Method::PUT,
            format!("{connector}/streaming-configuration"),
            streaming,
            &of_connector,
        ),
        (
            Method::DELETE,
            format!("{connector}/streaming-configuration"),
            empty.clone(),
            &of_connector,
        ),
        (
            Method::PUT,
            format!("{connector}/logging-configuration"),
            json!({"LoggingConfiguration": {}}),
            &of_connector,
        ),
        (
            Method::PUT,
            format!("{connector}/emergency-calling-configuration"),
            json!({"EmergencyCallingConfiguration": {}}),
            &of_connector,
        ),
        (
            Method::DELETE,
            format!("{connector}/emergency-calling-configuration"),
            empty.clone(),
            &of_connector,
        ),
        (
            Method::PUT,
            format!("{connector}/external-systems-configuration"),
            empty.clone(),
            &of_connector,
        ),
        (
            Method::DELETE,
            format!("{connector}/external-systems-configuration"),
            empty.clone(),
            &of_connector,
        ),
        (
            Method::PUT,
            format!("{connector}/programmable-numbers/proxy"),
            json!({"DefaultSessionExpiryMinutes": 1, "PhoneNumberPoolCountries": ["US"]}),
            &of_connector,
        ),
        (
            Method::DELETE,
            format!("{connector}/programmable-numbers/proxy"),
            empty.clone(),
            &of_connector,
        ),
        (
            Method::POST,
            "/tags?operation=tag-resource".into(),
            json!({"ResourceARN": arn, "Tags": [{"Key": "a", "Value": "b"}]}),
            &of_connector,
        ),
        (
            Method::POST,
            "/tags?operation=untag-resource".into(),
            json!({"ResourceARN": arn, "TagKeys": ["site"]}),
            &of_connector,
        ),
        (
            Method::PUT,
            group.clone(),
            json!({"Name": "x", "VoiceConnectorItems": []}),
            &of_group,
        ),
        (Method::DELETE, group, empty.clone(), &of_group),
        (Method::POST, number.into(), name.clone(), &of_number),
        (Method::DELETE, number.into(), empty.clone(), &of_number),
        (
            Method::POST,
            format!("{number}?operation=restore"),
            empty.clone(),
            &of_number,
        ),
        (
            Method::POST,
            "/phone-numbers?operation=batch-delete".into(),
            json!({"PhoneNumberIds": ["+12065550101", "+12065550100"]}),
            &"PhoneNumber +12065550101".to_owned(),
        ),
        (
            Method::POST,
            "/phone-numbers?operation=batch-update".into(),
            json!({"UpdatePhoneNumberRequestItems": [{"PhoneNumberId": "12065550100", "Name": "x"}]}),
            &of_number,
        ),
        (
            Method::POST,
            format!("{connector}?operation=associate-phone-numbers"),
            numbers.clone(),
            &of_number,
        ),
        (
            Method::POST,
            format!("{connector}?operation=disassociate-phone-numbers"),
            numbers,
            &of_number,
        ),
        (
            Method::PUT,
            application.clone(),
            name.clone(),
            &of_application,
        ),
        (
            Method::DELETE,
            application.clone(),
            empty.clone(),
            &of_application,
        ),
        (
            Method::PUT,
            format!("{application}/logging-configuration"),
            empty.clone(),
            &of_application,
        ),
        (Method::PUT, rule.clone(), name, &of_rule),
        (Method::DELETE, rule, empty, &of_rule),
    ];
    for (method, path, body, what) in requests {
        let body = body.to_string();
        let answer = api.call_as(ACCOUNT, method.clone(), &path, body.as_bytes());
        let error = answer.await.unwrap_err();
        assert_eq!(error.exception(), "ConflictException", "{method} {path}");
        let message = error.message();
        assert!(
            message.starts_with(&format!("{what} is declared in /"))
                && message.ends_with("/0.toml: change it there, and reload the node (SIGHUP)"),
            "{message}"
        );
        // Whose it is not hears nothing of it.
        let other = api.call_as("999999999999", method.clone(), &path, body.as_bytes());
        let heard = other.await.err().map(|error| error.exception());
        assert_ne!(heard, Some("ConflictException"), "{method} {path}");
    }
}

#[tokio::test]
async fn what_nobody_declares_is_the_apis() {
    let api = Api::open().await;
    declare(&api, &documented()).await;
    let order = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550105"]});
    api.post(StatusCode::CREATED, "/phone-number-orders", order)
        .await
        .unwrap();
    let numbers = json!({"E164PhoneNumbers": ["+12065550105"]});
    let path = format!("/voice-connectors/{SEATTLE}?operation=associate-phone-numbers");
    api.post(StatusCode::OK, &path, numbers).await.unwrap();
    let free = api.connector().await;
    api.delete(&free).await.unwrap();
    // An application's calls, and a connector's sessions, are not declared.
    let path = format!("/sip-media-applications/{MENU}/calls");
    let call = json!({"FromPhoneNumber": "+12065550105", "ToPhoneNumber": "+12065550199"});
    let refusal = refused(api.post(StatusCode::CREATED, &path, call).await);
    assert_eq!(refusal.0, "BadRequestException");
    let path = format!("/voice-connectors/{SEATTLE}/proxy-sessions/{RULE}");
    let refusal = refused(api.delete(&path).await);
    assert_eq!(refusal.0, "NotFoundException");
}

#[tokio::test]
async fn a_wrong_file_is_refused_with_its_lines() {
    let api = Api::open().await;
    let control = &api.state.control;
    let connector = |rest: &str| {
        account(&format!(
            "\n[[VoiceConnector]]\nVoiceConnectorId = \"{SEATTLE}\"\nName = \"x\"\n{rest}\n"
        ))
    };
    let number = |rest: &str| {
        account(&format!(
            "[[PhoneNumber]]\nE164PhoneNumber = \"+12065550100\"\n{rest}\n"
        ))
    };
    let rule = |value: &str, application: &str| {
        account(&format!(
            "[[SipRule]]\nSipRuleId = \"{RULE}\"\nName = \"x\"\nTriggerType = \"ToPhoneNumber\"\n\
             TriggerValue = \"{value}\"\n\
             TargetApplications = [{{ SipMediaApplicationId = \"{application}\", Priority = 1 }}]\n"
        ))
    };
    let cases: Vec<(String, &str)> = vec![
        ("Account = 1".into(), "0.toml:1: Account: expected a string"),
        (
            "Name = \"x\"".into(),
            "0.toml:1: Name: no such key; there are Account, VoiceConnector, \
          VoiceConnectorGroup, PhoneNumber, SipMediaApplication, SipRule",
        ),
        ("[[PhoneNumber]]\n".into(), "0.toml: Account is required"),
        (
            "Account = \"1\"".into(),
            "0.toml:1: Account: expected an AWS account id: 12 digits",
        ),
        (
            "Account = \n".into(),
            "0.toml:1: is not TOML: string values must be quoted, expected literal string",
        ),
        (
            connector("[VoiceConnector.Termination]\nCps = 1"),
            "0.toml:7: VoiceConnector[0].Termination.Cps: no \
          such key; there are CpsLimit, DefaultPhoneNumber, CallingRegions, CidrAllowedList, Disabled",
        ),
        (
            connector("[VoiceConnector.Termination]\nCpsLimit = 0"),
            "0.toml:7: VoiceConnector[0].Termination.CpsLimit: \
          expected an integer, at least 1",
        ),
        (
            connector(
                "[VoiceConnector.Termination]\nCidrAllowedList = [\n \"10.0.0.0/8\",\n \"10\"]",
            ),
            "0.toml:9: VoiceConnector[0].Termination.CidrAllowedList[1]: expected an IP address or a network in CIDR \
          form, as 198.51.100.0/27",
        ),
        (
            connector("RequireEncryption = \"yes\""),
            "0.toml:6: VoiceConnector[0].RequireEncryption: expected true or \
          false",
        ),
        (
            account("[[VoiceConnector]]\nName = \"x\"\n"),
            "0.toml:2: VoiceConnector[0].VoiceConnectorId is required",
        ),
        (
            connector("Credentials = [{ Username = \"a\" }]"),
            "0.toml:6: VoiceConnector[0].Credentials[0]: expected \
          either Password, or Ha1Md5 and Ha1Sha256",
        ),
        (
            connector(
                "Credentials = [{ Username = \"a\", Password = \"b\" }, { Username = \"a\", Password = \"c\" }]",
            ),
            "0.toml:6: VoiceConnector[0].Credentials[1].Username: expected each user name once",
        ),
        (
            connector("[VoiceConnector.Termination]\nDefaultPhoneNumber = \"+12065550107\""),
            "0.toml:3: \
          Termination.DefaultPhoneNumber: +12*******07 is no number of the VoiceConnector, nor of a group that it is \
          in; associate it",
        ),
        (
            number(&format!(
                "VoiceConnectorId = \"{SEATTLE}\"\nVoiceConnectorGroupId = \"{GROUP}\""
            )),
            "0.toml:2: \
          +12*******00: expected VoiceConnectorId or VoiceConnectorGroupId, not both",
        ),
        (
            number(&format!("VoiceConnectorId = \"{SEATTLE}\"")),
            "0.toml:2: PhoneNumber +12*******00: the account has \
          no VoiceConnector seattle000000000000000; declare it, or create it through the API",
        ),
        (
            number(&format!("VoiceConnectorGroupId = \"{GROUP}\"")),
            "0.toml:2: PhoneNumber +12*******00: the account \
          has no VoiceConnectorGroup 6f1d9c52-3f0e-4b57-9a41-0f6f1c1e5a01; declare it, or create it through the API",
        ),
        (
            number(&format!(
                "ProductType = \"BusinessCalling\"\nVoiceConnectorId = \"{SEATTLE}\""
            )),
            "0.toml:4: \
          PhoneNumber[0].ProductType: expected VoiceConnector, for a number that is associated",
        ),
        (
            rule("+12065550100", MENU),
            "0.toml:2: SipRule[0].TriggerValue: expected a phone number of the account",
        ),
        (
            documented().replace(
                &format!("[{{ SipMediaApplicationId = \"{MENU}\""),
                &format!("[{{ SipMediaApplicationId = \"{RULE}\""),
            ),
            "0.toml:53: SipRule[0].TargetApplications[0].\
          SipMediaApplicationId: expected the id of a SIP media application of the account",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(faults(control, &[&text]).await, [expected], "{text}");
    }
    // Everything that is wrong is told at once, and nothing was put.
    let twice = connector("") + "[[PhoneNumber]]\nE164PhoneNumber = \"x\"\n";
    assert_eq!(
        faults(control, &[&documented(), &twice]).await,
        [
            "1.toml:3: VoiceConnector seattle000000000000000 is declared at 0.toml:8 already",
            "1.toml:8: PhoneNumber[0].E164PhoneNumber: expected an E.164 number: an optional + and 2 to 15 digits, \
             the first not 0",
        ]
    );
    let listed = api.get("/voice-connectors").await.unwrap();
    assert_eq!(listed["VoiceConnectors"], json!([]));
}

#[tokio::test]
async fn a_number_that_was_deleted_triggers_no_declared_rule() {
    let api = Api::open().await;
    let order = json!({"ProductType": "VoiceConnector", "E164PhoneNumbers": ["+12065550103"]});
    api.post(StatusCode::CREATED, "/phone-number-orders", order)
        .await
        .unwrap();
    let text = documented().replace(
        "TriggerValue = \"+12065550101\"",
        "TriggerValue = \"+12065550103\"",
    );
    put(&api.state.control, &[&text]).await.unwrap();
    let rule = format!("/sip-rules/{RULE}");
    let disabled = json!({"Name": "Menu", "Disabled": true});
    api.expect(StatusCode::ACCEPTED, Method::PUT, &rule, disabled)
        .await
        .unwrap();
    api.delete(&rule).await.unwrap();
    api.delete("/phone-numbers/%2B12065550103").await.unwrap();
    assert_eq!(
        faults(&api.state.control, &[&text]).await,
        ["0.toml:53: SipRule[0].TriggerValue: expected a phone number of the account"]
    );
}

#[tokio::test]
async fn what_another_account_has_cannot_be_declared() {
    let api = Api::open().await;
    declare(&api, &documented()).await;
    let others = documented().replace(ACCOUNT, "999999999999");
    assert_eq!(
        faults(&api.state.control, &[&others]).await,
        ["0.toml:8: VoiceConnector seattle000000000000000 is another account's"]
    );
    let number =
        "Account = \"999999999999\"\n[[PhoneNumber]]\nE164PhoneNumber = \"+12065550100\"\n";
    assert_eq!(
        faults(&api.state.control, &[number]).await,
        ["0.toml:2: PhoneNumber +12*******00 is another account's"]
    );
}

#[tokio::test]
async fn a_write_that_waits_for_a_reload_sees_what_it_declares() {
    let api = Api::open().await;
    let path = api.connector().await;
    let id = path.rsplit('/').next().unwrap();
    let text = account(&format!(
        "[[VoiceConnector]]\nVoiceConnectorId = \"{id}\"\nName = \"declared\"\n"
    ));
    let mut reloading = api.state.declared.write().await;
    let mut deleting = std::pin::pin!(api.delete(&path));
    let waited = tokio::time::timeout(std::time::Duration::ZERO, &mut deleting).await;
    assert!(waited.is_err(), "a write goes on while files are read");
    *reloading = put(&api.state.control, &[&text]).await.unwrap().0;
    drop(reloading);
    assert_eq!(refused(deleting.await).0, "ConflictException");
    // Reads do not wait.
    let _reloading = api.state.declared.write().await;
    let connector = api.get(&path).await.unwrap();
    assert_eq!(connector["VoiceConnector"]["Name"], "declared");
}
