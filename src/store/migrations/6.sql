-- The calls of an hour that the spending guard counts: of a connector, in all (country '') and to each country. `told`
-- is what of its limit was told in that hour: 0 nothing, 1 that it is near, 2 that it is reached. A connector may be gone
-- before its last calls are written.
CREATE TABLE spending (
    voice_connector TEXT NOT NULL,
    country TEXT NOT NULL,
    hour BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    told BIGINT NOT NULL,
    PRIMARY KEY (hour, voice_connector, country)
);
