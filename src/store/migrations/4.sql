CREATE TABLE voice_connector_group (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    call_distribution_type TEXT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX voice_connector_group_by_account ON voice_connector_group (account, created, id);

CREATE TABLE voice_connector_group_item (
    voice_connector_group TEXT NOT NULL REFERENCES voice_connector_group (id) ON DELETE CASCADE,
    place BIGINT NOT NULL,
    voice_connector TEXT NOT NULL REFERENCES voice_connector (id),
    priority BIGINT NOT NULL,
    PRIMARY KEY (voice_connector_group, place),
    UNIQUE (voice_connector_group, voice_connector)
);
CREATE INDEX voice_connector_group_item_by_connector ON voice_connector_group_item (voice_connector);

ALTER TABLE phone_number ADD COLUMN voice_connector_group TEXT REFERENCES voice_connector_group (id);
ALTER TABLE phone_number ADD COLUMN name TEXT;
ALTER TABLE phone_number ADD COLUMN calling_name TEXT;
ALTER TABLE phone_number ADD COLUMN deleted BIGINT;
CREATE INDEX phone_number_by_group ON phone_number (voice_connector_group);
CREATE INDEX phone_number_by_deletion ON phone_number (deleted) WHERE deleted IS NOT NULL;

CREATE INDEX phone_number_order_by_account ON phone_number_order (account, created, id);
