//! What a probe found: an answer, or what stood in its way.

use serde::Serialize;
use serde::Serializer;

use crate::errno::KernelErrno;
use crate::name::Name;

/// The answer to a probe's question. `no` and `forbidden` are different answers: the first is
/// about the kernel, the second about who asks, or about a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was done, and its effect was seen.
    Yes,
    /// This kernel, as it runs now, cannot do it.
    No,
    /// It is there, or may be, and we are not let.
    Forbidden,
    /// It could not be tried, or failed for a reason that says nothing about the kernel.
    Unknown,
}

impl Verdict {
    /// The word in both forms of the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Forbidden => "forbidden",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a probe did not get to its yes, as it met it; the [judge](crate::judge) says what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A call was refused.
    Refused {
        /// What was being done: "load", "attach".
        step: String,
        /// The kernel's reason; `None` if a library gave up before asking the kernel.
        errno: Option<KernelErrno>,
    },
    /// It was seen not to be there, or to have no effect.
    Absent {
        /// What was seen instead.
        seen: String,
        /// How the kernel said so, if it was a call that showed it.
        errno: Option<KernelErrno>,
    },
    /// A policy that stands above privileges forbids it.
    Policy {
        /// Which, in words.
        reason: String,
        /// How the kernel said so, if it was a call that showed it.
        errno: Option<KernelErrno>,
    },
    /// It could not be tried to its end.
    Undecided(String),
    /// Capabilities, by name, that are not effective.
    Lacking(Vec<String>),
}

impl Obstacle {
    /// An obstacle that no call had to show.
    pub fn absent(seen: impl Into<String>) -> Self {
        Self::Absent {
            seen: seen.into(),
            errno: None,
        }
    }

    /// An obstacle from any error that knows its number.
    pub fn refused(step: impl Into<String>, errno: Option<impl Into<KernelErrno>>) -> Self {
        Self::Refused {
            step: step.into(),
            errno: errno.map(Into::into),
        }
    }

    /// An obstacle from an error of libbpf.
    pub fn libbpf(step: impl Into<String>, error: &libbpf_rs::Error) -> Self {
        Self::refused(step, KernelErrno::of_libbpf(error))
    }
}

/// What trying gave: what was seen, in one sentence, or what stood in the way.
pub type Attempt = Result<String, Obstacle>;

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The question.
    pub name: Name,
    /// The answer.
    pub verdict: Verdict,
    /// The kernel's reason by its symbolic name, if a call was refused.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "symbolic_name"
    )]
    pub errno: Option<KernelErrno>,
    /// What was seen, or why not, in one sentence without a full stop.
    pub detail: String,
    /// Privileges, by name, that would have to be there for another answer.
    #[serde(skip)]
    pub lacks: Vec<String>,
}

fn symbolic_name<S: Serializer>(
    errno: &Option<KernelErrno>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&errno.map(|errno| errno.to_string()).unwrap_or_default())
}
