CREATE TABLE voice_connector (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    aws_region TEXT NOT NULL,
    outbound_host_name TEXT NOT NULL UNIQUE,
    require_encryption BOOLEAN NOT NULL,
    network_type TEXT NOT NULL,
    integration_type TEXT,
    termination TEXT,
    origination TEXT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX voice_connector_by_account ON voice_connector (account, created, id);

CREATE TABLE termination_credential (
    voice_connector TEXT NOT NULL REFERENCES voice_connector (id) ON DELETE CASCADE,
    username TEXT NOT NULL,
    ha1_md5 TEXT NOT NULL,
    ha1_sha256 TEXT NOT NULL,
    PRIMARY KEY (voice_connector, username)
);

CREATE TABLE termination_health (
    voice_connector TEXT PRIMARY KEY REFERENCES voice_connector (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE phone_number_order (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    product_type TEXT NOT NULL,
    numbers TEXT NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE phone_number (
    number BIGINT PRIMARY KEY,
    account TEXT NOT NULL,
    product_type TEXT NOT NULL,
    voice_connector TEXT REFERENCES voice_connector (id),
    associated BIGINT,
    number_order TEXT NOT NULL REFERENCES phone_number_order (id),
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX phone_number_by_account ON phone_number (account, number);
CREATE INDEX phone_number_by_connector ON phone_number (voice_connector);
