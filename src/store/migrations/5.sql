-- A user's number was a document, which the number's other writers did not see. Documents of it that a later
-- association of the number made untrue are dropped.
ALTER TABLE phone_number ADD COLUMN phone_user TEXT;
UPDATE phone_number SET phone_user = (
    SELECT document.id FROM document WHERE document.kind = 'user-phone-number'
    AND document.account = phone_number.account
    AND document.body = '{"E164PhoneNumber":"+' || CAST(phone_number.number AS TEXT) || '"}'
)
WHERE voice_connector IS NULL AND voice_connector_group IS NULL AND deleted IS NULL;
UPDATE phone_number SET associated = updated WHERE phone_user IS NOT NULL;
DELETE FROM document WHERE kind = 'user-phone-number';
-- Lists are in the order of numbers, of one account, connector, group or status.
DROP INDEX phone_number_by_connector;
DROP INDEX phone_number_by_group;
CREATE INDEX phone_number_by_connector ON phone_number (voice_connector, number);
CREATE INDEX phone_number_by_group ON phone_number (voice_connector_group, number);
CREATE INDEX phone_number_unassigned ON phone_number (account, number)
    WHERE voice_connector IS NULL AND voice_connector_group IS NULL AND phone_user IS NULL AND deleted IS NULL;
CREATE UNIQUE INDEX phone_number_by_user ON phone_number (account, phone_user) WHERE phone_user IS NOT NULL;
