"""The error codes that partners and operators meet, each with what it means: one closed list."""

from typing import Final

CODES: Final[dict[str, str]] = {
    # The job itself was refused: `rejected`.
    "bad_message": "The message is not a job: no JSON object, or a field is missing or of a wrong form.",
    "php_serialized": "The body was written by PHP's serializer, which is never evaluated.",
    "bad_signature": "The message has to be signed, and is not, or not right; it is not answered.",
    "claim_check_failed": "The body is a reference to an object that is not allowed, missing or not a job.",
    "duplicate_customer": "The job names the same customer twice.",
    "unknown_attachment": "A customer of the job names an attachment that the job does not list.",
    "duplicate_attachment": "Two attachments of the job have the same name.",
    "attachment_not_allowed": "An attachment's bucket is not allowed, or its key is not the partner's.",
    "unknown_type": "No handler is configured for the job's type, or no job type for its message's class.",
    "unknown_customer": "A customer of the job is in no shard's directory.",
    "not_granted": "The partner may not use this job type or reach one of these customers.",
    "expired": "The job came after its `expires_at`.",
    "dry_run_unsupported": "This release does not run jobs with `dry_run`.",
    "too_old": "The job is older than the inbox is kept: whether it ran before can no longer be told.",
    "content_conflict": "Another content came before under the same job and customer; it is not answered.",
    "internal_error": "The worker failed at this message again and again; its operators are told.",
    # A part failed for good.
    "attachment_missing": "The attachment's object is not there.",
    "attachment_mismatch": "The attachment's size or SHA-256 is not what the job says.",
    "attachment_too_large": "The attachment is larger than the configured limit.",
    "invalid_payload": "The payload does not have the form that the handler asks for.",
    "invalid_rows": "Rows have unknown or missing columns or values of a wrong type; `details` names them.",
    "bad_result": "The handler returned what cannot be encoded as JSON, or more than 64 KiB of it.",
    "unique_violation": "A row with the same unique key exists already.",
    "foreign_key_violation": "A row refers to another row that is not there.",
    "not_null_violation": "A column that must have a value has none.",
    "check_violation": "A row breaks a rule of the table.",
    "value_too_long": "A value is longer than its column.",
    "value_out_of_range": "A number or date does not fit its column.",
    "invalid_value": "A value does not have the type of its column.",
    "integrity_violation": "A row breaks a constraint of the table.",
    "customer_gone": "The customer no longer exists here.",
    "broken_transaction": "The handler ended its own transaction; what it wrote is not protected.",
    "worker_killed": "The process died three times while it ran this part.",
    # The part is tried again; these end a part only when its attempts are used up.
    "statement_timeout": "A statement took longer than allowed.",
    "part_timeout": "The part took longer than its job type may take.",
    "retry_requested": "The handler asked for another try.",
    "handler_error": "The handler raised an error that it did not expect.",
    "transaction_conflict": "Deadlocks or serialization failures went on after several tries.",
    "schema_defect": "A table or column is missing or a permission is; the worker's operators are told.",
    "part_not_run": "A middleware ended the part without running it; the worker's operators are told.",
    # Waits; never counted as an attempt.
    "busy": "Another worker holds this part, or a lock was not granted in time.",
    "shard_away": "The customer's database cannot be asked now.",
    "shard_busy": "The customer's database is slow, and enough waits for it already.",
    "directory_away": "The map from customers to databases cannot be asked now.",
    "customer_paused": "The customer is paused or being moved.",
    "rate_limited": "A rate limit of the queue, the partner or the customer is reached.",
    "placement_stale": "The customer is being moved, or was moved a moment ago.",
    "attachment_unavailable": "The attachment store does not answer now.",
    "no_disk_space": "The disk budget for attachments is used up for the moment.",
    "not_due": "The message came before the moment for which its handler asked.",
    "group_waits": "An earlier message of the same group of a FIFO queue has to wait, and this one with it.",
    "shutdown": "The worker was stopped before the part started.",
}


def is_known(code: str) -> bool:
    """Whether the code is one of ours; a handler's `Reject` may bring codes of its own."""
    return code in CODES
