//! Capabilities and lockdown, as the kernel tells them. They explain other answers and never
//! decide one.

use caps::Capability;

use crate::privileges::Privileges;
use crate::probe::Attempt;
use crate::probe::Obstacle;

/// Are these effective?
pub fn capabilities(needed: &[Capability], privileges: &Privileges) -> Attempt {
    let missing: Vec<Capability> = needed
        .iter()
        .copied()
        .filter(|&capability| !privileges.holds(capability))
        .collect();
    if !missing.is_empty() {
        return Err(Obstacle::Lacking(missing));
    }
    let itself = needed
        .iter()
        .all(|needed| privileges.effective.contains(needed));
    let seen = if itself {
        "effective"
    } else {
        "CAP_SYS_ADMIN stands in for it"
    };
    Ok(if privileges.in_user_namespace {
        format!("{seen}, but in a user namespace only")
    } else {
        seen.into()
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
