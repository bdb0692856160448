CREATE TABLE events (
    id       INTEGER PRIMARY KEY,  -- the order in which everything happened
    at_ms    INTEGER NOT NULL,     -- when, in milliseconds since 1970 (UTC)
    remote   TEXT NOT NULL,
    token    TEXT NOT NULL,        -- user@realm!name, as the config names it
    rotation TEXT,                 -- the rotation planned last; none before the first
    kind     TEXT NOT NULL,        -- what body says in $.event
    step     TEXT,                 -- for began, done, failed: the step as people read it
    body     TEXT NOT NULL CHECK (json_valid(body))  -- the whole event; the columns before it are for people
) STRICT;

CREATE INDEX events_by_token ON events (remote, token, id);
CREATE INDEX events_by_rotation ON events (rotation, id);
