//! Start, timers, snapshots, events, panics, shutdown.

use super::*;

#[test]
fn a_panic_in_the_core_ends_one_message() {
    let bench = Bench::start(1);
    let client = bench.udp_client();
    client.send(&order("PANIC", 0)).unwrap();
    echo_udp(&client, &order("ECHO", 0));
    echo_udp(&client, &order("ECHO", 0));
    assert_eq!(bench.running.gauges[0].net().panics, 1);
    assert!(bench.running.is_whole());
}

#[test]
fn timers_fire_without_traffic() {
    let bench = Bench::start(1);
    bench.udp_client().send(&order("TIMER", 0)).unwrap();
    let shard = bench.see(|seen| match seen {
        Seen::Timeout(shard) => Some(shard),
        _ => None,
    });
    assert_eq!(shard, 0);
}

#[test]
fn a_published_snapshot_reaches_every_shard_at_once() {
    let bench = Bench::start(2);
    let mut published = Snapshot::default();
    published.own_hosts.insert(Arc::from("new.example"));
    bench.snapshot.store(Arc::new(published));
    bench.running.handle().wake();
    let mut shards = [false; 2];
    while shards != [true; 2] {
        let shard = bench.see(|seen| match seen {
            Seen::Snapshot(shard, snapshot) if !snapshot.own_hosts.is_empty() => Some(shard),
            _ => None,
        });
        shards[usize::from(shard)] = true;
    }
}

#[test]
fn events_reach_the_control_plane_and_a_full_channel_holds_nobody_up() {
    let bench = Bench::start(1);
    let client = bench.udp_client();
    for _ in 0..3 {
        echo_udp(&client, &order("EVENT", 0));
    }
    assert!(bench.events.pop().is_some());
    assert!(bench.events.pop().is_none(), "the channel holds one");
    echo_udp(&client, &order("ECHO", 0));
    assert_eq!(bench.sum(|net| net.event_drops), 2);
}

#[test]
fn every_shard_tells_of_its_calls() {
    let bench = Bench::start(2);
    let (answer, answers) = channel();
    let handle = bench.running.handle();
    let connector = VoiceConnectorId::from_random([1; VoiceConnectorId::LENGTH]);
    let wanted = CallsWanted {
        connectors: [connector].into(),
        max: 2,
    };
    handle.ask_live_calls(wanted, move |calls| answer.send(calls).unwrap());
    // It ends when all have answered: nobody holds the other end then.
    let mut told: Vec<String> = answers
        .iter()
        .flatten()
        .map(|call| call.facts.call_id)
        .collect();
    told.sort();
    assert_eq!(
        told,
        ["of shard 0", "of shard 0", "of shard 1", "of shard 1"]
    );
}

#[test]
fn shutdown_ends_the_threads_and_frees_the_ports() {
    let bench = Bench::start(2);
    let (udp, tcp) = (bench.address(UDP), bench.address(TCP));
    let mut client = bench.tcp_client_on(1).0;
    bench.running.shutdown();
    assert!(matches!(client.read(&mut [0; 16]), Ok(0) | Err(_)));
    assert!(UdpSocket::bind(udp).is_ok());
    assert!(TcpStream::connect(tcp).is_err());
}

#[test]
fn an_address_in_use_is_named_with_its_remedy() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = config(1);
    config.sip.listeners[0].bind = holder.local_addr().unwrap();
    let error = Bench::try_start(&config, 0).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, StartError::Listener { listener: 0, .. }));
    assert!(
        text.contains(&holder.local_addr().unwrap().to_string()),
        "{text}"
    );
    assert!(text.contains("another program"), "{text}");

    config.sip.listeners[0].transport = Transport::Tls;
    let error = Bench::try_start(&config, 0).err().unwrap();
    assert!(matches!(
        error,
        StartError::NoCertificate { listener: 0, .. }
    ));
}
