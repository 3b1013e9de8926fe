//! What must be right about listeners, timers and TLS.

use super::*;

#[test]
fn an_advertised_address_must_be_one_that_peers_can_send_to() {
    let listener = |bind: &str, advertise: &str| {
        format!("[[sip.listener]]\ntransport = \"udp\"\nbind = \"{bind}\"\n{advertise}\n")
    };
    assert_refused(
        &listener("0.0.0.0:5060", ""),
        "3: key `sip.listener[0].bind`",
        "add advertise",
    );
    assert_refused(
        &listener("[::]:5060", ""),
        "3: key `sip.listener[0].bind`",
        "add advertise",
    );
    let place = "4: key `sip.listener[0].advertise`";
    assert_refused(
        &listener("0.0.0.0:5060", "advertise = \"[2001:db8::1]:5060\""),
        place,
        "another family",
    );
    assert_refused(
        &listener("0.0.0.0:5060", "advertise = \"0.0.0.0:5060\""),
        place,
        "wildcard",
    );
    assert_refused(
        &listener("127.0.0.1:5060", "advertise = \"192.0.2.1:0\""),
        place,
        "port",
    );

    let media = |keys: &str| format!("{SMALLEST}[media]\n{keys}\n");
    assert_refused(
        &media("bind = \"0.0.0.0\""),
        "5: key `media.bind`",
        "add advertise",
    );
    assert_refused(
        &media("bind = \"127.0.0.1\"\nadvertise = \"2001:db8::1\""),
        "6: key `media.advertise`",
        "another family",
    );
    assert_refused(
        &media("bind = [\"127.0.0.1\", \"127.0.0.2\"]"),
        "5: key `media.bind`",
        "one family",
    );
    assert_refused(&media("bind = []"), "5: key `media.bind`", "missing");
}

#[test]
fn a_listener_may_have_an_address_of_each_family() {
    let text = "[[sip.listener]]\ntransport = \"udp\"\nbind = [\"0.0.0.0:5060\", \"[::1]:5062\"]\n\
                advertise = \"192.0.2.1:5061\"\n";
    let config = load(text).expect("two families");
    let listeners: Vec<_> = config
        .sip
        .listeners
        .iter()
        .map(|listener| (listener.bind.to_string(), listener.advertise.to_string()))
        .collect();
    let expected = [
        ("0.0.0.0:5060", "192.0.2.1:5061"),
        ("[::1]:5062", "[::1]:5062"),
    ];
    assert_eq!(
        listeners,
        expected.map(|(bind, shown)| (bind.into(), shown.into()))
    );

    let listener = |bind: &str| format!("[[sip.listener]]\ntransport = \"udp\"\nbind = {bind}\n");
    let place = "3: key `sip.listener[0].bind`";
    assert_refused(
        &listener("[\"127.0.0.1:5060\", \"127.0.0.2:5060\"]"),
        place,
        "one family",
    );
    assert_refused(&listener("[]"), place, "missing");
}

#[test]
fn timers_must_agree() {
    let timers = |keys: &str| format!("{SMALLEST}[sip.timers]\n{keys}\n");
    assert_refused(
        &timers("t1_ms = 600\nt2_ms = 500"),
        "6: key `sip.timers.t2_ms`",
        "below t1_ms",
    );
    assert_refused(
        &timers("t1_ms = 5000"),
        "5: key `sip.timers.t2_ms`",
        "below t1_ms",
    );
    assert_refused(
        &timers("session_expires_s = 120\nmin_se_s = 200"),
        "5: key `sip.timers.session_expires_s`",
        "is below min_se_s, 200",
    );
    assert_refused(
        &timers("min_se_s = 60"),
        "5: key `sip.timers.min_se_s`",
        "90",
    );
    assert!(load(&timers("session_expires_s = 0")).is_ok());
    assert_refused(
        &timers("timer_c_s = 0"),
        "5: key `sip.timers.timer_c_s`",
        "out of range",
    );
    let timers = load(&timers("route_timeout_ms = 1500")).unwrap().sip.timers;
    assert_eq!(timers.route_timeout.as_millis(), 1_500);
}

#[test]
fn tls_is_understood_and_what_is_left_out_has_its_default() {
    let text = "[[sip.listener]]\ntransport = \"tls\"\nbind = \"127.0.0.1:5061\"\n\
                [sip.tls]\nca = \"ca\"\nclient_ca = \"peers\"\nrequire_client_certificate = true\nverify_customers = false\n\
                handshake_timeout_s = 3\nhandshakes_per_turn = 9\n\
                [[sip.tls.certificate]]\ncertificate = \"c\"\nkey = \"k\"\n\
                [[carrier]]\nname = \"x\"\n\
                [[carrier.route]]\nhost = \"h.example\"\ntransport = \"tls\"\nverify = false\n\
                [carrier.tls]\nca = \"ca2\"\nclient_certificate = \"c2\"\nclient_key = \"k2\"\n\
                [limits]\nconnection_idle_s = 100\nsource_connections_max = 7\n\
                known_source_connections_max = 70\n";
    let config = load(text).unwrap();
    let tls = &config.sip.tls;
    assert_eq!(config.sip.listeners[0].transport, Transport::Tls);
    assert_eq!(tls.certificates[0].certificate, PathBuf::from("c"));
    assert_eq!(tls.certificates[0].key, PathBuf::from("k"));
    assert_eq!(tls.ca, Some(PathBuf::from("ca")));
    assert_eq!(tls.client_ca, Some(PathBuf::from("peers")));
    assert!(tls.require_client_certificate);
    assert!(!tls.verify_customers);
    assert_eq!(tls.handshake_timeout, Duration::from_secs(3));
    assert_eq!(tls.handshakes_per_turn, 9);
    assert_eq!(config.limits.connection_idle, Duration::from_secs(100));
    assert_eq!(config.limits.source_connections_max, 7);
    assert_eq!(config.limits.known_source_connections_max, 70);
    let carrier = &config.carriers[0];
    let target = &carrier.routes[0].target;
    assert_eq!(
        (target.port, target.transport),
        (None, Some(Transport::Tls))
    );
    assert!(!carrier.routes[0].verify);
    assert_eq!(carrier.tls.ca, Some(PathBuf::from("ca2")));
    let client = carrier.tls.client.as_ref().unwrap();
    assert_eq!(client.certificate, PathBuf::from("c2"));
    assert_eq!(client.key, PathBuf::from("k2"));

    let config = load(SMALLEST).unwrap();
    assert_eq!(config.sip.tls, SipTls::default());
    assert!(config.sip.tls.verify_customers);
}

#[test]
fn half_a_certificate_is_refused() {
    assert_refused(
        &format!("{SMALLEST}[[sip.tls.certificate]]\ncertificate = \"c\"\n"),
        "4: key `sip.tls.certificate[0].key`: missing",
        "PEM file",
    );
    let carrier = "[[carrier]]\nname = \"x\"\n[carrier.tls]\nclient_certificate = \"c\"\n";
    assert_refused(
        &format!("{SMALLEST}{carrier}"),
        "6: key `carrier[0].tls.client_key`: missing",
        "PEM file",
    );
    let carrier = "[[carrier]]\nname = \"x\"\n[carrier.tls]\nclient_key = \"c\"\n";
    assert_refused(
        &format!("{SMALLEST}{carrier}"),
        "6: key `carrier[0].tls.client_certificate`: missing",
        "client_key",
    );
}

#[test]
fn tcp_and_tls_cannot_share_a_port() {
    let both = "[[sip.listener]]\ntransport = \"tcp\"\nbind = \"127.0.0.1:5061\"\n\
                [[sip.listener]]\ntransport = \"tls\"\nbind = \"127.0.0.1:5061\"\n";
    assert_refused(both, "6: key `sip.listener[1].bind`", "the same listener");
}

#[test]
fn a_carriers_credentials_are_whole_and_never_shown() {
    let carrier = |keys: &str| format!("{SMALLEST}[[carrier]]\nname = \"x\"\n{keys}\n");
    let text = carrier(
        "redirect = \"follow\"\ntrusted = false\n[carrier.credentials]\nusername = \"u\"\npassword = \"hush\"",
    );
    let config = load(&text).unwrap();
    let policy = &config.carriers[0].policy;
    assert!(policy.redirect && !policy.trusted);
    assert_eq!(policy.credentials.as_ref().unwrap().password.0, "hush");
    assert!(!format!("{config:?}").contains("hush"));
    assert_refused(
        &carrier("[carrier.credentials]\nusername = \"u\""),
        "6: key `carrier[0].credentials.password`",
        "missing",
    );
    assert_refused(
        &carrier("redirect = \"maybe\""),
        "6: key `carrier[0].redirect`",
        "refuse or follow",
    );
}

#[test]
fn refer_and_register_are_refused_unless_the_operator_says_otherwise() {
    let sip = |keys: &str| format!("[sip]\n{keys}\n{SMALLEST}");
    let default = load(SMALLEST).unwrap().sip;
    assert!(!default.transfers && !default.registers);
    let refuse = load(&sip("refer = \"refuse\"\nregister = \"refuse\"")).unwrap();
    assert!(!refuse.sip.transfers && !refuse.sip.registers);
    let take = load(&sip("refer = \"transfer\"\nregister = \"accept\"")).unwrap();
    assert!(take.sip.transfers && take.sip.registers);
    assert_refused(
        &sip("refer = \"relay\""),
        "2: key `sip.refer`",
        "refuse or transfer",
    );
    assert_refused(&sip("register = true"), "2:", "string");
    assert_refused(
        &sip("register = \"yes\""),
        "2: key `sip.register`",
        "refuse or accept",
    );
}

#[test]
fn what_a_route_leaves_open_is_left_to_the_dns_where_it_has_a_say() {
    let target = |route: &str| {
        let tls = "[[sip.listener]]\ntransport = \"tls\"\nbind = \"127.0.0.1:5061\"\n";
        let text =
            format!("{SMALLEST}{tls}[[carrier]]\nname = \"x\"\n[[carrier.route]]\n{route}\n");
        let target = load(&text).unwrap().carriers[0].routes[0].target.clone();
        (target.port, target.transport)
    };
    let (udp, tls) = (Some(Transport::Udp), Some(Transport::Tls));
    let cases = [
        ("host = \"h.example\"", (None, None)),
        ("host = \"h.example\"\ntransport = \"tls\"", (None, tls)),
        ("host = \"h.example\"\nport = 5070", (Some(5070), udp)),
        // RFC 3263 §4.1 and §4.2: an address has its defaults.
        ("host = \"192.0.2.1\"", (Some(5060), udp)),
        (
            "host = \"192.0.2.1\"\ntransport = \"tls\"",
            (Some(5061), tls),
        ),
    ];
    for (route, expected) in cases {
        assert_eq!(target(route), expected, "{route}");
    }
}

#[test]
fn name_servers_are_understood_and_wrong_ones_refused() {
    let dns = |keys: &str| format!("{SMALLEST}[dns]\n{keys}\n");
    let servers = "servers = [\"192.0.2.53\", \"[::1]:5353\"]\nstale_s = 0";
    let config = load(&dns(servers)).unwrap();
    let servers: Vec<String> = config.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.53:53", "[::1]:5353"]);
    assert_eq!(config.dns.stale, Duration::ZERO);
    let default = load(SMALLEST).unwrap().dns;
    assert_eq!(default.stale, Duration::from_secs(86_400));
    assert_refused(
        &dns("servers = [\"192.0.2.53\", \"ns.example\"]"),
        "5: key `dns.servers[1]`",
        "a name server's address",
    );
    assert_refused(&dns("stale_s = -1"), "5: key `dns.stale_s`", "out of range");
}

#[test]
fn certificates_of_peers_are_required_only_where_something_verifies_them() {
    let listener = "[[sip.listener]]\ntransport = \"udp\"\nbind = \"127.0.0.1:5060\"\n";
    assert_refused(
        &format!("{listener}[sip.tls]\nrequire_client_certificate = true\n"),
        "5: key `sip.tls.require_client_certificate`",
        "add that",
    );
    let tls = load(listener).unwrap().sip.tls;
    assert!(!tls.require_client_certificate);
}

#[test]
fn a_carrier_is_called_from_a_listener_that_there_is() {
    let text = |place: &str| {
        format!(
            "[[sip.listener]]\ntransport = \"udp\"\nbind = \"127.0.0.1:5060\"\n\
             [[carrier]]\nname = \"x\"\nlistener = \"{place}\"\n"
        )
    };
    let policy = load(&text("127.0.0.1:5060")).unwrap().carriers[0]
        .policy
        .clone();
    assert_eq!(policy.listener, Some("127.0.0.1:5060".parse().unwrap()));
    for (place, problem) in [
        ("127.0.0.1:5070", "no listener binds this"),
        ("127.0.0.1", "is not valid"),
    ] {
        assert_refused(&text(place), "6: key `carrier[0].listener`", problem);
    }
}

#[test]
fn users_are_an_account_and_a_user() {
    let api = |keys: &str| format!("{SMALLEST}[api]\n{keys}\n");
    let config = load(&api("users = [\"team/ada\"]\ne911_addresses = \"a.tsv\"")).unwrap();
    assert_eq!(config.api.users, ["team/ada"]);
    assert_eq!(config.api.requests_per_second, 1_000);
    let unbounded = load(&api("requests_per_second = 0")).unwrap();
    assert_eq!(unbounded.api.requests_per_second, 0);
    assert_eq!(config.api.e911_addresses, Some(PathBuf::from("a.tsv")));
    for wrong in ["ada", "team/", "/ada", "a/b/c"] {
        let text = api(&format!("users = [\"{wrong}\"]"));
        assert_refused(&text, "5: key `api.users[0]`", "ACCOUNT/USER");
    }
    assert_refused(
        &api("e911_addresses = \"\""),
        "5: key `api.e911_addresses`",
        "an address a line",
    );
}

#[test]
fn an_access_key_may_be_one_for_reading() {
    let key = |role: &str| {
        format!(
            "{SMALLEST}[[api.access_key]]\nid = \"AKIAREADSONLYEXAMPLE\"\nsecret = \"s\"\n\
             account = \"111122223333\"\n{role}\n"
        )
    };
    let is_read_only = |role: &str| load(&key(role)).unwrap().api.access_keys[0].is_read_only;
    assert!(!is_read_only(""));
    assert!(!is_read_only("role = \"full\""));
    assert!(is_read_only("role = \"read-only\""));
    assert_refused(
        &key("role = \"admin\""),
        "8: key `api.access_key[0].role`",
        "full or read-only",
    );
}

#[test]
fn packets_are_marked_as_each_listener_says() {
    let text = "[[sip.listener]]\ntransport = \"udp\"\nbind = \"127.0.0.1:5060\"\n\
                [[sip.listener]]\ntransport = \"tcp\"\nbind = \"127.0.0.1:5060\"\ndscp = 40\n\
                [media]\ndscp = 0\n";
    let config = load(text).unwrap();
    let classes = config.sip.listeners.iter();
    let classes: Vec<_> = classes
        .map(|listener| listener.dscp.traffic_class())
        .collect();
    assert_eq!(classes, [24 << 2, 40 << 2]);
    assert_eq!(config.media.dscp.traffic_class(), 0);
    assert_refused(
        &text.replace("dscp = 40", "dscp = 64"),
        "7: key `sip.listener[1].dscp`",
        "63",
    );
    assert_refused(
        &text.replace("dscp = 0", "dscp = -1"),
        "9: key `media.dscp`",
        "63",
    );
}
