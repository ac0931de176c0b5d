//! The guards of the protocol, one by one.

/// Which guards are in force. In the product all of them are; the model checker leaves out one at a time, to see that it
/// finds what that one is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Only a page that is all there was renews the lease.
    pub complete_page_renews: bool,
    /// The lease begins when the poll was sent, not when its answer came.
    pub lease_from_sending: bool,
    /// The age that an answer carries is taken off.
    pub age_is_subtracted: bool,
    /// An answer counts only for the epoch, the life and the cursor that it was asked with.
    pub answer_fits_question: bool,
    /// Another epoch, a page that begins anew, or a gap before it voids everything that is known.
    pub reset_on_discontinuity: bool,
    /// A look-up that began before a reset begins anew.
    pub straddling_is_discarded: bool,
    /// Lease and floors are read again after every wait.
    pub recheck_after_wait: bool,
    /// A floor removes the older record from the cache.
    pub floor_removes_older: bool,
    /// A record is decided on only if it is not below its floor.
    pub floor_is_needed: bool,
    /// A record that was sealed too long ago is not decided on.
    pub record_age_is_checked: bool,
    /// A backward step of the clock ends the lease.
    pub clock_step_ends_lease: bool,
    /// What became of a scope is applied to records of lower generations.
    pub scopes_apply: bool,
    /// What became of a scope removes the records of lower generations from the cache.
    pub scope_removes_lower: bool,
    /// No decision without a lease.
    pub lease_is_needed: bool,
    /// A key is noted as absent only if nothing newer than the feed's answer is known.
    pub absence_is_current: bool,
    /// Absences that were noted under a lease that ended since are void: creations leave the feed without a trace.
    pub lapse_voids_absences: bool,
    /// A floor that left the feed is forgotten only when all that is still in the feed is known.
    pub forgets_when_complete: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        complete_page_renews: true,
        lease_from_sending: true,
        age_is_subtracted: true,
        answer_fits_question: true,
        reset_on_discontinuity: true,
        straddling_is_discarded: true,
        recheck_after_wait: true,
        floor_removes_older: true,
        floor_is_needed: true,
        record_age_is_checked: true,
        clock_step_ends_lease: true,
        scopes_apply: true,
        scope_removes_lower: true,
        lease_is_needed: true,
        absence_is_current: true,
        lapse_voids_absences: true,
        forgets_when_complete: true,
    };
}
