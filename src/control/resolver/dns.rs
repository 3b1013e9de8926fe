//! The DNS as hickory-resolver asks it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};

use tokio::time::Instant;

use super::{Ask, Known, VALID_MAX};
use crate::config;
use crate::sip::locate::{Answer, Naptr, Question, Srv};

/// How long one server may take for one try.
const TRY: Duration = Duration::from_secs(2);
/// How long a question may take with all its tries.
const QUESTION: Duration = Duration::from_secs(6);
/// An absence of unsaid length holds for so long.
const ABSENT: Duration = Duration::from_secs(30);

/// The name servers of `[dns]`, or the system's; and the system's hosts file.
pub struct Dns {
    resolver: TokioResolver,
}

impl Dns {
    /// Reads what the system says of its name servers, where the config names none.
    pub fn new(config: &config::Dns) -> Result<Self, String> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = match config.servers.is_empty() {
            true => TokioResolver::builder(provider).or_else(|error| {
                tracing::warn!(%error, "the system names no name server: only its hosts file counts; `dns.servers` can name some");
                let none = ResolverConfig::from_name_servers(Vec::new());
                Ok::<_, NetError>(TokioResolver::builder_with_config(none, TokioRuntimeProvider::default()))
            }),
            false => {
                let servers = config.servers.iter().copied().map(name_server).collect();
                Ok(TokioResolver::builder_with_config(
                    ResolverConfig::from_name_servers(servers),
                    provider,
                ))
            }
        }
        .map_err(|error| error.to_string())?;
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = 2;
        // Answers are kept by whoever asks, for as long as they say.
        options.cache_size = 0;
        if !config.servers.is_empty() {
            options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        }
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { resolver })
    }

    /// The records of one type, in no order, and how long they hold.
    async fn records(
        &self,
        name: &str,
        kind: RecordType,
    ) -> Result<(Vec<RData>, Duration), String> {
        let lookup = tokio::time::timeout(QUESTION, self.resolver.lookup(name, kind));
        match lookup.await {
            Ok(Ok(lookup)) => {
                let valid = lookup
                    .valid_until()
                    .saturating_duration_since(Instant::now().into_std());
                let of_kind = lookup.answers().iter().map(|record| record.data.clone());
                Ok((
                    of_kind.filter(|data| data.record_type() == kind).collect(),
                    valid,
                ))
            }
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(absence)))) => {
                let valid = absence
                    .negative_ttl
                    .map(|seconds| Duration::from_secs(seconds.into()));
                Ok((Vec::new(), valid.unwrap_or(ABSENT).min(ABSENT * 10)))
            }
            Ok(Err(error)) => Err(format!("{kind} of {name}: {error}")),
            Err(_elapsed) => Err(format!("{kind} of {name}: no answer in time")),
        }
    }

    /// Both families; one that fails does not hide the other's addresses.
    async fn addresses(&self, name: &str) -> Result<Known, String> {
        let (v4, v6) = tokio::join!(
            self.records(name, RecordType::A),
            self.records(name, RecordType::AAAA)
        );
        let mut addresses: Vec<IpAddr> = Vec::new();
        let (mut valid, mut failure) = (VALID_MAX, None);
        for family in [v4, v6] {
            match family {
                Ok((records, holds)) => {
                    addresses.extend(records.iter().filter_map(RData::ip_addr));
                    valid = valid.min(holds);
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if addresses.is_empty() => Err(error),
            Some(error) => Ok(Known {
                answer: Answer::Addresses(addresses),
                valid: Duration::ZERO,
                missing: Some(error),
            }),
            None => Ok(Known {
                answer: Answer::Addresses(addresses),
                valid,
                missing: None,
            }),
        }
    }
}

impl Ask for Dns {
    async fn ask(&self, question: &Question) -> Result<Known, String> {
        match question {
            // Only a name of one label is one of this network, and found by way of its search domains.
            Question::Addresses(name) if name.contains('.') => {
                self.addresses(&format!("{name}.")).await
            }
            Question::Addresses(name) => self.addresses(name).await,
            Question::Srv(name) => {
                let (records, valid) = self.records(&format!("{name}."), RecordType::SRV).await?;
                let answer = Answer::Srv(records.iter().filter_map(srv).collect());
                Ok(Known {
                    answer,
                    valid,
                    missing: None,
                })
            }
            Question::Naptr(name) => {
                let (records, valid) = self.records(&format!("{name}."), RecordType::NAPTR).await?;
                let answer = Answer::Naptr(records.iter().filter_map(naptr).collect());
                Ok(Known {
                    answer,
                    valid,
                    missing: None,
                })
            }
        }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn srv(record: &RData) -> Option<Srv> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "record types of others")]
    match record {
        RData::SRV(srv) => Some(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: bare(&srv.target.to_ascii()),
        }),
        _ => None,
    }
}

fn naptr(record: &RData) -> Option<Naptr> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "record types of others")]
    match record {
        RData::NAPTR(naptr) if naptr.flags.eq_ignore_ascii_case(b"s") => Some(Naptr {
            order: naptr.order,
            preference: naptr.preference,
            service: String::from_utf8_lossy(&naptr.services).into_owned(),
            replacement: bare(&naptr.replacement.to_ascii()),
        }),
        _ => None,
    }
}

/// Without the dot at the end; the root is nothing.
fn bare(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{NAPTR, SOA, SRV};
    use hickory_resolver::proto::rr::{Name, Record};
    use tokio::net::UdpSocket;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    /// What the name server of the tests has: the records for a name and a type.
    fn zone(asked: &str, kind: RecordType) -> Option<Vec<RData>> {
        let naptr = |flags: &[u8], service: &[u8], replacement| {
            let (flags, service) = (flags.into(), service.into());
            RData::NAPTR(NAPTR::new(
                10,
                5,
                flags,
                service,
                [].into(),
                name(replacement),
            ))
        };
        match (asked, kind) {
            ("example.com.", RecordType::NAPTR) => Some(vec![
                naptr(b"S", b"SIP+D2T", "_SIP._tcp.example.com."),
                naptr(b"u", b"E2U+sip", "."),
            ]),
            ("_sip._tcp.example.com.", RecordType::SRV) => Some(vec![
                RData::SRV(SRV::new(1, 2, 5070, name("Sip1.Example.com."))),
                RData::SRV(SRV::new(3, 0, 0, name("."))),
            ]),
            ("sip1.example.com.", RecordType::A) => {
                Some(vec![RData::A(Ipv4Addr::new(192, 0, 2, 1).into())])
            }
            ("sip1.example.com.", RecordType::AAAA) => {
                Some(vec![RData::AAAA(Ipv6Addr::LOCALHOST.into())])
            }
            // Its IPv6 addresses cannot be told.
            ("half.example.com.", RecordType::A) => {
                Some(vec![RData::A(Ipv4Addr::new(192, 0, 2, 2).into())])
            }
            ("half.example.com." | "broken.example.com.", _) => None,
            (_, _) => Some(Vec::new()),
        }
    }

    /// Serves the zone with a time to live of 300 s, and of 20 s for what is not there.
    async fn serve_zone(socket: UdpSocket) {
        let mut buffer = [0; 1_024];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let request = Message::from_vec(&buffer[..length]).unwrap();
            let query = request.queries[0].clone();
            let mut response = Message::response(request.metadata.id, OpCode::Query);
            response.metadata.recursion_available = true;
            response.add_query(query.clone());
            match zone(
                &query.name().to_ascii().to_ascii_lowercase(),
                query.query_type(),
            ) {
                None => response.metadata.response_code = ResponseCode::ServFail,
                Some(records) if records.is_empty() => {
                    let root = name("example.com.");
                    let soa = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, 20);
                    response.add_authority(Record::from_rdata(root, 20, RData::SOA(soa)));
                }
                Some(records) => {
                    for record in records {
                        let owner = query.name().clone();
                        response.add_answer(Record::from_rdata(owner, 300, record));
                    }
                }
            }
            socket
                .send_to(&response.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    }

    async fn dns() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = vec![socket.local_addr().unwrap()];
        tokio::spawn(serve_zone(socket));
        let stale = Duration::ZERO;
        Dns::new(&config::Dns { servers, stale }).unwrap()
    }

    async fn ask(dns: &Dns, question: Question) -> (Answer, u64) {
        let known = dns.ask(&question).await.unwrap();
        (known.answer, known.valid.as_secs())
    }

    #[tokio::test]
    async fn records_come_with_their_time_to_live() {
        let dns = dns().await;
        let (answer, valid) = ask(&dns, Question::Naptr("example.com".to_owned())).await;
        let naptr = Naptr {
            order: 10,
            preference: 5,
            service: "SIP+D2T".to_owned(),
            replacement: "_sip._tcp.example.com".to_owned(),
        };
        assert_eq!(answer, Answer::Naptr(vec![naptr]), "the flag is s");
        assert!((298..=300).contains(&valid), "{valid}");
        let (answer, _) = ask(&dns, Question::Srv("_sip._tcp.example.com".to_owned())).await;
        let srv = |priority, weight, port, target: &str| Srv {
            priority,
            weight,
            port,
            target: target.to_owned(),
        };
        let expected = vec![srv(1, 2, 5070, "sip1.example.com"), srv(3, 0, 0, "")];
        assert_eq!(answer, Answer::Srv(expected));
        let (answer, _) = ask(&dns, Question::Addresses("sip1.example.com".to_owned())).await;
        let both = ["192.0.2.1", "::1"].map(|address| address.parse().unwrap());
        assert_eq!(answer, Answer::Addresses(both.into()));
    }

    #[tokio::test]
    async fn absence_is_an_answer_and_silence_is_none() {
        let dns = dns().await;
        let (answer, valid) = ask(&dns, Question::Srv("_sip._udp.example.com".to_owned())).await;
        assert_eq!(answer, Answer::Srv(Vec::new()));
        assert!((18..=20).contains(&valid), "{valid}");
        let broken = Question::Addresses("broken.example.com".to_owned());
        let error = dns.ask(&broken).await.unwrap_err();
        assert!(error.contains("broken.example.com"), "{error}");
    }

    #[tokio::test]
    async fn one_family_that_fails_does_not_hide_the_other() {
        let dns = dns().await;
        let half = Question::Addresses("half.example.com".to_owned());
        let (answer, valid) = ask(&dns, half).await;
        let address = "192.0.2.2".parse().unwrap();
        assert_eq!(answer, Answer::Addresses(vec![address]));
        assert_eq!(valid, 0, "to be asked again soon");
    }
}
