//! Makes text that came from the kernel, a file or another process safe to show on a terminal.
//! Pure; nothing here decides where the text goes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Text with every control character, and every character that reorders or hides others,
/// written as an escape; so one line stays one line and cannot drive the terminal.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if !is_unsafe(c) {
            safe.push(c);
        } else if c.is_ascii() {
            let _ = write!(safe, "\\x{:02x}", u32::from(c));
        } else {
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
        }
    }
    Cow::Owned(safe)
}

/// Control characters, bidirectional overrides and isolates, and zero-width characters.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn escapes_what_could_drive_a_terminal_and_nothing_else() {
        for (text, safe) in [
            ("eth0", "eth0"),
            ("é—ok", "é—ok"),
            ("a\x1b[31mb\n", "a\\x1b[31mb\\x0a"),
            ("x\u{202e}y", "x\\u{202e}y"),
            ("\u{9b}1m", "\\u{9b}1m"),
        ] {
            assert_eq!(one_line(text), safe);
        }
    }
}
