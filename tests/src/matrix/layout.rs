//! Where a kernel's fields really are: the lines `FIELD OFFSET` or `FIELD absent` that `scripts/truth` writes.
//! They come from the kernel's own debugging data, never from guesser.

use std::collections::BTreeMap;

use anyhow::Context as _;
use anyhow::ensure;
use shared::offsets::Field;

/// The offset of each field in its struct, or that this kernel has no such field.
#[derive(Debug, Clone)]
pub struct Layout(BTreeMap<Field, Option<u32>>);

impl Layout {
    /// Reads the lines of `scripts/truth`.
    ///
    /// # Errors
    /// If a line has another form, or a field has no line or two.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut offsets = BTreeMap::new();
        for line in text.lines() {
            let (path, offset) = line
                .rsplit_once(' ')
                .with_context(|| format!("no field and offset: {line:?}"))?;
            let field: Field = path
                .trim()
                .parse()
                .with_context(|| format!("truth of {path}"))?;
            let offset = match offset {
                "absent" => None,
                offset => Some(offset.parse().with_context(|| format!("offset: {line}"))?),
            };
            ensure!(
                offsets.insert(field, offset).is_none(),
                "two lines of {field}"
            );
        }
        for field in Field::ALL {
            ensure!(offsets.contains_key(field), "no line of {field}");
        }
        Ok(Self(offsets))
    }

    /// The offset of a field; none if this kernel has no such field.
    #[must_use]
    pub fn of(&self, field: Field) -> Option<u32> {
        self.0[&field]
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
    fn every_field_has_exactly_one_line() {
        let layout = Layout::parse(&text("nf_conn.mark absent")).unwrap();
        assert_eq!(layout.of(Field::NfConnMark), None);
        assert_eq!(layout.of(Field::NfConnZone), Some(8));
        for bad in [
            "",
            "nf_conn.mark",
            "nf_conn.mark x",
            "nf_conn.mark -8",
            "nf_conn.marks 8",
            "nf_conn.mark 8\nnf_conn.mark 8",
        ] {
            assert!(Layout::parse(&text(bad)).is_err(), "{bad:?}");
        }
    }
}
