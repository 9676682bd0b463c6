//! The one table of exit codes, and the one place where an error becomes text on stderr and a
//! process status.

use std::io;
use std::io::Write as _;
use std::process::ExitCode;

/// How a program ends when nothing failed: with success, or with no as its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Exit `0`.
    Done,
    /// Exit `1`: degraded, ambiguous, not found, or records were lost under `--fail-on-loss`.
    No,
}

/// A failure that has its own exit code. Any other error is `3`.
///
/// Put it anywhere in an `anyhow` chain: the outermost one found decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub enum Failure {
    /// Exit `2`: wrong usage.
    Usage(String),
    /// Exit `3`: it could have worked and did not.
    Failed(String),
    /// Exit `4`: a privilege is missing; the text names it.
    Privilege(String),
    /// Exit `5`: this kernel cannot do it; the text names what.
    Kernel(String),
}

impl Failure {
    /// The process status of this failure.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 3,
            Self::Privilege(_) => 4,
            Self::Kernel(_) => 5,
        }
    }
}

/// Turns the outcome of a program into its status, printing `tool: what: why` once if it failed.
///
/// A broken pipe is success: the reader closed the pipe.
#[must_use]
pub fn conclude(tool: &str, outcome: anyhow::Result<Answer>) -> ExitCode {
    let error = match outcome {
        Ok(Answer::Done) => return ExitCode::SUCCESS,
        Ok(Answer::No) => return ExitCode::from(1),
        Err(error) => error,
    };
    if is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    complain(tool, &error);
    ExitCode::from(code(&error))
}

/// The status that an error stands for: that of the outermost [`Failure`] in its chain, else `3`.
#[must_use]
pub fn code(error: &anyhow::Error) -> u8 {
    // anyhow keeps a context's own type reachable by downcast on the whole error only, so ask it
    // first and walk the chain of sources afterwards.
    error
        .downcast_ref::<Failure>()
        .or_else(|| {
            error
                .chain()
                .find_map(|cause| cause.downcast_ref::<Failure>())
        })
        .map_or(3, Failure::code)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// If stderr cannot be written, the exit code is still there.
fn complain(tool: &str, error: &anyhow::Error) {
    let text = crate::escape::one_line(&format!("{error:#}")).into_owned();
    let _ = writeln!(io::stderr(), "{tool}: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn codes_come_from_anywhere_in_the_chain() {
        let inner = anyhow::Error::new(Failure::Kernel("no nf_conntrack".into()));
        assert_eq!(code(&inner.context("sample").context("guess")), 5);

        let as_context = Err::<(), _>(io::Error::other("EPERM"))
            .context(Failure::Privilege("needs CAP_BPF".into()))
            .expect_err("an error");
        assert_eq!(code(&as_context), 4);
        assert_eq!(code(&anyhow::anyhow!("plain")), 3);
    }

    #[test]
    fn a_broken_pipe_is_no_failure() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("write");
        assert!(is_broken_pipe(&error));
    }
}
