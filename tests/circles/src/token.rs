//! Cuts Rust source into tokens: names, strings and single characters, without comments.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A name or keyword.
    Name(String),
    /// What a string literal contains, escapes as they are written.
    Text(String),
    /// Any other character.
    Mark(char),
}

impl Token {
    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Is it this name or this single character?
    pub fn is(&self, what: &str) -> bool {
        match self {
            Self::Name(name) => name == what,
            Self::Mark(mark) => what.len() == 1 && what.starts_with(*mark),
            Self::Text(_) => false,
        }
    }
}

/// The tokens of a source text.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut rest = source;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            _ if rest.starts_with("//") => (None, rest.find('\n').unwrap_or(rest.len())),
            _ if rest.starts_with("/*") => (None, comment(rest)),
            '"' => quoted(rest, 0),
            '\'' => character(rest),
            _ if is_of_name(first) => {
                let length = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
                let (name, behind) = rest.split_at(length);
                let is_prefix = matches!(name, "r" | "b" | "c" | "br" | "cr");
                let hashes = behind.len() - behind.trim_start_matches('#').len();
                match behind[hashes..].chars().next() {
                    Some('"') if is_prefix && name.contains('r') => raw(rest, length, hashes),
                    Some('"') if is_prefix && hashes == 0 => quoted(rest, length),
                    // `r#type`, the name of something.
                    Some(next) if name == "r" && hashes == 1 && is_of_name(next) => (None, 2),
                    _ => (Some(Token::Name(name.to_owned())), length),
                }
            }
            mark if mark.is_whitespace() => (None, mark.len_utf8()),
            mark => (Some(Token::Mark(mark)), mark.len_utf8()),
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of a block comment, in which others may be nested.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// A literal whose quote is behind a prefix of this length.
fn quoted(text: &str, prefix: usize) -> (Option<Token>, usize) {
    let mut escaped = false;
    let body = &text[prefix + 1..];
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                return (
                    Some(Token::Text(body[..at].to_owned())),
                    prefix + 1 + at + 1,
                );
            }
            _ => {}
        }
    }
    (None, text.len())
}

/// A raw literal, with this many hashes behind its prefix.
fn raw(text: &str, prefix: usize, hashes: usize) -> (Option<Token>, usize) {
    let start = prefix + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    match text[start..].find(&end) {
        Some(at) => {
            let body = text[start..start + at].to_owned();
            (Some(Token::Text(body)), start + at + end.len())
        }
        None => (None, text.len()),
    }
}

/// A character literal; of a lifetime, only the quote.
fn character(text: &str) -> (Option<Token>, usize) {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let behind = at + c.len_utf8();
            let end = text[behind..].find('\'');
            (None, end.map_or(text.len(), |end| behind + end + 1))
        }
        (Some(_), Some((at, '\''))) => (None, at + 1),
        _ => (None, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let source = r##"
            // crate::no
            /* crate::no /* nested */ crate::no */
            let a: &'a str = "crate::no \" crate::no"; let b = r#"crate::"no"#;
            let c = ['"', '\'', 'x']; crate::yes(r#type, b"x");
        "##;
        let found = tokens(source);
        let names: Vec<&str> = found.iter().filter_map(Token::name).collect();
        let expected = [
            "let", "a", "a", "str", "let", "b", "let", "c", "crate", "yes", "type",
        ];
        assert_eq!(names, expected);
    }
}
