use std::collections::BTreeMap;

use super::*;

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// A zone in lines: `NAPTR name order preference service replacement`, `SRV name priority weight port target`
/// (`.` for none), `A name address`. What is asked for and not in there is known not to exist.
struct Zone(BTreeMap<Question, Answer>);

impl Zone {
    fn new(lines: &str) -> Self {
        let mut zone = BTreeMap::new();
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<u16>().unwrap();
            let name = words[1].to_owned();
            match words[0] {
                "NAPTR" => {
                    let record = Naptr {
                        order: number(2),
                        preference: number(3),
                        service: words[4].to_owned(),
                        replacement: words[5].to_owned(),
                    };
                    let answer = zone.entry(Question::Naptr(name));
                    match answer.or_insert(Answer::Naptr(Vec::new())) {
                        Answer::Naptr(records) => records.push(record),
                        Answer::Srv(_) | Answer::Addresses(_) => unreachable!(),
                    }
                }
                "SRV" => {
                    let record = Srv {
                        priority: number(2),
                        weight: number(3),
                        port: number(4),
                        target: words[5].trim_matches('.').to_owned(),
                    };
                    let answer = zone.entry(Question::Srv(name));
                    match answer.or_insert(Answer::Srv(Vec::new())) {
                        Answer::Srv(records) => records.push(record),
                        Answer::Naptr(_) | Answer::Addresses(_) => unreachable!(),
                    }
                }
                "A" => {
                    let answer = zone.entry(Question::Addresses(name));
                    match answer.or_insert(Answer::Addresses(Vec::new())) {
                        Answer::Addresses(records) => records.push(words[2].parse().unwrap()),
                        Answer::Naptr(_) | Answer::Srv(_) => unreachable!(),
                    }
                }
                other => panic!("no such record: {other}"),
            }
        }
        Self(zone)
    }

    /// The places as `rank/weight transport address:port`, and the questions that it took.
    fn locate(
        &self,
        port: Option<u16>,
        transport: Option<Transport>,
        spoken: &[Transport],
    ) -> (Vec<String>, usize) {
        let destination = Destination {
            name: "example.com".into(),
            port,
            transport,
        };
        let mut known: BTreeMap<Question, Answer> = BTreeMap::new();
        loop {
            match locate(&destination, spoken, |question| known.get(question)) {
                Ok(places) => return (shown(&places), known.len()),
                Err(missing) => {
                    assert!(!missing.is_empty());
                    for question in missing {
                        let nothing = match question {
                            Question::Naptr(_) => Answer::Naptr(Vec::new()),
                            Question::Srv(_) => Answer::Srv(Vec::new()),
                            Question::Addresses(_) => Answer::Addresses(Vec::new()),
                        };
                        let answer = self.0.get(&question).cloned().unwrap_or(nothing);
                        let asked_before = known.insert(question, answer);
                        assert_eq!(asked_before, None, "nothing is asked twice");
                    }
                }
            }
        }
    }
}

fn shown(places: &[Place]) -> Vec<String> {
    let mut shown = Vec::new();
    for place in places {
        for address in place.addresses.iter() {
            let Place { rank, weight, .. } = place;
            let at = std::net::SocketAddr::new(*address, place.port);
            shown.push(format!("{rank}/{weight} {} {at}", place.transport));
        }
    }
    shown
}

/// RFC 3263 §4.1's own example.
const EXAMPLE: &str = "
    NAPTR example.com 50 50 SIPS+D2T _sips._tcp.example.com
    NAPTR example.com 90 50 SIP+D2T _sip._tcp.example.com
    NAPTR example.com 100 50 SIP+D2U _sip._udp.example.com
    SRV _sip._tcp.example.com 0 1 5060 server1.example.com
    SRV _sip._tcp.example.com 0 2 5060 server2.example.com
    SRV _sips._tcp.example.com 0 1 5061 server1.example.com
    SRV _sip._udp.example.com 0 1 5060 server1.example.com
    A server1.example.com 192.0.2.1
    A server2.example.com 192.0.2.2
    A server2.example.com 2001:db8::2
    A example.com 192.0.2.9";

#[test]
fn naptr_says_which_transport_and_srv_where() {
    let zone = Zone::new(EXAMPLE);
    let (places, _) = zone.locate(None, None, &[Transport::Udp, Transport::Tcp]);
    assert_eq!(
        places,
        [
            "0/1 tcp 192.0.2.1:5060",
            "0/2 tcp 192.0.2.2:5060",
            "0/2 tcp [2001:db8::2]:5060",
            "1/1 udp 192.0.2.1:5060",
        ]
    );
}

#[test]
fn where_tls_is_preferred_nothing_goes_in_the_clear() {
    let (places, _) = Zone::new(EXAMPLE).locate(None, None, &ALL);
    assert_eq!(places, ["0/1 tls 192.0.2.1:5061"]);
}

#[test]
fn a_named_transport_needs_no_naptr() {
    let (places, questions) = Zone::new(EXAMPLE).locate(None, Some(Transport::Udp), &ALL);
    assert_eq!(places, ["0/1 udp 192.0.2.1:5060"]);
    assert_eq!(questions, 2, "SRV and the addresses of its host");
}

#[test]
fn a_port_needs_no_srv() {
    let zone = Zone::new(EXAMPLE);
    let (places, questions) = zone.locate(Some(5070), None, &ALL);
    assert_eq!(
        (places, questions),
        (vec!["0/0 udp 192.0.2.9:5070".to_owned()], 1)
    );
    let (places, _) = zone.locate(Some(5071), Some(Transport::Tls), &ALL);
    assert_eq!(places, ["0/0 tls 192.0.2.9:5071"]);
    let (places, _) = zone.locate(Some(5070), None, &[Transport::Tcp]);
    assert_eq!(places, ["0/0 tcp 192.0.2.9:5070"], "UDP is not spoken");
}

#[test]
fn without_naptr_every_spoken_transport_is_asked_for() {
    let zone = Zone::new(
        "SRV _sip._tcp.example.com 20 0 5062 b.example.com
         SRV _sip._tcp.example.com 10 0 5061 a.example.com
         SRV _sips._tcp.example.com 1 0 5063 a.example.com
         A a.example.com 192.0.2.1
         A b.example.com 192.0.2.2",
    );
    let (places, _) = zone.locate(None, None, &ALL);
    assert_eq!(
        places,
        [
            "0/0 tcp 192.0.2.1:5061",
            "1/0 tcp 192.0.2.2:5062",
            "2/0 tls 192.0.2.1:5063",
        ]
    );
    let (places, _) = zone.locate(None, None, &[Transport::Udp, Transport::Tls]);
    assert_eq!(places, ["0/0 tls 192.0.2.1:5063"]);
}

#[test]
fn without_srv_the_names_own_addresses_count() {
    let zone = Zone::new("A example.com 192.0.2.9");
    let (places, questions) = zone.locate(None, None, &ALL);
    assert_eq!(places, ["0/0 udp 192.0.2.9:5060"]);
    assert_eq!(questions, 5);
    let (places, _) = zone.locate(None, Some(Transport::Tls), &ALL);
    assert_eq!(places, ["0/0 tls 192.0.2.9:5061"]);
}

#[test]
fn a_service_that_is_decidedly_absent_is_nowhere() {
    let zone = Zone::new(
        "SRV _sip._udp.example.com 0 0 0 .
         A example.com 192.0.2.9",
    );
    let (places, _) = zone.locate(None, Some(Transport::Udp), &ALL);
    assert_eq!(places, [""; 0]);
}

#[test]
fn a_host_without_addresses_is_no_place_and_strange_services_are_passed_over() {
    let zone = Zone::new(
        "NAPTR example.com 1 1 SIP+D2S _sip._sctp.example.com
         NAPTR example.com 1 2 sip+d2u Other.Example.net
         SRV other.example.net 1 0 5060 gone.example.net
         SRV other.example.net 2 0 5060 here.example.net
         A here.example.net 192.0.2.7",
    );
    let (places, _) = zone.locate(None, None, &ALL);
    assert_eq!(places, ["1/0 udp 192.0.2.7:5060"]);
}

#[test]
fn a_long_answer_is_cut() {
    let mut lines = String::new();
    for number in 0..200 {
        lines += &format!("SRV _sip._udp.example.com {number} 0 5060 h{number}.example.com\n");
        lines += &format!("A h{number}.example.com 192.0.2.{number}\n");
    }
    let (places, questions) = Zone::new(&lines).locate(None, Some(Transport::Udp), &ALL);
    assert_eq!((places.len(), questions), (PLACES_MAX, 1 + RECORDS_MAX));
}

#[test]
fn nobody_makes_us_ask_for_more_hosts_than_there_may_be_places() {
    let mut lines = String::new();
    for service in 0..30 {
        lines += &format!("NAPTR example.com {service} 1 SIP+D2U _s{service}.example.com\n");
        for host in 0..30 {
            lines +=
                &format!("SRV _s{service}.example.com 1 0 5060 h{service}x{host}.example.com\n");
            lines += &format!("A h{service}x{host}.example.com 192.0.2.1\n");
        }
    }
    let (places, questions) = Zone::new(&lines).locate(None, None, &ALL);
    assert_eq!((places.len(), questions), (PLACES_MAX, 1 + 30 + PLACES_MAX));
}
