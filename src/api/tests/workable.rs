//! Settings that cannot work together are refused when they are written.

use super::declared::{SEATTLE, account, faults};
use super::numbers::{associate, order};
use super::*;
use crate::config::Config;

const OWN: [&str; 2] = ["+12065550100", "+12065550101"];

#[tokio::test]
async fn a_route_does_not_lead_to_the_node_itself() {
    let api = Api::open().await;
    let mut config = Config::default_for_start();
    config.sip.domain = "vc.example".to_owned();
    config.sip.aliases = vec!["sip.example".to_owned()];
    api.state.control.set_own_hosts(&config).await;
    let listener = &config.sip.listeners[0];
    let (address, port) = (listener.bind.ip().to_string(), listener.bind.port());
    let path = format!("{}/origination", api.connector().await);
    let put = |host: &str, port: u16| {
        let route = json!({"Host": host, "Port": port});
        api.put(
            &path,
            json!({"Origination": {"Routes": [{"Host": "pbx.example"}, route]}}),
        )
    };
    let message = "Origination.Routes[1].Host: expected another host than this node itself: its calls would come back";
    for host in [&address, "sip.example", "vc.example", "x.VC.example"] {
        assert_eq!(refused(put(host, port).await), bad_request(message));
    }
    put(&address, port + 10).await.unwrap();
    put("vc.example.org", port).await.unwrap();
}

#[tokio::test]
async fn an_encrypted_connector_has_no_route_over_udp() {
    let api = Api::open().await;
    let connector = api.connector().await;
    let path = format!("{connector}/origination");
    let put = |protocol: &str| {
        let route = json!({"Host": "pbx.example", "Protocol": protocol});
        api.put(
            &path,
            json!({"Origination": {"Routes": [{"Host": "a.example", "Protocol": "TCP"}, route]}}),
        )
    };
    let require = |is_required: bool| {
        api.put(
            &connector,
            json!({"Name": "pbx", "RequireEncryption": is_required}),
        )
    };
    put("UDP").await.unwrap();
    let message = "RequireEncryption: expected false while the VoiceConnector's origination has a route over UDP; put \
                   its routes over TCP first";
    assert_eq!(refused(require(true).await), bad_request(message));
    let kept = api.get(&connector).await.unwrap();
    assert_eq!(kept["VoiceConnector"]["RequireEncryption"], false);
    require(false).await.unwrap();
    put("TCP").await.unwrap();
    require(true).await.unwrap();
    let message =
        "Origination.Routes[1].Protocol: expected TCP, for the VoiceConnector requires encryption";
    assert_eq!(refused(put("UDP").await), bad_request(message));
    put("TCP").await.unwrap();
}

#[tokio::test]
async fn numbers_that_help_are_ordinary_ones() {
    let api = Api::open().await;
    order(&api, &OWN).await;
    let path = format!("{}/emergency-calling-configuration", api.connector().await);
    for (member, number) in [
        ("EmergencyPhoneNumber", "911"),
        ("EmergencyPhoneNumber", "+19005550142"),
        ("TestPhoneNumber", "933"),
        ("TestPhoneNumber", "+881612345678"),
    ] {
        let mut dnis = json!({"EmergencyPhoneNumber": "+12065550911", "CallingCountry": "US"});
        dnis[member] = number.into();
        let body = json!({"EmergencyCallingConfiguration": {"DNIS": [dnis]}});
        let (_, message) = refused(api.put(&path, body).await);
        let start = format!("EmergencyCallingConfiguration.DNIS[0].{member}: expected an ordinary");
        assert!(message.to_string().contains(&start), "{number}: {message}");
    }
}

#[tokio::test]
async fn emergency_calling_needs_termination_and_origination() {
    let api = Api::open().await;
    order(&api, &OWN).await;
    let bare = api.connector().await;
    let emergency = |countries: &[&str]| {
        let dnis = countries.iter().map(
            |country| json!({"EmergencyPhoneNumber": "+12065550911", "CallingCountry": country}),
        );
        json!({"EmergencyCallingConfiguration": {"DNIS": dnis.collect::<Vec<_>>()}})
    };
    let of = |connector: &str| format!("{connector}/emergency-calling-configuration");
    let termination = |connector: &str, body: Value| {
        (
            format!("{connector}/termination"),
            json!({"Termination": body}),
        )
    };
    let origination = |connector: &str, disabled: bool| {
        let body = json!({"Origination": {"Disabled": disabled}});
        (format!("{connector}/origination"), body)
    };
    let message = "EmergencyCallingConfiguration: expected Termination and Origination, neither of them Disabled, \
                   where emergency calling is configured";
    let refuses = async || {
        let put = api.put(&of(&bare), emergency(&["US"])).await;
        assert_eq!(refused(put), bad_request(message));
    };
    refuses().await;
    let (path, body) = termination(&bare, json!({}));
    api.put(&path, body).await.unwrap();
    refuses().await;
    let (path, body) = origination(&bare, true);
    api.put(&path, body).await.unwrap();
    refuses().await;
    let (path, body) = origination(&bare, false);
    api.put(&path, body).await.unwrap();
    api.put(&of(&bare), emergency(&["US", "CA"])).await.unwrap();

    // What it needs is not taken away under it.
    let held = bad_request(
        "The VoiceConnector has an emergency calling configuration, which needs termination and origination; delete \
         it with DeleteVoiceConnectorEmergencyCallingConfiguration first",
    );
    for (path, body) in [
        termination(&bare, json!({"Disabled": true})),
        origination(&bare, true),
    ] {
        assert_eq!(refused(api.put(&path, body).await), held);
        assert_eq!(refused(api.delete(&path).await), held);
    }
    let (path, body) = termination(&bare, json!({"CpsLimit": 2}));
    api.put(&path, body).await.unwrap();

    let other = api.connector_with(&OWN).await;
    for (countries, message) in [
        (["US", "US"], "expected each country once"),
        (
            ["US", "XX"],
            "expected an ISO 3166-1 alpha-2 country that exists",
        ),
    ] {
        let put = api.put(&of(&other), emergency(&countries)).await;
        let member = "EmergencyCallingConfiguration.DNIS[1].CallingCountry";
        assert_eq!(refused(put), bad_request(&format!("{member}: {message}")));
    }
    api.delete(&of(&bare)).await.unwrap();
    api.delete(&path).await.unwrap();
}

#[tokio::test]
async fn a_proxy_has_numbers_to_choose_from_and_does_not_fall_back_on_them() {
    let api = Api::open().await;
    order(&api, &OWN).await;
    let connector = api.connector().await;
    let path = format!("{connector}/programmable-numbers/proxy");
    let put = |more: Value| {
        let mut body =
            json!({"DefaultSessionExpiryMinutes": 60, "PhoneNumberPoolCountries": ["US"]});
        let members = body.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        api.put(&path, body)
    };
    let none = "PhoneNumberPoolCountries: expected a country of which the VoiceConnector has a phone number; associate \
                one first";
    assert_eq!(refused(put(json!({})).await), bad_request(none));
    let numbers = json!({"E164PhoneNumbers": OWN});
    associate(&api, &connector, numbers).await;
    put(json!({})).await.unwrap();
    put(json!({"PhoneNumberPoolCountries": ["CA", "US"]}))
        .await
        .unwrap();
    let canadian = json!({"PhoneNumberPoolCountries": ["CA"]});
    assert_eq!(refused(put(canadian).await), bad_request(none));
    let unknown = json!({"PhoneNumberPoolCountries": ["US", "XX"]});
    assert_eq!(
        refused(put(unknown).await),
        bad_request(
            "PhoneNumberPoolCountries[1]: expected an ISO 3166-1 alpha-2 country that exists"
        )
    );
    let negative = json!({"DefaultSessionExpiryMinutes": -1});
    assert_eq!(
        refused(put(negative).await),
        bad_request(
            "DefaultSessionExpiryMinutes: expected minutes, or 0 for sessions without an end"
        )
    );

    let session = json!({"ParticipantPhoneNumbers": ["+14255550123", "+13605550145"], "Capabilities": ["Voice"]});
    let sessions = format!("{connector}/proxy-sessions");
    let made = api.post(StatusCode::CREATED, &sessions, session).await;
    let made = &made.unwrap()["ProxySession"]["Participants"][0];
    assert_eq!(made["ProxyPhoneNumber"], OWN[0]);
    let fallback = |number: &str| put(json!({"FallBackPhoneNumber": number}));
    assert_eq!(
        refused(fallback(OWN[0]).await),
        bad_request(
            "FallBackPhoneNumber: expected a number that stands for no participant of a proxy session: its calls \
             would come back"
        )
    );
    fallback(OWN[1]).await.unwrap();
    // A number that has gone stands for nobody, though the session is kept.
    let gone = json!({"E164PhoneNumbers": [OWN[0]]});
    let disassociate = format!("{connector}?operation=disassociate-phone-numbers");
    api.post(StatusCode::OK, &disassociate, gone).await.unwrap();
    fallback(OWN[0]).await.unwrap();
    let session =
        json!({"ParticipantPhoneNumbers": [OWN[0], "+13605550146"], "Capabilities": ["Voice"]});
    let made = api.post(StatusCode::CREATED, &sessions, session).await;
    made.unwrap();
}

#[tokio::test]
async fn a_file_is_held_to_the_same() {
    const EMERGENCY: &str = "[VoiceConnector.EmergencyCallingConfiguration]\nDNIS = ";
    let api = Api::open().await;
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
    let cases = [
        (
            connector(
                "RequireEncryption = true\n[VoiceConnector.Origination]\nRoutes = [{ Host = \"192.0.2.1\", Protocol = \"UDP\" }]",
            ),
            "0.toml:8: VoiceConnector[0].Origination.Routes[0].Protocol: expected TCP, for the VoiceConnector requires \
             encryption",
        ),
        (
            connector("[VoiceConnector.Origination]\nRoutes = [{ Host = \"pbx.vc.example\" }]"),
            "0.toml:7: VoiceConnector[0].Origination.Routes[0].Host: expected another host than this node itself: its \
             calls would come back",
        ),
        (
            connector(&format!(
                "{EMERGENCY}[{{ EmergencyPhoneNumber = \"+12065550911\", CallingCountry = \"US\" }}]"
            )),
            "0.toml:6: VoiceConnector[0].EmergencyCallingConfiguration: expected Termination and Origination, neither \
             of them Disabled, where emergency calling is configured",
        ),
        (
            connector(&format!(
                "{EMERGENCY}[{{ EmergencyPhoneNumber = \"+12065550911\", CallingCountry = \"XX\" }}]"
            )),
            "0.toml:7: VoiceConnector[0].EmergencyCallingConfiguration.DNIS[0].CallingCountry: expected an ISO 3166-1 \
             alpha-2 country that exists",
        ),
        (
            connector("[VoiceConnector.Proxy]\nPhoneNumberCountries = [\"US\", \"XX\"]"),
            "0.toml:7: VoiceConnector[0].Proxy.PhoneNumberCountries[1]: expected an ISO 3166-1 alpha-2 country that \
             exists",
        ),
        (
            connector("[VoiceConnector.Proxy]\nPhoneNumberCountries = [\"CA\"]")
                + &number(&format!("VoiceConnectorId = \"{SEATTLE}\"")).replace(&account(""), ""),
            "0.toml:3: Proxy.PhoneNumberCountries: expected a country of which the VoiceConnector has a phone number; \
             associate one first",
        ),
    ];
    for (text, expected) in cases {
        let control = &api.state.control;
        assert_eq!(faults(control, &[&text]).await, [expected], "{text}");
    }
}

#[tokio::test]
async fn of_a_connector_that_is_not_there_nothing_else_is_wrong() {
    let api = Api::open().await;
    let path = "/voice-connectors/zzzzzzzzzzzzzzzzzzzzzz/programmable-numbers/proxy";
    let body = json!({"DefaultSessionExpiryMinutes": 60, "PhoneNumberPoolCountries": ["US"]});
    assert_eq!(refused(api.put(path, body).await).0, "NotFoundException");
}
