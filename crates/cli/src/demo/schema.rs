//! The tables of the demo: a small payments company.
//!
//! Children refer to their parents, so that a payment which overtakes its customer on another
//! shard is refused by the database, and has to wait. `payment_event` has no primary key on
//! purpose: an operation that is applied twice shows there as one row too many. It refers to no
//! payment, because a log outlives what it tells of.

/// Creates everything; the database is empty before.
pub(crate) const STATEMENTS: &str = "
CREATE TABLE customer (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    country TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE TABLE payment (
    id TEXT NOT NULL PRIMARY KEY,
    merchant_id TEXT NOT NULL,
    customer_id TEXT NOT NULL REFERENCES customer (id),
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    amount_captured_minor INTEGER NOT NULL DEFAULT 0,
    amount_refunded_minor INTEGER NOT NULL DEFAULT 0,
    failure_code TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX payment_by_customer ON payment (customer_id);
CREATE TABLE payment_attempt (
    id TEXT NOT NULL PRIMARY KEY,
    payment_id TEXT NOT NULL REFERENCES payment (id),
    number INTEGER NOT NULL,
    connector TEXT NOT NULL,
    status TEXT NOT NULL,
    error_code TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX payment_attempt_by_payment ON payment_attempt (payment_id);
CREATE TABLE refund (
    id TEXT NOT NULL PRIMARY KEY,
    payment_id TEXT NOT NULL REFERENCES payment (id),
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX refund_by_payment ON refund (payment_id);
CREATE TABLE payment_event (
    payment_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount_minor INTEGER,
    at TEXT NOT NULL
);
";

/// A table as the verification reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its columns, in the order in which the model gives a row's cells.
    pub(crate) columns: &'static [&'static str],
    /// How many of the first columns tell rows apart; all of them where there is no key.
    pub(crate) key_columns: usize,
}

/// People who pay.
pub(crate) const CUSTOMER: Table = Table {
    name: "customer",
    columns: &["id", "email", "name", "country", "created_at", "updated_at"],
    key_columns: 1,
};

/// What they pay.
pub(crate) const PAYMENT: Table = Table {
    name: "payment",
    columns: &[
        "id",
        "merchant_id",
        "customer_id",
        "amount_minor",
        "currency",
        "status",
        "amount_captured_minor",
        "amount_refunded_minor",
        "failure_code",
        "created_at",
        "updated_at",
    ],
    key_columns: 1,
};

/// Tries to charge a payment.
pub(crate) const PAYMENT_ATTEMPT: Table = Table {
    name: "payment_attempt",
    columns: &[
        "id",
        "payment_id",
        "number",
        "connector",
        "status",
        "error_code",
        "created_at",
        "updated_at",
    ],
    key_columns: 1,
};

/// Money on its way back.
pub(crate) const REFUND: Table = Table {
    name: "refund",
    columns: &[
        "id",
        "payment_id",
        "amount_minor",
        "currency",
        "status",
        "reason",
        "created_at",
        "updated_at",
    ],
    key_columns: 1,
};

/// What happened to payments: rows are only ever added.
pub(crate) const PAYMENT_EVENT: Table = Table {
    name: "payment_event",
    columns: &["payment_id", "kind", "amount_minor", "at"],
    key_columns: 4,
};

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn the_lists_of_columns_are_those_of_the_tables() {
        let database = Connection::open_in_memory().expect("memory");
        database.execute_batch(STATEMENTS).expect("the schema");
        for table in [CUSTOMER, PAYMENT, PAYMENT_ATTEMPT, REFUND, PAYMENT_EVENT] {
            let mut columns = database
                .prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")
                .expect("a statement");
            let names: Vec<String> = columns
                .query_map([table.name], |row| row.get(0))
                .expect("rows")
                .collect::<Result<_, _>>()
                .expect("names");
            assert_eq!(names, table.columns, "{}", table.name);
        }
    }
}
