//! The kernel's lockdown mode, as securityfs shows it.

use std::fs;

/// The mode in which BPF programs may not read the kernel's memory.
pub const CONFIDENTIALITY: &str = "confidentiality";

/// `none`, `integrity` or [`CONFIDENTIALITY`]; none if securityfs does not show it.
#[must_use]
pub fn mode() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    chosen(&text)
}

/// The word in brackets.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_brackets_is_the_mode() {
        let mode = chosen("none [integrity] confidentiality\n");
        assert_eq!(mode.as_deref(), Some("integrity"));
        assert_eq!(chosen("none"), None);
    }
}
