//! How long dumps may take. Whoever ends a run waits for the last of them.

use std::time::Duration;
use std::time::Instant;

use anyhow::bail;

/// A point in time, or none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// Is it over?
    pub fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }

    /// Goes on if it is not.
    ///
    /// # Errors
    /// If it is.
    pub fn check(self) -> anyhow::Result<()> {
        if self.is_over() {
            bail!("that would take too long");
        }
        Ok(())
    }
}
