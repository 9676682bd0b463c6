//! Turns what a probe met into its answer, and says whose fault it is: the kernel's, a missing
//! privilege's, or a policy's. Pure.

use nix::errno::Errno;
use shared::capability::Capability;

use crate::errno::KernelErrno;
use crate::name::Name;
use crate::privileges::Privileges;
use crate::probe::Attempt;
use crate::probe::Obstacle;
use crate::probe::Probe;
use crate::probe::Verdict;

/// The line of the report for one attempt.
pub fn judge(name: Name, attempt: Attempt, privileges: &Privileges) -> Probe {
    let mut probe = Probe {
        name,
        verdict: Verdict::Yes,
        errno: None,
        detail: String::new(),
        lacks: Vec::new(),
    };
    match attempt {
        Ok(seen) => probe.detail = seen,
        Err(Obstacle::Absent { seen, errno }) => {
            probe.verdict = Verdict::No;
            probe.errno = errno;
            probe.detail = seen;
        }
        Err(Obstacle::Policy { reason, errno }) => {
            probe.verdict = Verdict::Forbidden;
            probe.errno = errno;
            probe.detail = reason;
        }
        Err(Obstacle::Undecided(detail)) => {
            probe.verdict = Verdict::Unknown;
            probe.detail = detail;
        }
        Err(Obstacle::Lacking(capabilities)) => {
            probe.verdict = Verdict::Forbidden;
            probe.lacks = capabilities;
            probe.detail = format!("{} not effective", are(&probe.lacks));
        }
        Err(Obstacle::Refused { step, errno }) => {
            probe.errno = errno;
            refused(&mut probe, &step, errno, privileges);
        }
    }
    probe
}

fn refused(probe: &mut Probe, step: &str, errno: Option<KernelErrno>, privileges: &Privileges) {
    let Some(errno) = errno else {
        probe.verdict = Verdict::Unknown;
        probe.detail = format!("{step} failed before the kernel was asked");
        return;
    };
    match errno.known() {
        Errno::EPERM | Errno::EACCES => {
            probe.verdict = Verdict::Forbidden;
            let (reason, lacks) = why_forbidden(probe.name.capabilities(), privileges);
            probe.detail = format!("{step} refused: {reason}");
            probe.lacks = lacks;
        }
        // These say something about the moment, not about the kernel.
        Errno::ENOMEM
        | Errno::EAGAIN
        | Errno::EBUSY
        | Errno::EINTR
        | Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOSPC
        | Errno::ENOBUFS
        | Errno::ETIMEDOUT => {
            probe.verdict = Verdict::Unknown;
            probe.detail = format!("{step} failed");
        }
        _ => {
            probe.verdict = Verdict::No;
            probe.detail = format!("{step} refused: the kernel cannot do this");
        }
    }
}

/// The reason in words, and the missing privileges by name.
fn why_forbidden(needed: &[Capability], privileges: &Privileges) -> (String, Vec<String>) {
    let mut lacks = privileges.effective.missing(needed);
    if lacks.is_empty() && privileges.in_user_namespace {
        lacks = needed
            .iter()
            .map(|capability| format!("{capability} of the initial user namespace"))
            .collect();
    }
    if !lacks.is_empty() {
        return (format!("{} missing", are(&lacks)), lacks);
    }
    let mut suspects = Vec::new();
    if privileges.seccomp_filter {
        suspects.push("a seccomp filter".to_owned());
    }
    match privileges.lockdown.as_deref() {
        None => suspects.push("kernel lockdown".to_owned()),
        Some("none") => {}
        Some(mode) => suspects.push(format!("kernel lockdown ({mode})")),
    }
    suspects.push("a security module".to_owned());
    let suspects = suspects.join(" or ");
    let reason = if needed.is_empty() {
        format!("file permissions, {suspects}")
    } else {
        format!("no capability is missing; perhaps {suspects} forbids it")
    };
    (reason, Vec::new())
}

fn are(lacks: &[String]) -> String {
    let verb = if lacks.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", lacks.join(" and "))
}

#[cfg(test)]
mod tests {
    use shared::capability::Capabilities;

    use super::*;

    fn check(
        errno: Errno,
        effective: Capabilities,
        verdict: Verdict,
        detail: &str,
        lacks: &[&str],
    ) {
        let privileges = Privileges {
            effective,
            ..Privileges::default()
        };
        let attempt = Err(Obstacle::refused("load", Some(errno)));
        let probe = judge(Name::Kprobe, attempt, &privileges);
        assert_eq!(probe.verdict, verdict, "{errno}");
        assert_eq!(probe.detail, detail);
        assert_eq!(probe.lacks, lacks);
        assert_eq!(probe.errno, Some(errno.into()));
    }

    #[test]
    fn absent_and_forbidden_are_different_answers() {
        use Capability::CAP_BPF;
        use Capability::CAP_PERFMON;
        use Capability::CAP_SYS_ADMIN;
        let both = "load refused: CAP_BPF and CAP_PERFMON are missing";
        check(
            Errno::EPERM,
            [].into(),
            Verdict::Forbidden,
            both,
            &["CAP_BPF", "CAP_PERFMON"],
        );
        let one = "load refused: CAP_PERFMON is missing";
        check(
            Errno::EACCES,
            [CAP_BPF].into(),
            Verdict::Forbidden,
            one,
            &["CAP_PERFMON"],
        );
        let policy = "load refused: no capability is missing; perhaps kernel lockdown or a security module forbids it";
        check(
            Errno::EPERM,
            [CAP_BPF, CAP_PERFMON].into(),
            Verdict::Forbidden,
            policy,
            &[],
        );
        check(
            Errno::EPERM,
            [CAP_SYS_ADMIN].into(),
            Verdict::Forbidden,
            policy,
            &[],
        );
        for errno in [
            Errno::ENOENT,
            Errno::EOPNOTSUPP,
            Errno::EINVAL,
            Errno::ENOSYS,
            Errno::UnknownErrno,
        ] {
            let absent = "load refused: the kernel cannot do this";
            check(errno, [].into(), Verdict::No, absent, &[]);
        }
        for errno in [Errno::ENOMEM, Errno::EMFILE, Errno::EBUSY] {
            check(errno, [].into(), Verdict::Unknown, "load failed", &[]);
        }
    }

    #[test]
    fn a_policy_is_named_as_far_as_it_shows() {
        let judged = |privileges: &Privileges| {
            let attempt = Err(Obstacle::refused("load", Some(Errno::EPERM)));
            judge(Name::Fentry, attempt, privileges)
        };
        let mut privileges = Privileges {
            effective: [Capability::CAP_SYS_ADMIN].into(),
            seccomp_filter: true,
            lockdown: Some("integrity".into()),
            in_user_namespace: false,
        };
        assert_eq!(
            judged(&privileges).detail,
            "load refused: no capability is missing; perhaps a seccomp filter or \
             kernel lockdown (integrity) or a security module forbids it"
        );
        privileges.in_user_namespace = true;
        let lacks = [
            "CAP_BPF of the initial user namespace",
            "CAP_PERFMON of the initial user namespace",
        ];
        assert_eq!(judged(&privileges).lacks, lacks);
        privileges = Privileges {
            effective: privileges.effective,
            lockdown: Some("none".into()),
            ..Privileges::default()
        };
        assert_eq!(
            judged(&privileges).detail,
            "load refused: no capability is missing; perhaps a security module forbids it"
        );
    }

    #[test]
    fn what_is_undecided_is_unknown_and_what_is_missing_is_forbidden() {
        let privileges = Privileges::default();
        let undecided = judge(
            Name::NftCt,
            Err(Obstacle::Undecided("no namespace".into())),
            &privileges,
        );
        assert_eq!(
            (undecided.verdict, undecided.detail.as_str()),
            (Verdict::Unknown, "no namespace")
        );
        let attempt = Err(Obstacle::Lacking(vec!["CAP_BPF".into()]));
        let lacking = judge(Name::CapBpf, attempt, &privileges);
        assert_eq!((lacking.verdict, lacking.errno), (Verdict::Forbidden, None));
        assert_eq!(
            (lacking.detail.as_str(), lacking.lacks.as_slice()),
            (
                "CAP_BPF is not effective",
                ["CAP_BPF".to_owned()].as_slice()
            )
        );
        let giving_up = Obstacle::Refused {
            step: "open".into(),
            errno: None,
        };
        assert_eq!(
            judge(Name::Kprobe, Err(giving_up), &privileges).verdict,
            Verdict::Unknown
        );
    }
}
