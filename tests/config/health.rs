//! What must be right about pings.

use trunkline::config::Health;

use super::*;

fn health(keys: &str) -> String {
    format!("{SMALLEST}[health]\n{keys}\n")
}

#[test]
fn pings_are_as_the_file_says() {
    let keys =
        "interval_s = 60\ndown_interval_s = 5\ntimeout_ms = 2500\ndown_after = 2\nup_after = 7";
    let expected = Health {
        interval: Duration::from_secs(60),
        down_interval: Duration::from_secs(5),
        timeout: Duration::from_millis(2_500),
        down_after: 2,
        up_after: 7,
    };
    assert_eq!(load(&health(keys)).unwrap().health, expected);
    let off = load(&health("interval_s = 0")).unwrap();
    assert!(off.health.interval.is_zero());
    assert!(off.summary().to_string().contains("health   no pings\n"));
}

#[test]
fn a_ping_is_over_before_the_next_one() {
    let place = "5: key `health.timeout_ms`";
    assert_refused(
        &health("timeout_ms = 10001"),
        place,
        "longer than the 10000 ms between two pings",
    );
    let place = "4: key `health.timeout_ms`";
    assert_refused(&health("interval_s = 3"), place, "the 3000 ms");
    assert!(load(&health("interval_s = 3\ntimeout_ms = 3000")).is_ok());
    assert!(load(&health("interval_s = 0\ntimeout_ms = 10000")).is_ok());
}

#[test]
fn pings_have_bounds() {
    for (key, words) in [
        ("interval_s = -1", "expected 0 to 3600"),
        ("interval_s = 3601", "expected 0 to 3600"),
        ("down_interval_s = 0", "expected 1 to 3600"),
        ("timeout_ms = 99", "expected 100 to 32000"),
        ("down_after = 0", "expected 1 to 100"),
        ("up_after = 101", "expected 1 to 100"),
    ] {
        let name = key.split(' ').next().unwrap();
        assert_refused(&health(key), &format!("5: key `health.{name}`"), words);
    }
}
