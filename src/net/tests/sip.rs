//! SIP over datagrams and streams, on one shard and across two.

use super::*;

#[test]
fn udp_and_tcp_answer_on_ipv4_and_ipv6() {
    let mut config = config(1);
    if UdpSocket::bind("[::1]:0").is_ok() {
        for listener in &mut config.sip.listeners.clone() {
            listener.bind = "[::1]:0".parse().unwrap();
            config.sip.listeners.push(listener.clone());
        }
    }
    let bench = Bench::try_start(&config, 0).unwrap();
    for (index, listener) in config.sip.listeners.iter().enumerate() {
        let address = bench.address(index);
        let message = order("ECHO", 0);
        if listener.transport == Transport::Udp {
            echo_udp(&udp_client(address), &message);
        } else {
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            echo_tcp(&mut client, &message);
        }
        let (shard, flow, bytes) = bench.see_message();
        assert_eq!((shard, usize::from(flow.listener)), (0, index));
        assert_eq!(flow.transport, listener.transport);
        assert_eq!(bytes, message);
    }
}

#[test]
fn a_keep_alive_datagram_does_not_reach_the_core() {
    let bench = Bench::start(1);
    let client = bench.udp_client();
    client.send(b"\r\n\r\n").unwrap();
    client.send(b"\0\0").unwrap();
    echo_udp(&client, &order("ECHO", 0));
    let (_, _, bytes) = bench.see_message();
    assert_eq!(bytes, order("ECHO", 0));
}

#[test]
fn a_ping_on_a_stream_is_answered_and_rubbish_closes_it() {
    let bench = Bench::start(1);
    let mut client = bench.tcp_client();
    client.write_all(b"\r\n\r\n").unwrap();
    assert_eq!(receive_tcp(&mut client, 2), b"\r\n");
    client.write_all(b"ECHO sip:a SIP/2.0\r\n\r\n").unwrap();
    assert!(matches!(client.read(&mut [0; 16]), Ok(0) | Err(_)));
    echo_tcp(&mut bench.tcp_client(), &order("ECHO", 0));
    assert_eq!(bench.running.gauges[0].net().framing_errors, 1);
}

#[test]
fn pipelined_and_split_messages_are_answered_in_order() {
    let bench = Bench::start(1);
    let mut client = bench.tcp_client();
    let stream = order("ECHO", 0).repeat(300);
    let (first, second) = stream.split_at(5_000);
    client.write_all(first).unwrap();
    client.write_all(second).unwrap();
    assert_eq!(receive_tcp(&mut client, stream.len()), stream);
}

#[test]
fn datagrams_are_handed_to_their_owner_both_ways() {
    let bench = Bench::start(2);
    let handed_over = |shard: usize| bench.running.gauges[shard].net().handed_over;
    for _ in 0..200 {
        let client = bench.udp_client();
        for owner in [0, 1] {
            echo_udp(&client, &order("ECHO", owner));
            assert_eq!(bench.see_message().0, owner);
        }
        if handed_over(0) > 0 && handed_over(1) > 0 {
            return;
        }
    }
    panic!("200 sources, and all messages came to one shard");
}

#[test]
fn an_owner_writes_on_connections_that_the_other_shard_holds() {
    let bench = Bench::start(2);
    for holder in [0, 1] {
        let (mut client, flow) = bench.tcp_client_on(holder);
        for owner in [0, 1] {
            echo_tcp(&mut client, &order("ECHO", owner));
            let (shard, again, _) = bench.see_message();
            assert_eq!((shard, again), (owner, flow));
        }
    }
}

#[test]
fn a_write_to_a_lost_connection_on_another_shard_reports_back() {
    let bench = Bench::start(2);
    let (client, flow) = bench.tcp_client_on(0);
    let mut witness = bench.tcp_client_on(0).0;
    drop(client);
    // Shard 0 notices the end no later than in the turn of this message, which came after it.
    echo_tcp(&mut witness, &order("ECHO", 0));
    bench.set_flow(flow);
    bench.udp_client().send(&order("RELAY", 1)).unwrap();
    assert_eq!(bench.see_transport_error(), (1, TRANSACTION));
}

#[test]
fn connections_are_opened_once_and_then_reused() {
    let bench = Bench::start(1);
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    bench.set_flow(Flow {
        transport: Transport::Tcp,
        listener: 1,
        remote: peer.local_addr().unwrap(),
        connection: None,
        tls: None,
        carrier: None,
    });
    let client = bench.udp_client();
    let message = order("RELAY", 0);
    client.send(&message).unwrap();
    let (mut stream, _) = peer.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(receive_tcp(&mut stream, message.len()), message);
    client.send(&message).unwrap();
    assert_eq!(receive_tcp(&mut stream, message.len()), message);
    // What the peer sends on it is heard, and the answer stays on it.
    echo_tcp(&mut stream, &order("ECHO", 0));
}

#[test]
fn a_refused_connection_and_an_unserved_transport_are_transport_errors() {
    let bench = Bench::start(1);
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (transport, listener) in [
        (Transport::Tcp, 1),
        (Transport::Tls, 1),
        (Transport::Tcp, 0),
        (Transport::Udp, 1),
        (Transport::Udp, 9),
    ] {
        bench.set_flow(Flow {
            transport,
            listener,
            remote: closed,
            connection: None,
            tls: None,
            carrier: None,
        });
        bench.udp_client().send(&order("RELAY", 0)).unwrap();
        assert_eq!(bench.see_transport_error(), (0, TRANSACTION), "{transport}");
    }
}

#[test]
fn a_slow_reader_loses_its_connection_and_nobody_else_notices() {
    let bench = Bench::start(1);
    let mut slow = bench.tcp_client();
    let mut other = bench.tcp_client();
    echo_tcp(&mut other, &order("ECHO", 0));
    slow.write_all(&order("FLOOD", 0)).unwrap();
    assert_eq!(bench.see_transport_error(), (0, TRANSACTION));
    echo_tcp(&mut other, &order("ECHO", 0));
    assert_eq!(bench.running.gauges[0].net().slow_readers, 1);
    let mut rest = Vec::new();
    let end = slow.read_to_end(&mut rest);
    assert!(end.is_err() || rest.len() < 60_000_000);
}

#[test]
fn one_connection_too_many_is_closed() {
    let mut config = config(1);
    config.limits.connections_max = 1;
    let bench = Bench::try_start(&config, 0).unwrap();
    let mut first = bench.tcp_client();
    echo_tcp(&mut first, &order("ECHO", 0));
    let mut second = bench.tcp_client();
    assert!(matches!(second.read(&mut [0; 16]), Ok(0) | Err(_)));
    echo_tcp(&mut first, &order("ECHO", 0));
}

#[test]
fn a_thread_that_is_not_through_with_its_work_says_how_far_behind_it_is() {
    let bench = Bench::start(1);
    let client = bench.udp_client();
    let held = bench.gate.lock().unwrap();
    client.send(&order("HOLD", 0)).unwrap();
    bench.see_message();
    // More than two turns' worth wait in the socket.
    for _ in 0..200 {
        client.send(&order("HOLD", 0)).unwrap();
    }
    drop(held);
    let (mut handled, mut was_behind) = (0, false);
    while handled < 200 {
        bench.see(|seen| match seen {
            Seen::Message(..) => {
                handled += 1;
                Some(())
            }
            Seen::Lag(0, lag) => {
                was_behind |= !lag.is_zero();
                Some(())
            }
            _ => None,
        });
    }
    assert!(was_behind);
    // Once it is through, the next turn begins without.
    client.send(&order("HOLD", 0)).unwrap();
    let caught_up = |seen| match seen {
        Seen::Lag(0, lag) => lag.is_zero().then_some(()),
        _ => None,
    };
    bench.see(caught_up);
}

#[test]
fn nothing_is_taken_from_a_source_that_is_banned() {
    let bench = Bench::start(1);
    let client = bench.udp_client();
    echo_udp(&client, &order("ECHO", 0));
    bench.see_message();
    let source = client.local_addr().unwrap().ip();
    bench.board.lock().unwrap().banned = Some(source);
    client.send(&order("ECHO", 0)).unwrap();
    // Its connections are closed as soon as they are there.
    let mut stream = bench.tcp_client();
    assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)));
    bench.board.lock().unwrap().banned = None;
    echo_udp(&client, &order("ECHO", 0));
    assert_eq!(bench.running.gauges[0].net().connections_refused, 1);
    let (_, flow, _) = bench.see_message();
    assert_eq!(flow.remote.ip(), source);
}

#[test]
fn a_ban_reaches_every_other_shard() {
    let bench = Bench::start(3);
    let client = bench.udp_client();
    client.send(&order("BAN", 1)).unwrap();
    let ban = |bench: &Bench| {
        bench.see(|seen| match seen {
            Seen::Ban(shard, source) => Some((shard, source)),
            _ => None,
        })
    };
    let mut told = [ban(&bench), ban(&bench)];
    told.sort_unstable();
    let source = client.local_addr().unwrap().ip();
    assert_eq!(told, [(0, source), (2, source)]);
}

#[test]
fn a_source_may_hold_so_many_connections_and_a_known_one_more() {
    let mut config = config(1);
    config.limits.source_connections_max = 1;
    let bench = Bench::try_start(&config, 0).unwrap();
    let mut first = bench.tcp_client();
    echo_tcp(&mut first, &order("ECHO", 0));
    let mut second = bench.tcp_client();
    assert!(matches!(second.read(&mut [0; 16]), Ok(0) | Err(_)));
    bench
        .snapshot
        .store(Arc::new(super::reuse::with_customer()));
    // A message that came after the publication is handled after it.
    echo_udp(&bench.udp_client(), &order("ECHO", 0));
    echo_tcp(&mut bench.tcp_client(), &order("ECHO", 0));
    assert_eq!(bench.running.gauges[0].net().connections_refused, 1);
}

#[test]
fn a_peer_that_accepts_and_answers_nothing_is_connected_to_again() {
    let mut config = config(1);
    config.sip.timers.route_timeout = Duration::from_millis(1);
    let bench = Bench::try_start(&config, 0).unwrap();
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    bench.set_flow(Flow {
        transport: Transport::Tcp,
        listener: 1,
        remote: peer.local_addr().unwrap(),
        connection: None,
        tls: None,
        carrier: None,
    });
    let client = bench.udp_client();
    client.send(&order("RELAY", 0)).unwrap();
    let _mute = peer.accept().unwrap();
    peer.set_nonblocking(true).unwrap();
    let clock = bench.running.clock;
    let began = clock.now();
    while peer.accept().is_err() {
        assert!(clock.now().since(began) < PATIENCE);
        client.send(&order("RELAY", 0)).unwrap();
        bench.see_message();
    }
    // Not because it did not read.
    echo_udp(&bench.udp_client(), &order("ECHO", 0));
    assert_eq!(bench.sum(|net| net.slow_readers), 0);
}
