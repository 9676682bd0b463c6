//! What a probe found: an answer, or the obstacle that it met. Also how errors become obstacles.

use std::fmt;

use serde::Serialize;
use shared::capability::Capability;

use crate::errno::HasErrno;
use crate::errno::KernelErrno;
use crate::name::Name;

/// The answer in one word. `no` and `forbidden` are different answers: the first is
/// about the kernel, the second about the caller's privileges or a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was done, and its effect was seen.
    Yes,
    /// This kernel, as it runs now, cannot do it.
    No,
    /// A missing privilege or a policy forbids it.
    Forbidden,
    /// It could not be tried, or failed for a reason that does not depend on the kernel.
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

/// The answer to a probe's question, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The answer in one word.
    pub verdict: Verdict,
    /// The kernel's reason by its symbolic name, if a call was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<KernelErrno>,
    /// What was seen, or why not, in one sentence without a full stop.
    pub detail: String,
    /// Privileges, by name, without which the answer stays as it is.
    #[serde(skip)]
    pub lacks: Vec<String>,
}

impl Answer {
    /// An answer that no refused call and no missing privilege explains.
    pub fn new(verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            verdict,
            errno: None,
            detail: detail.into(),
            lacks: Vec::new(),
        }
    }
}

/// Why a probe could not answer yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A call was refused; what that means, [`crate::judge`] decides.
    Refused {
        /// What was being done: "load", "attach".
        step: String,
        /// The kernel's reason; `None` if a library gave up before asking the kernel.
        errno: Option<KernelErrno>,
    },
    /// The probe itself knows the answer.
    Answered(Answer),
}

impl Obstacle {
    /// It is not there, or has no effect.
    pub fn absent(detail: impl Into<String>) -> Self {
        Self::Answered(Answer::new(Verdict::No, detail))
    }

    /// It could not be tried to its end.
    pub fn undecided(detail: impl Into<String>) -> Self {
        Self::Answered(Answer::new(Verdict::Unknown, detail))
    }

    /// This capability is not effective.
    pub fn lacking(capability: Capability) -> Self {
        let detail = format!("{capability} is not effective");
        Self::Answered(Answer {
            lacks: vec![capability.to_string()],
            ..Answer::new(Verdict::Forbidden, detail)
        })
    }
}

/// Turns the error of a call into an obstacle.
pub trait During<T> {
    /// Names the step that the error stopped.
    fn during(self, step: impl Into<String>) -> Result<T, Obstacle>;
}

impl<T, E: HasErrno> During<T> for Result<T, E> {
    fn during(self, step: impl Into<String>) -> Result<T, Obstacle> {
        self.map_err(|error| Obstacle::Refused {
            step: step.into(),
            errno: error.kernel_errno(),
        })
    }
}

/// The result of trying: what was seen, in one sentence, or the obstacle.
pub type Attempt = Result<String, Obstacle>;

/// Yes with the first sentence if the effect was seen, else no with the second.
pub fn answer(is_seen: bool, seen: &str, absent: &str) -> Attempt {
    if is_seen {
        Ok(seen.into())
    } else {
        Err(Obstacle::absent(absent))
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The question.
    pub name: Name,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// `name: errno: sentence`, for the reason of an exit code.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        if let Some(errno) = self.answer.errno {
            write!(f, "{errno}: ")?;
        }
        f.write_str(&self.answer.detail)
    }
}
