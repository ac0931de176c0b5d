//! A backup of the database, made and restored in place, as an operator does it with other tools.

use crate::storage::{Db, testing::execute_all};

/// Every table, those first that others refer to.
macro_rules! each_table {
    ($text:ident) => {
        [
            $text!("environments"),
            $text!("management_keys"),
            $text!("organizations"),
            $text!("organization_domains"),
            $text!("permissions"),
            $text!("users"),
            $text!("roles"),
            $text!("memberships"),
            $text!("api_keys"),
            $text!("outbox"),
            $text!("scope_changes"),
            $text!("feed_position"),
        ]
    };
}

macro_rules! forget {
    ($table:literal) => {
        concat!("DROP TABLE IF EXISTS saved_", $table)
    };
}

macro_rules! save {
    ($table:literal) => {
        concat!("CREATE TABLE saved_", $table, " AS SELECT * FROM ", $table)
    };
}

macro_rules! empty {
    ($table:literal) => {
        concat!("DELETE FROM ", $table)
    };
}

macro_rules! fill {
    ($table:literal) => {
        concat!("INSERT INTO ", $table, " SELECT * FROM saved_", $table)
    };
}

/// Makes a backup, instead of an earlier one.
pub async fn back_up(db: &Db) {
    execute_all(db, each_table!(forget).into_iter().chain(each_table!(save))).await;
}

/// Restores it, in one transaction: a server may be running on the database.
pub async fn restore(db: &Db) {
    execute_all(db, each_table!(empty).into_iter().rev().chain(each_table!(fill))).await;
}
