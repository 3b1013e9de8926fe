//! The torture messages of RFC 4475 into a running gateway: one answer at most, the right one, and no harm.

use std::time::Duration;

use trunkline::sip::message::Message;

use crate::cast::{PBX, play_with};
use crate::corpus;

/// What a stranger is answered, as the RFC's sections ask for it; 0 for nothing. To a gateway for which a message
/// is not meant, 404 and 405 are its merits.
const ANSWERS: [(&str, &[u16]); 49] = [
    // Its To has a tag that is none of ours.
    ("wsinv", &[481]),
    ("intmeth", &[501]),
    ("esc01", &[404]),
    ("escnull", &[405]),
    ("esc02", &[501]),
    ("lwsdisp", &[404]),
    ("longreq", &[404]),
    ("dblreq", &[405]),
    ("semiuri", &[404]),
    ("transports", &[404]),
    ("mpart01", &[405]),
    ("unreason", &[0]),
    ("noreason", &[0]),
    ("badinv01", &[400]),
    ("clerr", &[400]),
    ("ncl", &[400]),
    ("scalar02", &[400]),
    ("scalarlg", &[0]),
    ("quotbal", &[400]),
    ("ltgtruri", &[400]),
    ("lwsruri", &[400]),
    ("lwsstart", &[400]),
    ("trws", &[400]),
    ("escruri", &[400, 404]),
    ("baddate", &[404]),
    ("regbadct", &[400, 405]),
    ("badaspec", &[400]),
    ("baddn", &[400]),
    ("badvers", &[505]),
    ("mismatch01", &[400]),
    ("mismatch02", &[400, 501]),
    ("bigcode", &[0]),
    ("badbranch", &[400, 404]),
    // From, To and Call-ID are missing: no answer could be told from another.
    ("insuf", &[0, 400]),
    ("unkscm", &[416]),
    ("novelsc", &[416]),
    ("unksm2", &[405]),
    ("bext01", &[420]),
    ("invut", &[404, 415]),
    ("regaut01", &[405]),
    ("multi01", &[400]),
    ("mcl01", &[400]),
    ("bcast", &[0]),
    ("zeromf", &[483]),
    ("cparam01", &[405]),
    ("cparam02", &[405]),
    ("regescrt", &[405]),
    ("sdp01", &[404, 406]),
    ("inv2543", &[404]),
];

#[test]
fn torture_messages_get_the_answer_that_their_section_asks_for() {
    let Some(corpus) = corpus::rfc4475() else {
        return;
    };
    let wrong = std::cell::RefCell::new(Vec::<String>::new());
    for (name, expected) in ANSWERS {
        let bytes = std::fs::read(corpus.join(format!("{name}.dat"))).unwrap();
        play_with(
            |gateway| gateway.limits.ban = Duration::ZERO,
            |_| {},
            |world| {
                let source = "203.0.113.250:5060".parse().unwrap();
                world.inject(source, bytes.clone());
                world.run(60_000);
                let answers: Vec<u16> = world
                    .sent_to_strangers
                    .iter()
                    .map(|(to, bytes)| {
                        assert_eq!(to.ip(), source.ip(), "{name}");
                        status(bytes)
                    })
                    .collect();
                assert!(answers.len() <= 1, "{name}: {answers:?}");
                let answer = answers.first().copied().unwrap_or(0);
                if !expected.contains(&answer) {
                    let text = format!("{name}: {answer}, not {expected:?}");
                    wrong.borrow_mut().push(text);
                }
                assert!(world.agents[PBX].calls.is_empty());
            },
        );
    }
    assert_eq!(wrong.into_inner(), [""; 0]);
}

/// The status of a response, which may show what was wrong with its request.
fn status(bytes: &[u8]) -> u16 {
    let parsed = Message::parse(bytes.to_vec().into(), &Default::default());
    if let Ok(Message::Response(response)) = parsed {
        return response.status;
    }
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split(' ');
    assert_eq!(words.next(), Some("SIP/2.0"));
    words.next().unwrap().parse().unwrap()
}
