use super::*;

#[test]
fn a_quoted_display_name() {
    let text = r#""J Rosenberg \\\""       <sip:jdrosen@example.com>  ;  tag = 98asjd8"#;
    let value = NameAddr::parse(text).unwrap();
    assert_eq!(value.display, Some(r#""J Rosenberg \\\"""#));
    assert_eq!(value.display_name().unwrap(), r#"J Rosenberg \""#);
    assert_eq!(value.uri, "sip:jdrosen@example.com");
    assert_eq!(value.tag(), Some("98asjd8"));
}

#[test]
fn a_display_name_that_is_neither_token_nor_quoted_is_taken() {
    let value = NameAddr::parse("Bell, Alexander <sip:a.g.bell@example.com>;tag=43").unwrap();
    assert_eq!(value.display, Some("Bell, Alexander"));
    assert_eq!(value.tag(), Some("43"));
}

#[test]
fn parameters_after_a_bare_uri_are_the_fields_own() {
    let value = NameAddr::parse("sip:a@b;transport=tcp;TAG=x").unwrap();
    assert_eq!(value.uri, "sip:a@b");
    assert_eq!(value.display, None);
    assert_eq!(value.params.value("transport"), Some("tcp"));
    assert_eq!(value.tag(), Some("x"));

    let value = NameAddr::parse("<sip:a@b;transport=tcp>;tag=x").unwrap();
    assert_eq!(value.uri, "sip:a@b;transport=tcp");
    assert_eq!(value.params.as_str(), ";tag=x");
}

#[test]
fn quoted_parameters_keep_their_quotes() {
    let value = NameAddr::parse(r#"sip:a@b;x="<;\",>";lr;y=1"#).unwrap();
    let params: Vec<_> = value.params.iter().collect();
    assert_eq!(
        params,
        [("x", Some(r#""<;\",>""#)), ("lr", None), ("y", Some("1"))]
    );
    assert_eq!(value.params.get("lr"), Some(None));
    assert_eq!(value.params.get("l"), None);
}

#[test]
fn malformed_addresses_are_refused() {
    for text in [
        "",
        "\"Mr. J. User <sip:j.user@example.com>",
        "\"Watson\" < sip:t.watson@example.org >",
        "\"Watson\"sip:t.watson@example.org",
        "<sip:a@b",
        "<>",
        "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
        "sip:a@b,sip:c@d",
        "<sip:a@b>,<sip:c@d>",
        "<sip:a@b>;;tag=1",
        "<sip:a@b>;tag=",
        "<sip:a@b> tag=1",
        "ralph@example.com",
        "*",
    ] {
        assert_eq!(
            NameAddr::parse(text),
            Err(ParseError::Malformed(HeaderName::Other)),
            "{text}"
        );
    }
}

#[test]
fn a_via_as_it_is_usually_written() {
    let via = Via::parse("SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bKx;rport;received=1.2.3.4")
        .unwrap();
    assert_eq!(via.transport, "UDP");
    assert_eq!(via.host, "[2001:db8::9]");
    assert_eq!(via.port, Some(5070));
    assert_eq!(via.sent_by(), "[2001:db8::9]:5070");
    assert_eq!(via.branch(), Some("z9hG4bKx"));
    assert_eq!(via.received(), Some("1.2.3.4"));
    assert!(via.wants_rport());
    assert!(
        !Via::parse("SIP/2.0/UDP a;rport=5060")
            .unwrap()
            .wants_rport()
    );
}

#[test]
fn a_via_with_white_space_everywhere() {
    let via = Via::parse(
        "sip  / 2.0  / TCP     spindle.example.com : 5061   ;  branch  =   z9hG4bK9ikj8  ",
    )
    .unwrap();
    assert_eq!(via.transport, "TCP");
    assert_eq!(via.host, "spindle.example.com");
    assert_eq!(via.port, Some(5061));
    assert_eq!(via.branch(), Some("z9hG4bK9ikj8"));
}

#[test]
fn malformed_vias_are_refused() {
    for text in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDPhost",
        "SIP/2.0/UDP 192.0.2.15;;",
        "SIP/2.0/UDP host:99999",
        "SIP/2.0/UDP host:",
        "SIP/2.0/UDP [::1",
        "SIP/3.0/UDP host",
        "HTTP/2.0/UDP host",
        "SIP/2.0/UDP host;branch=\"x",
        "SIP/2.0/UDP a, SIP/2.0/UDP b",
    ] {
        assert_eq!(
            Via::parse(text),
            Err(ParseError::Malformed(HeaderName::Via)),
            "{text}"
        );
    }
}

#[test]
fn cseq_is_a_number_below_two_to_the_31_and_a_method() {
    let cseq = CSeq::parse("0009 \t INVITE").unwrap();
    assert_eq!(
        (cseq.number, cseq.method, cseq.token),
        (9, Method::Invite, "INVITE")
    );
    let cseq = CSeq::parse("2147483647 RE%47IST%45R").unwrap();
    assert_eq!(
        (cseq.number, cseq.method),
        (i32::MAX as u32, Method::Unknown)
    );
    for text in [
        "",
        "1",
        "1 ",
        "INVITE 1",
        "2147483648 INVITE",
        "-1 ACK",
        "1 IN VITE",
        "1 a,b",
    ] {
        assert_eq!(
            CSeq::parse(text),
            Err(ParseError::Malformed(HeaderName::CSeq)),
            "{text}"
        );
    }
}

#[test]
fn hops_fit_one_byte() {
    assert_eq!(max_forwards("0068"), Ok(68));
    for text in ["", "256", "-1", "7 0"] {
        assert_eq!(
            max_forwards(text),
            Err(ParseError::Malformed(HeaderName::MaxForwards))
        );
    }
}
