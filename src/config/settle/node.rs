//! The sections of one key or two: `[node]`, `[dns]`, `[api]`, `[store]`, `[limits]`, `[log]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::{Placed, Settler};
use crate::config::{
    AccessKey, Api, CertificateFiles, Declared, Dns, Limits, Log, LogFormat, LogLevel, Node,
    Quotas, Secret, Store, defaults, value, written,
};

/// `[api]`, with the places that conflicts are told with.
pub(in crate::config) struct PlacedApi {
    pub(in crate::config) bind: Placed<SocketAddr>,
    tls: Option<CertificateFiles>,
    e911_addresses: Option<PathBuf>,
    users: Vec<String>,
    requests_per_second: u32,
    /// Placed at the key's id.
    pub(in crate::config) access_keys: Vec<Placed<AccessKey>>,
}

impl PlacedApi {
    pub(super) fn settings(self) -> Api {
        Api {
            bind: self.bind.value,
            tls: self.tls,
            e911_addresses: self.e911_addresses,
            users: self.users,
            requests_per_second: self.requests_per_second,
            access_keys: self.access_keys.into_iter().map(|key| key.value).collect(),
        }
    }
}

impl Settler<'_> {
    pub(super) fn node(&mut self, written: Option<Spanned<written::Node>>) -> Option<Node> {
        let (section, node) = self.open("node", written);
        let data_dir = self.optional(
            &section,
            "data_dir",
            node.data_dir,
            defaults::data_dir(),
            value::path,
        );
        let most = i64::from(defaults::SHARDS_MAX);
        let shards = self.number(
            &section,
            "shards",
            node.shards,
            1..=most,
            defaults::shards(),
        );
        Some(Node {
            data_dir: data_dir?.value,
            shards: shards?,
        })
    }

    pub(super) fn declared(&mut self, written: Option<Spanned<written::Declared>>) -> Declared {
        let (section, declared) = self.open("declared", written);
        let files = self.values(&section, "files", declared.files, value::declared_file);
        Declared {
            files: files.into_iter().map(|file| file.value).collect(),
        }
    }

    pub(super) fn dns(&mut self, written: Option<Spanned<written::Dns>>) -> Option<Dns> {
        let (section, dns) = self.open("dns", written);
        let servers = self.values(&section, "servers", dns.servers, value::name_server);
        let default = defaults::dns();
        let stale = default.stale.as_secs();
        let stale = self.number(&section, "stale_s", dns.stale_s, 0..=2_592_000, stale)?;
        Some(Dns {
            servers: servers.into_iter().map(|server| server.value).collect(),
            stale: Duration::from_secs(stale),
        })
    }

    pub(super) fn api(&mut self, written: Option<Spanned<written::Api>>) -> Option<PlacedApi> {
        let (section, api) = self.open("api", written);
        let bind = self.optional(
            &section,
            "bind",
            api.bind,
            defaults::api_bind(),
            value::socket_address,
        );
        let (tls_section, files) = self.open("api.tls", api.tls);
        let names = [
            (
                "certificate",
                "the PEM file of the certificate that key is for",
            ),
            ("key", "the PEM file of the certificate's key"),
        ];
        let tls = self.optional_pair(&tls_section, names, files.certificate, files.key);
        let e911_addresses = self.optional(
            &section,
            "e911_addresses",
            api.e911_addresses,
            None,
            |text| value::table(text).map(Some),
        );
        let requests_per_second = self.number(
            &section,
            "requests_per_second",
            api.requests_per_second,
            0..=1_000_000,
            defaults::API_REQUESTS_PER_SECOND,
        );
        let users = self.values(&section, "users", api.users, value::user);
        let mut access_keys = Vec::new();
        for (section, key) in self.open_each("api.access_key", api.access_key) {
            let id = self.required(
                &section,
                "id",
                key.id,
                value::ACCESS_KEY_ID,
                value::access_key_id,
            );
            let secret = self.required(
                &section,
                "secret",
                key.secret,
                "the key's secret",
                value::secret,
            );
            let account = self.required(
                &section,
                "account",
                key.account,
                value::ACCOUNT,
                value::account,
            );
            let role = self.optional(&section, "role", key.role, false, value::is_read_only);
            if let (Some(id), Some(secret), Some(account), Some(role)) = (id, secret, account, role)
            {
                access_keys.push(Placed {
                    value: AccessKey {
                        id: id.value,
                        secret: Secret(secret.value),
                        account: account.value,
                        is_read_only: role.value,
                    },
                    key: id.key,
                    line: id.line,
                });
            }
        }
        Some(PlacedApi {
            bind: bind?,
            tls: tls?,
            e911_addresses: e911_addresses?.value,
            requests_per_second: requests_per_second?,
            users: users.into_iter().map(|user| user.value).collect(),
            access_keys,
        })
    }

    /// `data_dir` is `None` where it was refused already.
    pub(super) fn store(
        &mut self,
        written: Option<Spanned<written::Store>>,
        data_dir: Option<&Path>,
    ) -> Option<Store> {
        let (section, store) = self.open("store", written);
        let data_dir = data_dir.map_or_else(defaults::data_dir, PathBuf::from);
        let default = defaults::store_url(&data_dir);
        let url = self.optional(&section, "url", store.url, default, value::store_url);
        Some(Store { url: url?.value })
    }

    pub(super) fn quotas(&mut self, written: Option<Spanned<written::Quotas>>) -> Option<Quotas> {
        let (section, quotas) = self.open("quotas", written);
        let default = Quotas::default();
        let mut number = |name, written, allowed, default| {
            self.number(&section, name, written, allowed, default)
        };
        let voice_connectors = number(
            "voice_connectors",
            quotas.voice_connectors,
            0..=1_000_000,
            default.voice_connectors,
        );
        let voice_connector_groups = number(
            "voice_connector_groups",
            quotas.voice_connector_groups,
            0..=100_000,
            default.voice_connector_groups,
        );
        let group_voice_connectors = number(
            "group_voice_connectors",
            quotas.group_voice_connectors,
            0..=100,
            default.group_voice_connectors,
        );
        let origination_routes = number(
            "origination_routes",
            quotas.origination_routes,
            1..=100,
            default.origination_routes,
        );
        let termination_credentials = number(
            "termination_credentials",
            quotas.termination_credentials,
            1..=1_000,
            default.termination_credentials,
        );
        let sip_media_applications = number(
            "sip_media_applications",
            quotas.sip_media_applications,
            0..=100_000,
            default.sip_media_applications,
        );
        let sip_rules = number(
            "sip_rules",
            quotas.sip_rules,
            0..=100_000,
            default.sip_rules,
        );
        let proxy_sessions = number(
            "proxy_sessions",
            quotas.proxy_sessions,
            0..=1_000_000,
            default.proxy_sessions,
        );
        Some(Quotas {
            voice_connectors: voice_connectors?,
            voice_connector_groups: voice_connector_groups?,
            group_voice_connectors: group_voice_connectors?,
            origination_routes: origination_routes?,
            termination_credentials: termination_credentials?,
            sip_media_applications: sip_media_applications?,
            sip_rules: sip_rules?,
            proxy_sessions: proxy_sessions?,
        })
    }

    pub(super) fn limits(&mut self, written: Option<Spanned<written::Limits>>) -> Option<Limits> {
        let (section, limits) = self.open("limits", written);
        let default = Limits::default();
        let mut number = |name, written, allowed, default| {
            self.number(&section, name, written, allowed, default)
        };
        let calls_max = number(
            "calls_max",
            limits.calls_max,
            1..=1_000_000,
            default.calls_max,
        );
        let transactions_max = number(
            "transactions_max",
            limits.transactions_max,
            1..=10_000_000,
            default.transactions_max,
        );
        // RFC 3261 §18.1.1: at least a datagram of a path MTU must fit.
        let sip_message_bytes_max = number(
            "sip_message_bytes_max",
            limits.sip_message_bytes_max,
            1_500..=65_535,
            default.sip_message_bytes_max,
        );
        let sip_headers_max = number(
            "sip_headers_max",
            limits.sip_headers_max,
            16..=1_024,
            default.sip_headers_max,
        );
        let connections_max = number(
            "connections_max",
            limits.connections_max,
            1..=1_000_000,
            default.connections_max,
        );
        let source_connections_max = number(
            "source_connections_max",
            limits.source_connections_max,
            1..=1_000_000,
            default.source_connections_max,
        );
        let known_source_connections_max = number(
            "known_source_connections_max",
            limits.known_source_connections_max,
            1..=1_000_000,
            default.known_source_connections_max,
        );
        let connection_idle_s = number(
            "connection_idle_s",
            limits.connection_idle_s,
            32..=86_400,
            usize::try_from(default.connection_idle.as_secs()).unwrap_or(usize::MAX),
        );
        let mailbox_max = number(
            "mailbox_max",
            limits.mailbox_max,
            1..=1_000_000,
            default.mailbox_max,
        );
        let seconds = |duration: Duration| usize::try_from(duration.as_secs()).unwrap_or(0);
        let ban = number("ban_s", limits.ban_s, 0..=86_400, seconds(default.ban));
        let ban_max = number(
            "ban_max_s",
            limits.ban_max_s,
            1..=604_800,
            seconds(default.ban_max),
        );
        let lag = number("lag_refuse_ms", limits.lag_refuse_ms, 10..=60_000, 200);
        let mut rate =
            |name, written, default| self.number(&section, name, written, 1..=10_000_000, default);
        let per_second = rate(
            "source_messages_per_second",
            limits.source_messages_per_second,
            default.source_messages_per_second,
        );
        let known_per_second = rate(
            "known_source_messages_per_second",
            limits.known_source_messages_per_second,
            default.known_source_messages_per_second,
        );
        Some(Limits {
            calls_max: calls_max?,
            transactions_max: transactions_max?,
            sip_message_bytes_max: sip_message_bytes_max?,
            sip_headers_max: sip_headers_max?,
            connections_max: connections_max?,
            source_connections_max: source_connections_max?,
            known_source_connections_max: known_source_connections_max?,
            connection_idle: Duration::from_secs(connection_idle_s? as u64),
            mailbox_max: mailbox_max?,
            source_messages_per_second: per_second?,
            known_source_messages_per_second: known_per_second?,
            ban: Duration::from_secs(ban? as u64),
            ban_max: Duration::from_secs(ban_max? as u64),
            lag_refuse: Duration::from_millis(lag? as u64),
        })
    }

    pub(super) fn log(&mut self, written: Option<Spanned<written::Log>>) -> Option<Log> {
        let (section, log) = self.open("log", written);
        let level = self.optional(
            &section,
            "level",
            log.level,
            LogLevel::default(),
            value::log_level,
        );
        let format = self.optional(
            &section,
            "format",
            log.format,
            LogFormat::default(),
            value::log_format,
        );
        Some(Log {
            level: level?.value,
            format: format?.value,
        })
    }
}
