-- Self-checks by machine: what measuring costs there. See docs/store.md.
CREATE TABLE selfchecks (
    selfcheck VARCHAR PRIMARY KEY,
    machine VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    experiment VARCHAR NOT NULL,
    result VARCHAR NOT NULL
);
