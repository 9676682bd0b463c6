//! Placeholder
use shared::line::Lines;
use std::io::Write;
pub fn run(_out: &mut Lines<impl Write>) -> anyhow::Result<()> {
    Ok(())
}
