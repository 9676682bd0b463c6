//! What is true of a kernel's fields: the lines `FIELD OFFSET` or `FIELD absent` that
//! `scripts/truth` writes, which reads the kernel's own debugging facts, never the guesser.

use std::collections::BTreeMap;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use shared::offsets::Field;

/// Where a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// At this byte of its struct.
    At(u32),
    /// This kernel has no such field.
    Absent,
}

/// The truth of every field.
#[derive(Debug, Clone)]
pub struct Truths(BTreeMap<Field, Truth>);

impl Truths {
    /// Reads the lines of `scripts/truth`.
    ///
    /// # Errors
    /// If a line is none of them, or a field has none or two.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut truths = BTreeMap::new();
        for line in text.lines() {
            let (path, place) = line
                .rsplit_once(' ')
                .with_context(|| format!("no field and offset: {line:?}"))?;
            let field: Field = path
                .trim()
                .parse()
                .with_context(|| format!("truth of {path}"))?;
            let truth = match place {
                "absent" => Truth::Absent,
                offset => Truth::At(
                    offset
                        .parse()
                        .with_context(|| format!("offset of {path}: {offset}"))?,
                ),
            };
            if truths.insert(field, truth).is_some() {
                bail!("two truths of {field}");
            }
        }
        for field in Field::ALL {
            ensure!(truths.contains_key(field), "no truth of {field}");
        }
        Ok(Self(truths))
    }

    /// The truth of one field.
    #[must_use]
    pub fn of(&self, field: Field) -> Truth {
        // Parsing has seen to it that every field is there.
        self.0.get(&field).copied().unwrap_or(Truth::Absent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(but: &str) -> String {
        let lines: Vec<String> = Field::ALL
            .iter()
            .map(|field| format!("{field} 8"))
            .collect();
        lines.join("\n").replace("nf_conn.mark 8", but)
    }

    #[test]
    fn every_field_has_exactly_one_truth() {
        let truths = Truths::parse(&text("nf_conn.mark absent")).unwrap();
        assert_eq!(truths.of(Field::NfConnMark), Truth::Absent);
        assert_eq!(truths.of(Field::NfConnZone), Truth::At(8));
        for bad in [
            "",
            "nf_conn.mark",
            "nf_conn.mark x",
            "nf_conn.mark -8",
            "nf_conn.marks 8",
            "nf_conn.mark 8\nnf_conn.mark 8",
        ] {
            assert!(Truths::parse(&text(bad)).is_err(), "{bad:?}");
        }
    }
}
