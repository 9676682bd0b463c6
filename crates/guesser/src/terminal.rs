//! What stderr can show: how wide it is, and whether it has more than ASCII.

use std::env;
use std::io;
use std::io::IsTerminal as _;

use rustix::termios::tcgetwinsize;

/// The size of a page of text, and its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How wide it is.
    pub columns: usize,
    /// Whether it has more than ASCII.
    pub has_unicode: bool,
}

impl Page {
    /// The page that stderr is: a terminal, a file or a pipe.
    #[must_use]
    pub fn of_stderr() -> Self {
        let stderr = io::stderr();
        let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        if is_dumb || !stderr.is_terminal() {
            return Self::default();
        }
        let columns = tcgetwinsize(&stderr).map_or(0, |size| size.ws_col.into());
        let default = Self::default().columns;
        Self {
            columns: if columns == 0 { default } else { columns },
            has_unicode: names_utf8(|name| env::var(name).ok()),
        }
    }
}

impl Default for Page {
    /// A file or a pipe.
    fn default() -> Self {
        Self {
            columns: 80,
            has_unicode: false,
        }
    }
}

/// Whether the locale uses UTF-8. The first of these variables that is set decides.
fn names_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let mut set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| {
        let value = variable(name)?.to_ascii_lowercase();
        (!value.is_empty()).then_some(value)
    });
    set.next()
        .is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        for (set, expected) in [
            (&[][..], false),
            (&[("LANG", "en_GB.UTF-8")], true),
            (&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")], false),
            (&[("LANG", "C"), ("LC_CTYPE", "de_DE.utf8")], true),
            (&[("LANG", "C.UTF-8"), ("LC_ALL", "")], true),
        ] {
            let variable = |name: &str| {
                let mut set = set.iter();
                let found = set.find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(names_utf8(variable), expected, "{set:?}");
        }
    }
}
