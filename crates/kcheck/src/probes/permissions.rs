//! Capabilities and lockdown, as the kernel reports them. They explain other answers and decide none.

use shared::capability::Capability;
use shared::lockdown::CONFIDENTIALITY;

use crate::privileges::Privileges;
use crate::probe::Answer;
use crate::probe::Attempt;
use crate::probe::Obstacle;
use crate::probe::Verdict;

/// Is it effective?
pub fn capability(needed: Capability, privileges: &Privileges) -> Attempt {
    if !privileges.effective.are_known() {
        return Err(Obstacle::undecided("capget(2) is refused"));
    }
    let seen = match privileges.effective.granted_by(needed) {
        None => return Err(Obstacle::lacking(needed)),
        Some(itself) if itself == needed => "effective".to_owned(),
        Some(other) => format!("{other} stands in for it"),
    };
    Ok(if privileges.in_user_namespace {
        format!("{seen}, but in a user namespace only")
    } else {
        seen
    })
}

/// Does lockdown allow reading kernel memory?
pub fn lockdown(privileges: &Privileges) -> Attempt {
    match privileges.lockdown.as_deref() {
        Some(CONFIDENTIALITY) => Err(Obstacle::Answered(Answer::new(
            Verdict::Forbidden,
            "confidentiality: kernel memory may not be read",
        ))),
        Some(mode) => Ok(format!("{mode}: kernel memory may be read")),
        None => Err(Obstacle::undecided(
            "there is no /sys/kernel/security/lockdown to read it from",
        )),
    }
}
