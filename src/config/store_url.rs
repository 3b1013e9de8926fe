//! The URL of the store, which may hold a password.

use std::fmt;

/// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Shown without the password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// What is expected of one.
    pub(super) const EXPECTED: &str = "sqlite://PATH, such as sqlite://data/trunkline.db, or \
         postgres://USER:PASSWORD@HOST:PORT/DATABASE with special characters percent-encoded";

    /// SQLite's, of a file.
    pub(super) fn sqlite(path: &std::path::Path) -> Self {
        Self(format!("sqlite://{}", path.display()))
    }

    /// `None` where it is not of one of the two forms.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_one = match text.split_once("://")? {
            ("sqlite", path) => !path.is_empty(),
            ("postgres" | "postgresql", rest) => is_of_a_database(rest),
            _ => false,
        };
        is_one.then(|| Self(text.to_owned()))
    }

    /// The whole of it, for the database alone: the password is in it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Whether what follows `postgres://` names a host (or has a folder of a socket as its `host` parameter) and a database.
fn is_of_a_database(rest: &str) -> bool {
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((authority, database)) = place.split_once('/') else {
        return false;
    };
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_user, host)| host);
    let (name, port) = match host.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let named = !name.is_empty() || parameters.split('&').any(|one| one.starts_with("host="));
    let port_is_one = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    // A second `@` or `/` is one of a password that is not encoded.
    let is_encoded = authority.matches('@').count() < 2 && !database.contains(['/', '@']);
    named && port_is_one && is_encoded && !database.is_empty()
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme @ ("postgres" | "postgresql"), rest)) = self.0.split_once("://") else {
            return f.write_str(&self.0);
        };
        let (place, parameters) = match rest.split_once('?') {
            Some((place, _)) => (place, "?***"),
            None => (rest, ""),
        };
        match place.rsplit_once('@') {
            Some((user, place)) => match user.split_once(':') {
                Some((user, _password)) => {
                    write!(f, "{scheme}://{user}:***@{place}{parameters}")
                }
                None => write!(f, "{scheme}://{user}@{place}{parameters}"),
            },
            None => write!(f, "{scheme}://{place}{parameters}"),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_forms_are_taken_and_shown_without_their_secrets() {
        for (text, shown) in [
            ("sqlite://data/trunkline.db", "sqlite://data/trunkline.db"),
            ("sqlite:///srv/x.db", "sqlite:///srv/x.db"),
            (
                "postgres://me:hush@db:5432/trunkline",
                "postgres://me:***@db:5432/trunkline",
            ),
            (
                "postgresql://me:hu%40sh@[2001:db8::1]/x",
                "postgresql://me:***@[2001:db8::1]/x",
            ),
            (
                "postgres://me:hu:sh@[::1]:5433/x",
                "postgres://me:***@[::1]:5433/x",
            ),
            ("postgres://me@db/x", "postgres://me@db/x"),
            ("postgres://db/x?password=hush", "postgres://db/x?***"),
            ("postgres:///x?host=/run/postgresql", "postgres:///x?***"),
        ] {
            let url = StoreUrl::parse(text);
            let shown_as = url.as_ref().map(ToString::to_string);
            assert_eq!(shown_as.as_deref(), Some(shown));
            assert_eq!(format!("{url:?}"), format!("Some({shown})"));
            assert_eq!(url.as_ref().map(StoreUrl::reveal), Some(text));
        }
    }

    #[test]
    fn nothing_else_is_taken() {
        for text in [
            "",
            "sqlite://",
            "mysql://me:hush@db/x",
            "postgres://",
            "postgres://me:hush@db",
            "postgres://me:hush@db/",
            "postgres:///x",
            "postgres://me:hush@db:0/x",
            "postgres://me:hush@db:port/x",
            "postgres://me:hu/sh@db/x",
            "postgres://me:hu@sh@db/x",
        ] {
            assert_eq!(StoreUrl::parse(text), None, "{text}");
        }
    }
}
