//! What a listener would say of the quality: the E-model (ITU-T G.107, edition of 2015).
//!
//! Everything that a gateway cannot know of (noise, loudness, echo) has G.107's default, and nobody is
//! expected to bear more than on a fixed telephone (advantage factor 0). Losses are taken as independent of
//! each other (burst ratio 1). What comes too late for the listener's jitter buffer is not known here.
//!
//! The scale is that of a narrowband telephone, on which no call is better than a clean G.711 one; so a
//! wideband codec is as good as G.711 as long as nothing is lost.

use std::fmt;
use std::time::Duration;

/// Basic signal-to-noise ratio Ro by the defaults of G.107 §7.2.
const RO: f64 = 94.77;
/// Simultaneous impairment factor Is by the defaults of G.107 §7.3.
const IS: f64 = 1.41;
/// Talker echo loudness rating, dB, and weighted echo path loss, dB: defaults of G.107 (table 2).
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;

/// The interarrival jitter is a mean, so a jitter buffer that few packets miss holds some multiple of it. How
/// much a peer's buffer holds is not known; this is a guess.
const BUFFERED_JITTERS: u32 = 2;

/// Mean opinion score in hundredths, 100 (bad) to 440 (as good as a narrowband telephone gets).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mos(u16);

impl Mos {
    const WORST: Self = Self(100);
    const BEST: Self = Self(440);

    /// Under some conditions.
    pub fn of(conditions: &Conditions) -> Self {
        Self::from_rating(conditions.rating())
    }

    /// What a transmission rating factor R means (G.107 annex B).
    pub fn from_rating(rating: f64) -> Self {
        let rating = rating.clamp(0.0, 100.0);
        let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
        // Below 6.5 the curve falls under 1.
        Self((score * 100.0).round() as u16).clamp(Self::WORST, Self::BEST)
    }

    /// In hundredths, 100 to 440.
    pub const fn hundredths(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Mos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// What is known of the way that speech takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Conditions {
    /// Part of the packets that was lost, 0 to 1.
    pub loss: f32,
    /// To the peer and back; zero where it is not known.
    pub round_trip: Duration,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// Speech in a packet.
    pub packet_time: Duration,
    /// Of the codec.
    pub impairment: Impairment,
}

impl Conditions {
    /// The transmission rating factor R, at most 93.2 (G.107 §7.1).
    pub fn rating(&self) -> f64 {
        RO - IS - delay_impairment(self.one_way()) - self.impairment.effective(self.loss)
    }

    /// From mouth to ear: the way, the packet that is waited for to be full, the jitter buffer, which holds a
    /// packet at least.
    fn one_way(&self) -> Duration {
        let buffer = (self.jitter * BUFFERED_JITTERS).max(self.packet_time);
        self.round_trip / 2 + self.packet_time + buffer
    }
}

/// What a codec does to speech.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Impairment {
    /// Equipment impairment factor Ie, without loss; 0 to 95.
    equipment: f32,
    /// Packet-loss robustness factor Bpl; above 0.
    robustness: f32,
}

impl Impairment {
    /// Of a codec that is not known: nothing is held against it, but that nothing conceals a loss. That is
    /// G.711 without concealment (G.113 table I.4).
    pub const UNKNOWN: Self = Self::new(0.0, 4.3);

    /// Without a published value a codec that conceals losses is taken for as robust as the least robust of
    /// those that have one, GSM EFR (G.113 table I.4).
    const ROBUSTNESS: f32 = 10.0;

    const fn new(equipment: f32, robustness: f32) -> Self {
        Self {
            equipment,
            robustness,
        }
    }

    /// Of a codec by its encoding name in SDP, upper or lower case.
    ///
    /// From ITU-T G.113 appendix I, table I.1 (Ie) and table I.4 (Ie and Bpl), as far as they go. A
    /// codec that has several rates is rated by the one that is usual in telephony, for SDP does not say
    /// which is in use.
    pub fn of(encoding_name: &[u8]) -> Self {
        let rows = TABLE.iter();
        let mut rows = rows.filter(|(name, _)| encoding_name.eq_ignore_ascii_case(name));
        rows.next().map_or(Self::UNKNOWN, |(_, found)| *found)
    }

    /// Ie,eff: with a part of the packets lost (G.107 §7.5).
    fn effective(&self, loss: f32) -> f64 {
        let percent = f64::from(loss.clamp(0.0, 1.0)) * 100.0;
        let (equipment, robustness) = (f64::from(self.equipment), f64::from(self.robustness));
        equipment + (95.0 - equipment) * percent / (percent + robustness)
    }
}

const TABLE: [(&[u8], Impairment); 20] = [
    // With the concealment of G.711 appendix I, which is what telephones have.
    (b"PCMU", Impairment::new(0.0, 25.1)),
    (b"PCMA", Impairment::new(0.0, 25.1)),
    // The same samples, not compressed.
    (b"L16", Impairment::new(0.0, 25.1)),
    // G.729A with VAD, which is how it is offered unless SDP says otherwise (RFC 4856).
    (b"G729", Impairment::new(11.0, 19.0)),
    // 6.3 kbit/s with VAD.
    (b"G723", Impairment::new(15.0, 16.1)),
    (b"G726-40", Impairment::new(2.0, Impairment::ROBUSTNESS)),
    (b"G726-32", Impairment::new(7.0, Impairment::ROBUSTNESS)),
    (b"G726-24", Impairment::new(25.0, Impairment::ROBUSTNESS)),
    (b"G726-16", Impairment::new(50.0, Impairment::ROBUSTNESS)),
    // 16 kbit/s.
    (b"G728", Impairment::new(7.0, Impairment::ROBUSTNESS)),
    (b"GSM", Impairment::new(20.0, Impairment::ROBUSTNESS)),
    (b"GSM-HR-08", Impairment::new(23.0, Impairment::ROBUSTNESS)),
    (b"GSM-EFR", Impairment::new(5.0, 10.0)),
    // At 12.2 kbit/s it is GSM EFR.
    (b"AMR", Impairment::new(5.0, 10.0)),
    // Not in G.113. Speech like G.729A's, and losses concealed like G.711's, says RFC 3952 §2.
    (b"iLBC", Impairment::new(11.0, 25.1)),
    // Wideband: on the scale of G.107.1 each is above the 93.2 where this scale ends.
    (b"G722", Impairment::new(0.0, Impairment::ROBUSTNESS)),
    (b"AMR-WB", Impairment::new(0.0, Impairment::ROBUSTNESS)),
    (b"opus", Impairment::new(0.0, Impairment::ROBUSTNESS)),
    (b"EVS", Impairment::new(0.0, Impairment::ROBUSTNESS)),
    (b"G7221", Impairment::new(0.0, Impairment::ROBUSTNESS)),
];

/// Id: talker echo, listener echo, and delay itself (G.107 §7.4), for the delay from mouth to ear.
fn delay_impairment(one_way: Duration) -> f64 {
    let delay = one_way.as_secs_f64() * 1_000.0;
    talker_echo(delay) + listener_echo(2.0 * delay) + pure_delay(delay)
}

/// Idte, for a delay in ms.
fn talker_echo(delay: f64) -> f64 {
    let rating = TELR - 40.0 * ((1.0 + delay / 10.0) / (1.0 + delay / 150.0)).log10()
        + 6.0 * (-0.3 * delay * delay).exp();
    let echo = 80.0 + 2.5 * (rating - 14.0);
    // Roe is Ro for the default loudness.
    let half = (RO - echo) / 2.0;
    (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-delay).exp())
}

/// Idle, for a round trip in ms.
fn listener_echo(round_trip: f64) -> f64 {
    let echo = 10.5 * (WEPL + 7.0) * (round_trip + 1.0).powf(-0.25);
    let half = (RO - echo) / 2.0;
    half + (half * half + 169.0).sqrt()
}

/// Idd, for a delay in ms.
fn pure_delay(delay: f64) -> f64 {
    if delay <= 100.0 {
        return 0.0;
    }
    let x = (delay / 100.0).log2();
    let sixth_root = |of: f64| of.powf(1.0 / 6.0);
    25.0 * (sixth_root(1.0 + x.powi(6)) - 3.0 * sixth_root(1.0 + (x / 3.0).powi(6)) + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Duration = Duration::from_millis(20);

    /// With nothing on the way but packets of 20 ms.
    fn clean(encoding_name: &str) -> Conditions {
        Conditions {
            loss: 0.0,
            round_trip: Duration::ZERO,
            jitter: Duration::ZERO,
            packet_time: PACKET,
            impairment: Impairment::of(encoding_name.as_bytes()),
        }
    }

    fn is_near(found: f64, expected: f64, within: f64) {
        assert!(
            (found - expected).abs() <= within,
            "{found}, expected {expected}"
        );
    }

    #[test]
    fn the_defaults_of_the_model_rate_93_2() {
        let conditions = Conditions {
            packet_time: Duration::ZERO,
            ..clean("PCMU")
        };
        is_near(conditions.rating(), 93.2, 0.05);
        assert_eq!(Mos::of(&conditions).hundredths(), 440, "4.41 is above all");
    }

    #[test]
    fn ratings_are_scores_by_annex_b() {
        let scores = [90.0, 80.0, 70.0, 60.0, 52.0].map(Mos::from_rating);
        assert_eq!(scores.map(Mos::hundredths), [434, 402, 360, 310, 268]);
        let ends = [f64::NAN, -10.0, 0.0, 3.0, 6.4, 93.2, 100.0, 120.0];
        let ends = ends.map(|rating| Mos::from_rating(rating).hundredths());
        assert_eq!(ends, [100, 100, 100, 100, 100, 440, 440, 440]);
        assert_eq!(Mos::from_rating(52.0).to_string(), "2.68");
        assert_eq!(Mos::from_rating(0.0).to_string(), "1.00");
    }

    #[test]
    fn delay_costs_what_the_model_says() {
        // Worked out by hand: talker echo 2.81, listener echo 0.84, delay 0.16.
        is_near(delay_impairment(Duration::from_millis(150)), 3.82, 0.01);
        assert_eq!(pure_delay(100.0), 0.0);
        is_near(pure_delay(400.0), 24.07, 0.01);
    }

    #[test]
    fn loss_costs_what_the_model_says() {
        // G.729A at 2 % of loss: 11 + 84 × 2 / 21.
        is_near(Impairment::of(b"G729").effective(0.02), 19.0, 0.01);
        is_near(Impairment::of(b"pcma").effective(0.02), 7.01, 0.01);
        is_near(Impairment::UNKNOWN.effective(0.02), 30.16, 0.01);
        is_near(Impairment::of(b"PCMU").effective(2.0), 75.94, 0.01);
        is_near(Impairment::of(b"PCMU").effective(-1.0), 0.0, 0.0);
    }

    #[test]
    fn a_clean_call_is_as_good_as_its_codec() {
        for (name, expected) in [
            ("PCMU", 438),
            ("G722", 438),
            ("OPUS", 438),
            ("AMR", 426),
            ("G729", 406),
            ("G723", 391),
            ("GSM", 369),
            ("G726-16", 216),
            ("unheard-of", 438),
        ] {
            assert_eq!(Mos::of(&clean(name)).hundredths(), expected, "{name}");
        }
    }

    #[test]
    fn more_of_anything_bad_is_never_better() {
        let base = clean("PCMU");
        let mut last = [Mos::of(&base); 4];
        for step in 0..=100 {
            let time = Duration::from_millis(step * 20);
            let worse = [
                Conditions {
                    loss: step as f32 / 100.0,
                    ..base
                },
                Conditions {
                    round_trip: time,
                    ..base
                },
                Conditions {
                    jitter: time,
                    ..base
                },
                Conditions {
                    packet_time: time + PACKET,
                    ..base
                },
            ]
            .map(|conditions| Mos::of(&conditions));
            for (worse, last) in worse.iter().zip(last) {
                assert!(*worse <= last, "step {step}: {worse} after {last}");
            }
            last = worse;
        }
        assert!(last[0].hundredths() < 150, "all is lost: {}", last[0]);
    }

    #[test]
    fn what_nobody_survives_is_still_a_score() {
        let worst = Conditions {
            loss: f32::NAN,
            round_trip: Duration::from_secs(60),
            jitter: Duration::from_secs(60),
            ..clean("G726-16")
        };
        assert_eq!(Mos::of(&worst).hundredths(), 100);
    }
}
