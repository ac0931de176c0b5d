//! A record as this isolate keeps it.

use std::{cell::OnceCell, rc::Rc};

use shared::{
    Timestamp,
    digest::Place,
    feed::Effect,
    freshness::Stored,
    record::{Record, Version},
};
use worker::js_sys::Uint8Array;

/// A record, and the answer that shows it, which stays the same as long as the record does.
pub struct Known {
    /// The record.
    pub record: Record,
    answer: OnceCell<Uint8Array>,
}

impl Known {
    /// What is known once this record was read.
    pub fn new(record: Record) -> Rc<Self> {
        Rc::new(Self { record, answer: OnceCell::new() })
    }

    /// The answer that shows it, as JavaScript sends it. It is worded at the first time.
    pub fn answer(&self, word: impl FnOnce() -> String) -> Uint8Array {
        self.answer.get_or_init(|| Uint8Array::from(word().as_bytes())).clone()
    }
}

/// A copy is made to be changed.
impl Clone for Known {
    fn clone(&self) -> Self {
        Self { record: self.record.clone(), answer: OnceCell::new() }
    }
}

impl Stored for Known {
    fn version(&self) -> Version {
        self.record.version()
    }

    fn sealed_at(&self) -> Timestamp {
        self.record.sealed_at()
    }

    fn is_final(&self) -> bool {
        self.record.is_final()
    }

    /// The answer takes about as much again.
    fn weight(&self) -> usize {
        2 * self.record.weight()
    }

    fn scopes(&self) -> Vec<(Place, Version)> {
        self.record.scopes()
    }

    fn subject_to(&mut self, scope: Place, effect: &Effect) {
        self.record.subject_to(scope, effect);
        self.answer.take();
    }
}
