//! Media ports and what is relayed between them.

use super::*;

/// A config whose media range holds some free ports, and one that is taken by the returned socket.
pub(super) fn media_config(shards: u8) -> (Config, UdpSocket) {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut config = config(shards);
    config.media.addresses = vec![MediaAddress {
        bind: address,
        advertise: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5)),
    }];
    let taken = loop {
        let taken = UdpSocket::bind((address, 0)).unwrap();
        if taken.local_addr().unwrap().port() < 65_000 {
            break taken;
        }
    };
    let port = taken.local_addr().unwrap().port();
    config.media.ports = port..=port + 399;
    (config, taken)
}

#[test]
fn packets_are_relayed_between_the_sockets_of_a_pair() {
    let (config, _taken) = media_config(1);
    let bench = Bench::try_start(&config, 0).unwrap();
    let port = bench.see(|seen| match seen {
        Seen::Port(_, port) => Some(port),
        _ => None,
    });
    assert_eq!(port.advertise.ip(), config.media.addresses[0].advertise);
    assert_eq!(port.advertise.port() % 2, 0);
    assert_eq!(port.socket.0 % 2, 0);

    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    bench.board.lock().unwrap().media_to = Some(receiver.local_addr().unwrap());
    let rtp = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.advertise.port());
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"PANIC", rtp).unwrap();
    for number in 0..200u8 {
        sender.send_to(&[number; 172], rtp).unwrap();
    }
    let mut buffer = [0; 2_048];
    for number in 0..200u8 {
        let (bytes, from) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..bytes], &[number; 172]);
        assert_eq!(from, SocketAddr::new(rtp.ip(), rtp.port() + 1));
    }
}

#[test]
fn a_packet_of_the_core_s_own_leaves_from_the_socket_it_names() {
    let (config, _taken) = media_config(1);
    let bench = Bench::try_start(&config, 0).unwrap();
    let port = bench.see(|seen| match seen {
        Seen::Port(_, port) if port.socket == MediaSocket(0) => Some(port),
        _ => None,
    });
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    bench.board.lock().unwrap().media_to = Some(receiver.local_addr().unwrap());
    bench.udp_client().send(&order("MEDIA", 0)).unwrap();
    let mut buffer = [0; 2_048];
    let (bytes, from) = receiver.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..bytes], order("MEDIA", 0));
    assert_eq!(from.port(), port.advertise.port() + 1);
}

#[test]
fn each_shard_binds_its_own_ports_before_anything_arrives_and_skips_taken_ones() {
    const WANTED: usize = 40;
    let (config, taken) = media_config(2);
    let taken_pair = taken.local_addr().unwrap().port() & !1;
    let bench = Bench::try_start(&config, WANTED).unwrap();
    let mut ports = [Vec::new(), Vec::new()];
    while ports.iter().any(|ports| ports.len() < WANTED) {
        let (shard, port) = bench.see(|seen| match seen {
            Seen::Port(shard, port) => Some((usize::from(shard), port)),
            _ => None,
        });
        assert_eq!(
            port.socket.0 as usize,
            2 * ports[shard].len(),
            "dense numbers"
        );
        ports[shard].push(port.advertise.port());
    }
    assert!(
        ports
            .concat()
            .iter()
            .all(|port| config.media.ports.contains(port))
    );
    assert!(!ports.concat().contains(&taken_pair));
    assert!(ports[0].iter().max() < ports[1].iter().min());
}

#[test]
fn a_media_range_without_a_free_pair_stops_the_start() {
    let (mut config, taken) = media_config(1);
    let pair = taken.local_addr().unwrap().port() & !1;
    config.media.ports = pair..=pair + 1;
    let error = Bench::try_start(&config, 0).err().unwrap();
    assert!(
        matches!(error, StartError::Media { source: None, .. }),
        "{error}"
    );
}
