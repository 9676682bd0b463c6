//! What stderr can show, if it is a terminal.

use std::env;
use std::io;
use std::io::IsTerminal as _;

use rustix::termios::tcgetwinsize;

/// What is taken for the width where it is not known.
const COLUMNS: usize = 80;

/// How a page looks on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How wide it is.
    pub columns: usize,
    /// Whether it has more than ASCII.
    pub has_unicode: bool,
}

impl Page {
    /// Of a terminal; none if stderr is something else, or cannot erase what it shows.
    #[must_use]
    pub fn of_terminal() -> Option<Self> {
        let stderr = io::stderr();
        if !stderr.is_terminal() || env::var_os("TERM").is_none_or(|term| term == "dumb") {
            return None;
        }
        let columns = tcgetwinsize(&stderr).map_or(0, |size| size.ws_col.into());
        Some(Self {
            columns: if columns == 0 { COLUMNS } else { columns },
            has_unicode: names_utf8(|name| env::var(name).ok()),
        })
    }
}

impl Default for Page {
    /// Of a file or a pipe.
    fn default() -> Self {
        Self {
            columns: COLUMNS,
            has_unicode: false,
        }
    }
}

/// Whether the locale is one of UTF-8: the first of these variables that is set decides.
fn names_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let mut set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| {
        let value = variable(name)?;
        (!value.is_empty()).then_some(value)
    });
    set.next().is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
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
