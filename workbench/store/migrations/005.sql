-- Training steps by name, what each counted in its loss, and how many batches it added up. See docs/store.md.
CREATE OR REPLACE VIEW steps AS
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
    coalesce((record->>'loss_tokens')::BIGINT, 0) AS loss_tokens,
    coalesce((record->>'micro_batches')::INTEGER, 1) AS micro_batches
FROM records WHERE kind = 'step';
