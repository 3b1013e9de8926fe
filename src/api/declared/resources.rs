//! A section of a file as the resource that it declares.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::errors::Fault;
use super::{Declared, Owner};
use crate::api::configurations;
use crate::api::groups::group_items;
use crate::api::members::invalid;
use crate::api::origination::origination;
use crate::api::request::Members;
use crate::api::sip_media_applications as applications;
use crate::api::termination::termination;
use crate::api::voice_connectors::{DEFAULT_AWS_REGION, DEFAULT_NETWORK_TYPE};
use crate::api::{credentials, sip_rules, tags, workable};
use crate::config::{OwnPlaces, Secret};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;
use crate::store::{
    DeclaredConnector, DeclaredCredential, DeclaredDocument, DeclaredGroup, DeclaredNumber, Holder,
    NewVoiceConnector, OriginationRecord, Proof, Resource,
};

const EMERGENCY: &str = "EmergencyCallingConfiguration";

/// A section of a file; it is of its shape.
pub(super) struct Section<'s> {
    /// Where it stands, as in `VoiceConnector[0]`.
    pub(super) key: &'s str,
    /// Whose it is.
    pub(super) owner: &'s Owner,
    /// The places of the node that reads it.
    pub(super) own: &'s OwnPlaces,
    /// What it says.
    pub(super) members: &'s Map<String, Value>,
}

/// A SIP rule whose targets are not looked up yet.
pub(super) struct Rule {
    /// Where it stands.
    pub(super) key: String,
    /// Whose it is.
    pub(super) owner: Owner,
    /// Its id.
    pub(super) id: String,
    /// `TriggerType`
    pub(super) trigger_type: String,
    /// `TriggerValue`, a number in `+` form or a host name in lower case.
    pub(super) trigger_value: String,
    /// `Name` and `Disabled`.
    pub(super) body: Map<String, Value>,
    /// `TargetApplications`, as written.
    pub(super) targets: Vec<Value>,
}

/// Adds what a section declares.
pub(super) fn add(declared: &mut Declared, name: &str, section: &Section<'_>) -> Result<(), Fault> {
    match name {
        "VoiceConnector" => connector(declared, section),
        "VoiceConnectorGroup" => group(declared, section),
        "PhoneNumber" => number(declared, section),
        "SipMediaApplication" => application(declared, section),
        _ => rule(declared, section),
    }
}

impl Declared {
    fn own(&mut self, resource: Resource, owner: &Owner) -> Result<(), Fault> {
        match self.owners.0.get(&resource) {
            Some(other) => Err(Fault::Twice(resource, other.clone())),
            None => {
                self.owners.0.insert(resource, owner.clone());
                Ok(())
            }
        }
    }
}

impl Section<'_> {
    fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member).and_then(Value::as_str)
    }

    /// A member that has to be there, as the section's shape says.
    fn required(&self, member: &str) -> &str {
        self.text(member).unwrap_or_default()
    }

    fn owned(&self, member: &str) -> Option<String> {
        let text = self.text(member).map(str::to_owned);
        // The API takes a name away with an empty one.
        text.filter(|text| !text.is_empty())
    }

    fn boolean(&self, member: &str) -> bool {
        let value = self.members.get(member).and_then(Value::as_bool);
        value.unwrap_or_default()
    }

    fn list(&self, member: &str) -> &[Value] {
        let value = self.members.get(member).and_then(Value::as_array);
        value.map_or(&[], Vec::as_slice)
    }

    fn path(&self, member: &str) -> String {
        format!("{}.{member}", self.key)
    }

    fn uuid(&self, member: &str) -> Result<Uuid, Fault> {
        let id = self.required(member).parse();
        id.map_err(|_| invalid(self.path(member), "a UUID").into())
    }

    fn number(&self, member: &str) -> Result<E164, Fault> {
        let number = self.required(member).parse();
        number.map_err(|_| invalid(self.path(member), "an E.164 number").into())
    }

    fn document(&self, of: &Resource, kind: &'static str, id: &str) -> DeclaredDocument {
        DeclaredDocument {
            of: of.clone(),
            kind,
            account: self.owner.account.clone(),
            id: id.to_owned(),
            parent: String::new(),
            body: None,
        }
    }

    /// What goes with a resource: a member of its section, or nothing.
    fn part(&self, of: &Resource, kind: &'static str, id: &str, member: &str) -> DeclaredDocument {
        DeclaredDocument {
            parent: id.to_owned(),
            body: self.members.get(member).cloned(),
            ..self.document(of, kind, id)
        }
    }
}

fn connector(declared: &mut Declared, section: &Section<'_>) -> Result<(), Fault> {
    let id: VoiceConnectorId = section
        .required("VoiceConnectorId")
        .parse()
        .map_err(|_| invalid(section.path("VoiceConnectorId"), "the id of a connector"))?;
    let members = Members::of(section.key.to_owned(), section.members);
    let require_encryption = section.boolean("RequireEncryption");
    let has = |member: &str| section.members.contains_key(member);
    let connector = DeclaredConnector {
        id,
        new: NewVoiceConnector {
            account: section.owner.account.clone(),
            name: section.required("Name").to_owned(),
            aws_region: section
                .text("AwsRegion")
                .unwrap_or(DEFAULT_AWS_REGION)
                .to_owned(),
            require_encryption,
            network_type: section
                .text("NetworkType")
                .unwrap_or(DEFAULT_NETWORK_TYPE)
                .to_owned(),
            integration_type: section.owned("IntegrationType"),
        },
        outbound_host_name: format!("{id}.{}", section.own.domain()),
        termination: match has("Termination") {
            true => Some(termination(&members)?),
            false => None,
        },
        origination: match has("Origination") {
            true => Some(declared_origination(section, &members)?),
            false => None,
        },
        credentials: declared_credentials(section)?,
    };
    let resource = Resource::VoiceConnector(id);
    declared.own(resource.clone(), section.owner)?;
    workable_configurations(section, &connector)?;
    let parts = configurations::ALL.map(|configuration| {
        let (kind, member) = (configuration.kind(), configuration.member());
        section.part(&resource, kind, id.as_str(), member)
    });
    declared.declaration.documents.extend(parts);
    let tags = section.part(&resource, tags::KIND, id.as_str(), "Tags");
    declared.declaration.documents.push(tags);
    declared.declaration.connectors.push(connector);
    Ok(())
}

fn declared_origination(
    section: &Section<'_>,
    members: &Members<'_>,
) -> Result<OriginationRecord, Fault> {
    let is_own = |host: &str, port| section.own.hold(host, port);
    let require_encryption = section.boolean("RequireEncryption");
    let record = origination(members, usize::MAX, &is_own)?.settle(require_encryption);
    let path = section.path("Origination");
    workable::over_tcp_where_encrypted(&path, &record, require_encryption)?;
    Ok(record)
}

/// "Origination and termination settings must be enabled" before emergency calling
/// (`PutVoiceConnectorEmergencyCallingConfiguration`).
fn workable_configurations(
    section: &Section<'_>,
    connector: &DeclaredConnector,
) -> Result<(), Fault> {
    if let Some(proxy) = section.members.get("Proxy") {
        workable::proxy(&section.path("Proxy."), "PhoneNumberCountries", proxy)?;
    }
    let Some(emergency) = section.members.get(EMERGENCY) else {
        return Ok(());
    };
    workable::emergency(&section.path(EMERGENCY), emergency)?;
    let termination = connector.termination.as_ref();
    let origination = connector.origination.as_ref();
    let is_enabled = termination.is_some_and(|termination| !termination.disabled)
        && origination.is_some_and(|origination| !origination.disabled);
    match is_enabled {
        true => Ok(()),
        false => Err(invalid(section.path(EMERGENCY), workable::BOTH_ENABLED).into()),
    }
}

fn declared_credentials(section: &Section<'_>) -> Result<Vec<DeclaredCredential>, Fault> {
    let mut seen = HashSet::new();
    let credentials = section.list("Credentials").iter().enumerate();
    let credential = |(index, value): (usize, &Value)| {
        let key = format!("{}.Credentials[{index}]", section.key);
        let member = |name: &str| value.get(name).and_then(Value::as_str);
        let secret = |name: &str| member(name).map(|text| Secret(text.to_owned()));
        let username = member("Username").unwrap_or_default();
        if !credentials::is_username(username) {
            return Err(invalid(format!("{key}.Username"), credentials::USERNAME).into());
        }
        if !seen.insert(username.to_owned()) {
            let key = format!("{key}.Username");
            return Err(Fault::UserTwice { key });
        }
        let proof = match (secret("Password"), secret("Ha1Md5"), secret("Ha1Sha256")) {
            (Some(password), None, None) => {
                if !credentials::is_password(&password.0) {
                    let key = format!("{key}.Password");
                    return Err(invalid(key, credentials::PASSWORD).into());
                }
                Proof::Password(password)
            }
            (None, Some(ha1_md5), Some(ha1_sha256)) => Proof::Hashes {
                ha1_md5,
                ha1_sha256,
            },
            (_, _, _) => return Err(Fault::Proof { key }),
        };
        Ok(DeclaredCredential {
            username: username.to_owned(),
            proof,
        })
    };
    credentials.map(credential).collect()
}

fn group(declared: &mut Declared, section: &Section<'_>) -> Result<(), Fault> {
    let id = section.uuid("VoiceConnectorGroupId")?;
    let items = group_items(
        &section.path("VoiceConnectorItems"),
        section.list("VoiceConnectorItems"),
        usize::MAX,
    )?;
    declared.own(Resource::VoiceConnectorGroup(id), section.owner)?;
    declared.declaration.groups.push(DeclaredGroup {
        id,
        account: section.owner.account.clone(),
        name: section.required("Name").to_owned(),
        call_distribution_type: section.owned("CallDistributionType"),
        items,
    });
    Ok(())
}

fn number(declared: &mut Declared, section: &Section<'_>) -> Result<(), Fault> {
    const OF_CONNECTORS: &str = "VoiceConnector";
    let number = section.number("E164PhoneNumber")?;
    let connector = section.text("VoiceConnectorId").map(str::parse).transpose();
    let connector: Option<VoiceConnectorId> = connector
        .map_err(|_| invalid(section.path("VoiceConnectorId"), "the id of a connector"))?;
    let group = match section.text("VoiceConnectorGroupId") {
        Some(_) => Some(section.uuid("VoiceConnectorGroupId")?),
        None => None,
    };
    let holder = match (connector, group) {
        (Some(_), Some(_)) => return Err(Fault::TwoHolders(number)),
        (Some(id), None) => Some(Holder::VoiceConnector(id)),
        (None, Some(id)) => Some(Holder::VoiceConnectorGroup(id)),
        (None, None) => None,
    };
    let product_type = section.text("ProductType").unwrap_or(OF_CONNECTORS);
    if holder.is_some() && product_type != OF_CONNECTORS {
        let expected = "VoiceConnector, for a number that is associated";
        return Err(invalid(section.path("ProductType"), expected).into());
    }
    declared.own(Resource::PhoneNumber(number), section.owner)?;
    declared.declaration.numbers.push(DeclaredNumber {
        number,
        account: section.owner.account.clone(),
        product_type: product_type.to_owned(),
        name: section.owned("Name"),
        calling_name: section.owned("CallingName"),
        holder,
    });
    Ok(())
}

fn application(declared: &mut Declared, section: &Section<'_>) -> Result<(), Fault> {
    let id = section.uuid("SipMediaApplicationId")?.to_string();
    let region = section.required("AwsRegion");
    if !applications::is_region(region) {
        let expected = "an AWS Region, as in us-east-1";
        return Err(invalid(section.path("AwsRegion"), expected).into());
    }
    let endpoints = section.list("Endpoints");
    applications::endpoints_in_region(&section.path("Endpoints"), endpoints, region)?;
    let resource = Resource::SipMediaApplication(id.clone());
    declared.own(resource.clone(), section.owner)?;
    let application = DeclaredDocument {
        body: Some(json!({
            "AwsRegion": region,
            "Name": section.required("Name"),
            "Endpoints": endpoints,
        })),
        ..section.document(&resource, applications::KIND.kind, &id)
    };
    let logging = applications::LOGGING;
    declared.declaration.documents.extend([
        application,
        section.part(&resource, logging.kind, &id, logging.name),
        section.part(&resource, tags::KIND, &id, "Tags"),
    ]);
    Ok(())
}

fn rule(declared: &mut Declared, section: &Section<'_>) -> Result<(), Fault> {
    let id = section.uuid("SipRuleId")?.to_string();
    let trigger_type = section.required("TriggerType");
    let trigger_value = match trigger_type {
        sip_rules::TO_NUMBER => section.number("TriggerValue")?.to_string(),
        _ => section.required("TriggerValue").to_ascii_lowercase(),
    };
    let mut others = declared.rules.iter();
    let has_trigger = |other: &&Rule| {
        other.owner.account == section.owner.account
            && other.trigger_type == trigger_type
            && other.trigger_value == trigger_value
    };
    if let Some(other) = others.find(has_trigger) {
        let rule = other.id.clone();
        return Err(Fault::TriggerTaken { rule });
    }
    declared.own(Resource::SipRule(id.clone()), section.owner)?;
    let body = json!({
        "Name": section.required("Name"),
        "Disabled": section.boolean("Disabled"),
    });
    declared.rules.push(Rule {
        key: section.key.to_owned(),
        owner: section.owner.clone(),
        id,
        trigger_type: trigger_type.to_owned(),
        trigger_value,
        body: body.as_object().cloned().unwrap_or_default(),
        targets: section.list("TargetApplications").to_vec(),
    });
    Ok(())
}
