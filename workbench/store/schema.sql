-- The workbench's database. Version 5. People query this file: docs/store.md explains every table.
-- Units stand in every name or beside every value: s, J, W, B, ratio. Times *_ns are monotonic nanoseconds of the
-- machine under test, comparable inside one trial only; *_at are wall-clock UTC timestamps.

CREATE TABLE store (
    id VARCHAR NOT NULL,              -- identity of this database, part of every trial order
    schema_version INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL,
    written_by VARCHAR NOT NULL       -- application version that created or last migrated it
);

CREATE TABLE counters (               -- numbers given out so far: a deleted trial's number is never used again
    name VARCHAR PRIMARY KEY,         -- experiments, trials
    last INTEGER NOT NULL
);

CREATE TABLE experiments (
    experiment VARCHAR PRIMARY KEY,
    number INTEGER NOT NULL,          -- 1, 2, 3, ...: what people say
    name VARCHAR NOT NULL,
    definition VARCHAR NOT NULL,      -- the experiment file, TOML
    seed BIGINT NOT NULL,
    baseline VARCHAR,                 -- pinned configuration hash
    created_at TIMESTAMP NOT NULL,
    note VARCHAR NOT NULL DEFAULT ''
);

CREATE TABLE configurations (
    configuration VARCHAR NOT NULL,   -- hash of what is run
    experiment VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    color INTEGER NOT NULL,           -- index into the run palette
    position INTEGER NOT NULL,
    model VARCHAR NOT NULL,
    techniques VARCHAR NOT NULL,      -- JSON: [{"id": ..., "parameters": {...}}]
    resolved VARCHAR NOT NULL,        -- JSON of the whole order without trial, block, position and seed
    PRIMARY KEY (experiment, configuration)
);

CREATE TABLE trials (
    trial VARCHAR PRIMARY KEY,
    number INTEGER NOT NULL,          -- 1, 2, 3, ... over the whole store
    experiment VARCHAR NOT NULL,
    configuration VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    block INTEGER NOT NULL,
    position INTEGER NOT NULL,
    seed BIGINT NOT NULL,
    machine VARCHAR NOT NULL,
    device VARCHAR NOT NULL,
    state VARCHAR NOT NULL,           -- waiting, running, ended
    outcome VARCHAR,                  -- completed, stopped, failed, lost
    failure VARCHAR,                  -- kind, where failed or lost; '' otherwise
    message VARCHAR,
    advice VARCHAR,
    verdict VARCHAR,                  -- valid, warning, invalid; NULL until computed
    last_seq INTEGER NOT NULL DEFAULT 0,
    environment VARCHAR,              -- key into environments
    submitted_at TIMESTAMP NOT NULL,
    started_at TIMESTAMP,
    ended_at TIMESTAMP,
    duration_s DOUBLE
);

CREATE TABLE records (                -- every record as it was said: the ground truth, JSON
    trial VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    t_ns BIGINT NOT NULL,
    record VARCHAR NOT NULL           -- '' where unpacked whole into samples or tokens (telemetry, stamps)
);

CREATE TABLE phases (
    trial VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    index INTEGER NOT NULL,
    start_ns BIGINT NOT NULL,
    end_ns BIGINT NOT NULL
);

CREATE TABLE requests (
    trial VARCHAR NOT NULL,
    index INTEGER NOT NULL,
    warmup BOOLEAN NOT NULL,
    start_ns BIGINT NOT NULL,
    end_ns BIGINT NOT NULL,
    first_stamp BIGINT NOT NULL,
    stamps INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    generated_tokens INTEGER NOT NULL,
    batch_size INTEGER NOT NULL,
    synchronised BOOLEAN NOT NULL
);

CREATE TABLE tokens (                 -- one row a stamp of the worker's ring, as told; see token_times
    trial VARCHAR NOT NULL,
    seq INTEGER NOT NULL,             -- the record it came in
    stamp BIGINT NOT NULL,
    t_ns BIGINT NOT NULL
);

CREATE VIEW token_times AS            -- one row a token: a time told again later is a corrected one
SELECT trial, stamp, arg_max(t_ns, seq) AS t_ns FROM tokens GROUP BY trial, stamp;

CREATE VIEW steps AS                  -- one row a finished training step
SELECT
    trial,
    (record->>'index')::INTEGER AS index,
    (record->>'warmup')::BOOLEAN AS warmup,
    (record->>'start_ns')::BIGINT AS start_ns,
    (record->>'end_ns')::BIGINT AS end_ns,
    (record->>'tokens')::BIGINT AS tokens,
    coalesce((record->>'padding_tokens')::BIGINT, 0) AS padding_tokens,
    (record->>'samples')::BIGINT AS samples,
    (record->>'loss')::DOUBLE AS loss,
    (record->>'gradient_norm')::DOUBLE AS gradient_norm,
    (record->>'learning_rate')::DOUBLE AS learning_rate,
    coalesce((record->>'data_s')::DOUBLE, 0) AS data_s,
    coalesce((record->>'loss_tokens')::BIGINT, 0) AS loss_tokens,      -- 0: not said, all of them
    coalesce((record->>'micro_batches')::INTEGER, 1) AS micro_batches
FROM records WHERE kind = 'step';

CREATE TABLE samples (                -- one row a telemetry reading; value NULL: that reading failed
    trial VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    source VARCHAR NOT NULL,
    quantity VARCHAR NOT NULL,        -- ends in its unit
    t_ns BIGINT NOT NULL,
    value DOUBLE
);

CREATE TABLE metrics (
    trial VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,          -- id in the metric registry
    version INTEGER NOT NULL,         -- of its formula; old versions stay
    value DOUBLE,                     -- NULL: not available, see reason
    unit VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,           -- window it was taken over
    n INTEGER,
    reason VARCHAR NOT NULL DEFAULT '',
    PRIMARY KEY (trial, metric, version)
);

CREATE TABLE verdicts (               -- why a trial's figures hold or do not
    trial VARCHAR NOT NULL,
    code VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,        -- warning, invalid
    message VARCHAR NOT NULL
);

CREATE TABLE environments (
    environment VARCHAR PRIMARY KEY,  -- hash of the facts
    facts VARCHAR NOT NULL            -- JSON object
);

CREATE TABLE logs (
    trial VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    t_ns BIGINT NOT NULL,
    level VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

CREATE TABLE artifacts (              -- files made from the store, with what made them
    artifact VARCHAR PRIMARY KEY,
    trial VARCHAR,
    experiment VARCHAR,
    kind VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE selfchecks (             -- what measuring costs on a machine, newest counts
    selfcheck VARCHAR PRIMARY KEY,
    machine VARCHAR NOT NULL,         -- its name
    created_at TIMESTAMP NOT NULL,
    experiment VARCHAR NOT NULL,      -- its trials
    result VARCHAR NOT NULL           -- JSON of workbench.selfcheck.result.SelfCheck
);

CREATE TABLE tags (
    subject VARCHAR NOT NULL,         -- trial, experiment or configuration
    tag VARCHAR NOT NULL,
    PRIMARY KEY (subject, tag)
);

CREATE TABLE tombstones (             -- deleted trials: a spool must not bring them back
    trial VARCHAR PRIMARY KEY,
    deleted_at TIMESTAMP NOT NULL
);
