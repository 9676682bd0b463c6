//! What a source cannot see, as far as the kernel's table shows it at the end of a run. Pure.

use std::fmt;

/// The result of looking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Live connections that the source has never reported.
    pub live: u64,
    /// The namespaces that nobody could look into, in words.
    pub unentered: Option<String>,
}

/// The part of the summary behind the losses; empty if there is nothing to say.
impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.live == 1 { "" } else { "s" };
        if self.live > 0 {
            write!(
                f,
                "{} live connection{plural} out of this source's sight (--help: --source)",
                self.live
            )?;
        }
        if let Some(unentered) = &self.unentered {
            let separator = if self.live > 0 { "; " } else { "" };
            write!(f, "{separator}{unentered}")?;
        }
        Ok(())
    }
}
