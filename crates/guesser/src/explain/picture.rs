//! The parts of a picture in text: bars, an axis, lists, and lines that fit on the page.

use crate::terminal::Page;

/// Cells of the longest bar.
const BAR: usize = 16;
/// Cells of the longest axis; the rest of a line is for its ends.
const AXIS: usize = 64;
const AXIS_ENDS: usize = 24;
/// A list names so many offsets.
const NAMED: usize = 8;
/// Of a clipped line the part behind the last comma is kept if it is no longer than this.
const TAIL: usize = 12;
/// What the log puts before each line.
const PREFIX: usize = "guesser: ".len();

/// Some of the offsets, and how many more there are.
pub fn list(offsets: &[u32]) -> String {
    if offsets.is_empty() {
        return "none".to_owned();
    }
    let named: Vec<String> = offsets.iter().take(NAMED).map(u32::to_string).collect();
    let named = named.join(", ");
    match offsets.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

impl Page {
    /// Of a bar, of an axis, of an offset on it, and of a cut.
    fn symbols(self) -> [&'static str; 4] {
        match self.has_unicode {
            true => ["█", "·", "▲", "…"],
            false => ["#", ".", "^", "~"],
        }
    }

    fn text_columns(self) -> usize {
        self.columns.saturating_sub(PREFIX).max(BAR)
    }

    /// How many of so many, on a logarithmic scale: one still has a cell, none has no cell.
    pub fn bar(self, count: usize, of: usize) -> String {
        let share = (count.max(1) as f64).log2() / (of.max(2) as f64).log2();
        let cells = 1 + (share * (BAR - 1) as f64).round() as usize;
        let cells = if count == 0 { 0 } else { cells.min(BAR) };
        let [full, ..] = self.symbols();
        format!("{:<BAR$}", full.repeat(cells))
    }

    /// Where in a window the offsets are. Two in the same cell are shown as one.
    pub fn axis(self, offsets: &[u32], window_bytes: u32) -> String {
        let columns = self.columns.saturating_sub(AXIS_ENDS + PREFIX);
        let [_, blank, mark, _] = self.symbols();
        let mut axis = vec![blank; columns.clamp(8, AXIS)];
        for offset in offsets {
            let cell = *offset as usize * axis.len() / window_bytes.max(1) as usize;
            if let Some(cell) = axis.get_mut(cell) {
                *cell = mark;
            }
        }
        let axis = axis.concat();
        match offsets {
            [only] => format!("0 {axis} {window_bytes}  at {only}"),
            _ => format!("0 {axis} {window_bytes}"),
        }
    }

    /// Indented lines of whole words.
    pub fn wrap(self, text: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            let columns = self.text_columns().saturating_sub(1 + word.chars().count());
            let last = lines.last_mut();
            match last.filter(|line| line.chars().count() <= columns) {
                Some(line) => line.extend([" ", word]),
                None => lines.push(format!("  {word}")),
            }
        }
        lines
    }

    /// As much of a line as fits.
    pub fn clip(self, line: &str) -> String {
        let can_show = |c: &char| c.is_ascii() || self.has_unicode;
        let shown = line.trim_end().chars();
        let shown: Vec<char> = shown.map(|c| if can_show(&c) { c } else { '?' }).collect();
        let columns = self.text_columns();
        if shown.len() <= columns {
            return shown.into_iter().collect();
        }
        // What distinguishes a sample from similar ones stands at the end of its name.
        let comma = shown.windows(2).rposition(|pair| pair == [',', ' ']);
        let tail = comma.map_or(&[][..], |at| &shown[at..]);
        let is_short = tail.len() <= ", ".len() + TAIL && columns > 2 * BAR;
        let tail = if is_short { tail } else { &[] };
        let [.., cut] = self.symbols();
        let head = shown[..columns - 1 - tail.len()].iter().copied();
        head.chain(cut.chars())
            .chain(tail.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_logarithmic_and_one_candidate_has_a_cell() {
        let page = Page::default();
        let cells = |count, of| page.bar(count, of).matches('#').count();
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
            assert_eq!(page.bar(count, of).len(), BAR);
        }
    }

    #[test]
    fn an_axis_shows_the_first_and_the_last_offset() {
        let page = Page {
            columns: 41,
            has_unicode: false,
        };
        assert_eq!(page.axis(&[0, 511], 512), "0 ^......^ 512");
        assert_eq!(page.axis(&[512], 512), "0 ........ 512  at 512");
        assert_eq!(page.axis(&[], 512), "0 ........ 512");
    }

    #[test]
    fn wrapping_keeps_words_whole() {
        let page = Page {
            columns: 29,
            has_unicode: false,
        };
        let lines = page.wrap("no hook shows it (tracepoint: silent)");
        assert_eq!(lines, ["  no hook shows it", "  (tracepoint:", "  silent)"]);
    }

    #[test]
    fn a_clipped_line_shows_where_it_is_cut() {
        let page = |has_unicode| Page {
            columns: 29,
            has_unicode,
        };
        let line = "0123456789012345678→x";
        assert_eq!(page(true).clip(line), "0123456789012345678…");
        assert_eq!(page(false).clip(line), "0123456789012345678~");
        assert_eq!(page(false).clip("a→b  "), "a?b");
        let wide = Page {
            columns: 49,
            has_unicode: false,
        };
        assert_eq!(
            wide.clip("#7 dnat 127.178.88.27:28628 to 127.162.173.24:7, First"),
            "#7 dnat 127.178.88.27:28628 to 1~, First"
        );
    }
}
