//! Turns an attempt into the probe's answer: whether the kernel, a missing privilege or a policy is the
//! reason. Pure.

use nix::errno::Errno;
use shared::capability::Capability;

use crate::errno::KernelErrno;
use crate::name::Name;
use crate::privileges::Privileges;
use crate::probe::Answer;
use crate::probe::Attempt;
use crate::probe::Obstacle;
use crate::probe::Probe;
use crate::probe::Verdict;

/// The line of the report for one attempt.
pub fn judge(name: Name, attempt: Attempt, privileges: &Privileges) -> Probe {
    let answer = match attempt {
        Ok(seen) => Answer::new(Verdict::Yes, seen),
        Err(Obstacle::Answered(answer)) => answer,
        Err(Obstacle::Refused { step, errno: None }) => {
            let detail = format!("{step} failed before the kernel was asked");
            Answer::new(Verdict::Unknown, detail)
        }
        Err(Obstacle::Refused {
            step,
            errno: Some(errno),
        }) => refused(&step, errno, name.capabilities(), privileges),
    };
    Probe { name, answer }
}

fn refused(
    step: &str,
    errno: KernelErrno,
    needed: &[Capability],
    privileges: &Privileges,
) -> Answer {
    let answer = |verdict, why: &str| Answer {
        errno: Some(errno),
        ..Answer::new(verdict, format!("{step} {why}"))
    };
    match errno.known() {
        Errno::EPERM | Errno::EACCES => {
            let (reason, lacks) = why_forbidden(needed, privileges);
            Answer {
                lacks,
                ..answer(Verdict::Forbidden, &format!("refused: {reason}"))
            }
        }
        // These depend on the moment, not on the kernel.
        Errno::ENOMEM
        | Errno::EAGAIN
        | Errno::EBUSY
        | Errno::EINTR
        | Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOSPC
        | Errno::ENOBUFS
        | Errno::ETIMEDOUT => answer(Verdict::Unknown, "failed"),
        _ => answer(Verdict::No, "refused: the kernel cannot do this"),
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
        let verb = if lacks.len() == 1 { "is" } else { "are" };
        return (format!("{} {verb} missing", lacks.join(" and ")), lacks);
    }
    let lockdown = match privileges.lockdown.as_deref() {
        None => Some("kernel lockdown".to_owned()),
        Some("none") => None,
        Some(mode) => Some(format!("kernel lockdown ({mode})")),
    };
    let seccomp = privileges.seccomp_filter.then(|| "a seccomp filter".into());
    let suspects = [seccomp, lockdown, Some("a security module".into())];
    let suspects: Vec<String> = suspects.into_iter().flatten().collect();
    let suspects = suspects.join(" or ");
    let reason = if needed.is_empty() {
        format!("file permissions, {suspects}")
    } else {
        format!("no capability is missing; perhaps {suspects} forbids it")
    };
    (reason, Vec::new())
}

#[cfg(test)]
mod tests {
    use shared::capability::Capabilities;

    use super::*;
    use crate::probe::During as _;

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
        let attempt = Err::<String, _>(errno).during("load");
        let probe = judge(Name::Kprobe, attempt, &privileges).answer;
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
            let attempt = Err::<String, _>(Errno::EPERM).during("load");
            judge(Name::Fentry, attempt, privileges).answer
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
            Err(Obstacle::undecided("no namespace")),
            &privileges,
        )
        .answer;
        assert_eq!(
            (undecided.verdict, undecided.detail.as_str()),
            (Verdict::Unknown, "no namespace")
        );
        let attempt = Err(Obstacle::lacking(Capability::CAP_BPF));
        let lacking = judge(Name::CapBpf, attempt, &privileges).answer;
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
            judge(Name::Kprobe, Err(giving_up), &privileges)
                .answer
                .verdict,
            Verdict::Unknown
        );
    }
}
