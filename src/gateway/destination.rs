//! Which numbers a connector's calls may go to: by country, by class, by prefix.

use super::Cause;
use crate::config::TerminationPolicy;
use crate::numbering::{Assignment, Class, Country, E164};

/// Digits of every number of North America, its country code with them.
const NANP_DIGITS: u32 = 11;

/// What is known of a destination that may be called, or why it may not.
///
/// A number that no country has is nobody's region: what the operator has allowed by class may be called all the
/// same, everything else may not. Without termination nobody has said which regions a connector calls.
pub(super) fn check(
    number: E164,
    regions: Option<&[Country]>,
    policy: &TerminationPolicy,
) -> Result<Assignment, Cause> {
    // A switch that drops what was dialled too much would call another number than the one that is looked at here.
    if number.starts_with("1") && number.digit_count() != NANP_DIGITS {
        return Err(Cause::DestinationNotE164);
    }
    let assignment = number.assignment();
    let (is_costly, is_allowed, cause) = match assignment.class {
        Class::PremiumRate | Class::Personal => (true, policy.premium_rate, Cause::PremiumRate),
        Class::Satellite | Class::Network => (true, policy.satellite, Cause::Satellite),
        Class::Ordinary | Class::TollFree | Class::SharedCost | Class::Unassigned => {
            (false, true, Cause::CountryNotAllowed)
        }
    };
    if !is_allowed {
        return Err(cause);
    }
    let is_in_regions = match assignment.country {
        // The plan counts them as US; whoever is in North America is called by them.
        Some(Country::US) if assignment.class == Class::TollFree => {
            let are_there = |regions: &[Country]| {
                regions.contains(&Country::US) || regions.contains(&Country::CA)
            };
            regions.is_none_or(are_there)
        }
        Some(country) => regions.is_none_or(|regions| regions.contains(&country)),
        None => is_costly,
    };
    if !is_in_regions {
        return Err(Cause::CountryNotAllowed);
    }
    match has_allowed_prefix(number, policy) {
        true => Ok(assignment),
        false => Err(Cause::PrefixNotAllowed),
    }
}

/// Of the prefixes that fit a number the longest decides; where none is denied and some are allowed, one has to fit.
fn has_allowed_prefix(number: E164, policy: &TerminationPolicy) -> bool {
    let length =
        |found: Option<(crate::numbering::Prefix, &())>| found.map(|(prefix, ())| prefix.len());
    let allowed = length(policy.allow_prefixes.longest_match(number));
    let denied = length(policy.deny_prefixes.longest_match(number));
    match (allowed, denied) {
        (Some(allowed), Some(denied)) => allowed > denied,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => policy.allow_prefixes.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbering::Prefix;

    fn number(text: &str) -> E164 {
        text.parse().unwrap()
    }

    fn found(to: &str, regions: &[&str], policy: &TerminationPolicy) -> Result<(), Cause> {
        let regions: Vec<Country> = regions.iter().map(|code| code.parse().unwrap()).collect();
        check(number(to), Some(&regions), policy).map(|_| ())
    }

    #[test]
    fn countries_of_one_code_are_told_apart() {
        let plain = TerminationPolicy::default();
        for (to, country) in [
            ("+12065550100", "US"),
            ("+14165550100", "CA"),
            ("+12425550100", "BS"),
            ("+18765550100", "JM"),
            ("+17875550100", "PR"),
            ("+442071838750", "GB"),
            ("+74951234567", "RU"),
            ("+77273123456", "KZ"),
        ] {
            assert_eq!(found(to, &[country], &plain), Ok(()), "{to}");
            let others = ["US", "CA", "BS", "JM", "PR", "GB", "RU", "KZ"];
            let others: Vec<&str> = others.into_iter().filter(|one| *one != country).collect();
            assert_eq!(
                found(to, &others, &plain),
                Err(Cause::CountryNotAllowed),
                "{to}"
            );
        }
        for country in ["US", "CA"] {
            assert_eq!(found("+18005550100", &[country], &plain), Ok(()));
        }
        assert_eq!(
            found("+18005550100", &["JM"], &plain),
            Err(Cause::CountryNotAllowed)
        );
        assert_eq!(
            found("+2105550100", &["US"], &plain),
            Err(Cause::CountryNotAllowed)
        );
        assert_eq!(
            found("+12065550100", &[], &plain),
            Err(Cause::CountryNotAllowed)
        );
    }

    #[test]
    fn costly_classes_have_to_be_allowed() {
        let plain = TerminationPolicy::default();
        let all = TerminationPolicy {
            premium_rate: true,
            satellite: true,
            ..TerminationPolicy::default()
        };
        for (to, cause) in [
            ("+19005550100", Cause::PremiumRate),
            ("+979123456789", Cause::PremiumRate),
            ("+881612345678", Cause::Satellite),
            ("+870771234567", Cause::Satellite),
            ("+882161234567", Cause::Satellite),
        ] {
            assert_eq!(found(to, &["US"], &plain), Err(cause), "{to}");
            assert_eq!(found(to, &["US"], &all), Ok(()), "{to}");
        }
        // With a digit too many a premium-rate number looks like another one.
        for to in ["+120697655019", "+1206976550"] {
            assert_eq!(found(to, &["US"], &plain), Err(Cause::DestinationNotE164));
        }
        // A country's premium-rate numbers are in that country.
        assert_eq!(
            found("+19005550100", &["GB"], &all),
            Err(Cause::CountryNotAllowed)
        );
    }

    #[test]
    fn the_longest_prefix_decides() {
        let policy = |allow: &[&str], deny: &[&str]| TerminationPolicy {
            allow_prefixes: allow
                .iter()
                .map(|prefix| prefix.parse::<Prefix>().unwrap())
                .collect(),
            deny_prefixes: deny
                .iter()
                .map(|prefix| prefix.parse::<Prefix>().unwrap())
                .collect(),
            ..TerminationPolicy::default()
        };
        let to = "+12065550100";
        let is_allowed = |allow: &[&str], deny: &[&str]| {
            let found = found(to, &["US"], &policy(allow, deny));
            assert!(found.is_ok() || found == Err(Cause::PrefixNotAllowed));
            found.is_ok()
        };
        assert!(is_allowed(&[], &[]));
        assert!(is_allowed(&[], &["44"]));
        assert!(!is_allowed(&[], &["1206"]));
        assert!(is_allowed(&["1206"], &[]));
        assert!(!is_allowed(&["1425"], &[]));
        assert!(is_allowed(&["120655"], &["1206"]));
        assert!(!is_allowed(&["1"], &["1206"]));
        assert!(!is_allowed(&["1206"], &["1206"]));
    }
}
