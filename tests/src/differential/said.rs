//! What the generator knows of the flow that it made: which connections there must have been, and what became of each.

use super::event::Key;
use super::event::Tuple;

/// What the generator knows of one original tuple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The tuple.
    pub key: Key,
    /// Its connections, in order; none if the kernel never confirms one.
    pub lives: Vec<Known>,
    /// They were there at the same time, so their order means nothing.
    pub is_at_once: bool,
}

/// What the generator knows of one connection; what it cannot know is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// The reply direction, by who answered whom.
    pub reply: Option<Tuple>,
    /// Was it answered?
    pub replied: Option<bool>,
    /// Its mark at the end.
    pub mark: Option<u32>,
}

impl Known {
    /// Not translated.
    #[must_use]
    pub fn plain(key: Key, replied: bool) -> Self {
        Self::to(key.orig.reversed(), replied)
    }

    /// With this reply direction.
    #[must_use]
    pub fn to(reply: Tuple, replied: bool) -> Self {
        Self {
            reply: Some(reply),
            replied: Some(replied),
            mark: Some(0),
        }
    }
}

impl Said {
    /// No connection.
    #[must_use]
    pub fn nothing(key: Key) -> Self {
        Self::these(key, Vec::new())
    }

    /// One connection.
    #[must_use]
    pub fn one(key: Key, known: Known) -> Self {
        Self::these(key, vec![known])
    }

    /// One after the other.
    #[must_use]
    pub fn these(key: Key, lives: Vec<Known>) -> Self {
        Self {
            key,
            lives,
            is_at_once: false,
        }
    }
}

/// All that one flow came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// Its tuples.
    pub said: Vec<Said>,
    /// The situation of its kind did not arise, though all that it needs is there: why.
    pub not_made: Option<&'static str>,
}

impl From<Vec<Said>> for Made {
    fn from(said: Vec<Said>) -> Self {
        let not_made = None;
        Self { said, not_made }
    }
}

impl From<Said> for Made {
    fn from(said: Said) -> Self {
        vec![said].into()
    }
}
