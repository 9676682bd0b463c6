//! Where a ring of a given name lies: `/dev/shm/NAME`, or any path. Pure.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use super::RingError;

/// Directory of rings that are given by name.
pub const DIRECTORY: &str = "/dev/shm";
/// The ring that all tools use when none is named.
pub const DEFAULT: &str = "sextant";

/// A checked ring name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingName(PathBuf);

impl RingName {
    /// The ring's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory that holds the file.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.0.parent().unwrap_or_else(|| Path::new("."))
    }
}

impl FromStr for RingName {
    type Err = RingError;

    fn from_str(name: &str) -> Result<Self, RingError> {
        let bad = || RingError::BadName(name.to_owned());
        if name.contains('/') {
            let path = Path::new(name);
            return if path.is_absolute() && path.file_name().is_some() && !name.ends_with('/') {
                Ok(Self(path.to_owned()))
            } else {
                Err(bad())
            };
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return Err(bad());
        }
        Ok(Self(Path::new(DIRECTORY).join(name)))
    }
}

impl fmt::Display for RingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        let path = |name: &str| name.parse::<RingName>().map(|ring| ring.0).ok();
        assert_eq!(path("sextant"), Some("/dev/shm/sextant".into()));
        assert_eq!(path("/run/x/ring"), Some("/run/x/ring".into()));
        for bad in [
            "", ".", "..", ".hidden", "a b", "x/../y", "/", "/run/", "../x",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
