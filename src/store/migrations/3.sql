-- The driver that both databases share reads no BOOLEAN of SQLite: 0 or 1 from here on.
ALTER TABLE voice_connector ADD COLUMN encryption_required BIGINT NOT NULL DEFAULT 0;
UPDATE voice_connector SET encryption_required = 1 WHERE require_encryption;
ALTER TABLE voice_connector DROP COLUMN require_encryption;
ALTER TABLE voice_connector RENAME COLUMN encryption_required TO require_encryption;
