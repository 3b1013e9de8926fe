//! Voice connectors and their configurations.

use std::net::IpAddr;

use jiff::Timestamp;

use super::records::{
    HealthRecord, NewVoiceConnector, OriginationRecord, Page, StoreError, TerminationRecord, VoiceConnectorRecord,
};
use super::Store;
use crate::connector_id::VoiceConnectorId;
use crate::shard::snapshot::Credential;
