//! What a picture of text is made of: bars, an axis, lists that end in time. In ASCII or beyond.

use crate::terminal::Page;

/// Cells of the longest bar.
const BAR: usize = 16;
/// Cells of the axis at most; the rest of a line is for its ends.
const AXIS: usize = 64;
const AXIS_ENDS: usize = 24;
/// Offsets that a list names.
const NAMED: usize = 8;
/// Of what is cut, the part behind the last comma is kept if it is so short.
const TAIL: usize = 12;
/// What the log puts before each line.
const PREFIX: usize = "guesser: ".len();

/// Draws.
#[derive(Debug, Clone, Copy)]
pub struct Pen {
    page: Page,
}

impl Pen {
    /// For a page.
    pub fn new(page: Page) -> Self {
        Self { page }
    }

    /// How many of so many, by their logarithms: the last one is a cell still, none is no cell.
    pub fn bar(self, count: usize, of: usize) -> String {
        let full = f64::from(u32::try_from(of).unwrap_or(u32::MAX))
            .max(2.0)
            .log2();
        let part = f64::from(u32::try_from(count).unwrap_or(u32::MAX))
            .max(1.0)
            .log2();
        let cells = 1 + (part / full * (BAR - 1) as f64).round() as usize;
        let cells = if count == 0 { 0 } else { cells.min(BAR) };
        let cell = if self.page.has_unicode { "█" } else { "#" };
        format!("{}{}", cell.repeat(cells), " ".repeat(BAR - cells))
    }

    /// Where in a window the offsets are; two that share a cell are shown as one.
    pub fn axis(self, offsets: &[u32], window_bytes: u32) -> String {
        let slot = self.page.columns.saturating_sub(AXIS_ENDS + PREFIX);
        let cells = slot.clamp(8, AXIS);
        let (site, mark) = if self.page.has_unicode {
            ('·', '▲')
        } else {
            ('.', '^')
        };
        let mut axis = vec![site; cells];
        for offset in offsets {
            let cell = u64::from(*offset) * cells as u64 / u64::from(window_bytes.max(1));
            if let Some(cell) = axis.get_mut(cell as usize) {
                *cell = mark;
            }
        }
        let axis: String = axis.into_iter().collect();
        match offsets {
            [only] => format!("0 {axis} {window_bytes}  at {only}"),
            _ => format!("0 {axis} {window_bytes}"),
        }
    }

    /// Some of the offsets, and how many more there are.
    pub fn offsets(self, offsets: &[u32]) -> String {
        if offsets.is_empty() {
            return "none".to_owned();
        }
        let named: Vec<String> = offsets.iter().take(NAMED).map(u32::to_string).collect();
        let more = match offsets.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", named.join(", "))
    }

    /// Whole words in as many lines as it takes, indented.
    pub fn wrap(self, text: &str) -> Vec<String> {
        let slot = self.page.columns.saturating_sub(PREFIX).max(BAR);
        let mut lines = vec![String::from(" ")];
        for word in text.split_whitespace() {
            let last = lines.last_mut().filter(|line| {
                line.trim().is_empty() || line.chars().count() + 1 + word.chars().count() <= slot
            });
            match last {
                Some(line) => {
                    line.push(' ');
                    line.push_str(word);
                }
                None => lines.push(format!("  {word}")),
            }
        }
        lines
    }

    /// As much of a line as the page is wide.
    pub fn clip(self, line: &str) -> String {
        let slot = self.page.columns.saturating_sub(PREFIX).max(BAR);
        let shown = |c: char| {
            if c.is_ascii() || self.page.has_unicode {
                c
            } else {
                '?'
            }
        };
        let trimmed = line.trim_end();
        if trimmed.chars().count() <= slot {
            return trimmed.chars().map(shown).collect();
        }
        // What sets a sample apart from those beside it stands at the end of its name.
        let tail = trimmed.rsplit_once(", ").map_or("", |(_, tail)| tail);
        let tail = match tail.chars().count() {
            1..=TAIL if slot > 2 * BAR => format!(", {tail}"),
            _ => String::new(),
        };
        let cut = if self.page.has_unicode { "…" } else { "~" };
        let head = trimmed.chars().take(slot - 1 - tail.chars().count());
        head.map(shown)
            .chain(cut.chars())
            .chain(tail.chars().map(shown))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_a_logarithm_and_the_last_one_is_seen() {
        let pen = Pen::new(Page::default());
        let cells = |count, of| pen.bar(count, of).matches('#').count();
        for (count, of, expected) in [
            (256, 256, 16),
            (16, 256, 9),
            (2, 256, 3),
            (1, 256, 1),
            (0, 256, 0),
            (1, 1, 1),
            (0, 0, 0),
            (9, 2, 16),
        ] {
            assert_eq!(cells(count, of), expected, "{count} of {of}");
            assert_eq!(pen.bar(count, of).len(), BAR);
        }
    }

    #[test]
    fn an_axis_shows_first_and_last() {
        let pen = Pen::new(Page {
            columns: 41,
            has_unicode: false,
        });
        assert_eq!(pen.axis(&[0, 511], 512), "0 ^......^ 512");
        assert_eq!(pen.axis(&[512], 512), "0 ........ 512  at 512");
        assert_eq!(pen.axis(&[], 512), "0 ........ 512");
    }

    #[test]
    fn words_stay_whole_over_several_lines() {
        let pen = Pen::new(Page {
            columns: 29,
            has_unicode: false,
        });
        let lines = pen.wrap("no hook shows it (tracepoint: silent)");
        assert_eq!(lines, ["  no hook shows it", "  (tracepoint:", "  silent)"]);
    }

    #[test]
    fn what_is_too_long_is_cut_where_one_sees_it() {
        let page = |has_unicode| Page {
            columns: 29,
            has_unicode,
        };
        let line = "0123456789012345678→x";
        assert_eq!(Pen::new(page(true)).clip(line), "0123456789012345678…");
        assert_eq!(Pen::new(page(false)).clip(line), "0123456789012345678~");
        assert_eq!(Pen::new(page(false)).clip("a→b  "), "a?b");
        let wide = Page {
            columns: 49,
            has_unicode: false,
        };
        assert_eq!(
            Pen::new(wide).clip("#7 dnat 127.178.88.27:28628 to 127.162.173.24:7, First"),
            "#7 dnat 127.178.88.27:28628 to 1~, First"
        );
    }
}
