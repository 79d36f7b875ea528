ALTER TABLE chain_state
  ADD COLUMN confirmed_number BIGINT NOT NULL DEFAULT -1,
  ADD COLUMN confirmed_moved_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
  ADD COLUMN final_moved_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
  ADD COLUMN rewind_takes_back BOOLEAN NOT NULL DEFAULT false;

ALTER TABLE chain_state
  ALTER COLUMN confirmed_number DROP DEFAULT,
  ALTER COLUMN confirmed_moved_at DROP DEFAULT,
  ALTER COLUMN final_moved_at DROP DEFAULT,
  ALTER COLUMN rewind_takes_back DROP DEFAULT;

CREATE INDEX ix_transfer_unfinal ON transfer (chain_id, block_number) WHERE state = 'seen' or state = 'confirmed';
