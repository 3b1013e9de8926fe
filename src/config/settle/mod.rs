//! From the file as written to the settings as used: every value becomes what it means, once.
//!
//! Nothing stops at the first fault: a section whose value is wrong is noted and left out, and the next
//! one is read. What concerns several keys at once is left to `conflict`.

mod carrier;
mod carrier_rules;
mod dialling;
mod families;
mod health;
mod media;
mod node;
mod sip;
mod termination;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::Spanned;

use super::problem::{ConfigError, Problem, line_at};
use super::{CertificateFiles, Config, FileFault, TlsFile, TlsFileRole, conflict, value, written};
pub(super) use carrier::PlacedCarrier;
pub(super) use media::PlacedMedia;
pub(super) use node::PlacedApi;

/// The settings that a file means.
///
/// # Errors
///
/// All values that are wrong, and all that contradict each other.
pub(super) fn settle(
    text: &str,
    file: written::File,
    fault: &dyn Fn(&TlsFile) -> Option<FileFault>,
) -> Result<Config, Vec<ConfigError>> {
    let mut settler = Settler {
        text,
        errors: Vec::new(),
        tls_files: Vec::new(),
    };
    let config = settler.file(file);
    settler.look_at_files(fault);
    match config {
        Some(config) if settler.errors.is_empty() => Ok(config),
        Some(_) | None => Err(settler.errors),
    }
}

/// A value and where it is written; for a default, where its section is.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    /// Dotted path of its key.
    pub(super) key: String,
    /// Counted from 1.
    pub(super) line: usize,
}

impl<T> Placed<T> {
    /// The error that this value is.
    pub(super) fn refused(&self, problem: Problem) -> ConfigError {
        ConfigError {
            line: Some(self.line),
            key: Some(self.key.clone()),
            problem,
        }
    }
}

/// A section that is being read: its path and the line it begins at.
struct Section {
    path: String,
    line: usize,
}

impl Section {
    fn key(&self, name: &str) -> String {
        match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.path),
        }
    }
}

/// Reads sections and keeps what is wrong with them. A `None` from its methods is always an error that
/// it has noted.
struct Settler<'t> {
    text: &'t str,
    errors: Vec<ConfigError>,
    /// Every PEM file that a key names.
    tls_files: Vec<Placed<TlsFile>>,
}

impl Settler<'_> {
    fn look_at_files(&mut self, fault: &dyn Fn(&TlsFile) -> Option<FileFault>) {
        for file in &self.tls_files {
            if let Some(fault) = fault(&file.value) {
                let file_name = file.value.path.clone();
                self.errors.push(file.refused(Problem::File {
                    file: file_name,
                    fault,
                }));
            }
        }
    }

    /// Keeps a file with its place, to be looked at.
    fn names(&mut self, file: &Placed<PathBuf>, role: TlsFileRole) {
        self.tls_files.push(Placed {
            value: TlsFile {
                path: file.value.clone(),
                role,
            },
            key: file.key.clone(),
            line: file.line,
        });
    }

    /// A certificate and its key, each where it is written.
    fn name_pair(&mut self, certificate: &Placed<PathBuf>, key: &Placed<PathBuf>) {
        self.names(certificate, TlsFileRole::Certificate);
        let certificate = certificate.value.clone();
        self.names(key, TlsFileRole::Key { certificate });
    }

    fn file(&mut self, file: written::File) -> Option<Config> {
        let node = self.node(file.node);
        let errors_before = self.errors.len();
        let (sip, listeners) = self.sip(file.sip);
        let listeners_are_right = self.errors.len() == errors_before;
        let media = self.media(file.media);
        let carriers = self.carriers(file.carrier);
        let termination = self.termination(file.termination);
        let pools = self.number_pools(file.number_pool);
        let api = self.api(file.api);
        let data_dir = node.as_ref().map(|node| node.data_dir.as_path());
        let declared = self.declared(file.declared);
        let dns = self.dns(file.dns);
        let health = self.health(file.health);
        let store = self.store(file.store, data_dir);
        let quotas = self.quotas(file.quotas);
        let limits = self.limits(file.limits);
        let log = self.log(file.log);

        conflict::listeners(&listeners, &mut self.errors);
        conflict::carriers(&carriers, &listeners, &mut self.errors);
        let tls = sip.as_ref().map(|sip| &sip.tls);
        conflict::certificate_names(&carriers, tls, &mut self.errors);
        conflict::pools(&pools, &mut self.errors);
        // Listeners that are wrong may be the ones that a route needs.
        if listeners_are_right {
            conflict::routes(&carriers, &listeners, &mut self.errors);
        }
        if let Some(api) = &api {
            conflict::api(api, &listeners, &mut self.errors);
        }
        if let (Some(media), Some(node)) = (&media, &node) {
            let api = api.as_ref().map(|api| &api.bind);
            conflict::media_ports(media, node.shards, &listeners, api, &mut self.errors);
        }
        Some(Config {
            node: node?,
            sip: sip?,
            media: media?.settings(),
            carriers: carriers.into_iter().map(PlacedCarrier::settings).collect(),
            termination: termination?,
            number_pools: pools.into_iter().map(|pool| pool.value).collect(),
            api: api?.settings(),
            declared,
            dns: dns?,
            health: health?,
            store: store?,
            quotas: quotas?,
            limits: limits?,
            log: log?,
        })
    }

    fn refuse(&mut self, key: String, line: usize, problem: Problem) {
        self.errors.push(ConfigError {
            line: Some(line),
            key: Some(key),
            problem,
        });
    }

    fn line<T>(&self, written: &Spanned<T>) -> usize {
        line_at(self.text, written.span().start)
    }

    /// A section and its content, which is empty where the file does not have it.
    fn open<T: Default>(&self, path: &str, written: Option<Spanned<T>>) -> (Section, T) {
        let line = written.as_ref().map_or(1, |written| self.line(written));
        let section = Section {
            path: path.to_owned(),
            line,
        };
        (
            section,
            written.map(Spanned::into_inner).unwrap_or_default(),
        )
    }

    /// The sections of a `[[path]]`.
    fn open_each<T>(&self, path: &str, written: Vec<Spanned<T>>) -> Vec<(Section, T)> {
        let numbered = written.into_iter().enumerate();
        numbered
            .map(|(index, written)| {
                let section = Section {
                    path: format!("{path}[{index}]"),
                    line: self.line(&written),
                };
                (section, written.into_inner())
            })
            .collect()
    }

    /// A key that must be there.
    fn required<T>(
        &mut self,
        section: &Section,
        name: &str,
        written: written::Text,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<Placed<T>> {
        match written {
            Some(written) => self.value(section.key(name), written, parse),
            None => {
                self.refuse(
                    section.key(name),
                    section.line,
                    Problem::Missing { expected },
                );
                None
            }
        }
    }

    /// A key with a default.
    fn optional<T>(
        &mut self,
        section: &Section,
        name: &str,
        written: written::Text,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<Placed<T>> {
        match written {
            Some(written) => self.value(section.key(name), written, parse),
            None => Some(Placed {
                value: default,
                key: section.key(name),
                line: section.line,
            }),
        }
    }

    /// A key that names a file, or is not there.
    fn optional_file(
        &mut self,
        section: &Section,
        name: &str,
        written: written::Text,
    ) -> Option<Option<Placed<PathBuf>>> {
        match written {
            Some(written) => self
                .value(section.key(name), written, value::file)
                .map(Some),
            None => Some(None),
        }
    }

    /// Two keys that name a certificate and its key, each with what it should be: both are there, or neither.
    fn optional_pair(
        &mut self,
        section: &Section,
        [certificate_name, key_name]: [(&str, &'static str); 2],
        certificate: written::Text,
        key: written::Text,
    ) -> Option<Option<CertificateFiles>> {
        let certificate = self.optional_file(section, certificate_name.0, certificate);
        let key = self.optional_file(section, key_name.0, key);
        let (name, expected) = match (certificate?, key?) {
            (Some(certificate), Some(key)) => {
                self.name_pair(&certificate, &key);
                return Some(Some(CertificateFiles {
                    certificate: certificate.value,
                    key: key.value,
                }));
            }
            (None, None) => return Some(None),
            (Some(_), None) => key_name,
            (None, Some(_)) => certificate_name,
        };
        let missing = Problem::Missing { expected };
        self.refuse(section.key(name), section.line, missing);
        None
    }

    /// As [`optional_file`](Self::optional_file), for certificates of those whose signatures count.
    fn optional_roots(
        &mut self,
        section: &Section,
        name: &str,
        written: written::Text,
    ) -> Option<Option<PathBuf>> {
        let file = self.optional_file(section, name, written)?;
        if let Some(file) = &file {
            self.names(file, TlsFileRole::Roots);
        }
        Some(file.map(|file| file.value))
    }

    fn value<T>(
        &mut self,
        key: String,
        written: Spanned<String>,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<Placed<T>> {
        let line = self.line(&written);
        match parse(written.get_ref()) {
            Ok(value) => Some(Placed { value, key, line }),
            Err(problem) => {
                self.refuse(key, line, problem);
                None
            }
        }
    }

    /// The texts of a list, each with its index in its key; those that are wrong are left out.
    fn values<T>(
        &mut self,
        section: &Section,
        name: &str,
        written: Option<Vec<Spanned<String>>>,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Vec<Placed<T>> {
        let numbered = written.unwrap_or_default().into_iter().enumerate();
        numbered
            .filter_map(|(index, written)| {
                self.value(format!("{}[{index}]", section.key(name)), written, &parse)
            })
            .collect()
    }

    /// A number within its range, or its default.
    fn number<T: TryFrom<i64>>(
        &mut self,
        section: &Section,
        name: &str,
        written: written::Number,
        allowed: RangeInclusive<i64>,
        default: T,
    ) -> Option<T> {
        let Some(written) = written else {
            return Some(default);
        };
        let number = *written.get_ref();
        let value = T::try_from(number)
            .ok()
            .filter(|_| allowed.contains(&number));
        if value.is_none() {
            let problem = Problem::OutOfRange {
                written: number,
                allowed,
            };
            self.refuse(section.key(name), self.line(&written), problem);
        }
        value
    }
}
