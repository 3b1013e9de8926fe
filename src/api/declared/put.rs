//! What is declared, put into the store: whether it fits to what is there is looked at first.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::errors::{DeclaredError, DeclaredErrors, Fault};
use super::resources::Rule;
use super::{Declared, Owners};
use crate::api::members::{connector_id, invalid};
use crate::api::resources::text;
use crate::api::sip_media_applications as applications;
use crate::api::sip_rules;
use crate::api::workable::{IN_COUNTRIES, countries_of};
use crate::control::publish::Control;
use crate::numbering::E164;
use crate::store::{
    Declaration, DeclareError, DeclaredDocument, Document, Holder, NumberFilter, Put, Resource,
    Store, StoreError,
};

/// Puts everything, and says where it is declared and what was not so before.
///
/// # Errors
///
/// What does not fit to what the store has. Nothing is put then.
pub async fn put(
    control: &Control,
    declared: Declared,
    now: Timestamp,
) -> Result<(Owners, BTreeMap<Resource, Put>), DeclaredErrors> {
    let Declared {
        owners,
        mut declaration,
        rules,
    } = declared;
    let writing = control.hold_writes().await;
    let mut errors = Vec::new();
    let mut known = HashMap::new();
    for account in rules.iter().map(|rule| rule.owner.account.clone()) {
        if let Entry::Vacant(vacant) = known.entry(account) {
            match Known::of(control, vacant.key(), &declaration).await {
                Ok(found) => {
                    vacant.insert(found);
                }
                Err(fault) => return Err(DeclaredErrors(vec![no_place(fault)])),
            }
        }
    }
    for rule in rules {
        let Some(known) = known.get(&rule.owner.account) else {
            continue;
        };
        match settle(control, &owners, known, &rule).await {
            Ok(document) => declaration.documents.push(document),
            Err(fault) => errors.push(owners.blame(&Resource::SipRule(rule.id), fault)),
        }
    }
    if !errors.is_empty() {
        return Err(DeclaredErrors(errors));
    }
    for document in &declaration.documents {
        if document.kind == Store::PROXY
            && let Err(fault) = has_numbers(control, &declaration, document).await
        {
            errors.push(owners.blame(&document.of, fault));
        }
    }
    if !errors.is_empty() {
        return Err(DeclaredErrors(errors));
    }
    match control.declare(&writing, &declaration, now).await {
        Ok(done) => Ok((owners, done)),
        Err(error) => {
            let fault = Fault::Store(error);
            let error = match fault.resource() {
                Some(resource) => owners.blame(&resource, fault),
                None => no_place(fault),
            };
            Err(DeclaredErrors(vec![error]))
        }
    }
}

/// What no file is to blame for.
fn no_place(fault: Fault) -> DeclaredError {
    DeclaredError {
        file: None,
        line: None,
        fault,
    }
}

/// What rules of an account are looked up in.
struct Known {
    /// The rules that there are, by trigger.
    rules: HashMap<(String, String), String>,
    /// The regions of applications, those that are declared among them, by id.
    regions: HashMap<String, String>,
}

impl Known {
    async fn of(
        control: &Control,
        account: &str,
        declaration: &Declaration,
    ) -> Result<Self, Fault> {
        let rules = all(control, account, sip_rules::KIND.kind).await?;
        let trigger = |rule: &Document, member| text(rule, member).to_owned();
        let rules = rules.into_iter().map(|rule| {
            let trigger = (
                trigger(&rule, "TriggerType"),
                trigger(&rule, "TriggerValue"),
            );
            (trigger, rule.id)
        });
        let mut regions = HashMap::new();
        for application in all(control, account, applications::KIND.kind).await? {
            let region = text(&application, "AwsRegion").to_owned();
            regions.insert(application.id, region);
        }
        let declared = declaration.documents.iter().filter(|document| {
            document.kind == applications::KIND.kind && document.account == account
        });
        for document in declared {
            let region = document
                .body
                .as_ref()
                .and_then(|body| body.get("AwsRegion"));
            let region = region.and_then(Value::as_str).unwrap_or_default();
            regions.insert(document.id.clone(), region.to_owned());
        }
        Ok(Self {
            rules: rules.collect(),
            regions,
        })
    }
}

impl Owners {
    fn blame(&self, resource: &Resource, fault: Fault) -> DeclaredError {
        let owner = self.0.get(resource);
        DeclaredError {
            file: owner.map(|owner| owner.file.clone()),
            line: owner.map(|owner| owner.line),
            fault,
        }
    }
}

/// A rule as it is kept: its trigger is the account's and no other rule's, its targets are there.
async fn settle(
    control: &Control,
    owners: &Owners,
    known: &Known,
    rule: &Rule,
) -> Result<DeclaredDocument, Fault> {
    let account = rule.owner.account.as_str();
    check_trigger(control, owners, rule).await?;
    let trigger = (rule.trigger_type.clone(), rule.trigger_value.clone());
    if let Some(other) = known.rules.get(&trigger) {
        // One that is declared, too, will be what its file says.
        if !owners.0.contains_key(&Resource::SipRule(other.clone())) {
            let rule = other.clone();
            return Err(Fault::TriggerTaken { rule });
        }
    }
    let region = |id: &str| known.regions.get(id).map(String::as_str);
    let path = format!("{}.TargetApplications", rule.key);
    let targets = sip_rules::settled_targets(&path, &rule.targets, region)?;
    let mut body = rule.body.clone();
    body.insert("TriggerType".into(), json!(rule.trigger_type));
    body.insert("TriggerValue".into(), json!(rule.trigger_value));
    body.insert("TargetApplications".into(), targets);
    Ok(DeclaredDocument {
        of: Resource::SipRule(rule.id.clone()),
        kind: sip_rules::KIND.kind,
        account: account.to_owned(),
        id: rule.id.clone(),
        parent: String::new(),
        body: Some(Value::Object(body)),
    })
}

/// A connector's `Proxy` has numbers to choose from: declared with the connector, or associated with it already.
async fn has_numbers(
    control: &Control,
    declaration: &Declaration,
    document: &DeclaredDocument,
) -> Result<(), Fault> {
    let Some(proxy) = &document.body else {
        return Ok(());
    };
    let is_wanted = |number: E164| {
        let country = number.country();
        country.is_some_and(|country| countries_of(proxy).any(|wanted| wanted == country.as_str()))
    };
    let connector = document.id.parse().ok().map(Holder::VoiceConnector);
    let mut declared = declaration.numbers.iter();
    if declared.any(|number| number.holder == connector && is_wanted(number.number)) {
        return Ok(());
    }
    let filter = NumberFilter {
        holder: connector,
        ..NumberFilter::default()
    };
    let mut after: Option<String> = None;
    loop {
        let store = control.store();
        let page = store.phone_numbers(&document.account, &filter, after.as_deref(), 1_000);
        let page = page.await.map_err(|error| Fault::Store(error.into()))?;
        if page.rows.iter().any(|row| is_wanted(row.number)) {
            return Ok(());
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Err(invalid("Proxy.PhoneNumberCountries", IN_COUNTRIES).into()),
        }
    }
}

/// The number or the host name is the account's, or declared to be.
async fn check_trigger(control: &Control, owners: &Owners, rule: &Rule) -> Result<(), Fault> {
    let account = rule.owner.account.as_str();
    let is_declared = |resource: Resource| {
        let owner = owners.0.get(&resource);
        owner.is_some_and(|owner| owner.account == account)
    };
    let key = format!("{}.TriggerValue", rule.key);
    let store = control.store();
    if rule.trigger_type == sip_rules::TO_NUMBER {
        let number: E164 = rule
            .trigger_value
            .parse()
            .map_err(|_| invalid(key.as_str(), "an E.164 number"))?;
        if is_declared(Resource::PhoneNumber(number)) {
            return Ok(());
        }
        return match store.phone_number(account, number).await {
            Ok(record) if record.deleted.is_none() => Ok(()),
            Ok(_) | Err(StoreError::UnknownNumber(_)) => {
                Err(invalid(key, "a phone number of the account").into())
            }
            Err(error) => Err(Fault::Store(DeclareError::Store(error))),
        };
    }
    let expected = "the OutboundHostName of a VoiceConnector of the account";
    let label = rule.trigger_value.split('.').next().unwrap_or_default();
    let Ok(id) = connector_id(label) else {
        return Err(invalid(key, expected).into());
    };
    let host = match store.voice_connector(account, id).await {
        Ok(record) => record.outbound_host_name,
        Err(StoreError::UnknownVoiceConnector(_)) if is_declared(Resource::VoiceConnector(id)) => {
            control.outbound_host_name(id)
        }
        Err(StoreError::UnknownVoiceConnector(_)) => return Err(invalid(key, expected).into()),
        Err(error) => return Err(Fault::Store(DeclareError::Store(error))),
    };
    match host.eq_ignore_ascii_case(&rule.trigger_value) {
        true => Ok(()),
        false => Err(invalid(key, expected).into()),
    }
}

async fn all(control: &Control, account: &str, kind: &'static str) -> Result<Vec<Document>, Fault> {
    let documents = control.store().all_documents(kind, account, "").await;
    documents.map_err(|error| Fault::Store(DeclareError::Store(error)))
}
