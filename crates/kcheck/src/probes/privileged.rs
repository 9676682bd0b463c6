//! Capabilities and lockdown, as the kernel tells them. They explain other answers and never
//! decide one.

use shared::capability::Capability;

use crate::privileges::Privileges;
use crate::probe::Attempt;
use crate::probe::Obstacle;

/// Is it effective?
pub fn capability(needed: Capability, privileges: &Privileges) -> Attempt {
    if !privileges.effective.are_known() {
        return Err(Obstacle::Undecided("capget(2) is refused".into()));
    }
    let seen = match privileges.effective.granted_by(needed) {
        None => return Err(Obstacle::Lacking(vec![needed.to_string()])),
        Some(itself) if itself == needed => "effective".to_owned(),
        Some(other) => format!("{other} stands in for it"),
    };
    Ok(if privileges.in_user_namespace {
        format!("{seen}, but in a user namespace only")
    } else {
        seen
    })
}

/// Does lockdown leave kernel memory readable?
pub fn lockdown(privileges: &Privileges) -> Attempt {
    match privileges.lockdown.as_deref() {
        Some("confidentiality") => Err(Obstacle::Policy {
            reason: "confidentiality: kernel memory may not be read".into(),
            errno: None,
        }),
        Some(mode) => Ok(format!("{mode}: kernel memory may be read")),
        None => Err(Obstacle::Undecided(
            "there is no /sys/kernel/security/lockdown to read it from".into(),
        )),
    }
}
